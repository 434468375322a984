/** Followers of feeds share their polls. A stand-in for the store answers each poll when the test lets it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { FeedPlace } from './feed-cursor.ts';
import { FeedHeads } from './feed-heads.ts';
import { processClock as clock, until } from './redis-for-tests.ts';

function staged() {
  const polls: PromiseWithResolvers<FeedPlace>[] = [];
  const poll = (): Promise<FeedPlace> => {
    const begun = Promise.withResolvers<FeedPlace>();
    polls.push(begun);
    return begun.promise;
  };
  const heads = new FeedHeads({ poll, clock });
  const follow = () => {
    const control = new AbortController();
    const eras: number[] = [];
    const ended = (async () => {
      for await (const { era } of heads.places(control.signal)) eras.push(era);
    })();
    ended.catch(() => undefined); // awaited by the test
    return { eras, ended, stop: () => control.abort() };
  };
  const answer = async (count: number): Promise<void> => {
    await until(`poll ${count} has begun`, () => polls.length === count);
    polls[count - 1]?.resolve({ era: count, positions: new Map() });
  };
  return { polls, follow, answer };
}

test('a follower gets polls that began after it joined; all share them; polling ends with the last', async () => {
  const { polls, follow, answer } = staged();
  const first = follow();
  await until('a poll has begun', () => polls.length === 1);
  const second = follow();
  await answer(1);
  await until('the first gets it', () => first.eras.length === 1);
  await answer(2);
  await until('both get the next', () => second.eras.length === 1 && first.eras.length === 2);
  assert.equal([first.eras, second.eras], [[1, 2], [2]]);
  first.stop();
  second.stop();
  await Promise.all([first.ended, second.ended]);
  const later = follow();
  await answer(3);
  await until('a later follower gets a new poll', () => later.eras[0] === 3);
  later.stop();
  await later.ended;
});

test('a poll that fails rejects every follower, and the next follower starts polling again', async () => {
  const { polls, follow, answer } = staged();
  const first = follow();
  await until('a poll has begun', () => polls.length === 1);
  const second = follow();
  polls[0]?.reject(new Error('closed'));
  for (const { ended } of [first, second]) await assertRejected(ended);
  const third = follow();
  await answer(2);
  await until('it gets the poll', () => third.eras.length === 1);
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
