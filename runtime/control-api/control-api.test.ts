/** Sessions over real sockets: hello, auth, hostile frames, limits, closing; store and host are test doubles. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Reply } from '../contract/envelope.ts';
import { startTestApi, TestPrincipals, type TestApi, type TestApiOptions } from './api-for-tests.ts';
import { testRegistry } from './store-for-tests.ts';
import type { OutputPlace } from '../contract/actor-definition.ts';
import type { SendInput } from './method-table.ts';
import { RawClient, until } from './raw-client-for-tests.ts';

const key = { idempotencyKey: 'k1' };
const code = (name: string): string => `urn:photon:error:${name}`;

async function within(options: TestApiOptions, work: (api: TestApi) => Promise<void>): Promise<void> {
  const api = await startTestApi(options);
  try {
    await work(api);
  } finally {
    await api.stop();
  }
}

async function status(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'opened',
    (error: Error) => error.message,
  );
}

test('hello describes the server; auth authenticates the session, as does an authorization header', async () => {
  await within({}, async ({ url }) => {
    const client = await new RawClient(url).open();
    await until(() => client.frames.length > 0, 'hello');
    const hello = client.frames[0] as { method: string; params: Record<string, unknown> };
    assert.is(hello.method, 'hello');
    assert.is(hello.params['protocol'], 'photon.v1');
    assert.is(hello.params['node'], 'c1');
    assert.is(hello.params['maxFrameBytes'], 131_072);
    assert.is(hello.params['authenticated'], false);
    assert.equal(await client.call('auth', { token: 'ann-token' }), {
      principal: 'ann',
      scopes: ['acme'],
      admin: false,
    });
    const header = await new RawClient(url, { authorization: 'Bearer root-token' }).open();
    assert.type((await header.call('ping'))['at'], 'number');
    await header.close();
    await client.close();
  });
});

test('no header except the token determines the principal', async () => {
  const names = ['x-remote-user', 'x-forwarded-user', 'x-user-id', 'x-roles', 'x-forwarded-client-cert', 'x-principal'];
  const spoofed = Object.fromEntries(names.map((name) => [name, 'root']));
  await within({}, async ({ url }) => {
    const nobody = await new RawClient(url, spoofed).open();
    assert.is((await nobody.refusal('actor.list')).type, code('unauthenticated'));
    const ann = await new RawClient(url, { ...spoofed, authorization: 'Bearer ann-token' }).open();
    await until(() => ann.frames.length > 0, 'hello');
    const more = await ann.refusal('auth', { token: 'ann-token', principal: 'root', admin: true });
    assert.is(more.type, code('params_invalid'), 'unknown fields are refused');
    const { admin, scopes } = await ann.call('auth', { token: 'ann-token' });
    assert.equal({ admin, scopes }, { admin: false, scopes: ['acme'] });
    await ann.close();
  });
});

test('the output of an object is read from its node, by those who may read the object', async () => {
  const kinds = new Map(testRegistry.kinds);
  const box = kinds.get('box');
  assert.ok(box);
  const output = (id: string, { spec }: { spec: { size: number } }) =>
    spec.size === 1 ? { node: 'w1', path: `/boxes/${id}` } : null;
  kinds.set('box', { ...box, output: output as never });
  const more = { registry: { kinds }, readOutput: async ({ node, path }: OutputPlace) => `${node} ${path}` };
  await within({ more }, async ({ url, store }) => {
    store.put('box/acme/a', 'open');
    store.put('box/acme/mute', 'open', 2);
    store.put('lid/acme/a', 'open');
    const ann = await new RawClient(url).open('ann-token');
    assert.equal(await ann.call('actor.output', { id: 'box/acme/a' }), { node: 'w1', text: 'w1 /boxes/box/acme/a' });
    for (const id of ['box/acme/mute', 'lid/acme/a'])
      assert.is((await ann.refusal('actor.output', { id })).type, code('no_output'), id);
    const bob = await new RawClient(url).open('bob-token');
    for (const id of ['box/acme/a', 'box/acme/none'])
      assert.is((await bob.refusal('actor.output', { id })).type, code('not_found'), id);
    await ann.close();
    await bob.close();
  });
});

test('bytes go to the node of an object that waits for them, from those who may command it', async () => {
  const kinds = new Map(testRegistry.kinds);
  const box = kinds.get('box');
  assert.ok(box);
  const intake = (id: string, { spec }: { spec: { size: number } }) =>
    spec.size === 1 ? { node: 'w1', path: `/boxes/${id}` } : null;
  kinds.set('box', { ...box, intake: intake as never });
  const got: unknown[] = [];
  const sendInput: SendInput = async ({ node, path }, offset, bytes) => {
    got.push([node, path, offset, bytes.toString()]);
    return { receivedBytes: offset + bytes.length, totalBytes: 9, isWhole: false };
  };
  await within({ more: { registry: { kinds }, sendInput } }, async ({ url, store }) => {
    store.put('box/acme/a', 'open');
    store.put('box/acme/full', 'open', 2);
    const ann = await new RawClient(url).open('ann-token');
    const put = { id: 'box/acme/a', offset: 3, bytes: Buffer.from('abc').toString('base64') };
    assert.is((await ann.call('actor.put', put))['receivedBytes'], 6);
    assert.equal(got, [['w1', '/boxes/box/acme/a', 3, 'abc']]);
    assert.is((await ann.refusal('actor.put', { ...put, id: 'box/acme/full' })).type, code('no_input'));
    const wrong = [{ bytes: '%%%' }, { offset: -1 }, { bytes: 'A'.repeat(122_884) }];
    for (const more of wrong)
      assert.is((await ann.refusal('actor.put', { ...put, ...more })).type, code('params_invalid'));
    const bob = await new RawClient(url).open('bob-token');
    for (const id of ['box/acme/a', 'box/acme/none'])
      assert.is((await bob.refusal('actor.put', { ...put, id })).type, code('not_found'), id);
    assert.is(got.length, 1);
    await ann.close();
    await bob.close();
  });
});

test('no auth in time, a wrong token, and a request before auth close the session with 4401', async () => {
  await within({ limits: { authTimeoutMs: 100 } }, async ({ url }) => {
    const idle = await new RawClient(url).open();
    assert.is((await idle.closed).code, 4401);
    const wrong = await new RawClient(url).open();
    assert.is((await wrong.refusal('auth', { token: 'mallory-token' })).type, code('unauthenticated'));
    assert.is((await wrong.closed).code, 4401);
    const early = await new RawClient(url).open();
    assert.is((await early.refusal('actor.list')).type, code('unauthenticated'));
    assert.is((await early.closed).code, 4401);
    const header = new RawClient(url, { authorization: 'Bearer mallory-token' });
    assert.is(await status(header.open()), 'HTTP 401');
  });
});

test('foreign origins, subprotocols, paths and tokens, and too many handshakes are refused by status', async () => {
  await within({}, async ({ url, listenPort }) => {
    assert.is(await status(new RawClient(url, { origin: 'https://evil.example' }).open()), 'HTTP 403');
    assert.is(await status(new RawClient(url, { origin: 'null' }).open()), 'HTTP 403');
    const same = new RawClient(url, { origin: `http://127.0.0.1:${listenPort}` });
    assert.is(await status(same.open()), 'opened');
    await same.close();
    assert.is(await status(new RawClient(url, {}, 'photon.v9').open()), 'HTTP 426');
    assert.is(await status(new RawClient(url.replace('/api', '/other')).open()), 'HTTP 404');
  });
  await within({ limits: { handshakesPerS: 2 } }, async ({ url }) => {
    const many = async (token: string): Promise<string[]> => {
      const clients = Array.from({ length: 8 }, () => new RawClient(url, { authorization: `Bearer ${token}` }));
      const statuses = await Promise.all(clients.map((client) => status(client.open())));
      for (const client of clients) await client.close();
      return [...new Set(statuses)].toSorted();
    };
    assert.equal(await many('wrong'), ['HTTP 401', 'HTTP 429']);
    // Whoever has a credential is not refused for what others do at the same address, such as that of a relay.
    assert.equal(await many('ann-token'), ['HTTP 429', 'opened']);
    const bob = await new RawClient(url, { authorization: 'Bearer bob-token' }).open();
    const none = await new RawClient(url).open('cat-token');
    for (const client of [bob, none]) await client.close();
  });
});

test('hostile frames: a frame without a usable id closes the session, others are answered with an error', async () => {
  const closing: readonly (readonly [string, string | Buffer, number])[] = [
    ['not JSON', '{', 4400],
    ['binary', Buffer.from('{}'), 4400],
    ['empty batch', '[]', 4400],
    ['batch in a batch', '[[{"jsonrpc":"2.0","id":1,"method":"ping"}]]', 4400],
    ['no id', '{"jsonrpc":"2.0","method":"ping"}', 4400],
    ['scalar', '"ping"', 4400],
    ['deep without an id', '['.repeat(30_000), 4400],
    ['id of a wrong type', '{"jsonrpc":"2.0","id":{},"method":"ping"}', 4400],
    ['too large', JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'x'.repeat(140_000) }), 1009],
  ];
  const refused: readonly (readonly [string, string])[] = [
    ['deep', `{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":${'['.repeat(20)}${']'.repeat(20)}}}`],
    [
      'many keys',
      JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'ping', params: { a: Array.from({ length: 300 }, () => 1) } }),
    ],
    ['__proto__', '{"jsonrpc":"2.0","id":7,"method":"ping","params":{"__proto__":{"admin":true}}}'],
    ['unknown envelope field', '{"jsonrpc":"2.0","id":7,"method":"ping","extra":1}'],
    ['other version', '{"jsonrpc":"1.0","id":7,"method":"ping"}'],
  ];
  await within({ limits: { handshakesPerS: 1_000 } }, async ({ url }) => {
    for (const [name, frame, wanted] of closing) {
      const client = await new RawClient(url).open('ann-token');
      client.socket.send(frame);
      assert.is((await client.closed).code, wanted, name);
    }
    const client = await new RawClient(url).open('ann-token');
    for (const [name, frame] of refused) {
      const before = client.frames.length;
      client.send(frame);
      await until(() => client.frames.length > before, name);
      const answer = client.frames.at(-1) as { id: number; error: { code: number; data: { type: string } } };
      assert.is(answer.id, 7, name);
      assert.is(answer.error.code, -32600, name);
      assert.is(answer.error.data.type, code('frame_malformed'), name);
    }
    assert.is((await client.refusal('no.such')).type, code('method_not_found'));
    assert.is((await client.refusal('constructor')).type, code('method_not_found'));
    assert.is(
      (await client.refusal('box.constructor', { scope: 'acme', name: 'b', ...key })).type,
      code('method_not_found'),
    );
    const unknown = await client.refusal('ping', { extra: 1 });
    assert.equal(unknown.issues, [{ path: 'extra', message: 'unknown field' }]);
    await client.close();
  });
});

test('a client that sends several requests in a frame gets one frame of answers, others one per answer', async () => {
  const ask = (id: number, method: string, params: object = {}): object => ({ jsonrpc: '2.0', id, method, params });
  const poke = (id: number): object =>
    ask(id, 'box.poke', { scope: 'acme', name: 'b', idempotencyKey: `k${id}`, params: {} });
  const idsOf = (frame: unknown): unknown => (Array.isArray(frame) ? frame.map(idsOf) : (frame as { id: number }).id);
  await within({ limits: { maxInFlight: 3 } }, async ({ url, asked }) => {
    const client = await new RawClient(url).open('ann-token');
    const answered = async (send: () => void, count: number): Promise<unknown[]> => {
      const before = client.frames.length;
      send();
      await until(() => client.frames.slice(before).flat().length === count, `${count} answers`);
      return client.frames.slice(before);
    };
    assert.equal(
      (await answered(() => [81, 82].forEach((id) => client.send(JSON.stringify(ask(id, 'ping')))), 2)).map(idsOf),
      [81, 82],
    );
    assert.equal((await answered(() => client.send(JSON.stringify([poke(83)])), 1)).map(idsOf), [83]);
    // Limits count requests: of four commands at once the fourth is refused, and the refused one does not hinder
    // others.
    const five = [poke(84), ask(85, 'no.such'), poke(86), poke(87), poke(88)];
    const [frame, ...rest] = await answered(() => client.send(JSON.stringify(five)), 5);
    assert.is(rest.length, 0);
    const answers = frame as unknown as { id: number; result?: object; error?: { data: { type: string } } }[];
    const results = new Map(answers.map(({ id, error }) => [id, error?.data.type ?? 'done']));
    assert.equal([...results].toSorted(), [
      [84, 'done'],
      [85, code('method_not_found')],
      [86, 'done'],
      [87, 'done'],
      [88, code('overloaded')],
    ]);
    assert.is(asked.length, 4);
    client.send(JSON.stringify([ask(89, 'ping'), ask(89, 'ping')]));
    assert.is((await client.closed).code, 4400, 'the same id twice');
  });
});

test('no request of a batch is performed when one of them cannot be answered', async () => {
  await within({}, async ({ url, asked }) => {
    const client = await new RawClient(url).open('ann-token');
    const params = { scope: 'acme', name: 'b', ...key, params: {} };
    client.send(
      JSON.stringify([
        { jsonrpc: '2.0', id: 7, method: 'box.poke', params },
        { jsonrpc: '2.0', method: 'ping' },
      ]),
    );
    assert.is((await client.closed).code, 4400);
    assert.is(asked.length, 0);
  });
});

test('a second request with an id that is in flight closes the session', async () => {
  await within({ answer: () => new Promise<Reply>(() => {}), limits: { commandWaitMs: 300 } }, async ({ url }) => {
    const client = await new RawClient(url).open('ann-token');
    const frame = JSON.stringify({
      jsonrpc: '2.0',
      id: 'x',
      method: 'box.poke',
      params: { scope: 'acme', name: 'b', ...key, params: {} },
    });
    client.send(frame);
    client.send(frame);
    assert.is((await client.closed).code, 4400);
  });
});

test('rates and in-flight limits are answered `overloaded` with a retry time', async () => {
  const never = { answer: () => new Promise<Reply>(() => {}) };
  const params = { scope: 'acme', name: 'b', ...key, params: {} };
  await within({ ...never, limits: { maxInFlight: 3 } }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    for (const id of ['a', 'b', 'c']) ann.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'box.poke', params }));
    const over = await ann.refusal('box.poke', params);
    assert.is(over.type, code('overloaded'));
    assert.is(over.retryAfterMs, 50);
    await ann.close();
  });
  await within({ limits: { commandsPerS: 1, commandBurst: 2 } }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    await ann.call('box.poke', params);
    await ann.call('box.poke', params);
    const over = await ann.refusal('box.poke', params);
    assert.is(over.type, code('overloaded'));
    assert.ok((over.retryAfterMs ?? 0) > 0);
    await ann.close();
  });
  await within({ limits: { scopeCommandsPerS: 1, scopeCommandBurst: 1 } }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    const root = await new RawClient(url).open('root-token');
    const bob = await new RawClient(url).open('bob-token');
    // A principal of another scope cannot use up the rate of this scope.
    assert.is((await bob.refusal('box.poke', params)).type, code('not_found'));
    await ann.call('box.poke', params);
    assert.is((await root.refusal('box.poke', params)).type, code('overloaded'));
    for (const client of [ann, root, bob]) await client.close();
  });
  await within({ limits: { maxSessionsPerScope: 2 } }, async ({ url }) => {
    const clients = [await new RawClient(url).open('ann-token'), await new RawClient(url).open('ann-token')];
    const third = await new RawClient(url).open();
    assert.is((await third.refusal('auth', { token: 'ann-token' })).type, code('too_many_sessions'));
    const header = await new RawClient(url, { authorization: 'Bearer ann-token' }).open();
    assert.is((await header.closed).code, 4403);
    for (const client of clients) await client.close();
  });
});

test('a renewed token keeps the session; a revoked token or another principal ends it', async () => {
  await within({}, async ({ url, principals, asked }) => {
    const ann = await new RawClient(url).open('ann-token');
    assert.is((await ann.call('auth', { token: 'ann-token' }))['principal'], 'ann');
    await ann.call('ping');
    const other = await new RawClient(url).open('ann-token');
    assert.is((await other.refusal('auth', { token: 'bob-token' })).type, code('forbidden'));
    assert.is((await other.closed).code, 4403);
    principals.people.delete('ann');
    const late = await ann.refusal('box.poke', { scope: 'acme', name: 'b', ...key, params: {} });
    assert.is(late.type, code('unauthenticated'));
    assert.is(asked.length, 0);
    assert.is((await ann.closed).code, 4401);
  });
});

test('a token that is revoked ends its idle sessions at once', async () => {
  let changed = (): void => {};
  const principals = new (class extends TestPrincipals {
    onChange(listener: () => void): void {
      changed = listener;
    }
  })();
  await within({ more: { principals } }, async ({ url }) => {
    const [ann, bob] = [await new RawClient(url).open('ann-token'), await new RawClient(url).open('bob-token')];
    principals.people.delete('ann');
    changed();
    assert.is((await ann.closed).code, 4401);
    await bob.call('ping');
    await bob.close();
  });
});

test('closing waits for requests in flight, then closes sessions with 1012', async () => {
  let finish: (reply: Reply) => void = () => {};
  const api = await startTestApi({ answer: () => new Promise((resolve) => (finish = resolve)) });
  const ann = await new RawClient(api.url).open('ann-token');
  const idle = await new RawClient(api.url).open('ann-token');
  const answer = ann.call('box.poke', { scope: 'acme', name: 'b', ...key, params: {} });
  await until(() => api.asked.length === 1, 'asked');
  const stopped = api.stop();
  assert.is((await idle.closed).code, 1012);
  finish({ ok: true, version: 9, result: null });
  assert.is((await answer)['version'], 9);
  assert.is((await ann.closed).code, 1012);
  await stopped;
});

test.run();
