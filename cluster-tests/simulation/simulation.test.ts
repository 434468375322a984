// time limit: 400 s
// test limit: 380 s
/**
 * The short run of the simulation: 50 seeds of one minute, 10 of them run twice with equal traces. A failed seed prints
 * the command that replays it; `npm run simulate -- --seeds N` runs more seeds and longer ones.
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
  if (result.violations.length > 0) console.error(result.eventLog.slice(-60).join('\n'));
  assert.equal(result.violations, [], `replay: npm run simulate -- --seed ${seed} --minutes ${minutes}`);
  return result;
}

test(`${seeds} seeds of ${minutes} simulated minute keep the promises; runs of one seed are equal`, async () => {
  const tally = new SeedTally(seeds);
  for (let seed = 1; seed <= seeds; seed += 1) {
    const first = await soundRun(String(seed));
    tally.add(first);
    if (seed % everyTwice !== 0) continue;
    const second = await soundRun(String(seed));
    tally.add(second);
    assert.is(second.hash, first.hash, `two runs of seed ${seed} differ`);
  }
  console.log(tally.summary());
});

test.run();
