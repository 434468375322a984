/**
 * Writes files of the storage folders atomically: a new file gets a name with a leading dot, is synced, then renamed.
 * Called by image/ and volume/. Promise: a crash leaves at most a file with a leading dot, which the sweep removes.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, statfs } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { errnoOf, fileError } from './kernel-errors.ts';

const chunkBytes = 1 << 20;
const zeros = Buffer.alloc(chunkBytes);
const reserveBytes = 64 << 20;
const beingWritten = new Set<string>();

/** Whether this process is writing this unfinished file now. */
export const isBeingWritten = (file: string): boolean => beingWritten.has(file);

/** Runs `fill` on a new file; when it succeeds, renames it to `file`, or to the name that `fill` returned. */
export async function createFile(
  file: string,
  fill: (fresh: string, handle: FileHandle) => Promise<string | void>,
): Promise<void> {
  const folder = path.dirname(file);
  const fresh = freshNameFor(file);
  beingWritten.add(fresh);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const handle = await open(fresh, 'wx', 0o600);
    let name: string | void;
    try {
      name = await fill(fresh, handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(fresh, name ?? file);
    await syncFolder(folder);
  } catch (error) {
    await rm(fresh, { force: true });
    throw fileError(`writing ${file}`, error);
  } finally {
    beingWritten.delete(fresh);
  }
}

/** Runs `work` on a new file beside `file`, which is removed in every case. */
export async function withScratchFile<Result>(
  file: string,
  work: (fresh: string, handle: FileHandle) => Promise<Result>,
): Promise<Result> {
  const fresh = freshNameFor(file);
  beingWritten.add(fresh);
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(fresh, 'wx', 0o600);
    try {
      return await work(fresh, handle);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(`writing ${file}`, error);
  } finally {
    await rm(fresh, { force: true });
    beingWritten.delete(fresh);
  }
}

const freshNameFor = (file: string): string =>
  path.join(path.dirname(file), `.${path.basename(file)}.${randomBytes(4).toString('hex')}`);

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes one chunk at its position; a chunk of zeros is skipped and stays a hole. */
export async function writeSparse(target: FileHandle, chunk: Buffer, position: number): Promise<void> {
  if (chunk.length <= chunkBytes && chunk.equals(zeros.subarray(0, chunk.length))) return;
  for (let done = 0; done < chunk.length;)
    done += (await target.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
}

/** Copies an open file; `onChunk` is called with every chunk, zeros included. @returns bytes copied */
export async function copySparse(
  source: FileHandle,
  target: FileHandle,
  signal: AbortSignal,
  onChunk: (chunk: Buffer) => void = () => {},
): Promise<number> {
  const buffer = Buffer.alloc(chunkBytes);
  let position = 0;
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await source.read(buffer, 0, chunkBytes, position);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    onChunk(chunk);
    await writeSparse(target, chunk, position);
    position += bytesRead;
  }
  await target.truncate(position);
  return position;
}

/** Called before anything is written. @throws fault `storage_full`, which names the needed and the free bytes */
export async function requireSpace(folder: string, wantedBytes: number): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize - reserveBytes;
  if (wantedBytes <= freeBytes) return;
  throw new PhotonError(
    'fault',
    'storage_full',
    `${wantedBytes} bytes are needed in ${path.basename(folder)}, ${Math.max(0, freeBytes)} are free; free some space.`,
  );
}

export async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw fileError(`listing ${folder}`, error);
  }
}

/** The text of a file, or undefined when it does not exist. */
export async function readTextFile(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw fileError(`reading ${file}`, error);
  }
}
