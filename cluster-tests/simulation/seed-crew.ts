/**
 * Runs of seeds spread over processes. A run is the same in whichever process and after whichever others, so how many
 * there are changes how long it takes and nothing else. One job runs here, in this process, where a debugger and a
 * profiler see it; only a process of its own can be ended when a run never ends. Called by simulate-main.ts.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { nodeFlags } from '../harness/node-flags.ts';
import { lostRun, runTask, type SeedTask } from './seed-task.ts';
import type { RunResult } from './simulation-run.ts';

const entry = join(import.meta.dirname, 'seed-job-main.ts');
/** Ten simulated minutes take some ten seconds; on a machine with much else to do, several times that. */
const runLimitMs = 10 * 60_000;

/** @returns whether to go on */
export type OnRun = (task: SeedTask, result: RunResult) => boolean;

/** Resolves when all have run, or `onRun` has said that it is enough. Runs end in whatever order. */
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
    // Those that others are still in the middle of are of no use when it is enough.
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
