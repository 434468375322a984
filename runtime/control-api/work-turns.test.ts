/** Turns of clients' work on the event loop, under a clock that only the work moves. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WorkTurns } from './work-turns.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function scene() {
  let nowMs = 0;
  const done: string[] = [];
  const turns = new WorkTurns({ wallMs: () => 0, monotonicMs: () => nowMs, after: () => () => {} }, 10);
  const give = (scope: string, count: number): void => {
    let left = count;
    turns.run(scope, () => {
      nowMs += 4;
      left -= 1;
      done.push(`${scope}${count - left}`);
      return left > 0;
    });
  };
  return { done, give };
}

test('a turn ends when its time is used; the rest is done in later turns', async () => {
  const { done, give } = scene();
  give('a', 7);
  assert.is(done.join(), 'a1,a2,a3');
  await nextTurn();
  assert.is(done.length, 6);
  await nextTurn();
  assert.is(done.length, 7);
  await nextTurn();
  give('a', 1);
  assert.is(done.length, 8, 'in a new turn nothing waits');
});

test('scopes take turns: one that has much to do delays itself', async () => {
  const { done, give } = scene();
  give('a', 100);
  give('b', 2);
  give('c', 1);
  await nextTurn();
  await nextTurn();
  assert.is(done.slice(3).join(), 'a4,b1,c1,a5,b2,a6');
});

test('tasks of one scope are begun in order', async () => {
  const { done, give } = scene();
  give('x', 3);
  for (let number = 1; number <= 4; number += 1) give('a', number);
  while (done.length < 13) await nextTurn();
  assert.equal(
    done.slice(3).filter((each) => each.endsWith('1')),
    ['a1', 'a1', 'a1', 'a1'],
  );
});

test.run();
