/**
 * Loaded before a test file (`node --import`) by test-process.ts: sends the import of 'uvu' to timed-uvu.ts, runs the
 * tests when the file has been read, writes what came out to the file named by PHOTON_TEST_OUTCOME, and ends the
 * process. Inert in processes that tests start themselves: the variable is taken out of the environment at once.
 * Upholds: a test file that leaves a socket open is reported, and does not hang the run; one that is ended from outside
 * still runs its test.after().
 */
import { writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import type { FileOutcome } from './timed-uvu.ts';

const outcomePath = process.env.PHOTON_TEST_OUTCOME;
const testLimitMs = Number(process.env.PHOTON_TEST_LIMIT_MS ?? 60_000);
delete process.env.PHOTON_TEST_OUTCOME;
delete process.env.PHOTON_TEST_LIMIT_MS;

/** How long a finished file may take to close what it has opened. */
const closingGraceMs = 500;

async function prepare(path: string): Promise<void> {
  const wrapper = new URL('./timed-uvu.ts', import.meta.url).href;
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'uvu' && context.parentURL !== wrapper
        ? { url: wrapper, shortCircuit: true }
        : next(specifier, context),
  });
  // uvu starts by itself unless it believes in its own command line; the end is only known to who starts it.
  Object.assign(globalThis, { UVU_DEFER: 1, UVU_QUEUE: [[null]], UVU_INDEX: 0 });
  const { exec, setUpTiming, tally } = await import('./timed-uvu.ts');
  const openBefore = process.getActiveResourcesInfo();

  const record = (leftOpen: string[], unforeseen: number): void => {
    const outcome: FileOutcome = {
      passed: tally.passed,
      failed: Math.max(tally.declared - tally.passed, tally.brokenHooks.length > 0 ? 1 : 0) + unforeseen,
      skipped: tally.skipped,
      leftOpen,
    };
    writeFileSync(path, JSON.stringify(outcome));
  };

  const runAll = async (): Promise<void> => {
    let unforeseen = 0;
    await exec().catch((error: unknown) => {
      unforeseen = 1;
      console.error(error);
    });
    for (const hook of tally.brokenHooks) console.error(`hook failed, ${hook}`);
    record([], unforeseen);
    // Unreferenced: a clean process has ended before it fires.
    setTimeout(() => {
      record(newHandles(openBefore), unforeseen);
      process.exit();
    }, closingGraceMs).unref();
  };
  // Ended from outside (time limit, Ctrl-C): what test.after() removes must go all the same.
  process.once('SIGTERM', () => {
    void Promise.allSettled(tally.cleanUps.map(async (cleanUp) => cleanUp())).then((outcomes) => {
      for (const one of outcomes) if (one.status === 'rejected') console.error('test.after() failed:', one.reason);
      process.exit(143);
    });
  });
  setUpTiming(testLimitMs, () => setTimeout(() => void runAll(), 0));
}

function newHandles(before: readonly string[]): string[] {
  const rest = [...before];
  return process.getActiveResourcesInfo().filter((kind) => {
    const at = rest.indexOf(kind);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

if (outcomePath !== undefined) await prepare(outcomePath);
