import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import type { Commit } from '../contract/journal.ts';
import type { Cursor, FeedEntry } from '../contract/reader.ts';
import { commitOf, grantFor, historyOf } from './commit-for-tests.ts';
import { decodeCursor, encodeCursor } from './feed-cursor.ts';
import { createJournal, type RedisJournal } from './redis-journal.ts';
import { createReader, type RedisReader } from './redis-reader.ts';
import { processClock as clock, recordedLog, TestRedis, until } from './redis-for-tests.ts';
import { hostShard } from './shard-placement.ts';
import { connectStore, type Store } from './store-connection.ts';
import { grantText } from './store-keys.ts';

interface Stage {
  redis: TestRedis;
  store: Store;
  journal: RedisJournal;
  reader: RedisReader;
}

const test = suite<Stage>('redis reader');

test.before.each(async (stage) => {
  const log = recordedLog();
  stage.redis = await TestRedis.start(['--appendfsync', 'no']);
  stage.store = await connectStore({ url: stage.redis.url, clock, log });
  stage.journal = createJournal({ store: stage.store, clock, log });
  stage.reader = createReader({ store: stage.store, clock, log });
});

test.after.each(async ({ redis, store, journal, reader }) => {
  reader.close();
  journal.close();
  store.close();
  await redis.remove();
});

async function commit(
  { store, journal }: Stage,
  id: ActorId,
  version: number,
  changes: Partial<Commit> = {},
): Promise<void> {
  const grant = grantFor(id);
  await store.shared.redis.set(store.keys.inShard(grant.shard, 'o'), grantText(grant));
  await store.shared.redis.hset(store.keys.map, grant.shard, grantText(grant));
  const outcome = await journal.commit(commitOf(id, version, changes));
  assert.is(outcome.result, 'committed');
}

/** Follows in the background; `stop` resolves when the follower has ended. */
function follow(
  reader: RedisReader,
  cursor: Cursor,
): { entries: FeedEntry[]; stop: () => Promise<void>; ended: Promise<void> } {
  const entries: FeedEntry[] = [];
  const control = new AbortController();
  const ended = reader.follow(cursor, (entry) => entries.push(entry), control.signal);
  const stop = (): Promise<void> => {
    control.abort();
    return ended;
  };
  return { entries, stop, ended };
}

const shown = (entries: readonly FeedEntry[]): string[] => entries.map((entry) => `${entry.id}@${entry.version}`);
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: { record: { code: string } }) => error.record.code,
  );

test('a list is ordered by id and filtered', async (stage) => {
  const ids = ['vm/acme/b', 'vm/acme/a', 'net/acme/a', 'vm/umbrella/a', 'tap/acme/a@w1'].map(actorId);
  for (const id of ids) await commit(stage, id, 1);
  const timers = [{ timerId: 't', dueMs: 1, eventType: 'due' }];
  await commit(stage, actorId('vm/acme/b'), 2, { stateName: 'preparing.tap', timers });
  await commit(stage, actorId('net/acme/gone'), 1);
  await commit(stage, actorId('net/acme/gone'), 2, { status: 'removed' });
  const list = async (filter: Parameters<RedisReader['list']>[0]) =>
    (await stage.reader.list(filter)).items.map((item) => item.id);
  assert.equal(await list({}), [...ids].sort());
  assert.equal(await list({ kind: 'vm', scope: 'acme' }), ['vm/acme/a', 'vm/acme/b'] as ActorId[]);
  assert.equal(await list({ state: 'preparing' }), ['vm/acme/b'] as ActorId[]);
  assert.equal(await list({ host: 'w1' }), ['tap/acme/a@w1'] as ActorId[]);
  const pinned = (await stage.reader.onHost('w1')).map(({ id }) => id);
  assert.equal(pinned, ['tap/acme/a@w1'] as ActorId[]);
  assert.equal(await list({ search: 'umb' }), ['vm/umbrella/a'] as ActorId[]);
  const [one] = (await stage.reader.list({ state: 'preparing.tap' })).items;
  assert.equal(one, {
    id: 'vm/acme/b',
    uid: 'u1',
    version: 2,
    stateName: 'preparing.tap',
    status: 'live',
    waitingOn: ['timer'],
    at: 1_002,
  });
});

test('the stamp of an actor changes with each commit, and one that was removed has none', async (stage) => {
  const [tap, gone, never] = ['tap/acme/a@w1', 'vm/acme/gone', 'vm/acme/never'].map(actorId) as [
    ActorId,
    ActorId,
    ActorId,
  ];
  await commit(stage, tap, 1);
  await commit(stage, gone, 1);
  const first = await stage.reader.stampsOf([tap, gone, never]);
  assert.equal(
    first.map((stamp) => typeof stamp),
    ['string', 'string', 'undefined'],
  );
  await commit(stage, tap, 2);
  await commit(stage, gone, 2, { status: 'removed' });
  const second = await stage.reader.stampsOf([tap, gone, never]);
  assert.is.not(second[0], first[0]);
  assert.equal(second.slice(1), [undefined, undefined]);
  assert.equal(await stage.reader.idsOnHost('w1'), [tap]);
});

test('a page has at most limit items behind an id, filtered ones not counted', async (stage) => {
  for (let at = 0; at < 9; at += 1) await commit(stage, actorId(`vm/acme/p${at}`), 1);
  for (const at of [1, 4]) await commit(stage, actorId(`vm/acme/p${at}`), 2, { status: 'removed' });
  for (const at of [3, 7]) await commit(stage, actorId(`vm/acme/p${at}`), 2, { stateName: 'other' });
  const page = async (after: string, limit: number, state?: string, refused = '') => {
    const allows = (id: ActorId): boolean => id !== refused;
    const { items } = await stage.reader.list(state === undefined ? {} : { state }, { after, limit, allows });
    return items.map(({ id }) => id.slice('vm/acme/p'.length)).join('');
  };
  assert.is(await page('', 3), '023');
  assert.is(await page('vm/acme/p3', 3), '567');
  assert.is(await page('vm/acme/p7', 3), '8');
  assert.is(await page('', 3, undefined, 'vm/acme/p2'), '035', 'what is not allowed is not counted');
  assert.is(await page('', 1, 'other'), '3');
  assert.is(await page('vm/acme/p3', 5, 'other'), '7');
});

test('history returns the newest entries behind a version, oldest first, at most limit', async (stage) => {
  const id = actorId('vm/acme/past');
  for (let version = 1; version <= 5; version += 1) await commit(stage, id, version);
  await commit(stage, id, 5, { expectedVersion: 5, history: [historyOf(5, 'ignored')] });
  const versions = async (after: number, limit: number) =>
    (await stage.reader.history(id, after, limit)).map((entry) => entry.version);
  assert.equal(await versions(0, 100), [1, 2, 3, 4, 5, 5]);
  assert.equal(await versions(3, 100), [4, 5, 5]);
  assert.equal(await versions(0, 2), [5, 5]);
  assert.equal(await stage.reader.history(actorId('vm/acme/none'), 0, 5), []);
});

test('a feed resumes from any of its cursors, also after a restart of the store', async (stage) => {
  const id = actorId('vm/acme/fed');
  await commit(stage, id, 1);
  const { cursor } = await stage.reader.list({});
  const first = follow(stage.reader, cursor);
  await commit(stage, id, 2);
  await commit(stage, actorId('vm/acme/other'), 1);
  await until('both are fed', () => first.entries.length === 2);
  await stage.redis.kill('SIGTERM');
  await stage.redis.launch();
  await stage.store.shared.whenReady();
  await commit(stage, id, 3);
  await until('the third is fed', () => first.entries.length === 3);
  await first.stop();
  assert.equal(shown(first.entries.filter((entry) => entry.id === id)), ['vm/acme/fed@2', 'vm/acme/fed@3']);
  const second = follow(stage.reader, (first.entries[0] as FeedEntry).cursor);
  await until('the rest is fed again', () => second.entries.length === 2);
  await second.stop();
  assert.equal(shown(second.entries).sort(), shown(first.entries.slice(1)).sort());
  assert.is(await codeOf(stage.reader.follow('$$$' as Cursor, () => {}, AbortSignal.timeout(1_000))), 'cursor_invalid');
});

test('the changes after a cursor are those until now, in the order of each shard', async (stage) => {
  const id = actorId('vm/acme/missed');
  await commit(stage, id, 1);
  const since = await stage.reader.now();
  for (let version = 2; version <= 400; version += 1) await commit(stage, id, version);
  await commit(stage, actorId('vm/acme/missed-too'), 1);
  const missed: FeedEntry[] = [];
  await stage.reader.changes(since, (entry) => missed.push(entry), new AbortController().signal);
  const versions = missed.filter((entry) => entry.id === id).map((entry) => entry.version);
  assert.equal(
    versions,
    Array.from({ length: 399 }, (_, at) => at + 2),
  );
  assert.is(missed.length, 400);
  const [last] = missed.slice(-1).map(({ cursor }) => cursor);
  if (last === undefined) throw new Error('nothing was missed');
  await stage.reader.changes(last, (entry) => missed.push(entry), new AbortController().signal);
  assert.is(missed.length, 400, 'nothing is left');
});

test('a host that joins later is followed from its first commit', async (stage) => {
  const late = follow(stage.reader, await stage.reader.now());
  await commit(stage, actorId('tap/acme/a@late'), 1);
  await until('the late host is fed', () => late.entries.length === 1);
  await late.stop();
});

test('a cursor behind the trimmed end of a feed, or of another era, has expired', async (stage) => {
  const id = actorId('vm/acme/trimmed');
  const before = await stage.reader.now();
  await commit(stage, id, 1);
  await commit(stage, id, 2);
  await stage.store.shared.redis.xtrim(stage.store.keys.inShard(grantFor(id).shard, 'f'), 'MAXLEN', 1);
  assert.is(await codeOf(stage.reader.follow(before, () => {}, AbortSignal.timeout(5_000))), 'cursor_expired');
  const now = await stage.reader.now();
  await stage.store.shared.redis.hset(stage.store.keys.cluster, 'era', '2');
  assert.is(await codeOf(stage.reader.follow(now, () => {}, AbortSignal.timeout(5_000))), 'cursor_expired');
});

test('a cursor encodes large positions and host names', () => {
  const positions = new Map([
    ['s0', 2 ** 45],
    ['s127', 300],
    [hostShard('w-1'), 7],
  ] as [never, number][]);
  const place = decodeCursor(encodeCursor({ era: 3, positions }));
  assert.is(place.era, 3);
  for (const [shard, position] of positions) assert.is(place.positions.get(shard), position);
});

test.run();
