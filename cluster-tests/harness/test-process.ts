/**
 * Runs one program of the test run in a process group of its own, with a time limit, and keeps its output.
 * Not a shell: no pipes, no retries. Called by test-all.ts.
 * Upholds: whatever a test has started in its group is gone when its file has ended, also after a timeout or Ctrl-C.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';

export interface ProcessOutcome {
  /** Exit status, or the signal that ended it; null when it could not be started. */
  readonly code: number | NodeJS.Signals | null;
  readonly timedOut: boolean;
  /** Standard output and error as they came, the last `keptBytes` of them. */
  readonly output: string;
  readonly elapsedMs: number;
  /** Processes of its group outlived it and were killed. */
  readonly leftBehind: boolean;
}

const keptBytes = 200_000;
const killGraceMs = 5_000;
/** A test removes whole clusters, beside three others that do; `.ci/run` gives all of it 30 s. */
const endGraceMs = 20_000;
const running = new Set<number>();
let isEnding = false;

/** Starts `program` in `cwd` and resolves when it has ended; never rejects. While the run is being ended it waits. */
export function runProcess(
  program: string,
  args: readonly string[],
  options: { cwd: string; limitMs: number; env?: NodeJS.ProcessEnv },
): Promise<ProcessOutcome> {
  // The places of the tests that were ended are free: what began there would be killed before it can clean up.
  if (isEnding) return new Promise(() => {});
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    const group = child.pid;
    if (group !== undefined) running.add(group);
    let output = '';
    let timedOut = false;
    const keep = (chunk: string): void => {
      output = (output + chunk).slice(-keptBytes);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    const limit = setTimeout(() => {
      timedOut = true;
      keep(`\nended after its time limit of ${options.limitMs / 1000} s (raise it: // time limit: N s)\n`);
      signalGroup(group, 'SIGTERM');
      setTimeout(() => signalGroup(group, 'SIGKILL'), killGraceMs).unref();
    }, options.limitMs);
    let settled = false;
    let leftBehind = false;
    const settle = (code: ProcessOutcome['code']): void => {
      if (settled) return;
      settled = true;
      clearTimeout(limit);
      if (group !== undefined) running.delete(group);
      resolve({ code, timedOut, output, elapsedMs: performance.now() - startedMs, leftBehind });
    };
    child.on('error', (error) => {
      keep(`${program} could not be started: ${error.message}\n`);
      settle(null);
    });
    child.on('exit', (status, killer) => {
      const code = status ?? killer;
      // What is left of the group would hold the pipes open, and outlive the run.
      leftBehind = hasLiving(group) && !timedOut;
      signalGroup(group, 'SIGKILL');
      child.on('close', () => settle(code));
      setTimeout(() => settle(code), 1_000).unref();
    });
  });
}

/** Whether a process of the group still runs. One that has ended stays in it until it is reaped, maybe much later. */
function hasLiving(group: number | undefined): boolean {
  if (!signalGroup(group, 0)) return false;
  // Only Linux says who has ended.
  if (!existsSync('/proc/self/stat')) return true;
  return readdirSync('/proc').some((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      // After the name of the program, which may contain anything: state, parent, group.
      const [state = '', , of] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(of) === group && !/[ZX]/.test(state);
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
}

/** Whether anyone was left to get the signal. */
function signalGroup(group: number | undefined, signal: NodeJS.Signals | 0): boolean {
  if (group === undefined) return false;
  try {
    return process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

/** For Ctrl-C: asks every running group to end, then makes it, and starts no other one. */
export async function endAll(graceMs = endGraceMs): Promise<void> {
  isEnding = true;
  if (running.size === 0) return;
  for (const group of running) signalGroup(group, 'SIGTERM');
  const deadlineMs = performance.now() + graceMs;
  while (running.size > 0 && performance.now() < deadlineMs) await new Promise((wake) => setTimeout(wake, 50));
  for (const group of running) signalGroup(group, 'SIGKILL');
}
