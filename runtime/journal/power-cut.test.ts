// needs: kernel
// servers: redis valkey
/**
 * A power cut in the middle of commits (G3): commits acknowledged at level `fsync` are on the disk, and with a replica
 * each disk alone has them. A server that syncs once a second must lose acknowledged commits, which proves that this
 * test can see a loss.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Durability } from '../contract/durability.ts';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import { commitOf, grantFor } from './commit-for-tests.ts';
import { TestDisk } from './disk-for-tests.ts';
import { own, withJournal, type StoredJournal } from './journal-for-tests.ts';
import { durableServer, TestRedis, until } from './redis-for-tests.ts';

const actorAt = (index: number): ActorId => actorId(`vm/acme/cut-${index}`);
const actors = Array.from({ length: 20 }, (_, index) => actorAt(index));
const syncsFirst = ['--appendfsync', 'always'];
const syncsOnceASecond = ['--appendfsync', 'everysec'];

const serverOn = (disk: TestDisk, extra: readonly string[]): Promise<TestRedis> =>
  TestRedis.startWith((listenPort) => durableServer(extra)(listenPort, disk.folder));

/** Versions by actor, in the order of `actors`. */
type Versions = readonly number[];

/** Commits on all actors until `enough` are acknowledged. @returns what was acknowledged by then */
async function acknowledge(stored: StoredJournal, level: Durability, enough: number): Promise<Versions> {
  const versions = actors.map(() => 0);
  let acknowledged = 0;
  let reached: Versions | undefined;
  for (const id of actors) await own(stored, grantFor(id));
  const climb = async (index: number): Promise<void> => {
    const id = actorAt(index);
    while (reached === undefined) {
      const version = (versions[index] ?? 0) + 1;
      const outcome = await stored.journal.commit(commitOf(id, version, { durability: level }));
      assert.is(outcome.result, 'committed');
      versions[index] = version;
      acknowledged += 1;
      if (acknowledged === enough) reached = [...versions];
    }
  };
  // Commits in flight at the cut have no outcome: they are rejected when the journal is closed.
  void Promise.allSettled(actors.map((_, index) => climb(index)));
  await until('enough commits are acknowledged', () => reached !== undefined);
  return reached ?? [];
}

/** Cuts the power of a server and starts one on what is left. @returns the versions it has */
async function afterCut(server: TestRedis, disk: TestDisk, { store }: StoredJournal): Promise<Versions> {
  const left = await disk.afterCut();
  try {
    const restarted = await serverOn(left, syncsFirst);
    try {
      const keyOf = (index: number): string => {
        const id = actorAt(index);
        return store.keys.inShard(grantFor(id).shard, `a:${id}`);
      };
      const found = actors.map((_, index) => restarted.ask('HGET', keyOf(index), 'version'));
      return (await Promise.all(found)).map(Number);
    } finally {
      await restarted.remove();
    }
  } finally {
    await left.remove();
    server.signal('SIGCONT');
  }
}

const lostOf = (acknowledged: Versions, found: Versions): number =>
  acknowledged.reduce((sum, version, index) => sum + Math.max(0, version - (found[index] ?? 0)), 0);

/** @returns how many acknowledged commits a power cut has taken from the disk of a lone server */
async function cutOne(extra: readonly string[], level: Durability): Promise<number> {
  const disk = await TestDisk.make();
  try {
    const server = await serverOn(disk, extra);
    try {
      let lost = 0;
      await withJournal({ url: server.url }, async (stored) => {
        const acknowledged = await acknowledge(stored, level, 1_000);
        server.signal('SIGSTOP');
        lost = lostOf(acknowledged, await afterCut(server, disk, stored));
      });
      return lost;
    } finally {
      await server.remove();
    }
  } finally {
    await disk.remove();
  }
}

test('commits acknowledged at fsync survive a power cut', async () => {
  assert.is(await cutOne(syncsFirst, 'fsync'), 0);
});

test('a server that syncs once a second loses acknowledged commits, and does not offer fsync', async () => {
  // Repeated, because another process of this machine may just have synced all disks.
  let lost = 0;
  for (let cuts = 0; cuts < 3 && lost === 0; cuts += 1) lost = await cutOne(syncsOnceASecond, 'primary');
  assert.ok(lost > 0, 'a cut that loses nothing is no power cut');
  const server = await TestRedis.start(syncsOnceASecond);
  try {
    await withJournal({ url: server.url }, async ({ journal }) => {
      assert.equal(journal.durability.offered, ['primary']);
    });
  } finally {
    await server.remove();
  }
});

test('commits acknowledged at fsync are on the disk of the replica as well', async () => {
  const [disk, replicaDisk] = [await TestDisk.make(), await TestDisk.make()];
  const servers: TestRedis[] = [];
  try {
    const primary = await serverOn(disk, syncsFirst);
    servers.push(primary);
    const following = ['--repl-diskless-sync-delay', '0', '--replicaof', '127.0.0.1', String(primary.listenPort)];
    const replica = await serverOn(replicaDisk, [...syncsFirst, ...following]);
    servers.push(replica);
    await until('the replica is in step', async () => (await primary.ask('WAIT', '1', '1')) === 1);
    await withJournal({ url: primary.url, durability: { replicas: 1 } }, async (stored) => {
      const acknowledged = await acknowledge(stored, 'fsync', 1_000);
      replica.signal('SIGSTOP');
      assert.is(lostOf(acknowledged, await afterCut(replica, replicaDisk, stored)), 0);
    });
  } finally {
    for (const server of servers) await server.remove();
    for (const each of [disk, replicaDisk]) await each.remove();
  }
});

test.run();
