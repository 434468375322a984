/** Sessions, auth, commands and reads over real sockets; store and host are stand-ins that honour the ports. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import type { Reply } from '../contract/envelope.ts';
import { MemoryStore, RawClient, startTestApi, until, type TestApi, type TestApiOptions } from './api-for-tests.ts';

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

test('hello says what the server is, auth says who we are, a header may say it at once', async () => {
  await within({}, async ({ url }) => {
    const client = await new RawClient(url).open();
    await until(() => client.frames.length > 0, 'hello');
    const hello = client.frames[0] as { method: string; params: Record<string, unknown> };
    assert.is(hello.method, 'hello');
    assert.is(hello.params['protocol'], 'photon.v1');
    assert.is(hello.params['node'], 'c1');
    assert.is(hello.params['maxFrameBytes'], 65_536);
    assert.is(hello.params['authenticated'], false);
    assert.equal(await client.call('auth', { token: 'ann-token' }), { principal: 'ann', tenants: ['acme'], admin: false });
    const header = await new RawClient(url, { authorization: 'Bearer root-token' }).open();
    assert.type((await header.call('ping'))['at'], 'number');
    await header.close();
    await client.close();
  });
});

test('without auth in time, with a wrong token, or before auth: 4401', async () => {
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

test('a foreign origin, a wrong subprotocol, a wrong path and too many handshakes are refused by HTTP', async () => {
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
    const clients = Array.from({ length: 4 }, () => new RawClient(url));
    const statuses = await Promise.all(clients.map((client) => status(client.open())));
    assert.ok(statuses.includes('HTTP 429'), statuses.join());
    for (const client of clients) await client.close();
  });
});

test('hostile frames: close codes for what cannot be answered, errors for what can', async () => {
  const closing: readonly (readonly [string, string | Buffer, number])[] = [
    ['not JSON', '{', 4400],
    ['binary', Buffer.from('{}'), 4400],
    ['batch', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 4400],
    ['no id', '{"jsonrpc":"2.0","method":"ping"}', 4400],
    ['scalar', '"ping"', 4400],
    ['deep without an id', '['.repeat(30_000), 4400],
    ['id of a wrong type', '{"jsonrpc":"2.0","id":{},"method":"ping"}', 4400],
    ['too large', JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'x'.repeat(70_000) }), 1009],
  ];
  const refused: readonly (readonly [string, string])[] = [
    ['deep', `{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":${'['.repeat(20)}${']'.repeat(20)}}}`],
    ['many keys', JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'ping', params: { a: Array.from({ length: 300 }, () => 1) } })],
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
    assert.is((await client.refusal('box.constructor', { tenant: 'acme', name: 'b', ...key })).type, code('method_not_found'));
    const unknown = await client.refusal('ping', { extra: 1 });
    assert.equal(unknown.issues, [{ path: 'extra', message: 'unknown field' }]);
    await client.close();
  });
});

test('an id that is in flight closes the session', async () => {
  await within({ answer: () => new Promise<Reply>(() => {}), limits: { commandWaitMs: 300 } }, async ({ url }) => {
    const client = await new RawClient(url).open('ann-token');
    const frame = JSON.stringify({ jsonrpc: '2.0', id: 'x', method: 'box.poke', params: { tenant: 'acme', name: 'b', ...key, params: {} } });
    client.send(frame);
    client.send(frame);
    assert.is((await client.closed).code, 4400);
  });
});

test('a command reaches its actor with key, digest, principal and trace; the reply comes back', async () => {
  await within({}, async ({ url, asked }) => {
    const client = await new RawClient(url).open('ann-token');
    const trace = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01';
    const params = { tenant: 'acme', name: 'b1', ...key, ifVersion: 4, params: { size: 3, labels: { b: '1', a: '2' } } };
    const result = await client.call('box.create', params, { traceparent: trace });
    assert.equal(result, { id: 'box/acme/b1', version: 1, result: { done: true } });
    const [command] = asked;
    assert.is(command?.to, 'box/acme/b1');
    assert.is(command?.commandId, 'ann:k1');
    assert.is(command?.principal, 'ann');
    assert.is(command?.ifVersion, 4);
    assert.is(command?.trace, trace);
    assert.equal(command?.event, { type: 'box.create', size: 3, labels: { b: '1', a: '2' } });
    await client.call('box.create', { ...params, params: { labels: { a: '2', b: '1' }, size: 3 } });
    await client.call('box.create', { ...params, params: { ...params.params, size: 4 } });
    assert.is(asked[0]?.digest, asked[1]?.digest);
    assert.is.not(asked[0]?.digest, asked[2]?.digest);
    await client.close();
  });
});

test('wrong params are refused with their paths before anything is asked', async () => {
  await within({}, async ({ url, asked }) => {
    const client = await new RawClient(url).open('ann-token');
    const bad = await client.refusal('box.create', { tenant: 'acme', name: 'b', ...key, params: { size: 0, colour: 'red' } });
    assert.is(bad.type, code('params_invalid'));
    assert.equal(bad.issues?.map(({ path }) => path).sort(), ['params.colour', 'params.size']);
    const noKey = await client.refusal('box.create', { tenant: 'acme', name: 'b', params: { size: 1 } });
    assert.equal(noKey.issues?.map(({ path }) => path), ['idempotencyKey']);
    for (const name of ['', 'a b', '-x', 'x'.repeat(300), 'a\n', '../etc', 'a@w1', 'A']) {
      const wrong = await client.refusal('box.create', { tenant: 'acme', name, ...key, params: { size: 1 } });
      assert.equal(wrong.issues?.map(({ path }) => path), ['name'], JSON.stringify(name));
    }
    const pinned = await client.refusal('twin.poke', { tenant: 'acme', name: 'a', ...key, params: {} });
    assert.equal(pinned.issues?.map(({ path }) => path), ['name']);
    const dry = await client.refusal('box.poke', { tenant: 'acme', name: 'b', ...key, dryRun: true, params: {} });
    assert.is(dry.type, code('not_supported'));
    assert.is(asked.length, 0);
    assert.ok(await client.call('twin.poke', { tenant: 'acme', name: 'a@w1', ...key, params: {} }));
    await client.close();
  });
});

test('foreign and unknown actors are refused in the same words, by reads and commands alike', async () => {
  const answer = async (): Promise<Reply> => ({
    ok: false,
    version: 0,
    error: new PhotonError('rejection', 'no_such_actor', 'box/acme/nope does not exist on shard s12').record,
  });
  const store = new MemoryStore();
  store.put('box/bits/b1', 'open');
  store.put('box/acme/b1', 'open');
  await within({ answer, store }, async ({ url, asked }) => {
    const ann = await new RawClient(url).open('ann-token');
    const shape = ({ type, detail }: { type: string; detail: string }, id: string): string => `${type} ${detail.replace(id, 'ID')}`;
    const reads = ['box/bits/b1', 'box/bits/nope', 'box/acme/nope', 'disc/acme/b1', 'nonsense'];
    const answers = new Set<string>();
    for (const id of reads) {
      answers.add(shape(await ann.refusal('actor.get', { id }), id));
      answers.add(shape(await ann.refusal('actor.history', { id }), id));
    }
    for (const [tenant, name] of [['bits', 'b1'], ['bits', 'nope'], ['acme', 'nope']] as const) {
      answers.add(shape(await ann.refusal('box.poke', { tenant, name, ...key, params: {} }), `box/${tenant}/${name}`));
    }
    assert.is(answers.size, 1, [...answers].join('\n'));
    assert.equal(asked.map(({ to }) => to), ['box/acme/nope']);
    assert.is((await ann.refusal('actor.list', { tenant: 'bits' })).type, code('not_found'));
    assert.is((await ann.refusal('watch.open', { tenant: 'bits' })).type, code('not_found'));
    assert.is((await ann.refusal('watch.open', { ids: ['box/bits/b1'] })).type, code('not_found'));
    const { actors } = (await ann.call('actor.list')) as { actors: { id: string }[] };
    assert.equal(actors.map(({ id }) => id), ['box/acme/b1']);
    await ann.close();
  });
});

test('references are checked for the same tenant and existence, for operators too', async () => {
  const store = new MemoryStore();
  store.put('lid/bits/l1', 'shut');
  store.put('lid/acme/l1', 'shut');
  store.put('lid/acme/l2', 'shut');
  store.remove('lid/acme/l2');
  await within({ store }, async ({ url, asked }) => {
    const ann = await new RawClient(url).open('ann-token');
    const create = (lid: string) => ({ tenant: 'acme', name: 'b', ...key, params: { size: 1, lid } });
    for (const lid of ['l2', 'l9']) {
      const missing = await ann.refusal('box.create', create(lid));
      assert.is(missing.type, code('reference_not_found'));
      assert.equal(missing.issues, [{ path: 'spec.lid', message: `there is no lid/acme/${lid} in acme` }]);
    }
    const root = await new RawClient(url).open('root-token');
    for (const client of [ann, root]) {
      const foreign = await client.refusal('lid.steal', { tenant: 'acme', name: 'l', ...key, params: { from: 'lid/bits/l1' } });
      assert.is(foreign.type, code('reference_not_found'));
    }
    assert.is(asked.length, 0);
    assert.ok(await ann.call('box.create', create('l1')));
    await ann.close();
    await root.close();
  });
});

test('operators only: forbidden for others, and rejections of charts pass through', async () => {
  const answer = async (): Promise<Reply> => ({
    ok: false,
    version: 3,
    error: { ...new PhotonError('rejection', 'name_busy', 'The name is taken.').record, issues: [{ path: 'spec.a', message: 'b' }] },
  });
  await within({ answer }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    assert.is((await ann.refusal('box.seal', { tenant: 'acme', name: 'b', ...key, params: {} })).type, code('forbidden'));
    const root = await new RawClient(url).open('root-token');
    const busy = await root.refusal('box.seal', { tenant: 'acme', name: 'b', ...key, params: {} });
    assert.is(busy.type, code('name_busy'));
    assert.is(busy.retryable, false);
    assert.equal(busy.issues, [{ path: 'spec.a', message: 'b' }]);
    await ann.close();
    await root.close();
  });
});

test('no answer in time is unknown and retryable; a failure inside is masked and traceable', async () => {
  let fail = false;
  const answer = (): Promise<Reply> =>
    fail ? Promise.reject(new Error('password=hunter2')) : new Promise<Reply>(() => {});
  await within({ answer, limits: { commandWaitMs: 60 } }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    const params = { tenant: 'acme', name: 'b', ...key, params: {} };
    const late = await ann.refusal('box.poke', params);
    assert.is(late.type, code('unknown'));
    assert.is(late.retryable, true);
    fail = true;
    const broken = await ann.refusal('box.poke', params);
    assert.is(broken.type, code('internal'));
    assert.not.match(JSON.stringify(broken), 'hunter2');
    assert.match(broken.traceId, /^[0-9a-f]{32}$/);
    await ann.close();
  });
});

test('rates and in-flight limits answer overloaded with when to come again', async () => {
  const never = { answer: () => new Promise<Reply>(() => {}) };
  const params = { tenant: 'acme', name: 'b', ...key, params: {} };
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
  await within({ limits: { tenantCommandsPerS: 1, tenantCommandBurst: 1 } }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    const root = await new RawClient(url).open('root-token');
    const bob = await new RawClient(url).open('bob-token');
    // Another tenant's share cannot be used up from outside.
    assert.is((await bob.refusal('box.poke', params)).type, code('not_found'));
    await ann.call('box.poke', params);
    assert.is((await root.refusal('box.poke', params)).type, code('overloaded'));
    for (const client of [ann, root, bob]) await client.close();
  });
  await within({ limits: { maxSessionsPerTenant: 2 } }, async ({ url }) => {
    const clients = [await new RawClient(url).open('ann-token'), await new RawClient(url).open('ann-token')];
    const third = await new RawClient(url).open();
    assert.is((await third.refusal('auth', { token: 'ann-token' })).type, code('too_many_sessions'));
    const header = await new RawClient(url, { authorization: 'Bearer ann-token' }).open();
    assert.is((await header.closed).code, 4403);
    for (const client of clients) await client.close();
  });
});

test('get, list pages and history show what is committed, and no context', async () => {
  const store = new MemoryStore();
  for (const name of ['a', 'b', 'c', 'd', 'e']) store.put(`box/acme/${name}`, 'open', 7);
  store.put('box/acme/a', 'shut', 8);
  await within({ store }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    const actor = await ann.call('actor.get', { id: 'box/acme/a' });
    assert.is(actor['stateName'], 'shut');
    assert.is(actor['life'], 'live');
    assert.equal(actor['spec'], { size: 8 });
    assert.equal(actor['waitingOn'], ['event']);
    assert.not.match(JSON.stringify(actor), 'in the context only');
    const pages: string[][] = [];
    let after: unknown;
    do {
      const page = (await ann.call('actor.list', { limit: 2, detail: true, ...(after === undefined ? {} : { after }) })) as {
        actors: { id: string; spec: unknown }[];
        next: string | null;
      };
      assert.ok(page.actors.every(({ spec }) => spec !== undefined));
      pages.push(page.actors.map(({ id }) => id.slice(-1)));
      after = page.next ?? undefined;
    } while (after !== undefined);
    assert.equal(pages, [['a', 'b'], ['c', 'd'], ['e']]);
    const { entries } = (await ann.call('actor.history', { id: 'box/acme/a', after: 1 })) as { entries: { to: string }[] };
    assert.equal(entries.map(({ to }) => to), ['shut']);
    const { kinds } = (await ann.call('kinds.list')) as { kinds: { kind: string; commands: { method: string }[] }[] };
    assert.equal(kinds[0]?.commands.map(({ method }) => method), ['box.create', 'box.poke', 'box.seal']);
    const bundle = (await ann.call('rpc.discover')) as { methods: Record<string, unknown> };
    assert.ok(bundle.methods['box.create'] !== undefined && bundle.methods['watch.open'] !== undefined);
    await ann.close();
  });
});

test('a revoked token ends its session, a renewed one keeps it, another principal does not', async () => {
  await within({}, async ({ url, principals }) => {
    const ann = await new RawClient(url).open('ann-token');
    assert.is((await ann.call('auth', { token: 'ann-token' }))['principal'], 'ann');
    await ann.call('ping');
    const other = await new RawClient(url).open('ann-token');
    assert.is((await other.refusal('auth', { token: 'bob-token' })).type, code('forbidden'));
    assert.is((await other.closed).code, 4403);
    principals.people.delete('ann');
    ann.send(JSON.stringify({ jsonrpc: '2.0', id: 'late', method: 'ping' }));
    assert.is((await ann.closed).code, 4401);
  });
});

test('closing answers what is in flight, then says 1012', async () => {
  let finish: (reply: Reply) => void = () => {};
  const api = await startTestApi({ answer: () => new Promise((resolve) => (finish = resolve)) });
  const ann = await new RawClient(api.url).open('ann-token');
  const idle = await new RawClient(api.url).open('ann-token');
  const answer = ann.call('box.poke', { tenant: 'acme', name: 'b', ...key, params: {} });
  await until(() => api.asked.length === 1, 'asked');
  const stopped = api.stop();
  assert.is((await idle.closed).code, 1012);
  finish({ ok: true, version: 9, result: null });
  assert.is((await answer)['version'], 9);
  assert.is((await ann.closed).code, 1012);
  await stopped;
});

test.run();
