/**
 * Spreads runs of seeds over processes. A run does not depend on its process or on the runs before it, so the number of
 * processes changes the duration and nothing else. With one job everything runs in this process, where a debugger and a
 * profiler see it; but only a run in a process of its own can be ended when it hangs. Called by simulate-main.ts.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { nodeFlags } from '../harness/node-flags.ts';
import { lostRun, runTask, type SeedTask } from './seed-task.ts';
import type { RunResult } from './simulation-run.ts';

const entry = join(import.meta.dirname, 'seed-job-main.ts');
/** Ten simulated minutes take some ten seconds; on a machine with much else to do, several times that. */
const runLimitMs = 10 * 60_000;

/** @returns whether more runs are wanted */
export type OnRun = (task: SeedTask, result: RunResult) => boolean;

/** Resolves when all runs have ended, or `onRun` has returned false. Runs end in any order. */
export async function runTasks(tasks: readonly SeedTask[], jobs: number, onRun: OnRun): Promise<void> {
  const queue = [...tasks];
  if (jobs > 1) return runInProcesses(queue, jobs, onRun);
  for (let task = queue.shift(); task !== undefined; task = queue.shift()) {
    if (!onRun(task, await runTask(task))) return;
  }
}

async function runInProcesses(queue: SeedTask[], jobs: number, onRun: OnRun): Promise<void> {
  const children = new Set<ChildProcess>();
  let enough = false;
  const work = async (): Promise<void> => {
    let child: ChildProcess | undefined;
    for (let task = queue.shift(); task !== undefined && !enough; task = queue.shift()) {
      if (child === undefined || hasEnded(child)) {
        child = fork(entry, { serialization: 'advanced', execArgv: [...process.execArgv, ...nodeFlags] });
        children.add(child);
      }
      const result = await runIn(child, task);
      if (!enough) enough = !onRun(task, result);
    }
    // When no more runs are wanted, the runs that are still under way in other processes are ended.
    for (const other of enough ? children : [child]) other?.kill();
  };
  await Promise.all(Array.from({ length: Math.min(jobs, queue.length) }, work));
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;

function runIn(child: ChildProcess, task: SeedTask): Promise<RunResult> {
  return new Promise((resolve) => {
    let how = 'its process ended with';
    const limit = setTimeout(() => {
      how = `it had not ended after ${runLimitMs / 1000} s and was ended by`;
      child.kill('SIGKILL');
    }, runLimitMs);
    const onEnd = (code: number | null, signal: string | null): void =>
      settle(lostRun(task, `${how} ${signal ?? `status ${code}`}`));
    const settle = (result: RunResult): void => {
      clearTimeout(limit);
      child.off('message', settle);
      child.off('exit', onEnd);
      resolve(result);
    };
    child.on('message', settle);
    child.on('exit', onEnd);
    child.send(task);
  });
}
