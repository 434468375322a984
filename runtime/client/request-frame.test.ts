/** A request that the server would not read is refused before it is sent, and nothing else of its client suffers. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError, type ErrorRecord } from '../contract/errors.ts';
import { startTestApi } from '../control-api/api-for-tests.ts';
import { connectPhoton, type PhotonClient } from './client.ts';
import { nodeSocketFactory } from './node-socket.ts';
import { requestLimitsOf, requestText } from './request-frame.ts';

async function refused(work: Promise<unknown>): Promise<ErrorRecord> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PhotonError) return error.record;
    throw error;
  }
  throw new Error('expected a refusal');
}

/** `box.create` whose whole frame, with one-digit id, has this many bytes. */
function createOf(bytes: number, letter: string): { scope: string; name: string; idempotencyKey: string } {
  const params = { scope: 'acme', name: 'b', idempotencyKey: 'k', params: { size: 1, text: '' } };
  const empty = Buffer.byteLength(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'box.create', params }));
  const room = bytes - empty;
  const wide = Buffer.byteLength(letter);
  const text = letter.repeat(Math.floor(room / wide)) + 'x'.repeat(room % wide);
  return { ...params, params: { size: 1, text } } as never;
}

async function withClient(
  limits: Parameters<typeof startTestApi>[0],
  work: (client: PhotonClient, drops: () => number, methods: string[]) => Promise<void>,
): Promise<void> {
  const api = await startTestApi(limits);
  const methods: string[] = [];
  let drops = 0;
  const inner = nodeSocketFactory();
  const client = await connectPhoton({
    url: api.url,
    token: 'ann-token',
    onDrop: () => (drops += 1),
    openSocket: (url, protocol, listener) => {
      const socket = inner(url, protocol, listener);
      const send = (text: string): void => {
        const frame = JSON.parse(text) as { method: string } | { method: string }[];
        methods.push(...[frame].flat().map(({ method }) => method));
        socket.send(text);
      };
      return { ...socket, send };
    },
  });
  try {
    await work(client, () => drops, methods);
  } finally {
    client.close();
    await api.stop();
  }
}

test('a call of 140,000 characters is refused at once and not sent; the other calls are answered', () =>
  withClient({}, async (client, drops, methods) => {
    const large = refused(client.call('box.create', createOf(140_000, 'x') as never));
    const others = Promise.all(Array.from({ length: 20 }, () => client.call('ping', {})));
    const { code, group, message, retryable } = await large;
    assert.equal([code, group, retryable], ['request_too_large', 'rejection', false]);
    assert.match(message, 'box.create was not sent: its request has 140000 bytes, and 131072 are accepted.');
    await others;
    assert.is(drops(), 0);
    assert.not.ok(methods.includes('box.create'));
  }));

test('the length is that of the bytes sent: the longest frame is accepted, one byte more is not', () =>
  withClient({}, async (client, drops) => {
    for (const letter of ['x', 'é', '€', '😀']) {
      const longest = await refused(client.call('box.create', createOf(131_072, letter) as never));
      assert.is(longest.code, 'params_invalid', 'the server has read it');
      assert.is(
        (await refused(client.call('box.create', createOf(131_073, letter) as never))).code,
        'request_too_large',
      );
    }
    assert.is(drops(), 0);
  }));

test('the limit is the one that hello names', () =>
  withClient({ limits: { maxFrameBytes: 1_000 } }, async (client, drops) => {
    assert.is((await refused(client.call('box.create', createOf(1_001, 'x') as never))).code, 'request_too_large');
    assert.is((await refused(client.call('box.create', createOf(1_000, 'x') as never))).code, 'params_invalid');
    assert.is(drops(), 0);
  }));

test('a request with too many keys, too deep, or no JSON is refused before it is sent', () =>
  withClient({}, async (client, drops, methods) => {
    const envelope = { scope: 'acme', name: 'b', idempotencyKey: 'k' };
    const many = Object.fromEntries(Array.from({ length: 256 }, (_, at) => [`k${at}`, 1]));
    assert.match((await refused(client.call('box.create', { ...envelope, params: many }))).message, '256 keys');
    let deep: unknown = 1;
    for (let level = 0; level < 16; level += 1) deep = [deep];
    assert.match((await refused(client.call('box.create', { ...envelope, params: deep }))).message, '16 levels');
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    const unreadable = await refused(client.call('box.create', { ...envelope, params: cycle }));
    assert.is(unreadable.code, 'request_unreadable');
    const omitted = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`k${at}`, undefined]));
    assert.is((await client.call('box.create', { ...envelope, params: { size: 1, ...omitted } })).id, 'box/acme/b');
    assert.is(drops(), 0);
    assert.is(methods.filter((method) => method === 'box.create').length, 1);
  }));

test('a watch that does not fit into a frame ends with the reason, and is not opened again and again', () =>
  withClient({}, async (client, drops) => {
    const ids = Array.from({ length: 2_000 }, (_, at) => `box/acme/${'n'.repeat(80)}${at}`);
    assert.is((await refused(client.watch({ ids }).next())).code, 'request_too_large');
    await client.call('ping', {});
    assert.is(drops(), 0);
  }));

test('a server that names no limits has the documented ones; `limits` of hello comes first', () => {
  const known = { maxFrameBytes: 131_072, maxDepth: 16, maxKeys: 256 };
  assert.equal(requestLimitsOf({}), known);
  assert.equal(requestLimitsOf({ maxFrameBytes: 9, limits: { maxDepth: 3 } }), {
    ...known,
    maxFrameBytes: 9,
    maxDepth: 3,
  });
  assert.equal(requestLimitsOf({ maxFrameBytes: 9, limits: { maxFrameBytes: 10 } }).maxFrameBytes, 10);
  const shallow = requestText({ id: 1, method: 'ping', params: { a: { b: 1 } } }, { ...known, maxDepth: 2 });
  assert.instance(shallow, PhotonError);
});

test.run();
