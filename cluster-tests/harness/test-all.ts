/**
 * `npm test`: types, lint, dead code, tidy, then unit tests and tests on the real kernel side by side, then those that
 * measure; `npm test -- <text>...` runs the steps whose name or path contains one of the texts, those of the campaign
 * among them.
 * Not a test framework: files are plain uvu files that also run by hand (`node x.test.ts`).
 * Upholds: every file has its own process and a time limit, a file that ran no test fails, a skipped check is seen with
 * its reason, and the last line is `N passed, N failed, N skipped`.
 */
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { findTestFiles } from './test-files.ts';
import { endAll } from './test-process.ts';
import { formatDuration, formatStep, formatTotals, type StepResult } from './test-report.ts';
import { inOrder, runSteps, toRepeat } from './test-schedule.ts';
import { fileSteps, programStep, type Step, type StepPlace } from './test-step.ts';

const top = join(import.meta.dirname, '../..');
const failures = join(top, '.cache/failures');
const scratch = mkdtempSync(join(tmpdir(), 'photon-test-'));
/** No more than four on a larger machine: a cluster of a kernel test takes up to a gigabyte. */
const cores = Math.min(availableParallelism(), 4);
const place: StepPlace = { top, scratch, ...readToolchain() };

/** What set-up has found that decides what runs here. */
function readToolchain(): Pick<StepPlace, 'limit' | 'valkey'> {
  const record = JSON.parse(readFileSync(join(top, '.cache/toolchain.json'), 'utf8')) as StepPlace;
  return { limit: record.limit, valkey: record.valkey };
}

/** The whole output of a failed step, for when the lines shown are not enough; of two failures both. */
function keepOutput(result: StepResult): void {
  mkdirSync(failures, { recursive: true });
  appendFileSync(join(failures, `${result.name.replaceAll('/', '_')}.log`), result.output);
}

/** Keeps the output of a failed step, and prints the step's line. */
const report =
  (nameWidth: number) =>
  (result: StepResult): void => {
    if (result.failed > 0) keepOutput(result);
    console.log(formatStep(result, nameWidth));
  };

async function testAll(patterns: readonly string[]): Promise<number> {
  const wanted = (step: Step): boolean =>
    patterns.length === 0 || patterns.some((text) => step.name.includes(text) || step.stage === text);
  const startedMs = performance.now();
  const files = findTestFiles(top).filter(({ isOfCampaign }) => !isOfCampaign || patterns.length > 0);
  const steps = [
    // With what the last run found out, a change takes a quarter of the time.
    programStep(place, 'types', 'tsc', ['-p', '.', '--incremental', '--tsBuildInfoFile', '.cache/types.tsbuildinfo']),
    programStep(place, 'lint', 'oxlint', ['--type-aware', '--deny-warnings', '--format=unix']),
    programStep(place, 'format', 'prettier', [
      '--check',
      '--log-level=warn',
      '--cache',
      '--cache-location=.cache/prettier',
      '{actors,cluster-tests,machines,runtime}/**/*.{ts,tsx}',
    ]),
    programStep(place, 'dead code', 'knip', ['--no-progress', '--no-config-hints']),
    ...files.flatMap((file) => fileSteps(place, file)),
  ].filter(wanted);
  if (steps.length === 0) {
    console.log(`No step or test file contains ${patterns.join(' or ')}; npm test without words runs all.`);
    console.log('0 passed, 1 failed, 0 skipped');
    return 1;
  }
  rmSync(failures, { recursive: true, force: true });
  const { together, alone } = inOrder(steps);
  const onResult = report(Math.max(...steps.map((step) => step.name.length)));
  const first = [
    ...(await runSteps(together, { front: cores, back: cores }, onResult)),
    ...(await runSteps(alone, { front: 1, back: 0 }, onResult)),
  ];
  const repeated = toRepeat(steps, first);
  if (repeated.length > 0) console.log('once more, with nothing beside them:');
  const again = await runSteps(repeated, { front: 1, back: 0 }, onResult);
  const results = first.map((one) => again.find(({ name }) => name === one.name) ?? one);
  console.log(`\n${formatDuration(performance.now() - startedMs)}, at most ${2 * cores} steps at once`);
  const unsteady = again.filter((one) => one.failed === 0);
  if (unsteady.length > 0) {
    console.log(`unsteady: ${unsteady.map((one) => one.name).join(', ')} (failed beside others, passed alone)`);
  }
  const broken = results.filter((one) => one.failed > 0);
  if (broken.length > 0) {
    console.log(`failed: ${broken.map((one) => one.name).join(', ')} (whole outputs in .cache/failures)`);
  }
  console.log(formatTotals(results));
  return broken.length > 0 ? 1 : 0;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    console.log(`\n${signal}: ending the tests that run`);
    void endAll().finally(() => {
      rmSync(scratch, { recursive: true, force: true });
      process.exit(130);
    });
  });
}
try {
  process.exitCode = await testAll(process.argv.slice(2));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
