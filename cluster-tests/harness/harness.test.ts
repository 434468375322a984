/**
 * The test run's own test: each trap of uvu, as a small test file that must be judged rightly (fixtures/).
 * It runs those files as test-all.ts does. Without it a harness that calls everything green would stay unseen.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readTestFile, type TestFile } from './test-files.ts';
import { endAll, runProcess } from './test-process.ts';
import { formatStep, formatTotals, type StepResult } from './test-report.ts';
import { inOrder, runSteps, toRepeat } from './test-schedule.ts';
import { fileStep, fileSteps, programStep, type Placing, type Step, type StepPlace } from './test-step.ts';

const top = join(import.meta.dirname, '../..');
const place: StepPlace = { top, scratch: mkdtempSync(join(tmpdir(), 'photon-harness-')), limit: null, valkey: null };
test.after(async () => {
  await endAll(500);
  rmSync(place.scratch, { recursive: true, force: true });
});

const fixture = (name: string): TestFile => readTestFile(top, `cluster-tests/harness/fixtures/${name}.test.ts`);
const run = (name: string): Promise<StepResult> => fileStep(place, fixture(name)).run();
const counts = (result: StepResult): number[] => [result.passed, result.failed, result.skipped.length];

/** The pid a fixture prints for the child it starts. */
function childOf(result: StepResult): number {
  const pid = /^.*child (\d+)$/m.exec(result.output)?.[1];
  assert.ok(pid, result.output);
  return Number(pid);
}

/** A killed process may stand as a zombie until its new parent looks; then it has ended all the same. */
const isAlive = (pid: number): boolean => {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false; // no such process: the answer looked for
  }
};

async function assertEnded(pid: number): Promise<void> {
  for (let tries = 0; tries < 100 && isAlive(pid); tries += 1) await new Promise((wake) => setTimeout(wake, 10));
  assert.not.ok(isAlive(pid), `process ${pid} still runs one second after its group was killed`);
}

test('a healthy file passes, and a skipped test is named', async () => {
  const result = await run('healthy');
  assert.equal(counts(result), [2, 0, 1]);
  assert.equal(result.skipped, ['needs the moon']);
  assert.equal(result.warnings, []);
});

test('a failing test is counted and its output shown', async () => {
  const result = await run('failing');
  assert.equal(counts(result), [1, 1, 0]);
  assert.match(formatStep(result, 10), /\| .*breaks/);
});

test('a file without test.run() fails', async () => {
  const result = await run('forgotten-run');
  assert.equal(counts(result), [0, 1, 0]);
  assert.match(result.output, /does the file end with test\.run/);
});

test('a file without a test fails', async () => {
  const result = await run('empty');
  assert.equal(counts(result), [0, 1, 0]);
});

test('a test that waits for ever is ended by its limit, and the next one runs', async () => {
  const result = await run('endless-test');
  assert.equal(counts(result), [1, 1, 0]);
  assert.match(result.output, /did not end within its limit of 1 s/);
});

test('a file that spins is ended by its limit, together with its children', async () => {
  const result = await run('endless-file');
  assert.equal(counts(result), [0, 1, 0]);
  assert.match(result.output, /time limit of 1 s/);
  await assertEnded(childOf(result));
});

test('a file that is ended by its limit still cleans up', async () => {
  const result = await run('ended-early');
  assert.equal(counts(result), [0, 1, 0]);
  assert.match(result.output, /cleaned up/);
});

test('an open socket is a warning and does not hang the run', async () => {
  const result = await run('open-socket');
  assert.equal(counts(result), [1, 0, 0]);
  assert.match(result.warnings.join(), /TCPServerWrap/);
});

test('a failing hook fails the tests behind it', async () => {
  const result = await run('broken-hook');
  assert.equal(counts(result), [0, 1, 0]);
  assert.match(result.output, /no database/);
});

test('a child left behind is killed and reported', async () => {
  const result = await run('left-child');
  assert.match(result.warnings.join(), /were killed/);
  await assertEnded(childOf(result));
});

test('a rejection nobody waits for fails the file', async () => {
  const result = await run('thrown-late');
  assert.is(result.failed, 1);
  assert.match(result.output, /nobody waits for me/);
});

test('a file that was killed has failed, and names the signal', async () => {
  const result = await run('killed');
  assert.equal(counts(result), [0, 1, 0]);
  assert.match(result.output, /ended with SIGKILL before its tests had/);
});

test('what needs the kernel is skipped with the reason where it cannot run', async () => {
  const file = { ...fixture('healthy'), needsKernel: true };
  const result = await fileStep({ ...place, limit: 'no root' }, file).run();
  assert.equal(counts(result), [0, 0, 1]);
  assert.match(formatStep(result, 10), /skipped: no root/);
});

test('a file that names two servers runs once on each, or is skipped with the reason', async () => {
  const runAll = (given: StepPlace): Promise<StepResult[]> =>
    Promise.all(fileSteps(given, fixture('two-servers')).map((step) => step.run()));
  const [redis, valkey] = await runAll({ ...place, valkey: { binary: '/far/valkey-server' } });
  assert.match(redis?.output ?? '', /server: the host's/);
  assert.match(valkey?.output ?? '', /server: \/far\/valkey-server/);
  assert.match(valkey?.name ?? '', /two-servers\.test\.ts on valkey$/);
  const [, without] = await runAll(place);
  assert.equal(without?.skipped, ['set-up found no Valkey 8 on this machine']);
});

test('a program that ends with an error is one failure', async () => {
  const result = await programStep(place, 'types', 'tsc', ['--no-such-option']).run();
  assert.equal(counts(result), [0, 1, 0]);
});

test('what the head of a file says decides when it is started', () => {
  const placing = (name: string): Placing | undefined => fileSteps(place, fixture(name))[0]?.placing;
  assert.equal(placing('healthy'), { runsAlone: false, longestMs: 0 });
  assert.equal(placing('endless-file'), { runsAlone: false, longestMs: 1_000 });
  assert.equal(placing('measuring'), { runsAlone: true, longestMs: 0 });
});

test('one step runs in each lane, the longest start at the front, and those that measure are set apart', async () => {
  const started: string[] = [];
  const beside = new Map<string, number>();
  let running = 0;
  const step = (name: string, longestMs: number, runsAlone = false): Step => ({
    stage: 'unit',
    name,
    isFile: true,
    placing: { runsAlone, longestMs },
    run: async () => {
      started.push(name);
      running += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
      beside.set(name, running);
      running -= 1;
      return { stage: 'unit', name, passed: 1, failed: 0, skipped: [], warnings: [], elapsedMs: 20, output: '' };
    },
  });
  const { together, alone } = inOrder([step('m', 9, true), step('a', 0), step('b', 0), step('c', 5), step('d', 7)]);
  const ended: string[] = [];
  const results = await runSteps(together, { front: 1, back: 1 }, ({ name }) => ended.push(name));
  assert.equal(started, ['d', 'b', 'c', 'a']);
  assert.equal(ended.toSorted(), ['a', 'b', 'c', 'd']);
  assert.is(results.length, 4);
  assert.is(Math.max(...beside.values()), 2);
  assert.equal(
    alone.map(({ name }) => name),
    ['m'],
  );
});

test('up to three files that failed beside others are repeated; programs are not, and not more', () => {
  const lint = programStep(place, 'lint', 'oxlint', []);
  const files = ['healthy', 'failing', 'empty', 'killed'].map((name) => fileStep(place, fixture(name)));
  const steps = [lint, ...files];
  const repeated = (...failed: readonly (Step | undefined)[]): string[] => {
    const results = steps.map((step) => ({
      ...unjudged,
      name: step.name,
      passed: 1,
      failed: failed.includes(step) ? 1 : 0,
    }));
    return toRepeat(steps, results).map(({ name }) => name);
  };
  assert.equal(repeated(), []);
  assert.equal(repeated(lint), []);
  assert.equal(repeated(files[1], files[3]), [files[1]?.name, files[3]?.name]);
  assert.equal(repeated(lint, files[0]), [files[0]?.name]);
  assert.equal(repeated(...files), []);
});

const unjudged = { stage: 'unit', name: 'x', skipped: [], warnings: [], elapsedMs: 1, output: '' };

test('the last line adds up', () => {
  const step = unjudged;
  const results = [
    { ...step, passed: 3, failed: 1, skipped: ['a'] },
    { ...step, passed: 4, failed: 0, skipped: [] },
  ];
  assert.is(formatTotals(results), '7 passed, 1 failed, 1 skipped');
});

// The last one: afterwards this process starts no test any more.
test('a run that is ended from outside ends its tests, and starts no other one', async () => {
  const options = { cwd: top, limitMs: 60_000 };
  const running = runProcess('sleep', ['60'], options);
  await endAll();
  assert.is((await running).code, 'SIGTERM');
  const made = join(place.scratch, 'started');
  void runProcess('touch', [made], options);
  await new Promise((wake) => setTimeout(wake, 500));
  assert.not.ok(existsSync(made));
});

test.run();
