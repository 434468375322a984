// time limit: 330 s
// test limit: 150 s
/**
 * The program on stores of several servers, configured by REDIS_URL only: controllers on a Redis Cluster while a slot
 * moves and a controller is killed, and on three Redis servers with Sentinels that lose their primary. Every tenant is
 * created exactly once, and a watch from the beginning sees every tenant and its last version.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { until, type TestRedis } from '@photoncloud/runtime/journal/redis-for-tests';
import { startCluster, startSentinelBoxes } from '@photoncloud/runtime/journal/redis-topologies-for-tests';
import { shardOf, slotOfTag } from '@photoncloud/runtime/journal/shard-placement';
import { createTenant, TestProgram } from './program-for-tests.ts';

/** Records the highest version of every tenant in a watch; versions of one actor must strictly increase. */
class Watcher {
  readonly versions = new Map<string, number>();
  readonly wrong: string[] = [];
  readonly #control = new AbortController();
  synced = false;

  constructor(session: PhotonClient) {
    this.#read(session).catch((error: unknown) => this.wrong.push(String(error)));
  }

  async #read(session: PhotonClient): Promise<void> {
    for await (const frame of session.watch({ kind: 'tenant' }, this.#control.signal)) {
      if (frame.type === 'synced') this.synced = true;
      if (frame.type !== 'added' && frame.type !== 'changed') continue;
      const { id, version } = frame.actor;
      const before = this.versions.get(id) ?? 0;
      if (version <= before) this.wrong.push(`${id}: ${version} after ${before}`);
      this.versions.set(id, version);
    }
  }

  close(): void {
    this.#control.abort();
  }
}

async function makeTenants(phase: string, sessions: readonly PhotonClient[]): Promise<void> {
  const names = Array.from({ length: 12 }, (_, index) => `${phase}${index}`);
  await Promise.all(names.map((name) => createTenant(name, sessions)));
}

/**
 * Asserts that all tenants exist, each with a VNI of its own, and that the watcher has seen the last version of each.
 */
async function provedWhole(session: PhotonClient, watcher: Watcher, tenants: number): Promise<void> {
  const { actors } = await session.call('actor.list', { kind: 'tenant' });
  assert.is(actors.length, tenants);
  const behind = (): boolean => actors.some(({ id, version }) => (watcher.versions.get(id) ?? 0) < version);
  await until('every last version was watched', () => !behind());
  assert.equal(watcher.wrong, []);
  const vpcs = await Promise.all(
    actors.map(({ id }) => session.call('actor.get', { id: `vpc/${id.split('/')[1]}/main` })),
  );
  assert.is(new Set(vpcs.map(({ status }) => (status as { vni: number }).vni)).size, tenants, 'no VNI twice');
}

test('two controllers on a Redis Cluster: a slot moves, one is killed and comes back', async () => {
  const cluster = await startCluster();
  let program: TestProgram | undefined;
  try {
    program = await TestProgram.start(cluster.url, ['c1', 'c2']);
    const sessions = [await program.session('c1'), await program.session('c2')] as const;
    const watcher = new Watcher(sessions[0]);
    await until('the watch is synced', () => watcher.synced);
    await makeTenants('calm', sessions);

    const slot = slotOfTag(shardOf(actorId('tenant/moved0/moved0')));
    const owner = await cluster.ownerOf(slot);
    const making = makeTenants('moved', sessions);
    await cluster.moveSlot(slot, cluster.nodes.find((node) => node !== owner) as TestRedis);
    await making;

    await program.kill('c2');
    await makeTenants('killed', [sessions[0]]);
    await program.launch('c2');
    await provedWhole(sessions[0], watcher, 36);
    const id = 'tenant/moved0/moved0';
    const { entries } = await sessions[0].call('actor.history', { id });
    assert.is(entries.filter(({ cause }) => cause.includes('create-moved0')).length, 1, 'created once');
    assert.is((await sessions[0].call('actor.at', { id, version: 1 })).version, 1, 'an old version can be read');
    const checked = await program.photon('upgrade', 'check', '--dir', program.nodeFolder('c1'));
    assert.match(checked, /0 would be refused/);
    watcher.close();
  } finally {
    await program?.remove();
    await cluster.remove();
  }
});

test('a controller on Sentinels goes on with the promoted server after the primary was killed', async () => {
  const boxes = await startSentinelBoxes();
  let program: TestProgram | undefined;
  try {
    program = await TestProgram.start(boxes.url, ['c1']);
    const session = await program.session('c1');
    const watcher = new Watcher(session);
    await until('the watch is synced', () => watcher.synced);
    await makeTenants('before', [session]);
    const making = makeTenants('during', [session]);
    await boxes.failOver();
    await making;
    await makeTenants('after', [session]);
    await provedWhole(session, watcher, 36);
    watcher.close();
  } finally {
    await program?.remove();
    await boxes.remove();
  }
});

test.run();
