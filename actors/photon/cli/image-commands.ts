/**
 * `photon image upload`: declares an image with the digest of a file, sends the bytes, and waits until it is imported.
 * The host of the image says which byte is missing, so the same command again goes on where the last one has ended.
 */
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError, describeCause, reject } from '@photoncloud/runtime/contract/errors';
import type { Command } from 'commander';
import { callerPath, timeoutOption, withExamples } from './cli-options.ts';
import type { Session } from './cli-session.ts';
import { deadlineIn, type Deadline } from './deadline.ts';
import { command } from './object-commands.ts';
import { withSession } from './session-action.ts';
import { settle } from './settled-state.ts';
import { targetOf } from './targets.ts';
import { say, showProgress } from './terminal-text.ts';

interface UploadOptions {
  readonly name: string;
  readonly format: string;
  readonly host?: string;
  readonly timeout: number;
}

/** As base64 in JSON it fits into a frame of 128 KiB. */
const chunkBytes = 90 * 1024;
const againMs = { min: 200, max: 5_000 };
/** What passes although it is an answer: the host is not ready, or cannot be reached, or is full. */
const passes = (error: unknown): boolean => error instanceof PhotonError && error.record.retryable;

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

async function upload(session: Session, file: string, { name, format, host, timeout }: UploadOptions): Promise<void> {
  const id = targetOf(session, 'image', name);
  const deadline = deadlineIn(timeout);
  const handle = await opened(file);
  try {
    const { size: sizeBytes } = await handle.stat();
    if (sizeBytes === 0) throw reject('image_empty', `${file} is empty.`);
    const sha256 = await digestOf(handle, (done) =>
      showProgress(`${file}: read ${mib(done)} of ${mib(sizeBytes)} MiB`),
    );
    const spec = { source: { upload: { sizeBytes } }, format, sha256, host: host ?? null };
    await command(session, id, 'apply', { spec }, deadline);
    await sendAll(session, id, handle, sizeBytes, deadline);
    await settle(session.client, id, { deadline, onWait: showProgress });
    say(`${id} uploaded: ${sizeBytes} bytes, sha256 ${sha256}`);
  } finally {
    showProgress('');
    await handle.close();
  }
}

async function opened(file: string): Promise<FileHandle> {
  const refused = (why: string) =>
    reject('file_unreadable', `${file} cannot be read (${why}); name a file with the bytes of the image`);
  let handle: FileHandle;
  try {
    handle = await open(callerPath(file), 'r');
  } catch (error) {
    throw refused(describeCause(error));
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw refused('it is not a regular file');
}

async function digestOf(handle: FileHandle, onRead: (done: number) => void): Promise<string> {
  const digest = createHash('sha256');
  const buffer = Buffer.alloc(1 << 20);
  for (let at = 0; ;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return digest.digest('hex');
    digest.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
    onRead(at);
  }
}

/** Sends the bytes that the host says are missing, until it has all of them or the image waits for none. */
async function sendAll(session: Session, id: string, handle: FileHandle, sizeBytes: number, deadline: Deadline) {
  const buffer = Buffer.alloc(chunkBytes);
  let offset = 0;
  // The first request has no bytes: it only asks where to begin.
  let bytesRead = 0;
  let waitMs = againMs.min;
  for (;;) {
    try {
      const bytes = buffer.toString('base64', 0, bytesRead);
      const got = await session.client.call('actor.put', { id, offset, bytes });
      waitMs = againMs.min;
      showProgress(`${id}: sent ${mib(got.receivedBytes)} of ${mib(sizeBytes)} MiB`);
      if (got.isWhole) return;
      offset = got.receivedBytes;
      ({ bytesRead } = await handle.read(buffer, 0, chunkBytes, offset));
      if (bytesRead === 0)
        throw reject('file_changed', `The file is shorter than it was; upload it under another name.`);
    } catch (error) {
      // The image has all bytes already, or is gone: its state says it.
      if (error instanceof PhotonError && error.record.code === 'no_input') return;
      if (!passes(error) || deadline.leftMs() < waitMs) throw error;
      await pause(waitMs);
      waitMs = Math.min(waitMs * 2, againMs.max);
    }
  }
}

export function addImages(program: Command): void {
  const image = program.command('image').description('upload images');
  const sending = image
    .command('upload <file>')
    .description('declare an image and send its bytes; the same command again goes on where the last one ended')
    .requiredOption('--name <name>', 'name of the image')
    .requiredOption('--format <format>', 'raw, qcow2, kernel or initrd')
    .option('--host <host>', 'host that keeps the bytes first')
    .addOption(timeoutOption(6 * 3_600))
    .action(withSession(program, (session, file: string, options: UploadOptions) => upload(session, file, options)));
  withExamples(sending, '-t acme image upload debian-12.qcow2 --name debian --format qcow2');
}
