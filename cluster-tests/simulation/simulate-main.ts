/**
 * `npm run simulate -- [--scenario runtime|cloud] [--seeds N] [--from F] [--seed S] [--minutes M] [--twice] [--beyond]
 * [--jobs J] [--first] [--log]`: runs N seeds from F (1), or S alone, in J processes (one for each core), and prints
 * its progress. A seed that breaks a promise is printed with its options and last events and, at the end, with the
 * command that replays it; `--first` ends at the first such seed.
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
    /** The first seed. */
    from: { type: 'string', default: '1' },
    /** Runs this seed alone. */
    seed: { type: 'string' },
    /** `runtime` (small test kinds) or `cloud` (all charts and actors of the product). */
    scenario: { type: 'string', default: 'runtime' },
    minutes: { type: 'string', default: '10' },
    /** Runs every seed twice and compares the traces. */
    twice: { type: 'boolean', default: false },
    /** Arms power cuts that lose acknowledged commits; checkers then demand only what still holds. */
    beyond: { type: 'boolean', default: false },
    /** Number of processes; with 1 everything runs in this process. */
    jobs: { type: 'string', default: String(availableParallelism()) },
    /** Ends at the first seed that breaks a promise. */
    first: { type: 'boolean', default: false },
    /** Prints the event log of every seed. */
    log: { type: 'boolean', default: false },
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
/** Seed -> its lines at the end of the output. */
const failed = new Map<number, string>();

function broken(task: SeedTask, { violations, eventLog, options, hash }: RunResult): string | undefined {
  const { seed } = task;
  const earlier = hashes.get(seed);
  hashes.set(seed, hash);
  if (violations.length > 0) {
    const events = values.log ? '' : eventLog.slice(-200).join('\n');
    console.log(`\n${events}\n\noptions ${JSON.stringify(options, null, 1)}`);
    return `seed ${seed} broke:\n  ${violations.join('\n  ')}\nreplay: ${replayOf(task)}`;
  }
  if (earlier === undefined || earlier === hash) return undefined;
  return `seed ${seed} is not deterministic: ${earlier}, then ${hash}\nreplay: ${replayOf(task)} --twice`;
}

await runTasks(runs, values.seed === undefined || values.twice ? Number(values.jobs) : 1, (task, result) => {
  tally.add(result);
  if (values.log) console.log(result.eventLog.join('\n'));
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
