// test limit: 80 s
/** Runs in worker processes equal those in this process; each is reported once, none after the caller has enough. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runTasks } from './seed-crew.ts';
import type { SeedTask } from './seed-task.ts';

const taskOf = (seed: number): SeedTask => ({ scenario: 'runtime', seed, minutes: 0.2, beyond: false });
const tasks = [1, 2, 3, 4].map(taskOf);

async function hashesWith(jobs: number): Promise<ReadonlyMap<number, string>> {
  const hashes = new Map<number, string>();
  await runTasks(tasks, jobs, ({ seed }, { hash, violations }) => {
    assert.equal(violations, []);
    assert.not(hashes.has(seed));
    hashes.set(seed, hash);
    return true;
  });
  return hashes;
}

test('a run does not depend on its process or on the runs before it', async () => {
  const here = await hashesWith(1);
  assert.is(here.size, tasks.length);
  const elsewhere = await hashesWith(2);
  for (const [seed, hash] of here) assert.is(elsewhere.get(seed), hash, `seed ${seed}`);
});

test('no run is reported after the caller has enough', async () => {
  for (const jobs of [1, 2]) {
    let reported = 0;
    await runTasks(tasks, jobs, () => {
      reported += 1;
      return false;
    });
    assert.is(reported, 1, `${jobs} jobs`);
  }
});

test('a run that throws is reported as broken, and the other runs go on', async () => {
  const broken: string[] = [];
  // A run without a scenario throws.
  const deadly = { ...taskOf(9), scenario: undefined as never };
  await runTasks([deadly, ...tasks], 2, (_, { violations }) => {
    broken.push(...violations);
    return true;
  });
  assert.is(broken.length, 1);
});

test.run();
