/** Nodes that are removed from a cluster on a real store: who learns of it, who takes their shards, who returns. */
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import { until } from '../journal/redis-for-tests.ts';
import { sharedShards } from '../journal/shard-placement.ts';
import { stagedSuite, startNode, type Stage, type TestNode } from './membership-for-tests.ts';
import { Revocations } from './revocations.ts';

const test = stagedSuite('revocations');

const issued = (issuedMs: number) => () => ({ issuedMs, expiresMs: issuedMs + 1_000_000 });

const start = (stage: Stage, name: string, issuedMs: number, boot?: string): Promise<TestNode> =>
  startNode(stage, name, 'controller', boot, issued(issuedMs));

const owned = ({ membership }: TestNode): number => membership.grants().length;

const order = { by: 'root', reason: 'stolen' } as const;

test('a removed controller drops its shards and another one takes them; it cannot join again', async (stage) => {
  const c1 = await start(stage, 'c1', 1_000);
  const c2 = await start(stage, 'c2', 1_000);
  await until('both own shards', () => owned(c1) > 0 && owned(c2) > 0);
  await c1.membership.revoke({ subject: 'node:c2', ...order });
  await until('c1 owns all', () => owned(c1) === sharedShards.length);
  await until('c2 has noticed', () => owned(c2) === 0 && c2.events.includes('revoked self'));
  assert.ok(c1.events.includes('revoked others'));
  assert.ok(c1.events.includes('left c2'));
  assert.not.ok(c1.membership.nodes().some(({ name }) => name === 'c2'));
  try {
    await start(stage, 'c2', 1_000, 'c2-2');
    assert.unreachable('it must not join');
  } catch (error) {
    assert.is((error as PhotonError).record?.code, 'node_removed');
  }
});

test('with a certificate that was issued after its removal a node joins again and gets shards', async (stage) => {
  const c1 = await start(stage, 'c1', 1_000);
  await c1.membership.revoke({ subject: 'node:c2', ...order });
  const later = Date.now() + 60_000;
  const c2 = await start(stage, 'c2', later);
  await until('it owns shards', () => owned(c2) > 0);
  assert.is(c1.membership.nodes().find(({ name }) => name === 'c2')?.issuedMs, later);
});

test('a store that has lost the revocations gets them again from the nodes that know them', async (stage) => {
  const c1 = await start(stage, 'c1', 1_000);
  await c1.membership.revoke({ subject: 'token:ann', ...order });
  await until('it is known', () => c1.membership.revocations.isRevoked('token:ann', 5));
  const { redis } = c1.store.shared;
  await redis.hdel(c1.store.keys.cluster, 'revoked:token:ann');
  await until(
    'it is written again',
    async () => (await redis.hexists(c1.store.keys.cluster, 'revoked:token:ann')) === 1,
  );
});

test('a renewed certificate is in the record of the node at the next beat', async (stage) => {
  let now = { issuedMs: 1_000, expiresMs: 2_000 };
  await startNode(stage, 'c1', 'controller', 'c1-1', () => now);
  const c2 = await start(stage, 'c2', 1_000);
  const told = (): number | undefined => c2.membership.nodes().find(({ name }) => name === 'c1')?.expiresMs;
  await until('the first is known', () => told() === 2_000);
  now = { issuedMs: 1_500, expiresMs: 3_000 };
  await until('the second is known', () => told() === 3_000);
});

test('what was issued up to the revocation is refused, and everything while its record is damaged', () => {
  const revocations = new Revocations();
  const text = JSON.stringify({ atMs: 100, ...order });
  assert.equal(revocations.read({ era: '1', 'revoked:node:w1': text }), { isNew: true, lost: [] });
  assert.is(revocations.read({ 'revoked:node:w1': text }).isNew, false);
  const refused = (issuedMs: number): boolean => revocations.isRevoked('node:w1', issuedMs);
  assert.equal([refused(0), refused(100), refused(101)], [true, true, false]);
  assert.is(revocations.isRevoked('node:w2', 0), false);
  assert.is(revocations.isRevoked('token:w1', 0), false);
  const damaged = revocations.read({ 'revoked:node:w1': '{', 'revoked:node:w9': 'null' });
  assert.equal([refused(101), revocations.isRevoked('node:w9', 1e15)], [true, true]);
  assert.equal(
    damaged.lost.map(({ subject }) => subject),
    ['node:w1'],
  );
  revocations.read({ 'revoked:node:w1': text });
  assert.equal([refused(101), revocations.isRevoked('node:w9', 0)], [false, false]);
});

test.run();
