/** Clients cost what their limits assume: weights, clients that do not read, shedding. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorRegistry } from '../contract/actor-definition.ts';
import type { ActorFilter, ListPage } from '../contract/reader.ts';
import { startTestApi, type TestApi, type TestApiOptions } from './api-for-tests.ts';
import { RawClient, until } from './raw-client-for-tests.ts';
import { MemoryStore, testRegistry } from './store-for-tests.ts';

const overloaded = 'urn:photon:error:overloaded';

async function within(
  options: TestApiOptions,
  work: (api: TestApi, open: (token: string) => Promise<RawClient>) => Promise<void>,
): Promise<void> {
  const api = await startTestApi(options);
  const clients: RawClient[] = [];
  try {
    await work(api, async (token) => {
      const client = await new RawClient(api.url).open(token);
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) await client.close();
    await api.stop();
  }
}

/** A store that says how much it looked at, and counts the lists. */
class CountingStore extends MemoryStore {
  lists = 0;
  override async list(filter: ActorFilter, page?: ListPage) {
    this.lists += 1;
    return { ...(await super.list(filter, page)), scanned: 50_000 };
  }
}

test('schemas are generated once, not for each caller', async () => {
  let looked = 0;
  const kinds = new Map(testRegistry.kinds);
  const values = kinds.values.bind(kinds);
  kinds.values = () => {
    looked += 1;
    return values();
  };
  const registry: ActorRegistry = { kinds };
  await within({ more: { registry } }, async (_, open) => {
    const ann = await open('ann-token');
    for (const method of ['rpc.discover', 'kinds.list']) {
      const first = await ann.call(method);
      looked = 0;
      assert.equal(await ann.call(method), first);
      assert.is(looked, 0, method);
    }
  });
});

test('a long answer costs more of the rate of reads than a short one', async () => {
  await within({ limits: { readsPerS: 1, readBurst: 3 } }, async (_, open) => {
    const ann = await open('ann-token');
    assert.ok(JSON.stringify(await ann.call('rpc.discover')).length > 2 * 16_384);
    assert.is((await ann.refusal('ping')).type, overloaded);
    const bob = await open('bob-token');
    for (let count = 0; count < 3; count += 1) await bob.call('ping');
  });
});

test('a list costs more when more of the index is looked at for it', async () => {
  const store = new CountingStore();
  await within({ store, limits: { readsPerS: 1, readBurst: 50 } }, async (_, open) => {
    const ann = await open('ann-token');
    await ann.call('actor.list');
    const over = await ann.refusal('actor.list');
    assert.is(over.type, overloaded);
    assert.is(store.lists, 1);
  });
});

test('reads of one scope have a rate together, however many sessions they come from', async () => {
  await within({ limits: { scopeReadsPerS: 1, scopeReadBurst: 6 } }, async (_, open) => {
    const anns = [await open('ann-token'), await open('ann-token'), await open('ann-token')];
    for (const ann of anns) for (let count = 0; count < 2; count += 1) await ann.call('actor.list');
    for (const ann of anns) assert.is((await ann.refusal('actor.list')).type, overloaded);
    await (await open('bob-token')).call('actor.list');
    await (await open('cat-token')).call('actor.list');
  });
});

test('what a client asks that does not read its answers waits; when it reads, all is answered', async () => {
  const plenty = { readsPerS: 1e9, readBurst: 1e9, scopeReadsPerS: 1e9, scopeReadBurst: 1e9 };
  const limits = { ...plenty, pauseBytes: 300_000, closeBytes: 6_000_000 };
  await within({ limits }, async ({ api }, open) => {
    const ann = await open('ann-token');
    ann.socket.pause();
    // 24 MB of answers: more than the socket buffers hold, and more than the session may leave unsent.
    const asked = 600;
    for (let id = 1_000; id < 1_000 + asked; id += 1) {
      ann.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'rpc.discover', params: {} }));
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.is(api.sessions(), 1);
    ann.socket.resume();
    const answers = (): number => ann.frames.filter(({ result }) => result !== undefined).length;
    await until(() => answers() === asked + 1, 'all are answered, and auth before them');
  });
});

/** Each question whether a scope is among these takes a moment; counts the most of one turn of the event loop. */
class SlowScopes extends Array<string> {
  most = 0;
  #now = 0;
  override includes(scope: string): boolean {
    const endMs = performance.now() + 0.05;
    while (performance.now() < endMs);
    if (this.#now === 0) setImmediate(() => (this.#now = 0));
    this.#now += 1;
    this.most = Math.max(this.most, this.#now);
    return super.includes(scope);
  }
}

test('snapshots of watches that are opened together are taken in several turns of the event loop', async () => {
  const store = new MemoryStore();
  const boxes = 200;
  for (let at = 0; at < boxes; at += 1) store.put(`box/acme/a${at}`, 'open');
  await within({ store, limits: { turnMs: 10 } }, async ({ principals }, open) => {
    const scopes = new SlowScopes('acme');
    principals.people.set('eve', { id: 'id-eve', name: 'eve', scopes, admin: false });
    const eve = await open('eve-token');
    const watches = 16;
    for (let id = 1_000; id < 1_000 + watches; id += 1) {
      eve.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'watch.open', params: {} }));
    }
    const synced = (): number => eve.watched().filter(({ type }) => type === 'synced').length;
    await until(() => synced() === watches, 'all have their snapshots');
    // A snapshot takes 10 ms or more, so a turn has time for one that begins in it, and one that was begun before.
    assert.ok(scopes.most <= 3 * boxes, `${scopes.most} actors were looked at in one turn`);
  });
});

test('a node that is behind refuses clients, new connections and pages; operators and health are served', async () => {
  let delayMs = 0;
  const routes: NonNullable<TestApiOptions['more']>['routes'] = (_, response) => response.end('a page') !== undefined;
  await within({ more: { delayMs: () => delayMs, routes } }, async ({ url, httpUrl, api, asked }, open) => {
    const [ann, root] = [await open('ann-token'), await open('root-token')];
    const status = async (path: string): Promise<number> =>
      (await fetch(httpUrl + path, { headers: { connection: 'close' } })).status;
    delayMs = 400;
    const command = { scope: 'acme', name: 'b', idempotencyKey: 'k', params: {} };
    for (const refused of [await ann.refusal('actor.list'), await ann.refusal('box.poke', command)]) {
      assert.is(refused.type, overloaded);
      assert.is(refused.retryAfterMs, 1_000);
    }
    assert.is(asked.length, 0);
    await ann.call('ping');
    await root.call('actor.list');
    await root.call('box.seal', command);
    const late = new RawClient(url);
    assert.match(await late.open().then(String, String), 'HTTP 503');
    assert.is(await status('/page'), 503);
    assert.is(await status('/healthz'), 200);
    assert.is(api.figures()['api_shed_requests'], 4);
    delayMs = 399;
    await ann.call('actor.list');
    assert.is(await status('/page'), 200);
  });
});

test('figures of the node are for operators only', async () => {
  await within({ more: { metrics: () => Promise.resolve('photon_api_sessions 1\n') } }, async ({ httpUrl }) => {
    const read = (authorization?: string): Promise<Response> =>
      fetch(`${httpUrl}/metrics`, {
        headers: { connection: 'close', ...(authorization === undefined ? {} : { authorization }) },
      });
    for (const none of [undefined, 'Bearer ann-token', 'Bearer x', 'Basic root-token']) {
      assert.is((await read(none)).status, 401, none);
    }
    const given = await read('Bearer root-token');
    assert.match(given.headers.get('content-type') ?? '', 'text/plain');
    assert.is(await given.text(), 'photon_api_sessions 1\n');
  });
});

test.run();
