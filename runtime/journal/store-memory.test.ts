/** The watch over the memory of a real server: told at the start, at a step, when it becomes scarce and ample again. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { processClock as clock, recordedLog, TestRedis, until } from './redis-for-tests.ts';
import { connectStore } from './store-connection.ts';
import { isNews, watchMemory, type StoreMemory } from './store-memory.ts';

test('an operator hears of it before the memory of the store is used up, and when there is enough again', async () => {
  const redis = await TestRedis.start();
  const log = recordedLog();
  const store = await connectStore({ url: redis.url, clock, log });
  const told: StoreMemory[] = [];
  let refusals = 1;
  const stop = watchMemory({
    store,
    clock,
    log,
    limits: { lookMs: 10 },
    tell: (memory) => {
      if (refusals-- > 0) return Promise.reject(new Error('not now'));
      told.push(memory);
      return Promise.resolve();
    },
  });
  const isTold = (isScarce: boolean, limitBytes: number) => () =>
    told.at(-1)?.isScarce === isScarce && told.at(-1)?.limitBytes === limitBytes;
  try {
    await until('it tells that there is no limit, after a refusal', isTold(false, 0));
    await redis.ask('CONFIG', 'SET', 'maxmemory', '40mb');
    const limit = 40 * 2 ** 20;
    await until('it tells the limit', isTold(false, limit));
    const fill = 'for at = 1, 1650 do redis.call("HSET", "ballast", at, string.rep("x", 20000)) end';
    await redis.ask('EVAL', fill, '0');
    await until('it is scarce', isTold(true, limit));
    assert.ok(log.lines.some((line) => /^error the store has used [89]\d % of its memory/.test(line)));
    assert.is(await redis.ask('SET', 'late', 'x'), 'OK', 'and it still takes writes');
    await redis.ask('DEL', 'ballast');
    await until('it is ample again', isTold(false, limit));
    const before = told.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.is(told.length, before, 'while nothing changes nothing is told');
  } finally {
    stop();
    store.close();
    await redis.remove();
  }
});

test('a share that has moved by less than five percent is no news', () => {
  const told = { usedBytes: 500, limitBytes: 1_000, isScarce: false };
  assert.ok(isNews(undefined, told));
  assert.not.ok(isNews(told, { ...told, usedBytes: 540 }));
  assert.ok(isNews(told, { ...told, usedBytes: 550 }));
  assert.ok(isNews(told, { ...told, usedBytes: 440 }));
  assert.ok(isNews(told, { ...told, limitBytes: 2_000 }));
  assert.not.ok(isNews({ ...told, limitBytes: 0 }, { ...told, usedBytes: 9_000, limitBytes: 0 }));
});

test.run();
