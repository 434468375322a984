// servers: redis valkey
/** G3 on a primary with a replica: which commits are acknowledged, which wait, and what the log says about it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Durability } from '../contract/durability.ts';
import type { PhotonError } from '../contract/errors.ts';
import { actorId } from '../contract/identifiers.ts';
import type { CommitOutcome } from '../contract/journal.ts';
import { answerOf, commitOf, grantFor, receiptOf } from './commit-for-tests.ts';
import { own } from './journal-for-tests.ts';
import { createJournal, type RedisJournal } from './redis-journal.ts';
import { isValkey, processClock as clock, recordedLog, TestRedis, until } from './redis-for-tests.ts';
import { startReplicated, type ReplicatedStore } from './redis-topologies-for-tests.ts';
import { shardOf } from './shard-placement.ts';
import { connectStore, type Store } from './store-connection.ts';
import { storeKeys } from './store-keys.ts';

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

/** The stored version on the primary, durable or not. */
const versionOn = async ({ primary }: ReplicatedStore): Promise<number> =>
  Number(await primary.ask('HGET', storeKeys('ph:').inShard(shardOf(id), `a:${id}`), 'version').catch(() => 0));

const reached = (outcome: CommitOutcome): Durability | undefined =>
  outcome.result === 'committed' ? outcome.durability : undefined;

test('a stalled replica delays commits that need it, no others, and the log says so', async (stage) => {
  const { journal, servers } = stage;
  assert.equal(journal.durability, { default: 'fsync', offered: ['primary', 'replicas', 'fsync'] });
  await own(stage, grantFor(id));
  await own(stage, grantFor(other));
  assert.is(reached(await journal.commit(commitOf(id, 1, { durability: 'replicas' }))), 'replicas');
  servers.replica.signal('SIGSTOP');
  const held = watched(journal.commit(commitOf(id, 2, { durability: 'replicas' })));
  await until('it is on the primary', async () => (await versionOn(servers)) === 2);
  assert.is(reached(await journal.commit(commitOf(other, 1))), 'primary');
  await until('the stall is logged', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
  assert.ok(stage.lines.some((line) => line.includes('start the missing replicas')));
  assert.not.ok(held.settled, 'never acknowledged by the primary alone');
  servers.replica.signal('SIGCONT');
  assert.is(reached(await held.promise), 'replicas');
  assert.is((await journal.load(id))?.version, 2, 'applied once, though it was sent again');
});

test('a batch that was applied but not replicated is waited for again after a restart', async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  servers.replica.signal('SIGSTOP');
  const held = watched(journal.commit(commitOf(id, 1, { durability: 'replicas' })));
  await until('it is on the primary', async () => (await versionOn(servers)) === 1);
  await servers.primary.kill();
  await servers.primary.launch();
  await until('the primary is back', async () => (await versionOn(servers)) === 1);
  assert.not.ok(held.settled, 'a new connection acknowledges nothing by itself');
  servers.replica.signal('SIGCONT');
  const outcome = await held.promise;
  assert.equal(outcome, { result: 'committed', ordinal: 1, durability: 'replicas' });
});

test('a batch whose reply was lost is resent, found applied, and waited for', async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  for (const [at, durability] of (['replicas', 'fsync'] as const).entries()) {
    servers.replica.signal('SIGSTOP');
    const held = watched(journal.commit(commitOf(id, at + 1, { durability })));
    await until('it is on the primary', async () => (await versionOn(servers)) === at + 1);
    const before = await callsOf(servers, 'evalsha');
    await servers.primary.ask('CLIENT', 'KILL', 'TYPE', 'normal');
    await until('the batch is resent', async () => (await callsOf(servers, 'evalsha')) > before);
    await until('the stall is logged', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
    assert.not.ok(held.settled, durability);
    servers.replica.signal('SIGCONT');
    assert.is(reached(await held.promise), durability);
    stage.lines.length = 0;
  }
});

const callsOf = async ({ primary }: ReplicatedStore, command: string): Promise<number> => {
  const stats = String(await primary.ask('INFO', 'commandstats'));
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
};

test('a replica without AOF counts for level replicas; for fsync only where WAITAOF is missing', async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  await servers.replica.ask('CONFIG', 'SET', 'appendonly', 'no');
  assert.is(reached(await journal.commit(commitOf(id, 1, { durability: 'replicas' }))), 'replicas');
  const synced = watched(journal.commit(commitOf(id, 2, { durability: 'fsync' })));
  if (isValkey) {
    await until('the stall is logged', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
    assert.not.ok(synced.settled);
    await servers.replica.ask('CONFIG', 'SET', 'appendonly', 'yes');
  }
  assert.is(reached(await synced.promise), 'fsync');
  assert.is(/cmdstat_waitaof/.test(String(await servers.primary.ask('INFO', 'commandstats'))), isValkey);
});

test("an earlier owner's commits are durable before backlog, receipt and record are returned", async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  const earlier = createJournal({ store: stage.store, clock, log: recordedLog() });
  servers.replica.signal('SIGSTOP');
  const receipts = [receiptOf('cmd-1', 1)];
  assert.is((await earlier.commit(commitOf(id, 1, { receipts }))).result, 'committed');
  earlier.close();
  const backlog = watched(journal.backlog(grantFor(id)));
  const receipt = watched(journal.receipt(id, 'cmd-1'));
  const record = watched(journal.load(id));
  await until('they are held', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
  assert.not.ok(backlog.settled || receipt.settled || record.settled);
  servers.replica.signal('SIGCONT');
  await backlog.promise;
  assert.is((await record.promise)?.version, 1);
  assert.is(answerOf(await receipt.promise)?.durability, 'fsync');
});

test("an owner's reads wait for the replicas: the primary may have been replaced", async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  servers.replica.signal('SIGSTOP');
  const row = [{ collection: 'ports', key: 'p1' }];
  const reads = [
    journal.load(id),
    journal.loadRows(id, row),
    journal.deadLetters(id),
    journal.isHeld(grantFor(id)),
  ].map((read) => watched<unknown>(read));
  await until('they are held', () => stage.lines.some((line) => line.includes('commits wait for replicas')));
  assert.equal(
    reads.map(({ settled }) => settled),
    [false, false, false, false],
  );
  servers.replica.signal('SIGCONT');
  const found = await Promise.all(reads.map(({ promise }) => promise));
  assert.equal(found, [undefined, { 'ports/p1': null }, [], true]);
});

test('reads of one turn share one WAIT, and a corrupt key fails only its own read', async (stage) => {
  const { journal, servers } = stage;
  await own(stage, grantFor(id));
  await journal.load(id);
  await servers.primary.ask('SET', storeKeys('ph:').inShard(shardOf(other), `a:${other}`), 'not a hash');
  const before = await callsOf(servers, 'wait');
  const many = Array.from({ length: 200 }, (_, index) => journal.load(actorId(`vm/acme/many-${index}`)));
  const corrupt = await journal.load(other).catch((error: unknown) => error);
  assert.is((corrupt as PhotonError).record.code, 'store_key_foreign');
  await Promise.all(many);
  assert.is((await callsOf(servers, 'wait')) - before, 1);
});

test('a receipt waits for the level that the command asks for, if it is above the default', async (stage) => {
  const { store, servers } = stage;
  await own(stage, grantFor(id));
  const journal = createJournal({ store, clock, log: recordedLog(), durability: { replicas: 1, default: 'primary' } });
  const receipts = [receiptOf('cmd-1', 1)];
  servers.replica.signal('SIGSTOP');
  journal.adopt(grantFor(id));
  assert.is(reached(await journal.commit(commitOf(id, 1, { receipts, durability: 'primary' }))), 'primary');
  assert.is(answerOf(await journal.receipt(id, 'cmd-1'))?.durability, 'primary');
  const stronger = watched(journal.receipt(id, 'cmd-1', 'replicas'));
  const held = (): boolean => stage.lines.some((line) => line.includes('commits wait for replicas'));
  await until('it is held', held);
  assert.not.ok(stronger.settled);
  servers.replica.signal('SIGCONT');
  assert.is(answerOf(await stronger.promise)?.durability, 'replicas');
  journal.close();
});

test('a lone server offers what its settings keep, without another round trip', async () => {
  for (const [options, expected] of [
    [[], 'fsync'],
    [['--appendfsync', 'everysec'], 'primary'],
    [['--appendonly', 'no'], 'primary'],
  ] as const) {
    const redis = await TestRedis.start(options);
    const log = recordedLog();
    const store = await connectStore({ url: redis.url, clock, log });
    try {
      const journal = createJournal({ store, clock, log });
      assert.is(journal.durability.default, expected, options.join(' '));
      await own({ store, journal }, grantFor(id));
      assert.is(reached(await journal.commit(commitOf(id, 1, { durability: expected }))), expected);
      await journal.backlog(grantFor(id));
      assert.not.match(String(await redis.ask('INFO', 'commandstats')), /cmdstat_wait/);
      assert.is(String(await redis.ask('CLIENT', 'LIST')).match(/photoncloud-commits/g)?.length, 1);
      const request = { replicas: 0, default: 'replicas' } as const;
      assert.throws(() => createJournal({ store, clock, log, durability: request }), /cannot keep durability replicas/);
      journal.close();
    } finally {
      store.close();
      await redis.remove();
    }
  }
});

test.run();
