/** A host shard is taken only on order; its node gets it back only after it has proved that it is empty. */
import * as assert from 'uvu/assert';
import { actorId, type ShardId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import { PhotonError } from '../contract/errors.ts';
import { commitOf } from '../journal/commit-for-tests.ts';
import { until } from '../journal/redis-for-tests.ts';
import { beatMs, silenceMs, stagedSuite, startNode, type Stage, type TestNode } from './membership-for-tests.ts';

const test = stagedSuite('node fencing');
const own = 'host:w1' as ShardId;
const pinned = actorId('pinned/acme/a@w1');

const grantOf = (node: TestNode): ShardGrant | undefined => node.membership.grants().find(({ shard }) => shard === own);
const notWithdrawn = async (): Promise<void> => {};
const fence = (node: TestNode, assure = notWithdrawn) => node.membership.fence('w1', assure);
const code = (fencing: Promise<unknown>): Promise<string> =>
  fencing.then(
    () => 'fenced',
    (error: unknown) => (error instanceof PhotonError ? error.record.code : String(error)),
  );
async function beats(count: number): Promise<void> {
  const endMs = performance.now() + count * beatMs;
  await until(`${count} beats are over`, () => performance.now() > endMs);
}

interface Pair {
  readonly c1: TestNode;
  readonly w1: TestNode;
  readonly grant: ShardGrant;
}

async function startPair(stage: Stage): Promise<Pair> {
  const c1 = await startNode(stage, 'c1');
  const w1 = await startNode(stage, 'w1', 'worker');
  await until('the worker has its shard', () => grantOf(w1) !== undefined);
  return { c1, w1, grant: grantOf(w1) as ShardGrant };
}

/** Ends the worker's process and has the first controller fence it. */
async function fenced(stage: Stage): Promise<Pair> {
  const pair = await startPair(stage);
  pair.w1.die();
  await until('it is silent', () => pair.c1.events.includes('silent w1'));
  assert.equal(await fence(pair.c1), { boot: 'w1-1' });
  return pair;
}

test('silence alone moves nothing; on order the shard is taken and commits of its node are refused', async (stage) => {
  const { c1, w1, grant } = await startPair(stage);
  const c2 = await startNode(stage, 'c2');
  assert.is(await code(fence(c1)), 'node_alive');
  w1.freeze();
  await until('it is silent to both', () => [c1, c2].every(({ events }) => events.includes('silent w1')));
  await beats(6);
  assert.equal([grantOf(c1), grantOf(c2)], [undefined, undefined]);
  // A map that names another owner already is only a cache, and is corrected.
  await stage.redis.ask('HSET', 'ph:map', own, '1|9|gone');
  await until('the map is corrected', async () => (await stage.redis.ask('HGET', 'ph:map', own)) === '1|1|w1');
  assert.equal([grantOf(c1), grantOf(c2)], [undefined, undefined]);
  assert.is((await w1.journal.commit(commitOf(pinned, 1, { grant }))).result, 'committed');
  const withdrawn = new PhotonError('ownership_lost', 'order_withdrawn', 'the order was withdrawn');
  assert.is(await code(fence(c1, () => Promise.reject(withdrawn))), 'order_withdrawn');
  assert.is(grantOf(c1), undefined);

  await fence(c1);
  const taken = grantOf(c1) as ShardGrant;
  assert.equal(taken, { shard: own, node: 'c1', era: 1, ownerEpoch: grant.ownerEpoch + 1 });
  assert.is(await code(fence(c1)), 'fenced');
  assert.equal(grantOf(c1), taken, 'asked again, it is done already');
  assert.is(await code(fence(c2)), 'fenced');
  assert.is(grantOf(c2), undefined, 'by another controller too');
  assert.equal(await w1.journal.commit(commitOf(pinned, 2, { grant })), { result: 'fenced' });
  assert.is((await c1.journal.commit(commitOf(pinned, 2, { grant: taken }))).result, 'committed');

  w1.thaw();
  await until('the worker knows that it is fenced', () => w1.fenced.length > 0);
  await beats(10);
  assert.equal([w1.fenced, w1.membership.grants(), grantOf(c1)], [['served'], [], taken]);
});

test('a node that starts between the read of its grant and the swap is not fenced', async (stage) => {
  const { c1, w1 } = await startPair(stage);
  w1.die();
  await until('it is silent', () => c1.events.includes('silent w1'));
  const comesBack = async (): Promise<void> => {
    const again = await startNode(stage, 'w1', 'worker', 'w1-2');
    await until('it has its shard', () => grantOf(again) !== undefined);
  };
  assert.is(await code(fence(c1, comesBack)), 'shard_moved');
  assert.is(grantOf(c1), undefined);
});

test('a fenced host shard passes between controllers, and is never claimed by its node', async (stage) => {
  const { c1 } = await fenced(stage);
  const c2 = await startNode(stage, 'c2');
  await until('both share', () => c2.membership.grants().length > 0);
  c1.die();
  await until('the other has it', () => grantOf(c2) !== undefined);
  const w1 = await startNode(stage, 'w1', 'worker', 'w1-2');
  w1.full = true;
  await c2.membership.leave();
  c2.die();
  // No controller is left that could hand it back.
  await until('it was found', () => w1.fenced.length > 2);
  await beats(silenceMs / beatMs + 6);
  assert.is(w1.membership.grants().length, 0);
  const c3 = await startNode(stage, 'c3');
  await until('the next one takes it', () => grantOf(c3) !== undefined);
  assert.is(w1.membership.grants().length, 0);
});

test('a leaving controller hands a fenced host shard to another', async (stage) => {
  const { c1 } = await fenced(stage);
  const c2 = await startNode(stage, 'c2');
  await until('both share', () => c2.membership.grants().length > 0);
  const { ownerEpoch } = grantOf(c1) as ShardGrant;
  await c1.membership.leave();
  await until('the other has it', () => grantOf(c2) !== undefined);
  assert.is(grantOf(c2)?.ownerEpoch, ownerEpoch + 1);
});

test('a node that is back gets its shard once empty; an old emptied record has no effect later', async (stage) => {
  const { c1, grant } = await fenced(stage);
  const w1 = await startNode(stage, 'w1', 'worker', 'w1-2');
  w1.full = true;
  await until('it was asked repeatedly to empty itself', () => w1.fenced.length > 2);
  assert.ok(w1.fenced.every((had) => had === 'nothing'));
  assert.equal([w1.membership.grants(), grantOf(c1)?.ownerEpoch], [[], grant.ownerEpoch + 1]);
  w1.full = false;
  await until('it has its shard', () => grantOf(w1) !== undefined);
  await until('the surrogate owner has let go', () => grantOf(c1) === undefined);
  assert.ok(c1.retired.includes(own), 'in good order');
  const again = grantOf(w1) as ShardGrant;
  assert.ok(again.ownerEpoch > grant.ownerEpoch + 1);
  assert.is((await w1.journal.commit(commitOf(pinned, 1, { grant: again }))).result, 'committed');

  const before = c1.events.filter((event) => event === 'silent w1').length;
  w1.freeze();
  await until('it is silent again', () => c1.events.filter((event) => event === 'silent w1').length > before);
  await fence(c1);
  w1.thaw();
  await until('it is back', () => c1.events.includes('back w1') && w1.fenced.includes('served'));
  await beats(10);
  assert.is(grantOf(w1), undefined, 'this process has held it and proves nothing');
  assert.ok(grantOf(c1));
});

test.run();
