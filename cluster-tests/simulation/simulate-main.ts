/**
 * `npm run simulate -- [--scenario runtime|cloud] [--seeds N] [--from F] [--seed S] [--minutes M] [--twice] [--beyond]
 * [--story]`: runs N seeds from F (1), or S alone, one after the other and says how it goes. A seed that breaks a rule
 * ends the run with its options, its last events and the command that replays it.
 */
import { parseArgs } from 'node:util';
import { cloudScenario } from './cloud/cloud-scenario.ts';
import { runtimeScenario } from './runtime-scenario.ts';
import { expandSeed } from './seed-options.ts';
import { SeedTally } from './seed-tally.ts';
import { runSeed } from './simulation-run.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    /** The first of them. */
    from: { type: 'string', default: '1' },
    /** This one alone. */
    seed: { type: 'string' },
    /** Small kinds alone, or the whole cloud. */
    scenario: { type: 'string', default: 'runtime' },
    minutes: { type: 'string', default: '10' },
    /** Every seed twice; the traces must be equal. */
    twice: { type: 'boolean', default: false },
    /** Power cuts that lose acknowledged commits; only what then still holds is demanded. */
    beyond: { type: 'boolean', default: false },
    /** The whole kept story of a single seed. */
    story: { type: 'boolean', default: false },
  },
});

const minutes = Number(values.minutes);
const scenario = values.scenario === 'cloud' ? cloudScenario : runtimeScenario;
const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const tally = new SeedTally(count);

for (let seed = first; seed < first + count; seed += 1) {
  const options = expandSeed(String(seed), minutes, values.beyond);
  const result = await runSeed(options, scenario);
  tally.add(result);
  if (values.story) console.log(result.story.join('\n'));
  if (result.violations.length > 0) {
    console.log(
      `\n${values.story ? '' : result.story.slice(-200).join('\n')}\n\noptions ${JSON.stringify(options, null, 1)}`,
    );
    console.log(`seed ${seed} broke:\n  ${result.violations.join('\n  ')}`);
    console.log(
      `replay: npm run simulate -- --scenario ${values.scenario} --seed ${seed} --minutes ${minutes}` +
        (values.beyond ? ' --beyond' : ''),
    );
    process.exitCode = 1;
    break;
  }
  if (!values.twice) continue;
  const again = await runSeed(options, scenario);
  tally.add(again);
  if (again.hash !== result.hash) {
    console.log(`seed ${seed} is not deterministic: ${result.hash}, then ${again.hash}`);
    process.exitCode = 1;
    break;
  }
}
console.log(tally.summary());
