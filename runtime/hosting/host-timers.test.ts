import { test } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { SharedClock } from '../contract/clock.ts';
import { MemoryJournal } from './memory-journal.ts';
import { oven, registryOf } from './kinds-for-tests.ts';
import { ask, commandOf, ownerOn, until } from './host-for-tests.ts';
import { systemClock } from './system-clock.ts';
import { TimerQueue } from './timer-queue.ts';

const o = 'oven/t/o' as ActorId;
const registry = registryOf(oven(() => new Promise(() => {})));
const state = (journal: MemoryJournal): unknown => journal.actors.get(o)?.actor.state;

test('a timer is a row of the commit, fires once and never early', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  void host.command(commandOf(o, { type: 'oven.bake', patienceMs: 40 }));
  await until('the timer is stored', () => journal.actors.get(o)?.actor.timers.length === 1);
  const dueMs = journal.actors.get(o)?.actor.timers[0]?.dueMs ?? 0;
  await until('burnt', () => state(journal) === 'burnt');
  const fired = journal.history.get(o)?.filter(({ cause }) => cause.startsWith('timer:')) ?? [];
  assert.is(fired.length, 1);
  assert.ok((fired[0]?.at ?? 0) >= dueMs, 'never early');
  assert.equal(journal.commits.at(-1)?.timersCancelled, ['xstate.after.patience.(machine).baking']);
  await host.drain();
});

test('leaving the state cancels the timer in the same commit', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  void host.command(commandOf(o, { type: 'oven.bake', patienceMs: 30 }));
  await until('baking', () => state(journal) === 'baking');
  await ask(host, o, { type: 'oven.stop' });
  assert.equal(journal.actors.get(o)?.actor.timers, []);
  assert.is(host.figures().timers, 0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.is(state(journal), 'cold');
  await host.drain();
});

test('timers survive a restart, and one that is late fires at once', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  void host.command(commandOf(o, { type: 'oven.bake', patienceMs: 50 }));
  await until('baking', () => state(journal) === 'baking');
  await host.drain();
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.is(state(journal), 'baking');
  const next = await ownerOn(journal, { registry });
  await until('burnt', () => state(journal) === 'burnt', 500);
  assert.is(journal.history.get(o)?.filter(({ cause }) => cause.startsWith('timer:')).length, 1);
  await next.drain();
});

const hourMs = 3_600_000;

test('a wall clock that steps by an hour, either way, neither delays a timer nor lets it fire early', async () => {
  for (const stepMs of [-hourMs, hourMs]) {
    const journal = new MemoryJournal();
    let steppedMs = 0;
    const clock = { ...systemClock, wallMs: () => systemClock.wallMs() + steppedMs };
    const host = await ownerOn(journal, { registry, clock });
    const startMs = performance.now();
    void host.command(commandOf(o, { type: 'oven.bake', patienceMs: 60 }));
    await until('baking', () => state(journal) === 'baking');
    steppedMs = stepMs;
    await until('burnt', () => state(journal) === 'burnt', 2_000);
    assert.ok(performance.now() - startMs >= 60, 'early');
    await host.drain();
  }
});

test('owners whose wall clocks differ by an hour fire the timers of the other when they are due', async () => {
  for (const aheadMs of [-hourMs, hourMs]) {
    const journal = new MemoryJournal();
    const first = await ownerOn(journal, { registry });
    const startMs = performance.now();
    void first.command(commandOf(o, { type: 'oven.bake', patienceMs: 80 }));
    await until('baking', () => state(journal) === 'baking');
    const clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs };
    const next = await ownerOn(journal, { registry, clock, node: 'n2' });
    await until('burnt', () => state(journal) === 'burnt', 2_000);
    assert.ok(performance.now() - startMs >= 80, 'early');
    const { at } = journal.history.get(o)?.at(-1) ?? { at: 0 };
    assert.ok(Math.abs(at - systemClock.sharedMs()) < 2_000, 'the history is on the shared clock');
    await first.drain();
    await next.drain();
  }
});

/** Time that passes only when told; alarms ring as it passes them. */
class HandClock implements SharedClock {
  nowMs = 1000;
  private alarms: { atMs: number; task: () => void }[] = [];
  wallMs = (): number => this.nowMs;
  monotonicMs = (): number => this.nowMs;
  sharedMs = (): number => this.nowMs;
  sharedAtMostMs = (): number => this.nowMs;
  after(delayMs: number, task: () => void): () => void {
    const alarm = { atMs: this.nowMs + delayMs, task };
    this.alarms.push(alarm);
    return () => (this.alarms = this.alarms.filter((other) => other !== alarm));
  }
  get pending(): number {
    return this.alarms.length;
  }
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = this.alarms.filter(({ atMs }) => atMs <= endMs).sort((one, other) => one.atMs - other.atMs)[0];
      if (next === undefined) break;
      this.alarms = this.alarms.filter((other) => other !== next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.task();
    }
    this.nowMs = endMs;
  }
}

const change = fc.record({
  actor: fc.constantFrom('a', 'b', 'c'),
  timerId: fc.constantFrom('x', 'y'),
  delayMs: fc.option(fc.integer({ min: 0, max: 3000 })),
  passMs: fc.integer({ min: 0, max: 700 }),
});

test('the queue fires exactly what a plain list would, when it is due', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const clock = new HandClock();
      const fired: string[] = [];
      const expected: string[] = [];
      const queue = new TimerQueue(clock, (_, { actor, timerId, dueMs }) => {
        assert.ok(clock.nowMs >= dueMs && clock.nowMs - dueMs < 1, `${dueMs} fired at ${clock.nowMs}`);
        fired.push(`${dueMs} ${actor} ${timerId}`);
      });
      let model: { name: string; dueMs: number }[] = [];
      const elapse = (ms: number): void => {
        clock.pass(ms);
        expected.push(
          ...model.filter(({ dueMs }) => dueMs <= clock.nowMs).map(({ name, dueMs }) => `${dueMs} ${name}`),
        );
        model = model.filter(({ dueMs }) => dueMs > clock.nowMs);
        assert.is(queue.size, model.length);
      };
      for (const { actor, timerId, delayMs, passMs } of changes) {
        const name = `${actor} ${timerId}`;
        model = model.filter((entry) => entry.name !== name);
        if (delayMs === null) queue.cancel(actor as ActorId, timerId);
        else {
          const dueMs = clock.nowMs + delayMs;
          queue.set('s1' as ShardId, actor as ActorId, { timerId, dueMs, eventType: 'due' });
          model.push({ name, dueMs });
        }
        elapse(passMs);
      }
      elapse(10_000);
      assert.equal(fired.toSorted(), expected.toSorted());
      assert.is(clock.pending, 0, 'no alarm is left without timers');
    }),
    { numRuns: 300 },
  );
});

test('what is left of a timer is waited for on the monotonic clock, whatever other clocks do meanwhile', () => {
  const clock = new HandClock();
  const fired: number[] = [];
  const queue = new TimerQueue(clock, (_, { dueMs }) => fired.push(dueMs));
  clock.sharedMs = () => 100_000;
  queue.set('s1' as ShardId, o, { timerId: 't', dueMs: 101_000, eventType: 'due' });
  clock.wallMs = () => 0;
  clock.sharedMs = () => 5_000_000;
  clock.pass(999);
  assert.equal(fired, []);
  clock.sharedMs = () => 0;
  clock.pass(1);
  assert.equal(fired, [101_000]);
});

test('cancelled entries do not pile up', () => {
  const clock = new HandClock();
  const queue = new TimerQueue(clock, () => {});
  for (let count = 0; count < 50_000; count += 1) {
    queue.set('s1' as ShardId, o, { timerId: 't', dueMs: 1_000_000 + count, eventType: 'due' });
  }
  assert.is(queue.size, 1);
  assert.ok((queue as unknown as { heap: unknown[] }).heap.length < 10_000);
  queue.dropShard('s1' as ShardId);
  assert.is(queue.size, 0);
});

test('timers fire when they are due after thousands of others were cancelled', () => {
  const clock = new HandClock();
  const fired: number[] = [];
  const queue = new TimerQueue(clock, (_, { dueMs }) => fired.push(dueMs - 1000));
  const timer = (timerId: string, delayMs: number) => ({ timerId, dueMs: clock.nowMs + delayMs, eventType: 'due' });
  for (const delayMs of [300, 100, 200]) queue.set('s1' as ShardId, o, timer(`kept ${delayMs}`, delayMs));
  for (let count = 0; count < 5_000; count += 1) queue.set('s1' as ShardId, o, timer('replaced', 900_000));
  queue.cancel(o, 'replaced');
  clock.pass(150);
  assert.equal(fired, [100]);
  clock.pass(200);
  assert.equal(fired, [100, 200, 300]);
});

test.run();
