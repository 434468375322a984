/**
 * Identifies a process by pid and start time, because pids are reused; reads /proc and sends signals. Used by
 * everything in this folder that must find or kill a process that it, or an earlier process of the launcher, has
 * started.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { patienceMs } from '@photoncloud/runtime/contract/patience-for-tests';

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since the machine's boot. */
  readonly startTime: string;
}

/** State letter, parent and start time; undefined when there is no such process. */
function statOf(pid: number): { state: string; parent: number; startTime: string } | undefined {
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined; // gone, or going: /proc gives ENOENT or ESRCH
  }
  // The name in parentheses may hold spaces and parentheses.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', parent: Number(fields[1]), startTime: fields[19] ?? '' };
}

/** @throws Error when the process is already gone. */
export function identify(pid: number): ProcessIdentity {
  const found = statOf(pid);
  if (found === undefined) throw new Error(`process ${pid} ended before it could be recorded`);
  return { pid, startTime: found.startTime };
}

/** Whether exactly this process still runs; a zombie does not. */
export function isAlive(process_: ProcessIdentity): boolean {
  const found = statOf(process_.pid);
  return found !== undefined && found.startTime === process_.startTime && found.state !== 'Z' && found.state !== 'X';
}

/** Sends the signal to exactly this process. @returns false when it is gone */
export function signal(process_: ProcessIdentity, name: NodeJS.Signals): boolean {
  if (!isAlive(process_)) return false;
  try {
    process.kill(process_.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** @throws Error when the process is gone. */
export function parentOf(pid: number): number {
  const found = statOf(pid);
  if (found === undefined) throw new Error(`process ${pid} has ended`);
  return found.parent;
}

/** Direct children, by pid; empty when the process is gone. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return []; // gone: no children
  }
}

/** Every process with a command line argument that matches, together with the matching arguments. */
export function processesWithArgument(
  matches: (argument: string) => boolean,
): (ProcessIdentity & { readonly found: readonly string[] })[] {
  const processes: (ProcessIdentity & { readonly found: readonly string[] })[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let argv: string[];
    try {
      argv = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
    } catch {
      continue; // ended while we looked
    }
    const found = argv.filter(matches);
    const stat = found.length > 0 ? statOf(Number(name)) : undefined;
    if (stat !== undefined) processes.push({ pid: Number(name), startTime: stat.startTime, found });
  }
  return processes;
}

/** Polls until the condition holds. @throws Error naming the condition after `timeoutMs` */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = patienceMs(),
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** SIGTERM, then SIGKILL after the grace; resolves when every one of them is gone. */
export async function endProcesses(processes: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  const gone = (): boolean => !processes.some(isAlive);
  if (graceMs > 0) {
    for (const one of processes) signal(one, 'SIGTERM');
    await until('processes end', gone, graceMs).catch(() => undefined); // those that are slow are killed below
  }
  for (const one of processes) signal(one, 'SIGKILL');
  await until(`processes ${processes.map((one) => one.pid).join(', ')} are gone`, gone);
}
