/**
 * Processes that outlive us (dnsmasq, QEMU), seen through /proc: the pid and its start time name one process for ever.
 * Called by dhcp/, hypervisor/ and host/. Promise: no signal goes to a pid whose start time or command line is not the
 * one expected. (pidfd is out of reach of Node; between the look and the kill a pid would have to be reused at once.)
 */
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { errnoOf, fileError } from './kernel-errors.ts';

export interface ProcessSight {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat. */
  readonly startTime: string;
}

async function readProc(pid: number, file: string): Promise<string | null> {
  try {
    return await readFile(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(errnoOf(error))) return null;
    throw fileError(`reading /proc/${pid}/${file}`, error);
  }
}

/**
 * Null when there is no such process, or only its entry waits to be reaped. A killed process whose first thread has
 * ended while others still end is there: it holds its files, taps among them, until the last one is gone.
 */
export async function seeProcess(pid: number): Promise<ProcessSight | null> {
  const stat = await readProc(pid, 'stat');
  if (stat === null) return null;
  // the name in parentheses may hold anything, so fields are counted from its end: [0] is field 3
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [letter, threads, startTime] = [fields[0], Number(fields[17]), fields[19]];
  return startTime === undefined || (letter === 'Z' && threads <= 1) ? null : { pid, startTime };
}

export async function commandLineOf(pid: number): Promise<readonly string[]> {
  return ((await readProc(pid, 'cmdline')) ?? '').split('\0').filter((word) => word !== '');
}

/** The program's name, at most 15 characters; it stays until the process is gone. */
export async function programOf(pid: number): Promise<string> {
  return ((await readProc(pid, 'comm')) ?? '').trim();
}

/** Interfaces of the namespace the process lives in, from one small file. */
export async function interfacesOf(pid: number): Promise<ReadonlySet<string>> {
  const lines = ((await readProc(pid, 'net/dev')) ?? '').split('\n').slice(2);
  return new Set(lines.map((line) => line.slice(0, line.indexOf(':')).trim()).filter((name) => name !== ''));
}

/** The pid in a pidfile, or null when there is none that makes sense. */
export async function readPidFile(file: string): Promise<number | null> {
  try {
    const pid = Number((await readFile(file, 'utf8')).trim());
    return Number.isInteger(pid) && pid > 1 ? pid : null;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(`reading ${file}`, error);
  }
}

/** Every process whose command line the test takes. */
export async function findProcesses(matches: (commandLine: readonly string[]) => boolean): Promise<ProcessSight[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const seen = await Promise.all(pids.map(async (pid) => (matches(await commandLineOf(pid)) ? seeProcess(pid) : null)));
  return seen.filter((one) => one !== null);
}

export async function isSame(sight: ProcessSight): Promise<boolean> {
  return (await seeProcess(sight.pid))?.startTime === sight.startTime;
}

/** @returns false when it was gone already. */
export async function signalProcess(sight: ProcessSight, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isSame(sight))) return false;
  try {
    process.kill(sight.pid, signal);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return false;
    throw fileError(`sending ${signal} to ${sight.pid}`, error);
  }
}

/** Looks every 10 ms, then every 50. @returns whether it is gone. */
export async function awaitGone(sight: ProcessSight, withinMs: number, signal?: AbortSignal): Promise<boolean> {
  const until = performance.now() + withinMs;
  for (let looks = 0; await isSame(sight); looks += 1) {
    if (performance.now() >= until) return false;
    await pause(looks < 20 ? 10 : 50, undefined, signal === undefined ? {} : { signal });
  }
  return true;
}
