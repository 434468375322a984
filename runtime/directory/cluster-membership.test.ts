import * as assert from 'uvu/assert';
import { actorId, type ActorId, type ShardId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import { commitOf } from '../journal/commit-for-tests.ts';
import { processClock as clock, until } from '../journal/redis-for-tests.ts';
import { shardCount, shardOf } from '../journal/shard-placement.ts';
import { grantText } from '../journal/store-keys.ts';
import { ClusterClock } from './cluster-clock.ts';
import { joinCluster } from './cluster-membership.ts';
import { beatMs, silenceMs, stagedSuite, startNode, type Stage, type TestNode } from './membership-for-tests.ts';

const test = stagedSuite('cluster membership');
const id = actorId('vm/acme/moving');

const half = shardCount / 2;
const owning = (node: TestNode): number => node.membership.grants().length;

/** Two controllers that each own half of the shards, and an actor of the first. */
async function startPair(stage: Stage): Promise<{ c1: TestNode; c2: TestNode; id: ActorId; shard: ShardId }> {
  const c1 = await startNode(stage, 'c1');
  await until('c1 owns all', () => owning(c1) === shardCount);
  const c2 = await startNode(stage, 'c2');
  await until('each has its half', () => owning(c1) === half && owning(c2) === half);
  const owned = new Set(c1.membership.grants().map(({ shard }) => shard));
  const ids = Array.from({ length: 64 }, (_, index) => actorId(`vm/acme/m${index}`));
  const found = ids.find((one) => owned.has(shardOf(one))) as ActorId;
  return { c1, c2, id: found, shard: shardOf(found) };
}

const grantIn = (node: TestNode, shard: ShardId): ShardGrant =>
  node.membership.grants().find((grant) => grant.shard === shard) as ShardGrant;

test('the first controller takes all shards, and a worker its own', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  assert.is(c1.granted.length, 0, 'grants come after joining');
  await until('all shards are granted', () => c1.granted.length === shardCount);
  const w1 = await startNode(stage, 'w1', 'worker');
  await until('the host shard is granted', () => w1.granted.length === 1);
  assert.equal(w1.granted[0], { shard: 'host:w1', node: 'w1', era: 1, ownerEpoch: 1 });
  await until('both see both', () => c1.membership.nodes().length === 2 && w1.membership.nodes().length === 2);
  assert.equal(c1.events, ['joined w1']);
  await w1.membership.directory.refresh();
  assert.is(w1.membership.directory.ownerOf(id), 'c1');
  // c1 reads the map at each beat, and may not have read it since w1 wrote into it.
  await until('c1 reads whose w1 is', () => c1.membership.directory.ownerOf(actorId('agent/w1/w1@w1')) === 'w1');
  assert.is(c1.membership.directory.ownerOf(actorId('agent/w2/w2@w2')), undefined);
});

test('a silent controller is replaced with a higher epoch, and fenced when it comes back', async (stage) => {
  const { c1, c2, id: moving, shard } = await startPair(stage);
  const old = grantIn(c1, shard);
  assert.is((await c1.journal.commit(commitOf(moving, 1, { grant: old }))).result, 'committed');
  c1.freeze();
  const startedMs = performance.now();
  await until('c2 has taken all', () => owning(c2) === shardCount);
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs >= silenceMs - beatMs, `taken after ${tookMs} ms, before the silence was over`);
  assert.equal(c2.events, ['joined c1', 'silent c1']);
  assert.is(grantIn(c2, shard).ownerEpoch, old.ownerEpoch + 1);
  assert.equal(await c1.journal.commit(commitOf(moving, 2, { grant: old })), { result: 'fenced' });
  await until('the fenced node lets go', () => c1.lost.includes(shard));
  assert.is((await c2.journal.commit(commitOf(moving, 2, { grant: grantIn(c2, shard) }))).result, 'committed');
  const before = c2.retired.length;
  c1.thaw();
  await until('c1 is back', () => c2.events.includes('back c1'));
  await until('each has its half again', () => owning(c1) === half && owning(c2) === half);
  assert.is(c2.retired.length - before, half, 'nothing is taken back from a living node: it was given');
});

test('concurrent verifications of one shard cause one read', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await until('c1 owns all', () => owning(c1) === shardCount);
  const shard = shardOf(id);
  const asked = async (): Promise<number> =>
    Number(/cmdstat_get:calls=(\d+)/.exec(String(await stage.redis.ask('INFO', 'commandstats')))?.[1] ?? 0);
  const before = await asked();
  // Hosting verifies at each message and command for a dropped shard; while the store is unreachable they add up.
  await Promise.all(Array.from({ length: 500 }, () => c1.membership.verify(shard)));
  assert.is((await asked()) - before, 1);
  await c1.membership.verify(shard);
  assert.is((await asked()) - before, 2);
});

test('a node whose record was lost, corrupted or rolled back joins again', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await until('c1 owns all', () => owning(c1) === shardCount);
  const stored = async (): Promise<string | null> =>
    JSON.parse(String(await stage.redis.ask('HGET', 'ph:nodes', 'c1')));
  const own = await stored();
  const earlier = { name: 'c1', role: 'controller', peerUrl: '', boot: 'earlier' };
  for (const before of [{ ...earlier, joinNumber: 0 }, earlier, undefined]) {
    if (before === undefined) await stage.redis.ask('HDEL', 'ph:nodes', 'c1');
    else await stage.redis.ask('HSET', 'ph:nodes', 'c1', JSON.stringify(before));
    await until('it has joined again', async () => JSON.stringify(await stored()) === JSON.stringify(own));
  }
  assert.is(owning(c1), shardCount);
  assert.equal(c1.lost, []);
});

test('a process that follows a rollback of the counter of joins is the newer one', async (stage) => {
  const first = await startNode(stage, 'c1');
  await until('the first owns all', () => owning(first) === shardCount);
  const joined = JSON.parse(String(await stage.redis.ask('HGET', 'ph:nodes', 'c1'))) as { joinNumber: number };
  // In this order: it may join again as soon as its record is gone.
  await stage.redis.ask('HSET', 'ph:cluster', 'joins', String(joined.joinNumber - 2));
  await stage.redis.ask('HDEL', 'ph:nodes', 'c1');
  await until('it has joined again', async () => (await stage.redis.ask('HGET', 'ph:nodes', 'c1')) !== null);
  const second = await startNode(stage, 'c1', 'controller', 'c1-2');
  const hasStopped = ({ log }: typeof first): boolean =>
    log.lines.some((line) => line.includes('under the name of this node'));
  await until('one of them has stopped', () => hasStopped(first) || hasStopped(second));
  assert.not(hasStopped(second));
});

test('a controller that joins is handed its share, a few shards at a time, and no more', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await until('c1 owns all', () => owning(c1) === shardCount);
  const startedMs = performance.now();
  const joined = await Promise.all([startNode(stage, 'c2'), startNode(stage, 'c3')]);
  await until('all have a share', () => [c1, ...joined].every((node) => owning(node) >= Math.floor(shardCount / 3)));
  const moves = Math.ceil((2 * shardCount) / 3) - 1;
  assert.is(c1.retired.length, moves, 'no shard moved that need not');
  assert.ok(performance.now() - startedMs >= Math.floor(moves / 4 - 1) * beatMs, 'not all at once');
  assert.is(c1.lost.length, moves);
  const quietMs = performance.now() + 10 * beatMs;
  await until('some beats without a move', () => performance.now() > quietMs);
  assert.is(c1.retired.length + joined.reduce((sum, node) => sum + node.retired.length, 0), moves);
  assert.equal(
    joined.map((node) => node.lost.length),
    [0, 0],
  );
});

test('a node claims a shard that was handed to it when the first message arrives', async (stage) => {
  const { c1, c2, shard } = await startPair(stage);
  c2.freeze();
  const text = grantText({ ...grantIn(c1, shard), node: 'c2' });
  await stage.redis.ask('SET', `ph:{${shard}}:o`, text);
  await c2.membership.verify(shard);
  assert.is(grantIn(c2, shard).ownerEpoch, Number(text.split('|')[1]) + 1);
  await c2.membership.verify('host:w1' as ShardId);
  await c2.membership.verify(c1.membership.grants()[1]?.shard as ShardId);
  assert.is(c2.granted.length, half + 1, 'nothing else');
});

test('a restarted node claims the shards of its earlier process at once', async (stage) => {
  const first = await startNode(stage, 'c1');
  await until('the first owns all', () => first.granted.length === shardCount);
  first.die();
  const startedMs = performance.now();
  const second = await startNode(stage, 'c1', 'controller', 'c1-2');
  await until('the second owns all', () => second.granted.length === shardCount);
  assert.ok(performance.now() - startedMs < silenceMs, 'it did not wait for silence');
  assert.ok(second.granted.every((grant) => grant.ownerEpoch === 2));
});

test('that a worker was started again is told to those that wait for its shard', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  const first = await startNode(stage, 'w1', 'worker');
  const ofHost = actorId('agent/w1/w1@w1');
  await until('c1 knows whose the shard is', () => c1.membership.directory.ownerOf(ofHost) === 'w1');
  let told = 0;
  c1.membership.directory.onChange?.(() => (told += 1));
  first.die();
  await startNode(stage, 'w1', 'worker', 'w1-2');
  await until('c1 is told, though the owner has the same name', () => told > 0);
});

test('a second process of the same node name stops the first', async (stage) => {
  const first = await startNode(stage, 'c1');
  await until('the first owns all', () => first.granted.length === shardCount);
  const second = await startNode(stage, 'c1', 'controller', 'c1-2');
  await until('the first has let go', () => first.lost.length === shardCount);
  await until('the second owns all', () => second.granted.length === shardCount);
  assert.ok(first.log.lines.some((line) => line.includes('under the name of this node')));
});

test('two controllers share the shards, and one that leaves hands its share over at once', async (stage) => {
  const [c1, c2] = await Promise.all([startNode(stage, 'c1'), startNode(stage, 'c2')]);
  const all = () => c1.membership.grants().length + c2.membership.grants().length;
  await until('every shard has an owner', () => all() === shardCount);
  const shared = new Set([...c1.membership.grants(), ...c2.membership.grants()].map((grant) => grant.shard));
  assert.is(shared.size, shardCount);
  // The first may have claimed all before the second joined, and hands half over only afterwards.
  await until('c2 knows of c1', () => c2.events.includes('joined c1'));
  await c1.membership.leave();
  await until('c2 owns all', () => c2.membership.grants().length === shardCount);
  await until('c1 is off the list', () => c2.events.includes('left c1'));
  assert.not.ok(c2.events.includes('silent c1'), 'it did not wait for silence');
});

test('a shard that hosting has dropped is claimed again if the store still names this node', async (stage) => {
  const { c1, c2, shard } = await startPair(stage);
  const grant = grantIn(c1, shard);
  // As after a refusal by a replaced primary.
  await c1.membership.fenced(grant);
  assert.is(c1.lost.at(-1), shard);
  assert.is(grantIn(c1, shard).ownerEpoch, grant.ownerEpoch + 1);
  await c1.membership.fenced(grant);
  assert.is(grantIn(c1, shard).ownerEpoch, grant.ownerEpoch + 1, 'of an earlier grant nothing is lost any more');
  c1.freeze();
  await stage.redis.ask('SET', `ph:{${shard}}:o`, grantText({ ...grantIn(c1, shard), node: 'c2' }));
  await c1.membership.fenced(grantIn(c1, shard));
  assert.is(owning(c1) + owning(c2), shardCount - 1, 'of another it is not');
});

test('shards whose grants the store has lost are claimed by nodes below their share', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await until('c1 owns all', () => owning(c1) === shardCount);
  const c2 = await startNode(stage, 'c2');
  await until('c1 knows of c2', () => c1.events.includes('joined c2'));
  // A failover that lost the ownership keys, but not the map.
  const before = c1.membership.grants().map(({ shard }) => shard);
  await stage.redis.ask('DEL', ...before.map((shard) => `ph:{${shard}}:o`));
  await Promise.all(before.map((shard) => c1.membership.verify(shard)));
  await until('each has its half', () => owning(c1) === half && owning(c2) === half);
  const owned = [...c1.membership.grants(), ...c2.membership.grants()].map(({ shard }) => shard);
  assert.is(new Set(owned).size, shardCount);
  await stage.redis.ask('DEL', 'ph:map');
  const lines = async (): Promise<number> => Number(await stage.redis.ask('HLEN', 'ph:map'));
  await until('the lost map is written again', async () => (await lines()) === shardCount);
  assert.equal([owning(c1), owning(c2)], [half, half]);
});

test('a leaving node takes no shard that is handed to it, and keeps none that it was claiming', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await until('c1 owns all', () => owning(c1) === shardCount);
  c1.freeze();
  const [given, other] = c1.membership.grants().map(({ shard }) => shard) as [ShardId, ShardId];
  for (const shard of [given, other]) {
    await stage.redis.ask('SET', `ph:{${shard}}:o`, '1|7|c2');
    await c1.membership.verify(shard);
    await stage.redis.ask('SET', `ph:{${shard}}:o`, '1|7|c1');
  }
  // It is claiming one shard as it begins to leave; it learns of the other a moment later.
  const taking = c1.membership.verify(given);
  const left = c1.membership.leave();
  await Promise.all([taking, c1.membership.verify(other), left]);
  assert.is(
    await stage.redis.ask('GET', `ph:{${other}}:o`),
    '1|7|c1',
    'left as it was: the others see that c1 is gone',
  );
  assert.is(await stage.redis.ask('GET', `ph:{${given}}:o`), '1|7|c1');
});

test('a restart of the store moves no shard', async (stage) => {
  const { c1, c2 } = await startPair(stage);
  const granted = c1.granted.length + c2.granted.length;
  await stage.redis.kill();
  await new Promise((resolve) => setTimeout(resolve, silenceMs * 2));
  await stage.redis.launch();
  const beat = Number(await stage.redis.ask('HGET', 'ph:beats', 'c2'));
  await until('beats go on', async () => Number(await stage.redis.ask('HGET', 'ph:beats', 'c2')) > beat + 3);
  assert.equal([c1.lost.length, c2.lost.length], [half, 0], 'only what balance had moved before');
  assert.is(c1.granted.length + c2.granted.length, granted);
});

test('while the store hangs no node takes another for silent', async (stage) => {
  const { c1, c2 } = await startPair(stage);
  stage.redis.signal('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, silenceMs * 2));
  stage.redis.signal('SIGCONT');
  const beat = Number(await stage.redis.ask('HGET', 'ph:beats', 'c1'));
  await until('beats go on', async () => Number(await stage.redis.ask('HGET', 'ph:beats', 'c1')) > beat + 3);
  assert.not.ok([...c1.events, ...c2.events].some((event) => event.startsWith('silent')));
});

test('beats that reach the store are told, none while it hangs and none of a replaced node', async (stage) => {
  const first = await startNode(stage, 'w1', 'worker');
  await until('beats are told', () => first.beats.length > 2);
  stage.redis.signal('SIGSTOP');
  // One may have been answered already.
  await new Promise((resolve) => setTimeout(resolve, beatMs));
  const before = first.beats.length;
  await new Promise((resolve) => setTimeout(resolve, silenceMs));
  const told = first.beats.length;
  stage.redis.signal('SIGCONT');
  assert.is(told, before);
  await until('beats go on', () => first.beats.length > told + 1);
  // The one that hung was sent before the store stood still for so long, or after it went on.
  assert.ok(first.beats.every((agoMs) => agoMs >= 0));
  assert.ok(
    first.beats.some((agoMs) => agoMs > silenceMs / 2),
    JSON.stringify(first.beats),
  );
  const second = await startNode(stage, 'w1', 'worker', 'w1-2');
  await until('the second beats', () => second.beats.length > 2);
  await until('the first knows', () => first.log.lines.some((line) => line.includes('under the name of this node')));
  const last = first.beats.length;
  await until('the second beats on', () => second.beats.length > 6);
  assert.is(first.beats.length, last);
});

test('a corrupt node record disturbs no other node, and its node writes it again', async (stage) => {
  const { c1, c2 } = await startPair(stage);
  const lost = c1.lost.length + c2.lost.length;
  await stage.redis.ask('HSET', 'ph:nodes', 'c1', '{broken', 'ghost', 'null', 'other', '{"name":"c1"}');
  await until('c1 writes it again', async () =>
    String(await stage.redis.ask('HGET', 'ph:nodes', 'c1')).includes('c1-1'),
  );
  await startNode(stage, 'w1', 'worker');
  await until('both see w1 join', () => [c1, c2].every(({ events }) => events.includes('joined w1')));
  assert.is(c1.lost.length + c2.lost.length, lost, 'no shard moves for it');
  assert.equal(
    c2.membership
      .nodes()
      .map(({ name }) => name)
      .toSorted(),
    ['c1', 'c2', 'w1'],
  );
});

test('a store of another cluster or program version is refused', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  const refusals = [
    ['shards', '64', 'store_mismatch'],
    ['hashId', 'md5', 'store_mismatch'],
    ['formatVersion', '9', 'store_mismatch'],
    ['scriptVersion', '99', 'store_scripts_newer'],
    ['scriptDigest', 'other', 'store_mismatch'],
  ] as const;
  for (const [field, value, code] of refusals) {
    const before = String(await stage.redis.ask('HGET', 'ph:cluster', field));
    await stage.redis.ask('HSET', 'ph:cluster', field, value);
    await joinCluster({
      store: c1.store,
      node: { name: 'c9', role: 'controller', peerUrl: '', boot: 'b' },
      clock: new ClusterClock(clock),
      log: c1.log,
      onGrant: () => {},
      onLost: () => {},
      onHandover: async () => {},
      onNode: () => {},
    }).then(
      () => assert.unreachable(`joined in spite of ${field}`),
      (error: { record: { code: string } }) => assert.is(error.record.code, code),
    );
    await stage.redis.ask('HSET', 'ph:cluster', field, before);
  }
});

test.run();
