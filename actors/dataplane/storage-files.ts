/**
 * Files as the storage folders write them: complete or not there. A new file gets a dotted name, is synced, then
 * renamed. Called by image/ and volume/. Promise: a crash leaves at most a dotted file, which the sweep takes away.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, statfs } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { errnoOf, fileError } from './kernel-errors.ts';

const chunkBytes = 1 << 20;
const zeros = Buffer.alloc(chunkBytes);
const reserveBytes = 64 << 20;
const beingWritten = new Set<string>();

/** Whether this process is filling the dotted file just now. */
export const isBeingWritten = (file: string): boolean => beingWritten.has(file);

/** Runs `fill` on a new file in the folder and gives it its name when that was fine. */
export async function createFile(
  file: string,
  fill: (fresh: string, handle: FileHandle) => Promise<string | void>,
): Promise<void> {
  const folder = path.dirname(file);
  const fresh = path.join(folder, `.${path.basename(file)}.${randomBytes(4).toString('hex')}`);
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

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Takes one chunk at its place; holes stay holes. */
export async function writeSparse(target: FileHandle, chunk: Buffer, position: number): Promise<void> {
  if (chunk.length <= chunkBytes && chunk.equals(zeros.subarray(0, chunk.length))) return;
  for (let done = 0; done < chunk.length;)
    done += (await target.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
}

/** Copies from an open file; `see` gets every chunk, zeros too. @returns bytes copied */
export async function copySparse(
  source: FileHandle,
  target: FileHandle,
  signal: AbortSignal,
  see: (chunk: Buffer) => void = () => {},
): Promise<number> {
  const buffer = Buffer.alloc(chunkBytes);
  let position = 0;
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await source.read(buffer, 0, chunkBytes, position);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    see(chunk);
    await writeSparse(target, chunk, position);
    position += bytesRead;
  }
  await target.truncate(position);
  return position;
}

/** @throws fault `storage_full`: before anything is written, with what is needed and what is free */
export async function requireSpace(folder: string, wantedBytes: number): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize - reserveBytes;
  if (wantedBytes <= freeBytes) return;
  throw new PhotonError(
    'fault',
    'storage_full',
    `${wantedBytes} bytes are needed in ${path.basename(folder)} and ${Math.max(0, freeBytes)} are free; free some.`,
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
