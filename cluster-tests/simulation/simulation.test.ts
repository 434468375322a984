// time limit: 400 s
// test limit: 380 s
/**
 * The short run of the simulation: 50 seeds, 10 of them twice with equal traces. The long counts are
 * `npm run simulate -- --seeds N`; a seed that fails here is replayed by the command it prints.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runtimeScenario } from './runtime-scenario.ts';
import { expandSeed } from './seed-options.ts';
import { SeedTally } from './seed-tally.ts';
import { runSeed, type RunResult } from './simulation-run.ts';

const seeds = 50;
const everyTwice = 5;
const minutes = 1;

async function soundRun(seed: string): Promise<RunResult> {
  const result = await runSeed(expandSeed(seed, minutes), runtimeScenario);
  if (result.violations.length > 0) console.error(result.story.slice(-60).join('\n'));
  assert.equal(result.violations, [], `replay: npm run simulate -- --seed ${seed} --minutes ${minutes}`);
  return result;
}

test(`${seeds} seeds of ${minutes} simulated minute keep the promises, and a seed is the same run twice`, async () => {
  const tally = new SeedTally(seeds);
  for (let seed = 1; seed <= seeds; seed += 1) {
    const first = await soundRun(String(seed));
    tally.add(first);
    if (seed % everyTwice !== 0) continue;
    const second = await soundRun(String(seed));
    tally.add(second);
    assert.is(second.hash, first.hash, `seed ${seed} is not the same run twice`);
  }
  console.log(tally.summary());
});

test.run();
