/** Followers of feeds share their looks; a stand-in for the store answers a look when the test says so. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { FeedPlace } from './feed-cursor.ts';
import { FeedHeads } from './feed-heads.ts';
import { processClock as clock, until } from './redis-for-tests.ts';

function staged() {
  const looks: PromiseWithResolvers<FeedPlace>[] = [];
  const look = (): Promise<FeedPlace> => {
    const begun = Promise.withResolvers<FeedPlace>();
    looks.push(begun);
    return begun.promise;
  };
  const heads = new FeedHeads({ look, clock });
  const follow = () => {
    const control = new AbortController();
    const eras: number[] = [];
    const ended = (async () => {
      for await (const { era } of heads.places(control.signal)) eras.push(era);
    })();
    ended.catch(() => undefined); // awaited by the test that wants to know
    return { eras, ended, stop: () => control.abort() };
  };
  const answer = async (count: number): Promise<void> => {
    await until(`look ${count} has begun`, () => looks.length === count);
    looks[count - 1]?.resolve({ era: count, positions: new Map() });
  };
  return { looks, follow, answer };
}

test('a follower is told of looks that began after it came; all share them; they end with the last', async () => {
  const { looks, follow, answer } = staged();
  const first = follow();
  await until('a look has begun', () => looks.length === 1);
  const second = follow();
  await answer(1);
  await until('the first hears of it', () => first.eras.length === 1);
  await answer(2);
  await until('both hear of the next', () => second.eras.length === 1 && first.eras.length === 2);
  assert.equal([first.eras, second.eras], [[1, 2], [2]]);
  first.stop();
  second.stop();
  await Promise.all([first.ended, second.ended]);
  const later = follow();
  await answer(3);
  await until('who comes later hears of a new look', () => later.eras[0] === 3);
  later.stop();
  await later.ended;
});

test('a look that fails is told to everybody, and the next follower begins anew', async () => {
  const { looks, follow, answer } = staged();
  const first = follow();
  await until('a look has begun', () => looks.length === 1);
  const second = follow();
  looks[0]?.reject(new Error('closed'));
  for (const { ended } of [first, second]) await assertRejected(ended);
  const third = follow();
  await answer(2);
  await until('it is told', () => third.eras.length === 1);
  third.stop();
  await third.ended;
});

async function assertRejected(ended: Promise<void>): Promise<void> {
  assert.match(
    String(
      await ended.then(
        () => 'no error',
        (error: unknown) => error,
      ),
    ),
    /closed/,
  );
}

test.run();
