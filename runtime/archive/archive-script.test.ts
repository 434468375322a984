/** The script that records an archived run, on a real Redis: only behind the last known run, only for the owner. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestRedis } from '../journal/redis-for-tests.ts';
import { archiveScript } from '../journal/script-library.ts';

interface Stage {
  redis: TestRedis;
}

const test = suite<Stage>('the archive script');
const keys = ['{s}:o', '{s}:a:x', '{s}:h:x'] as const;

test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  await stage.redis.ask('SET', keys[0], '1|4|n1');
  await stage.redis.ask('HSET', keys[1], 'version', '5');
  for (let version = 1; version <= 5; version += 1) await stage.redis.ask('XADD', keys[2], `${version}-0`, 'e', '{}');
});
test.after.each(({ redis }) => redis.remove());

const run = (redis: TestRedis, grant: string, before: string, pointer: string, last: number): Promise<unknown> =>
  redis.ask('EVAL', archiveScript.source, '3', ...keys, grant, before, pointer, `${last}-0`, `${last}-1`);

const lengthOf = (redis: TestRedis): Promise<unknown> => redis.ask('XLEN', keys[2]);

test('the owner advances the pointer and trims; a repeat changes nothing', async ({ redis }) => {
  assert.is(await run(redis, '1|4|n1', '', 'one', 2), 1);
  assert.is(await lengthOf(redis), 3);
  assert.is(await run(redis, '1|4|n1', '', 'one', 2), 1, 'its own pointer is found');
  assert.is(await run(redis, '1|4|n1', 'one', 'two', 4), 1);
  assert.equal([await lengthOf(redis), await redis.ask('HGET', keys[1], 'archived')], [1, 'two']);
});

test('nothing is trimmed for a stale owner, behind an unknown run, or for lost entries', async (stage) => {
  const { redis } = stage;
  assert.is(await run(redis, '1|3|n1', '', 'one', 2), -1);
  assert.is(await run(redis, '2|4|n1', '', 'one', 2), -1);
  assert.is(await run(redis, '1|4|n1', 'other', 'one', 2), 0);
  assert.is(await run(redis, '1|4|n1', '', 'one', 9), 0, 'a store that was rolled back');
  await run(redis, '1|4|n1', '', 'one', 2);
  assert.is(await run(redis, '1|4|n1', '', 'second', 4), 0, 'the pointer has changed since it was read');
  assert.equal([await lengthOf(redis), await redis.ask('HGET', keys[1], 'archived')], [3, 'one']);
  await redis.ask('DEL', keys[1]);
  assert.is(await run(redis, '1|4|n1', '', 'one', 4), 0, 'there is no such actor');
  assert.is(await redis.ask('EXISTS', keys[1]), 0);
});

test.run();
