import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ServerClock } from './server-clock.ts';

/** How far the clock is ahead of the viewer's, in s. */
const aheadS = (clock: ServerClock): number => Math.round((clock.now() - Date.now()) / 1000);

test('a clock that is off by hours is corrected, and a slow answer does not spoil it', () => {
  const clock = new ServerClock();
  assert.is(aheadS(clock), 0);
  clock.learn(10_000, 10_000 - 7_200_000, 10_000);
  assert.is(aheadS(clock), -7_200);
  clock.learn(20_000, 28_000 - 7_200_000, 30_000);
  assert.is(aheadS(clock), -7_200, 'within what a slow answer allows');
});

test('the viewer who sets the clock right sees right ages again', () => {
  const clock = new ServerClock();
  clock.learn(0, 600_000, 0);
  assert.is(aheadS(clock), 600);
  clock.learn(700_000, 700_010, 700_020);
  assert.is(aheadS(clock), 0);
});

test.run();
