/**
 * Identifies processes that outlive the worker (dnsmasq, QEMU) by pid and start time, read from /proc: a pid may be
 * reused, the pair is not. Called by dhcp/, hypervisor/ and host/. Promise: a signal is sent only to a pid whose start
 * time or command line is the expected one. (Node has no pidfd: between the check and the kill a pid could only be
 * confused when it is reused at once.)
 */
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { errnoOf, fileError } from './kernel-errors.ts';

const batchSize = 8;

export interface ProcessIdentity {
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
 * Null when there is no such process or when it is a zombie. A killed process whose first thread has ended while other
 * threads are still ending counts as present: it holds its open files, taps included, until the last thread has ended.
 */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | null> {
  const stat = await readProc(pid, 'stat');
  if (stat === null) return null;
  // The program name in parentheses may contain anything, so fields are counted from its end: [0] is field 3.
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

/** Interfaces of the process's network namespace, read from one small file. */
export async function interfacesOf(pid: number): Promise<ReadonlySet<string>> {
  const lines = ((await readProc(pid, 'net/dev')) ?? '').split('\n').slice(2);
  return new Set(lines.map((line) => line.slice(0, line.indexOf(':')).trim()).filter((name) => name !== ''));
}

/** The pid in a pidfile, or null when there is no file or no valid pid in it. */
export async function readPidFile(file: string): Promise<number | null> {
  try {
    const pid = Number((await readFile(file, 'utf8')).trim());
    return Number.isInteger(pid) && pid > 1 ? pid : null;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(`reading ${file}`, error);
  }
}

/** Looks at a few at once: each look holds a file descriptor, and a host has many processes. */
export async function inBatches<Item, Result>(
  items: readonly Item[],
  look: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const seen: Result[] = [];
  for (let from = 0; from < items.length; from += batchSize)
    seen.push(...(await Promise.all(items.slice(from, from + batchSize).map(look))));
  return seen;
}

/** Every process whose command line matches. */
export async function findProcesses(matches: (commandLine: readonly string[]) => boolean): Promise<ProcessIdentity[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const seen = await inBatches(pids, async (pid) => (matches(await commandLineOf(pid)) ? identifyProcess(pid) : null));
  return seen.filter((one) => one !== null);
}

export async function isStillRunning(identity: ProcessIdentity): Promise<boolean> {
  return (await identifyProcess(identity.pid))?.startTime === identity.startTime;
}

/** @returns false when the process had already ended. */
export async function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isStillRunning(identity))) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return false;
    throw fileError(`sending ${signal} to ${identity.pid}`, error);
  }
}

/** Polls every 10 ms, later every 50 ms. @returns whether the process has ended. */
export async function awaitGone(identity: ProcessIdentity, withinMs: number, signal?: AbortSignal): Promise<boolean> {
  const until = performance.now() + withinMs;
  for (let looks = 0; await isStillRunning(identity); looks += 1) {
    if (performance.now() >= until) return false;
    await pause(looks < 20 ? 10 : 50, undefined, signal === undefined ? {} : { signal });
  }
  return true;
}
