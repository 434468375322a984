/**
 * The serial console of a VM as a file: bounded while QEMU writes it, kept for a day after the run has ended, read for
 * `photon vm logs`. The guest writes what it likes; nothing here interprets it. Called by qemu-watch.ts, by the end of
 * a run, and by the worker's route for controllers.
 * Promise (docs/threats.md#t24): a VM has at most twice `consoleLimitBytes` on this host for its run, and as much for
 * the run before.
 */
import { copyFile, mkdir, open, rename, rm, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { hashName } from '../kernel-names.ts';
import { listFolder } from '../storage-files.ts';
import { listRuns } from './qemu-folder.ts';
import type { IncarnationPaths } from './qemu-folder.ts';

const consoleLimitBytes = 1 << 20;
const keptForMs = 24 * 3_600_000;
/** How much of its end is read. */
export const consoleTailBytes = 256 << 10;

const olderPart = (file: string): string => `${file}.old`;

/**
 * Truncates a large console file, which is safe because QEMU appends; the old content is kept beside it, unless the
 * disk is full.
 */
export async function boundConsole(paths: IncarnationPaths): Promise<void> {
  const file = paths.console;
  try {
    if ((await stat(file)).size <= consoleLimitBytes) return;
    await keepCopy(file, olderPart(file));
    await truncate(file, 0);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fileError(`truncating ${file}`, error);
  }
}

async function keepCopy(file: string, copy: string): Promise<void> {
  try {
    await copyFile(file, copy);
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') throw error;
    await rm(copy, { force: true });
  }
}

const keptConsole = (site: DataplaneSite, incarnation: string): string =>
  path.join(site.folders.consoles, hashName(incarnation, 20));

/** Keeps the console of a run that has ended instead of that of the run before, and removes those of long ago. */
export async function keepConsole(site: DataplaneSite, paths: IncarnationPaths, incarnation: string): Promise<void> {
  const kept = keptConsole(site, incarnation);
  try {
    await mkdir(site.folders.consoles, { recursive: true, mode: 0o700 });
    await rm(olderPart(kept), { force: true });
    await renameIfThere(paths.console, kept);
    await renameIfThere(olderPart(paths.console), olderPart(kept));
    // The file system's clock, which also stamped the files.
    const nowMs = (await stat(site.folders.consoles)).mtimeMs;
    for (const name of await listFolder(site.folders.consoles)) {
      const file = path.join(site.folders.consoles, name);
      if (nowMs - (await stat(file)).mtimeMs > keptForMs) await rm(file, { force: true });
    }
  } catch (error) {
    throw fileError(`keeping the console of ${incarnation}`, error);
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

/** The files of the latest run that this host knows. @param incarnation actor id */
export async function latestRun(site: DataplaneSite, incarnation: string): Promise<IncarnationPaths | undefined> {
  const runs = (await listRuns(site)).filter(({ owner }) => owner?.actor === incarnation);
  return runs.sort((one, other) => (other.owner?.runEpoch ?? 0) - (one.owner?.runEpoch ?? 0))[0]?.paths;
}

/** @returns the end of the console of the latest run that this host knows; empty when there is none */
export async function readConsole(site: DataplaneSite, incarnation: string): Promise<Buffer> {
  const file = (await latestRun(site, incarnation))?.console ?? keptConsole(site, incarnation);
  const end = await readTail(file, consoleTailBytes);
  if (end.length === consoleTailBytes) return end;
  return Buffer.concat([await readTail(olderPart(file), consoleTailBytes - end.length), end]);
}

async function readTail(file: string, bytes: number): Promise<Buffer> {
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, bytes);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return Buffer.alloc(0);
    throw fileError(`reading ${file}`, error);
  }
}
