/** What watches share, what they may hold in memory, and that it is given back. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorFilter, Cursor, FeedEntry, ListPage } from '../contract/reader.ts';
import { startTestApi, type TestApi, type TestApiOptions } from './api-for-tests.ts';
import { RawClient, until } from './raw-client-for-tests.ts';
import { MemoryStore } from './store-for-tests.ts';

interface Line {
  readonly id: string;
  readonly version: number;
  readonly stateName: string;
}
interface Frame {
  readonly type: string;
  readonly n: number;
  readonly reason?: string;
  readonly actor?: Line;
  readonly actors?: readonly Line[];
  readonly watch: string;
}

/** Counts what it is asked, and delivers missed changes only when the test says so. */
class CountingStore extends MemoryStore {
  lists = 0;
  gets = 0;
  held: Promise<void> = Promise.resolve();
  override list(filter: ActorFilter, page?: ListPage) {
    this.lists += 1;
    return super.list(filter, page);
  }
  override get(id: Parameters<MemoryStore['get']>[0]) {
    this.gets += 1;
    return super.get(id);
  }
  override async changes(cursor: Cursor, each: (entry: FeedEntry) => void, signal: AbortSignal): Promise<void> {
    await super.changes(cursor, each, signal);
    await this.held;
  }
}

async function within(
  options: TestApiOptions,
  work: (api: TestApi, store: CountingStore, open: (token: string) => Promise<RawClient>) => Promise<void>,
): Promise<void> {
  const store = new CountingStore();
  const api = await startTestApi({ ...options, store });
  const clients: RawClient[] = [];
  try {
    await work(api, store, async (token) => {
      const client = await new RawClient(api.url).open(token);
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) await client.close();
    await api.stop();
  }
}

const framesOf = (client: RawClient): Frame[] => client.watched() as unknown as Frame[];
const typesOf = (client: RawClient): string =>
  framesOf(client)
    .map(({ type }) => type)
    .join(' ');
const seen = (client: RawClient, wanted: string): Promise<void> =>
  until(() => typesOf(client) === wanted, wanted).catch(() => assert.is(typesOf(client), wanted));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('watches share one list, one feed and one read of a change; after the last one nothing is kept', async () => {
  await within({}, async ({ api }, store, open) => {
    for (let at = 0; at < 10; at += 1) store.put(`box/acme/a${at}`, 'open');
    const clients = [await open('ann-token'), await open('cat-token'), await open('root-token')];
    for (const client of clients) for (let count = 0; count < 10; count += 1) await client.call('watch.open', {});
    for (const client of clients) await until(() => framesOf(client).length === 20, 'ten snapshots');
    assert.is(store.lists, 1);
    assert.is(store.follows, 1);
    for (const client of clients) await client.call('watch.open', { ids: ['box/acme/a1'], detail: true });
    for (const client of clients) await until(() => framesOf(client).length === 22, 'a snapshot of one');
    // One for operators, who see more, and one for all others.
    assert.is(store.gets, 2);
    store.put('box/acme/a1', 'shut');
    for (const client of clients) await until(() => framesOf(client).length === 33, 'the change in each watch');
    assert.is(store.gets, 4);
    assert.is(api.figures()['api_watched_actors'], 10);
    assert.ok((api.figures()['api_held_bytes'] ?? 0) >= 33 * 8_192);
    for (const client of clients) await client.close();
    await until(() => store.follows === 0, 'no feed');
    assert.is(api.figures()['api_watched_actors'], 0);
    assert.is(api.figures()['api_held_bytes'], 0);
  });
});

test('a watch that resumes reads what it missed and then shares the feed, in order and without a gap', async () => {
  await within({}, async (_, store, open) => {
    store.put('box/acme/a', 's1');
    const since = await store.now();
    store.put('box/acme/a', 's2');
    store.put('box/acme/b', 's1');
    let letGo = (): void => {};
    store.held = new Promise((resolve) => (letGo = resolve));
    const ann = await open('ann-token');
    await ann.call('watch.open', { since });
    await seen(ann, 'changed added');
    // Both the missed changes and the shared feed are on their way.
    store.put('box/acme/a', 's3');
    store.put('box/acme/c', 's1');
    store.remove('box/acme/b');
    await pause(50);
    await seen(ann, 'changed added');
    letGo();
    await seen(ann, 'changed added changed added removed');
    store.put('box/acme/b', 'again');
    await seen(ann, 'changed added changed added removed added');
    assert.is(store.follows, 1);
    const versions = framesOf(ann).map(({ actor }) => `${actor?.id.at(-1)}${actor?.version}`);
    assert.equal(versions, ['a2', 'b1', 'a3', 'c1', 'b2', 'b3']);
  });
});

test('a watch that uses up the memory of its scope begins anew when it is read; others notice nothing', async () => {
  const limits = { bytesPerScope: 60_000, bytesPerPrincipal: 1e9, watchWindow: 4, bookmarkMs: 1e6 };
  await within({ limits }, async ({ api }, store, open) => {
    const [ann, bob] = [await open('ann-token'), await open('bob-token')];
    const { watch } = await ann.call('watch.open', {});
    const { watch: other } = await bob.call('watch.open', {});
    await seen(ann, 'synced');
    await seen(bob, 'synced');
    for (let at = 0; at < 100; at += 1) store.put(`box/acme/a${at}`, 'open');
    store.put('box/bits/b', 'open');
    await seen(bob, 'synced added');
    await seen(ann, 'synced added added added');
    assert.ok((api.figures()['api_held_bytes'] ?? 0) < 20_000, 'what was not sent is forgotten');
    await ann.call('watch.ack', { watch, upTo: 4 });
    await until(() => typesOf(ann).startsWith('synced added added added reset items items'), 'a new snapshot');
    assert.is(framesOf(ann)[4]?.reason, 'budget_used_up');
    await ann.call('watch.ack', { watch, upTo: 7 });
    await seen(ann, 'synced added added added reset items items synced');
    assert.is(framesOf(ann).flatMap(({ actors = [] }) => actors).length, 100);
    store.put('box/acme/a0', 'shut');
    await seen(ann, 'synced added added added reset items items synced changed');
    await bob.call('watch.ack', { watch: other, upTo: 2 });
  });
});

test('no further watch is opened for a scope that has used up its memory; other scopes open theirs', async () => {
  await within({ limits: { bytesPerScope: 30_000 } }, async (_, __, open) => {
    const [ann, again, bob] = [await open('ann-token'), await open('ann-token'), await open('bob-token')];
    const { watch } = await ann.call('watch.open', {});
    for (let count = 0; count < 3; count += 1) await ann.call('watch.open', {});
    await seen(ann, 'synced synced synced synced');
    const refused = await again.refusal('watch.open', {});
    assert.is(refused.type, 'urn:photon:error:overloaded');
    assert.is(refused.retryAfterMs, 1_000);
    await bob.call('watch.open', {});
    await ann.call('watch.close', { watch });
    await again.call('watch.open', {});
  });
});

test('sessions of a scope that do not read pause early once they have used up its memory', async () => {
  const plenty = { readsPerS: 1e9, readBurst: 1e9, scopeReadsPerS: 1e9, scopeReadBurst: 1e9 };
  const limits = { ...plenty, bytesPerScope: 200_000, slowMs: 300 };
  await within({ limits }, async ({ api }, _, open) => {
    const [ann, bob] = [await open('ann-token'), await open('bob-token')];
    ann.socket.pause();
    for (let id = 1_000; id < 1_600; id += 1) {
      ann.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'rpc.discover', params: {} }));
    }
    await until(() => (api.figures()['api_held_bytes'] ?? 0) > 200_000, 'the memory is used up');
    await pause(50);
    assert.ok((api.figures()['api_held_bytes'] ?? 0) < 400_000, `${api.figures()['api_held_bytes']} bytes`);
    await bob.call('rpc.discover');
    await until(() => api.sessions() === 1, 'it is closed as too slow');
    await until(() => api.figures()['api_held_bytes'] === 0, 'its memory is given back');
  });
});

test.run();
