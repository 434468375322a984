/** The delay of the event loop under a clock that the test moves. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startLoopDelay, type LoopDelay } from './loop-delay.ts';

interface Scene {
  readonly delay: LoopDelay;
  /** The loop runs, or is blocked, for so long. */
  readonly runs: (ms: number) => void;
  readonly blocks: (ms: number) => void;
}

function scene(): Scene {
  let nowMs = 0;
  let timer: { readonly dueMs: number; readonly task: () => void } | undefined;
  const delay = startLoopDelay({
    nowMs: () => nowMs,
    after: (delayMs, task) => {
      timer = { dueMs: nowMs + delayMs, task };
      return () => (timer = undefined);
    },
  });
  const fire = (): void => {
    const due = timer;
    timer = undefined;
    due?.task();
  };
  return {
    delay,
    runs(ms) {
      const endMs = nowMs + ms;
      while (timer !== undefined && timer.dueMs <= endMs) {
        nowMs = timer.dueMs;
        fire();
      }
      nowMs = endMs;
    },
    blocks(ms) {
      nowMs += ms;
      fire();
    },
  };
}

test('a delay lasts when it comes again and again, and is over a second after the last one', () => {
  const { delay, runs, blocks } = scene();
  runs(2_000);
  assert.is(delay.lastingMs(), 0);
  for (let round = 0; round < 4; round += 1) blocks(420);
  assert.is(delay.lastingMs(), 400);
  runs(2_000);
  assert.is(delay.lastingMs(), 0);
  delay.stop();
});

test('a timer that is late is set again sooner', () => {
  const { delay, runs, blocks } = scene();
  runs(1_000);
  blocks(100);
  blocks(100);
  assert.is(delay.summary().maxMs, 80);
  runs(1_020);
  blocks(150);
  assert.is(delay.summary().maxMs, 100);
  delay.stop();
});

test('one long pause is no delay that lasts, but it is in the summary', () => {
  const { delay, runs, blocks } = scene();
  runs(1_000);
  blocks(3_050);
  assert.is(delay.lastingMs(), 0);
  runs(1_000);
  assert.is(delay.lastingMs(), 0);
  assert.equal(delay.summary(), { p50Ms: 0, p99Ms: 0, maxMs: 3_000 });
  runs(30_000);
  assert.equal(delay.summary().maxMs, 0);
  delay.stop();
});

test.run();
