/**
 * `npm run mutants [-- [--jobs J] <text>...]`: applies every mutant (or those whose name contains a text) to a copy of
 * the sources, and runs the simulation there until a seed catches it, or the test that the mutant names, for J mutants
 * at a time (one for each core). Prints what caught it, and after how long. A mutant that is not caught, or no longer
 * matches the code, is a failure: a hole in the tests.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runProcess } from '../harness/test-process.ts';
import { copyWith } from './mutant-copy.ts';
import { cloudMutants } from './cloud-mutant-list.ts';
import { mutants, type Mutant } from './mutant-list.ts';
import { promiseMutants } from './promise-mutant-list.ts';
import { testedMutants } from './tested-mutant-list.ts';

const patienceMs = 10 * 60_000;
// One process for each mutant, so that it can be ended and the next one takes its core.
const seedArguments = ['--seeds', '300', '--minutes', '2', '--first', '--jobs', '1'];

const top = join(import.meta.dirname, '..', '..');
const { values, positionals: texts } = parseArgs({
  options: { jobs: { type: 'string', default: String(availableParallelism()) } },
  allowPositionals: true,
});
const all = [...mutants, ...promiseMutants, ...cloudMutants, ...testedMutants];
const chosen = all.filter(({ name }) => texts.length === 0 || texts.some((text) => name.includes(text)));

interface Verdict {
  readonly caught: boolean;
  readonly line: string;
}

/** @returns which seed and checker caught it */
async function simulate(folder: string, scenario: string): Promise<Verdict> {
  const entry = join(folder, 'cluster-tests/simulation/simulate-main.ts');
  const argv = [entry, '--scenario', scenario, ...seedArguments];
  const { output } = await runProcess(process.execPath, argv, { cwd: folder, limitMs: patienceMs });
  const broke = /^seed (\d+) broke:\n +([^\n]*)/m.exec(output);
  if (broke !== null) return { caught: true, line: `seed ${broke[1]}: ${(broke[2] ?? '').slice(0, 110)}` };
  return { caught: false, line: output.slice(-1_500) };
}

/** A test that fails before its first case has run, as one that cannot be loaded, catches nothing. */
async function runTest(folder: string, test: string): Promise<Verdict> {
  const argv = [join(folder, test)];
  const { output, code } = await runProcess(process.execPath, argv, { cwd: folder, limitMs: patienceMs });
  const failed = /^ *FAIL +(.*)$/m.exec(output);
  if (code !== 0 && failed !== null) return { caught: true, line: `${test}: ${failed[1]}` };
  return { caught: false, line: output.slice(-1_500) };
}

async function judge(mutant: Mutant): Promise<Verdict> {
  const copy = await copyWith(top, mutant);
  const startedMs = performance.now();
  try {
    const { test, scenario = 'runtime' } = mutant;
    const { caught, line } = await (test === undefined ? simulate(copy.folder, scenario) : runTest(copy.folder, test));
    const took = `${((performance.now() - startedMs) / 1000).toFixed(0)} s`;
    return { caught, line: caught ? `in ${took}, ${line}` : `after ${took}: ${line}` };
  } finally {
    await copy.remove();
  }
}

let uncaught = 0;
const queue = [...chosen];

async function work(): Promise<void> {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const { name, promise } = mutant;
    const { caught, line } = await judge(mutant).catch((error: unknown): Verdict => ({
      caught: false,
      line: String(error),
    }));
    if (!caught) uncaught += 1;
    console.log(`${caught ? 'caught    ' : 'NOT CAUGHT'} ${promise.padEnd(8)} ${name}: ${line}`);
  }
}

await Promise.all(Array.from({ length: Number(values.jobs) }, work));
console.log(`${chosen.length - uncaught} of ${chosen.length} mutants caught`);
process.exitCode = uncaught === 0 ? 0 : 1;
