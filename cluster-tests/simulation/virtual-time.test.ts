import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { VirtualTime, type EventOwner } from './virtual-time.ts';

test('events that a paused process missed happen in order when it resumes, and can still be cancelled', async () => {
  const time = new VirtualTime({ onEvent: () => {} });
  const owner: EventOwner = { label: 'n1.1', alive: true, paused: true };
  const happened: string[] = [];
  time.after(10, owner, 'first', () => {
    happened.push(`first at ${time.nowMs}`);
    cancelTimer();
  });
  const cancelTimer = time.after(20, owner, 'timer', () => happened.push('timer'));
  time.after(30, owner, 'last', () => happened.push(`last at ${time.nowMs}`));
  await time.run(100, () => false);
  assert.equal(happened, []);
  time.resume(owner);
  await time.run(200, () => false);
  assert.equal(happened, ['first at 100', 'last at 100']);
});

test.run();
