/** How the client combines calls into frames, with a real control API on loopback. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startTestApi } from '../control-api/api-for-tests.ts';
import { connectPhoton } from './client.ts';
import { nodeSocketFactory } from './node-socket.ts';

const openSocket = nodeSocketFactory();

test('the calls of a tick are sent in one frame, up to the maximum frame size; so are their answers', async () => {
  const api = await startTestApi({ limits: { maxInFlight: 1_000, commandBurst: 1_000 } });
  const frames: { way: 'out' | 'in'; text: string }[] = [];
  const client = await connectPhoton({
    url: api.url,
    token: 'ann-token',
    openSocket: (url, protocol, listener) => {
      const onText = (text: string): void => {
        frames.push({ way: 'in', text });
        listener.onText(text);
      };
      const socket = openSocket(url, protocol, {
        ...listener,
        onText,
        onClosed: (code, why) => listener.onClosed(code, why),
      });
      const send = (text: string): void => {
        frames.push({ way: 'out', text });
        socket.send(text);
      };
      return { ...socket, send };
    },
  });
  const lengths = (way: 'out' | 'in'): number[] =>
    frames.filter((frame) => frame.way === way).map(({ text }) => (JSON.parse(text) as unknown[]).length);
  try {
    frames.length = 0;
    await Promise.all(Array.from({ length: 20 }, () => client.call('ping', {})));
    assert.equal(lengths('out'), [20]);
    assert.equal(lengths('in'), [20]);
    frames.length = 0;
    await client.call('ping', {});
    assert.equal(lengths('out'), [undefined as never], 'a single request is no array');
    frames.length = 0;
    const params = { scope: 'acme', name: 'b', params: { size: 1 } };
    const keyOf = (n: number): string => `${'k'.repeat(120)}${n}`;
    const calls = Array.from({ length: 300 }, (_, n) =>
      client.call('box.create', { ...params, idempotencyKey: keyOf(n) }),
    );
    await Promise.all(calls);
    assert.is(
      lengths('out').reduce((sum, length) => sum + length, 0),
      300,
    );
    assert.ok(lengths('out').length > 1, 'they did not fit into one frame');
    for (const { text } of frames.filter(({ way }) => way === 'out')) assert.ok(Buffer.byteLength(text) <= 65_536);
  } finally {
    client.close();
    await api.stop();
  }
});

test.run();
