/**
 * The shared clock on a real store. A step of the server's clock is made by changing what the store remembers of it at
 * the last tick: to the script that is the same.
 */
// servers: redis valkey
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { processClock, recordedLog, TestRedis } from '../journal/redis-for-tests.ts';
import { connectStore, type Store } from '../journal/store-connection.ts';
import type { StoreLink } from '../journal/store-link.ts';
import { ClusterClock, type Reading } from './cluster-clock.ts';

interface Stage {
  redis: TestRedis;
  store: Store;
  link: StoreLink;
}

const hourMs = 3_600_000;
/** More than ticks on a busy machine take. */
const closeMs = 2_000;

const test = suite<Stage>('cluster-clock');
test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  stage.store = await connectStore({ url: stage.redis.url, clock: processClock, log: recordedLog() });
  stage.link = stage.store.open('membership');
});
test.after.each(async ({ redis, store, link }) => {
  link.close();
  store.close();
  await redis.remove();
});

/** A node whose wall clock is wrong by so much. */
const nodeClock = (wrongByMs: number): ClusterClock =>
  new ClusterClock({ ...processClock, wallMs: () => processClock.wallMs() + wrongByMs });

const near = (one: number, other: number, what: string): void =>
  assert.ok(Math.abs(one - other) < closeMs, `${what}: ${one - other} ms apart`);

/** The server's clock steps by so much before the next tick. */
async function stepServer({ store, link }: Stage, byMs: number): Promise<void> {
  await link.run((redis) => redis.hincrby(store.keys.clock, 'serverUs', -byMs * 1000));
}

test('nodes whose wall clocks are hours apart share one clock, from the first tick on', async ({ store, link }) => {
  const clocks = [nodeClock(-hourMs), nodeClock(0), nodeClock(hourMs)];
  for (const clock of clocks) await clock.tick(link, store.keys);
  for (const clock of clocks) {
    near(clock.sharedMs(), processClock.wallMs(), 'from the clock of the server');
    assert.ok(clock.sharedMs() <= clock.sharedAtMostMs());
    assert.ok(clock.sharedAtMostMs() - clock.sharedMs() < closeMs, 'known to within a tick');
  }
});

test('when the server steps back by an hour, the shared clock goes on', async (stage) => {
  const { store, link } = stage;
  const clock = nodeClock(0);
  await clock.tick(link, store.keys);
  const before = clock.sharedMs();
  await stepServer(stage, -hourMs);
  for (let beat = 0; beat < 3; beat += 1) await clock.tick(link, store.keys);
  near(clock.sharedMs(), before, 'after the step');
  assert.ok(clock.sharedMs() >= before - 5);
  const newcomer = nodeClock(hourMs);
  await newcomer.tick(link, store.keys);
  near(newcomer.sharedMs(), before, 'a newcomer');
});

test('when the server steps forward by an hour, the node that sees it takes it back', async (stage) => {
  const { store, link } = stage;
  const [one, other] = [nodeClock(0), nodeClock(-hourMs)];
  for (const clock of [one, other]) await clock.tick(link, store.keys);
  const before = one.sharedMs();
  await stepServer(stage, hourMs);
  for (const clock of [other, one, nodeClock(0)]) {
    await clock.tick(link, store.keys);
    near(clock.sharedMs(), before, 'after the step');
  }
});

test('time without any node counts', async (stage) => {
  const { store, link } = stage;
  const last = nodeClock(0);
  await last.tick(link, store.keys);
  const before = last.sharedMs();
  await stepServer(stage, hourMs);
  const first = nodeClock(0);
  await first.tick(link, store.keys);
  near(first.sharedMs(), before + hourMs, 'after the pause');
});

test('what is taken back is taken back once, however often the call is sent', async (stage) => {
  const { store, link } = stage;
  const clock = nodeClock(0);
  await clock.tick(link, store.keys);
  const before = clock.sharedMs();
  await stepServer(stage, hourMs);
  // The link sends each call twice, as after a lost reply.
  const twice: StoreLink = Object.create(link, {
    run: {
      value: async (ask: Parameters<StoreLink['run']>[0]) => {
        await link.run(ask);
        return link.run(ask);
      },
    },
  });
  await clock.tick(twice, store.keys);
  await clock.tick(link, store.keys);
  near(clock.sharedMs(), before, 'after the step');
});

const reading = (sharedMs: number, askedMs: number, answeredMs = askedMs): Reading => ({
  sharedMs,
  askedMs,
  answeredMs,
  passedMs: 0,
});

/** A clock whose monotonic time stands still at 1,000. */
const stoppedClock = (): ClusterClock =>
  new ClusterClock({ wallMs: () => 0, monotonicMs: () => 1_000, after: () => () => undefined });

test('a slow tick says less than a quick one, and does not move what is known better', () => {
  const clock = stoppedClock();
  clock.learn(reading(50_000, 400, 1_000));
  assert.equal([clock.sharedMs(), clock.sharedAtMostMs()], [50_000, 50_600]);
  clock.learn(reading(50_010, 990, 1_000));
  assert.equal([clock.sharedMs(), clock.sharedAtMostMs()], [50_010, 50_020]);
  clock.learn(reading(49_700, 400, 1_000));
  assert.equal([clock.sharedMs(), clock.sharedAtMostMs()], [50_010, 50_020]);
});

test('without ticks what is known of the clock widens by the drift that a computer may have', () => {
  let monotonicMs = 1_000;
  const clock = new ClusterClock({ ...processClock, monotonicMs: () => monotonicMs });
  clock.learn({ sharedMs: 50_000, passedMs: 0, askedMs: 1_000, answeredMs: 1_000 });
  assert.equal([clock.sharedMs(), clock.sharedAtMostMs()], [50_000, 50_000]);
  monotonicMs += 10_000;
  // A node whose clock runs 0.5 % too fast must not fire a timer early, nor one that runs too slowly store a time too
  // soon.
  assert.equal([clock.sharedMs(), clock.sharedAtMostMs()], [59_950, 60_050]);
  clock.learn({ sharedMs: 59_990, passedMs: 9_990, askedMs: monotonicMs, answeredMs: monotonicMs });
  assert.equal([clock.sharedMs(), clock.sharedAtMostMs()], [59_990, 59_990]);
});

test('a reading that is too far ahead is believed when it comes again and again; one that is behind at once', () => {
  const clock = stoppedClock();
  clock.learn(reading(50_000, 1_000));
  for (let beat = 0; beat < 4; beat += 1) {
    clock.learn(reading(90_000, 1_000));
    assert.is(clock.sharedMs(), 50_000);
  }
  clock.learn(reading(90_000, 1_000));
  assert.is(clock.sharedMs(), 90_000, 'this node was suspended');
  clock.learn(reading(40_000, 1_000));
  assert.is(clock.sharedMs(), 40_000, 'the store was rolled back');
});

test.run();
