/**
 * One step of a test run: a program (tsc, oxlint, knip) that must end with 0, or a test file in a process of its own.
 * Judges what came out; printing and order are test-all.ts. Called by it and by the harness's own test.
 * Upholds: a file that ran no test, died, or was too slow has failed, whatever its exit code says.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreServer, TestFile } from './test-files.ts';
import { runProcess, type ProcessOutcome } from './test-process.ts';
import type { StepResult } from './test-report.ts';
import type { FileOutcome } from './timed-uvu.ts';

export interface Step {
  readonly stage: string;
  readonly name: string;
  /** A test file, not a program that judges the sources. */
  readonly isFile: boolean;
  readonly placing: Placing;
  run(): Promise<StepResult>;
}

/** When a step is started, and beside what: test-schedule.ts. */
export interface Placing {
  /** Nothing may run beside it. */
  readonly runsAlone: boolean;
  /** Those that may take longest are started first; 0 when nothing is known of it. */
  readonly longestMs: number;
}

export interface StepPlace {
  /** Top of the checkout; paths of test files are relative to it. */
  readonly top: string;
  /** An empty folder of this run. */
  readonly scratch: string;
  /** Why real-kernel tests cannot run here; null when they can. */
  readonly limit: string | null;
  /** The Valkey that set-up has found; null where there is none. */
  readonly valkey: ServerProgram | null;
}

/** As `.cache/toolchain.json` has it. */
export interface ServerProgram {
  readonly binary: string;
  readonly libraryPath?: string;
}

const programLimitMs = 600_000;
/** Checks of the sources say in a minute what an author wants to know first. */
const startedFirst = Number.MAX_SAFE_INTEGER;
const preload = join(import.meta.dirname, 'test-preload.ts');

/** A program of node_modules/.bin; counts as one check. */
export function programStep(place: StepPlace, stage: string, program: string, args: readonly string[]): Step {
  return {
    stage,
    name: program,
    isFile: false,
    placing: { runsAlone: false, longestMs: startedFirst },
    run: async () => {
      const binary = join(place.top, 'node_modules/.bin', program);
      const { code, output, elapsedMs } = await runProcess(binary, args, { cwd: place.top, limitMs: programLimitMs });
      const passed = code === 0 ? 1 : 0;
      return { stage, name: program, passed, failed: 1 - passed, skipped: [], warnings: [], elapsedMs, output };
    },
  };
}

/** The file once per server it names. */
export const fileSteps = (place: StepPlace, file: TestFile): Step[] =>
  file.servers.map((server) => fileStep(place, file, server));

/** Why the file cannot run here. */
function reasonToSkip({ limit, valkey }: StepPlace, file: TestFile, server: StoreServer): string | null {
  if (file.needsKernel && limit !== null) return limit;
  return server === 'valkey' && valkey === null ? 'set-up found no Valkey 8 on this machine' : null;
}

/** What redis-for-tests.ts of runtime/journal starts. */
function serverEnvironment({ valkey }: StepPlace, server: StoreServer): NodeJS.ProcessEnv {
  if (server === 'redis' || valkey === null) return {};
  return { PHOTON_STORE_SERVER: valkey.binary, PHOTON_STORE_LIBRARIES: valkey.libraryPath ?? '' };
}

export function fileStep(place: StepPlace, file: TestFile, server: StoreServer = 'redis'): Step {
  const { stage, path } = file;
  const name = server === 'redis' ? path : `${path} on ${server}`;
  return {
    stage,
    name,
    isFile: stage !== 'tidy',
    placing: { runsAlone: file.runsAlone, longestMs: stage === 'tidy' ? startedFirst : (file.declaredLimitMs ?? 0) },
    run: async () => {
      const reason = reasonToSkip(place, file, server);
      if (reason !== null) {
        return { stage, name, passed: 0, failed: 0, skipped: [reason], warnings: [], elapsedMs: 0, output: '' };
      }
      const outcomePath = join(place.scratch, `${name.replaceAll('/', '_')}.json`);
      const done = await runProcess(process.execPath, ['--import', preload, join(place.top, path)], {
        cwd: place.top,
        limitMs: file.fileLimitMs,
        env: {
          PHOTON_TEST_OUTCOME: outcomePath,
          PHOTON_TEST_LIMIT_MS: String(file.testLimitMs),
          ...serverEnvironment(place, server),
        },
      });
      const outcome = readOutcome(outcomePath);
      const { failed, remark } = judge(outcome, done.code, done.timedOut);
      return {
        stage,
        name,
        passed: outcome?.passed ?? 0,
        failed,
        skipped: outcome?.skipped ?? [],
        warnings: warningsOf(outcome, done.leftBehind),
        elapsedMs: done.elapsedMs,
        output: `${done.output}\n${remark}`,
      };
    },
  };
}

interface Judgement {
  readonly failed: number;
  readonly remark: string;
}

function judge(outcome: FileOutcome | null, code: ProcessOutcome['code'], timedOut: boolean): Judgement {
  if (outcome === null) {
    if (timedOut) return { failed: 1, remark: '' };
    if (code === 0) return { failed: 1, remark: 'no test ran: does the file end with test.run()?' };
    return { failed: 1, remark: `ended with ${code} before its tests had` };
  }
  if (outcome.failed > 0) return { failed: outcome.failed, remark: '' };
  if (code !== 0) return { failed: 1, remark: timedOut ? '' : `the process ended with ${code} after its tests` };
  const declared = outcome.passed + outcome.skipped.length;
  return declared > 0 ? { failed: 0, remark: '' } : { failed: 1, remark: 'no test ran: the file declares none' };
}

function warningsOf(outcome: FileOutcome | null, leftBehind: boolean): string[] {
  const warnings: string[] = [];
  const open = outcome?.leftOpen ?? [];
  if (open.length > 0) warnings.push(`still open when the last test had ended: ${counted(open)}`);
  if (leftBehind) warnings.push('processes it had started were still running, and were killed');
  return warnings;
}

function readOutcome(path: string): FileOutcome | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as FileOutcome;
  } catch (error) {
    // The process died before its tests had ended; its exit code and output say why.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** `PipeWrap, Timeout x 12`. */
function counted(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => (count === 1 ? name : `${name} x ${count}`)).join(', ');
}
