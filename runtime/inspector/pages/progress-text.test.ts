/** What the page of an actor that moves bytes says of them. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesText, ratesText, shareOf } from './progress-text.ts';

const mib = 2 ** 20;

test('what has moved, of what is left or of what has come', () => {
  const left = { totalBytes: 200 * mib, remainingBytes: 50 * mib };
  assert.equal([shareOf(left), bytesText(left)], [0.75, '150.0 of 200.0 MiB']);
  const come = { totalBytes: 200 * mib, receivedBytes: 50 * mib };
  assert.equal([shareOf(come), bytesText(come)], [0.25, '50.0 of 200.0 MiB']);
  const unknown = { totalBytes: null, receivedBytes: 50 * mib };
  assert.equal([shareOf(unknown), bytesText(unknown)], [null, '50.0 MiB, of a whole that is not known']);
  assert.is(shareOf({ totalBytes: 0, receivedBytes: 0 }), 1);
  assert.is(shareOf({ totalBytes: 10, receivedBytes: 12 }), 1, 'a whole that was guessed too small');
});

test('the rest takes what the rates leave of it', () => {
  const rest = { totalBytes: 200 * mib, remainingBytes: 90 * mib };
  assert.is(ratesText(rest), '');
  const sends = (rate: number, dirtyRate: number) =>
    ratesText({ ...rest, rate: rate * mib, dirtyRate: dirtyRate * mib });
  assert.is(sends(4, 1), 'sends 4.0 MiB/s, 1.0 MiB/s are written meanwhile: about 30 s left');
  assert.is(sends(4, 4), 'sends 4.0 MiB/s, 4.0 MiB/s are written meanwhile: no end in sight');
  assert.is(sends(0, 1), 'sends 0.0 MiB/s, 1.0 MiB/s are written meanwhile');
});

test.run();
