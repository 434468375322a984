// time limit: 180 s
// test limit: 80 s
/** Runs of seeds in processes: the same runs as here, each told once, and nothing is told when it was enough. */
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

test('a run is the same in whichever process and after whichever others', async () => {
  const here = await hashesWith(1);
  assert.is(here.size, tasks.length);
  const elsewhere = await hashesWith(2);
  for (const [seed, hash] of here) assert.is(elsewhere.get(seed), hash, `seed ${seed}`);
});

test('nothing is told after it was enough', async () => {
  for (const jobs of [1, 2]) {
    let told = 0;
    await runTasks(tasks, jobs, () => {
      told += 1;
      return false;
    });
    assert.is(told, 1, `${jobs} jobs`);
  }
});

test('a run that throws is told as broken, and the others are run', async () => {
  const broken: string[] = [];
  // Nobody knows this scenario.
  const deadly = { ...taskOf(9), scenario: undefined as never };
  await runTasks([deadly, ...tasks], 2, (_, { violations }) => {
    broken.push(...violations);
    return true;
  });
  assert.is(broken.length, 1);
});

test.run();
