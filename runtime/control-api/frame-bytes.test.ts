/** Frames of every length class are decoded by the receiver of `ws`. */
import type { Writable } from 'node:stream';
import * as ws from 'ws';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { textFrames } from './frame-bytes.ts';

/** `ws` exports the class but not its types. */
const { Receiver } = ws as unknown as { readonly Receiver: new () => Writable };

test('encoded texts are decoded as the same messages in the same order', async () => {
  const texts = ['', 'a', 'x'.repeat(125), 'x'.repeat(126), 'ü€😀'.repeat(60), 'y'.repeat(65_535), 'z'.repeat(65_536)];
  const receiver = new Receiver();
  const seen: string[] = [];
  receiver.on('message', (bytes: Buffer, isBinary: boolean) => {
    assert.not.ok(isBinary);
    seen.push(bytes.toString());
  });
  await new Promise<void>((resolve, reject) => {
    receiver.on('error', reject);
    receiver.write(textFrames(texts), () => resolve());
  });
  while (seen.length < texts.length) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(seen, texts);
  assert.is(textFrames([]).length, 0);
});

test.run();
