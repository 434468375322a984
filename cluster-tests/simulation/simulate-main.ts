/**
 * `npm run simulate -- [--scenario runtime|cloud] [--seeds N] [--from F] [--seed S] [--minutes M] [--twice] [--beyond]
 * [--jobs J] [--first] [--story]`: runs N seeds from F (1), or S alone, in J processes (one for each core), and says
 * how it goes. Seeds that break a rule are told with their options, their last events and, at the end, the commands
 * that replay them; `--first` ends with the first of them.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { runTasks } from './seed-crew.ts';
import { isScenario, replayOf, type SeedTask } from './seed-task.ts';
import { SeedTally } from './seed-tally.ts';
import type { RunResult } from './simulation-run.ts';

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
    /** Processes at once; one means this one. */
    jobs: { type: 'string', default: String(availableParallelism()) },
    /** Ends at the first seed that breaks a rule. */
    first: { type: 'boolean', default: false },
    /** The whole kept story of every seed. */
    story: { type: 'boolean', default: false },
  },
});

const { scenario, beyond } = values;
if (!isScenario(scenario)) throw new Error(`there is no scenario ${scenario}; there are runtime and cloud`);
const minutes = Number(values.minutes);
const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const tasks = Array.from({ length: count }, (_, at): SeedTask => ({ scenario, seed: first + at, minutes, beyond }));
const runs = values.twice ? tasks.flatMap((task) => [task, task]) : tasks;
const tally = new SeedTally(runs.length);
const hashes = new Map<number, string>();
/** Seed -> what the end of the output says of it. */
const failed = new Map<number, string>();

function broken(task: SeedTask, { violations, story, options, hash }: RunResult): string | undefined {
  const { seed } = task;
  const earlier = hashes.get(seed);
  hashes.set(seed, hash);
  if (violations.length > 0) {
    const events = values.story ? '' : story.slice(-200).join('\n');
    console.log(`\n${events}\n\noptions ${JSON.stringify(options, null, 1)}`);
    return `seed ${seed} broke:\n  ${violations.join('\n  ')}\nreplay: ${replayOf(task)}`;
  }
  if (earlier === undefined || earlier === hash) return undefined;
  return `seed ${seed} is not deterministic: ${earlier}, then ${hash}\nreplay: ${replayOf(task)} --twice`;
}

await runTasks(runs, values.seed === undefined || values.twice ? Number(values.jobs) : 1, (task, result) => {
  tally.add(result);
  if (values.story) console.log(result.story.join('\n'));
  const what = broken(task, result);
  if (what === undefined) return true;
  failed.set(task.seed, what);
  console.log(what);
  return !values.first;
});

console.log(tally.summary());
if (failed.size > 0) {
  const texts = [...failed].toSorted(([one], [other]) => one - other).map(([, text]) => text);
  console.log(`\n${failed.size} of ${count} seeds failed\n${texts.join('\n')}`);
  process.exitCode = 1;
}
