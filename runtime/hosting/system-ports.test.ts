import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clientClock } from '../client/client-clock.ts';
import { systemClock } from './system-clock.ts';
import { createSystemRandom } from './system-random.ts';

test('a task runs once after its delay, and not when it is cancelled', async () => {
  const ran: string[] = [];
  const startMs = systemClock.monotonicMs();
  const cancel = systemClock.after(5, () => ran.push('cancelled'));
  await new Promise<void>((resolve) => {
    systemClock.after(20, () => {
      ran.push('due');
      resolve();
    });
    cancel();
  });
  assert.equal(ran, ['due']);
  assert.ok(systemClock.monotonicMs() - startMs >= 19);
});

test('a delay of months does not fire at once, on the clocks of nodes and of clients', async () => {
  let fired = false;
  const cancels = [systemClock, clientClock].map((clock) => clock.after(90 * 24 * 3_600_000, () => (fired = true)));
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const cancel of cancels) cancel();
  assert.not(fired);
});

test('ulids are unique, sort by birth within a millisecond, and carry their time', () => {
  const random = createSystemRandom();
  const minted = Array.from({ length: 5000 }, (_, index) => random.ulid(1_700_000_000_000 + Math.floor(index / 1000)));
  assert.is(new Set(minted).size, 5000);
  assert.equal(minted.toSorted(), minted);
  assert.ok(minted.every((ulid) => /^01HF7YAT[0-9A-HJKMNP-TV-Z]{18}$/.test(ulid)));
});

test('fractions fill [0, 1)', () => {
  const { fraction } = createSystemRandom();
  const drawn = Array.from({ length: 4000 }, fraction);
  assert.ok(drawn.every((value) => value >= 0 && value < 1));
  const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
  assert.ok(mean > 0.45 && mean < 0.55, `mean ${mean}`);
});

test.run();
