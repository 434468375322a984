// servers: redis valkey
/** G3 on a primary with a replica: what is acknowledged, what is held, and what is said about it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Durability } from '../contract/durability.ts';
import { actorId } from '../contract/identifiers.ts';
import type { CommitOutcome } from '../contract/journal.ts';
import { commitOf, grantFor, receiptOf } from './commit-for-tests.ts';
import { own } from './journal-for-tests.ts';
import { createJournal, type RedisJournal } from './redis-journal.ts';
import { isValkey, processClock as clock, recordedLog, TestRedis, until } from './redis-for-tests.ts';
import { startReplicated, type ReplicatedStore } from './redis-topologies-for-tests.ts';
import { connectStore, type Store } from './store-connection.ts';

interface Stage {
  servers: ReplicatedStore;
  store: Store;
  journal: RedisJournal;
  lines: string[];
}

const test = suite<Stage>('durability');
const id = actorId('vm/acme/web-1');
const other = actorId('vm/acme/web-2');

test.before.each(async (stage) => {
  const log = recordedLog();
  stage.lines = log.lines;
  stage.servers = await startReplicated();
  stage.store = await connectStore({ url: stage.servers.primary.url, clock, log });
  stage.journal = createJournal({ store: stage.store, clock, log, durability: { replicas: 1 } });
});

test.after.each(async ({ servers, store, journal }) => {
  journal.close();
  store.close();
  await servers.remove();
});

function watched<Value>(promise: Promise<Value>): { settled: boolean; readonly promise: Promise<Value> } {
  const state = { settled: false, promise };
  promise.then(
    () => (state.settled = true),
    () => undefined,
  );
  return state;
}

const reached = (outcome: CommitOutcome): Durability | undefined =>
  outcome.result === 'committed' ? outcome.durability : undefined;

test('a stalled replica holds what wants it, not what does not, and is complained of', async (stage) => {
  const { journal, servers } = stage;
  assert.equal(journal.durability, { usual: 'fsync', offered: ['primary', 'replicas', 'fsync'] });
  await own(stage, grantFor(id));
  await own(stage, grantFor(other));
  assert.is(reached(await journal.commit(commitOf(id, 1, { durability: 'replicas' }))), 'replicas');
  servers.replica.signal('SIGSTOP');
  const held = watched(journal.commit(commitOf(id, 2, { durability: 'replicas' })));
  await until('it is on the primary', async () => (await journal.load(id))?.version === 2);
  assert.is(reached(await journal.commit(commitOf(other, 1))), 'primary');
  await until('the stall is told', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
  assert.ok(stage.lines.some((line) => line.includes('start the missing replicas')));
  assert.not.ok(held.settled, 'never acknowledged by the primary alone');
  servers.replica.signal('SIGCONT');
  assert.is(reached(await held.promise), 'replicas');
  assert.is((await journal.load(id))?.version, 2, 'applied once, though it was sent again');
});

test('a batch that was answered but not acknowledged is waited for again after a restart', async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  servers.replica.signal('SIGSTOP');
  const held = watched(journal.commit(commitOf(id, 1, { durability: 'replicas' })));
  await until('it is on the primary', async () => (await journal.load(id))?.version === 1);
  await servers.primary.kill();
  await servers.primary.launch();
  await until('the journal is back', async () => (await journal.load(id))?.version === 1);
  assert.not.ok(held.settled, 'a new connection acknowledges nothing by itself');
  servers.replica.signal('SIGCONT');
  const outcome = await held.promise;
  assert.equal(outcome, { result: 'committed', ordinal: 1, durability: 'replicas' });
});

test('a batch whose answer was lost is waited for when it is sent again and found applied', async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  for (const [at, durability] of (['replicas', 'fsync'] as const).entries()) {
    servers.replica.signal('SIGSTOP');
    const held = watched(journal.commit(commitOf(id, at + 1, { durability })));
    await until('it is on the primary', async () => (await journal.load(id))?.version === at + 1);
    const before = await commitsAsked(servers);
    await servers.primary.ask('CLIENT', 'KILL', 'TYPE', 'normal');
    await until('it is sent again', async () => (await commitsAsked(servers)) > before);
    await until('the stall is told', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
    assert.not.ok(held.settled, durability);
    servers.replica.signal('SIGCONT');
    assert.is(reached(await held.promise), durability);
    stage.lines.length = 0;
  }
});

const commitsAsked = async ({ primary }: ReplicatedStore): Promise<number> =>
  Number(/cmdstat_evalsha:calls=(\d+)/.exec(String(await primary.ask('INFO', 'commandstats')))?.[1] ?? 0);

test('a replica without a file is enough for replicas; for fsync only where the server cannot tell', async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  await servers.replica.ask('CONFIG', 'SET', 'appendonly', 'no');
  assert.is(reached(await journal.commit(commitOf(id, 1, { durability: 'replicas' }))), 'replicas');
  const synced = watched(journal.commit(commitOf(id, 2, { durability: 'fsync' })));
  if (isValkey) {
    await until('the stall is told', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
    assert.not.ok(synced.settled);
    await servers.replica.ask('CONFIG', 'SET', 'appendonly', 'yes');
  }
  assert.is(reached(await synced.promise), 'fsync');
  assert.is(/cmdstat_waitaof/.test(String(await servers.primary.ask('INFO', 'commandstats'))), isValkey);
});

test('what an earlier owner left behind is durable before it is built on', async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  const earlier = createJournal({ store: stage.store, clock, log: recordedLog() });
  servers.replica.signal('SIGSTOP');
  const receipts = [receiptOf('cmd-1', 1)];
  assert.is((await earlier.commit(commitOf(id, 1, { receipts }))).result, 'committed');
  earlier.close();
  const backlog = watched(journal.backlog(grantFor(id)));
  const receipt = watched(journal.receipt(id, 'cmd-1'));
  await until('they are held', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
  assert.not.ok(backlog.settled || receipt.settled);
  servers.replica.signal('SIGCONT');
  await backlog.promise;
  assert.is((await receipt.promise)?.reply.durability, 'fsync');
});

test('a receipt waits for the level that the command asks for, if that is more than the usual one', async (stage) => {
  const { store, servers } = stage;
  await own(stage, grantFor(id));
  const journal = createJournal({ store, clock, log: recordedLog(), durability: { replicas: 1, usual: 'primary' } });
  const receipts = [receiptOf('cmd-1', 1)];
  servers.replica.signal('SIGSTOP');
  journal.adopt(grantFor(id));
  assert.is(reached(await journal.commit(commitOf(id, 1, { receipts, durability: 'primary' }))), 'primary');
  assert.is((await journal.receipt(id, 'cmd-1'))?.reply.durability, 'primary');
  const stronger = watched(journal.receipt(id, 'cmd-1', 'replicas'));
  const held = (): boolean => stage.lines.some((line) => line.includes('commits wait for replicas'));
  await until('it is held', held);
  assert.not.ok(stronger.settled);
  servers.replica.signal('SIGCONT');
  assert.is((await stronger.promise)?.reply.durability, 'replicas');
  journal.close();
});

test('one server keeps what its own settings keep, without another round trip', async () => {
  for (const [options, usual] of [
    [[], 'fsync'],
    [['--appendfsync', 'everysec'], 'primary'],
    [['--appendonly', 'no'], 'primary'],
  ] as const) {
    const redis = await TestRedis.start(options);
    const log = recordedLog();
    const store = await connectStore({ url: redis.url, clock, log });
    try {
      const journal = createJournal({ store, clock, log });
      assert.is(journal.durability.usual, usual, options.join(' '));
      await own({ store, journal }, grantFor(id));
      assert.is(reached(await journal.commit(commitOf(id, 1, { durability: usual }))), usual);
      await journal.backlog(grantFor(id));
      assert.not.match(String(await redis.ask('INFO', 'commandstats')), /cmdstat_wait/);
      assert.is(String(await redis.ask('CLIENT', 'LIST')).match(/photoncloud-commits/g)?.length, 1);
      const wish = { replicas: 0, usual: 'replicas' } as const;
      assert.throws(() => createJournal({ store, clock, log, durability: wish }), /cannot keep durability replicas/);
      journal.close();
    } finally {
      store.close();
      await redis.remove();
    }
  }
});

test.run();
