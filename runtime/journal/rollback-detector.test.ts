/** The comparison alone, on a stand-in whose answer can be delayed; store-crash.test.ts uses a real store. */
import type { Redis } from 'ioredis';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ShardId } from '../contract/identifiers.ts';
import { RollbackDetector } from './rollback-detector.ts';
import { OrdinalMemory, type StoreRollback } from './ordinal-memory.ts';
import { storeKeys } from './store-keys.ts';

const shard = 's44' as ShardId;

function stage(found: number) {
  const memory = new OrdinalMemory();
  memory.begin(1);
  memory.raise(1, shard, 5);
  const rollbacks: StoreRollback[] = [];
  const watch = new RollbackDetector({
    keys: storeKeys('ph:'),
    memory,
    onRollback: (rollback) => rollbacks.push(rollback),
  });
  const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const exec = async () => {
    asked.resolve();
    await answered.promise;
    return [[null, [[`0-${found}`, []]]]];
  };
  const redis = { pipeline: () => ({ exec }) } as unknown as Redis;
  return { memory, rollbacks, watch, redis, asked: asked.promise, answer: answered.resolve };
}

test('an ordinal acknowledged on another connection during the comparison is no rollback', async () => {
  const { memory, rollbacks, watch, redis, asked, answer } = stage(5);
  const admitted = watch.admit(redis, () => true);
  await asked;
  memory.raise(1, shard, 6);
  answer();
  await admitted;
  assert.equal(rollbacks, []);
});

test('a stored ordinal below one that was acknowledged before the comparison is a rollback', async () => {
  const { rollbacks, watch, redis, answer } = stage(4);
  answer();
  await watch.assure(redis).then(
    () => assert.unreachable(),
    (error: { record: { code: string } }) => assert.is(error.record.code, 'store_rewound'),
  );
  assert.equal(rollbacks, [{ era: 1, shard, known: 5, found: 4 }]);
});

test.run();
