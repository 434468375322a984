/**
 * Image copies of this host: imported from an allowed path, made of gathered bytes, or fetched from another host;
 * named by their digest, shared by owners. Called by storage-operations.ts and copy-gathering.ts. Promise
 * (docs/threats.md#t6, #t7, #t11): a stored copy has the digest in its name, and its header was inspected in the stored
 * bytes, not in the source file, which could change meanwhile.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import type {
  CopyFetchSpec,
  CopyGatherSpec,
  CopyImportSpec,
  CopyProof,
  ImageFormat,
  OwnerToken,
} from '@photoncloud/machines/values/wiring';
import type { ImageFile } from '../contract/storage-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { copySparse, createFile, requireSpace, syncFolder, writeSparse } from '../storage-files.ts';
import { checkDigest, checkOwner } from '../wiring-checks.ts';
import { removeIntake, type Intake } from './copy-intake.ts';
import { addOwner, readOwners } from './copy-owners.ts';
import { blobPath, imageFormats } from './copy-paths.ts';
import { blobMissing, refuseImage } from './image-errors.ts';
import { inspectHeader } from './image-header.ts';
import { openBeneath } from './image-open.ts';
import { requireUsable, showToQemuImage } from './qemu-image.ts';

async function using<Result>(handle: FileHandle, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } finally {
    await handle.close();
  }
}

function checkFormat(format: ImageFormat): void {
  if (!imageFormats.includes(format))
    throw new PhotonError('defeat', 'spec_invalid', `There is no image format ${JSON.stringify(format)}.`);
}

export async function inspectFile(
  site: DataplaneSite,
  { path: named, format, sha256: expected = null }: ImageFile,
  signal: AbortSignal,
): Promise<CopyProof> {
  checkFormat(format);
  const source = await openBeneath(site.options, named);
  return using(source, async () => {
    const virtualSizeBytes = await inspectHeader(source, format, named);
    // qemu-img has no more rights than everybody: it looks at a private file when that is imported.
    const isPublic = ((await source.stat()).mode & constants.S_IROTH) !== 0;
    if (format === 'qcow2' && isPublic) await requireUsable(source, named, signal);
    const digest = createHash('sha256');
    const sizeBytes = await readAll(source, signal, (chunk) => digest.update(chunk));
    const sha256 = digest.digest('hex');
    requireDigest(named, sha256, expected);
    return { sha256, sizeBytes, virtualSizeBytes };
  });
}

function requireDigest(shown: string, sha256: string, expected: string | null): void {
  if (expected === null || sha256 === expected) return;
  throw refuseImage('digest_mismatch', `${shown} has sha256 ${sha256}, declared was ${expected}`);
}

async function readAll(source: FileHandle, signal: AbortSignal, onChunk: (chunk: Buffer) => void): Promise<number> {
  const buffer = Buffer.alloc(1 << 20);
  for (let position = 0; ;) {
    signal.throwIfAborted();
    const { bytesRead } = await source.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return position;
    onChunk(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}

export async function importFile(site: DataplaneSite, spec: CopyImportSpec, signal: AbortSignal): Promise<CopyProof> {
  checkOwner(spec.owner);
  checkFormat(spec.format);
  if (spec.sha256 !== null) checkDigest('sha256', spec.sha256);
  const source = await openBeneath(site.options, spec.path);
  return using(source, async () => {
    await inspectHeader(source, spec.format, spec.path);
    await requireSpace(site.folders.images, (await source.stat()).blocks * 512);
    const fill: Fill = (target, onChunk) => copySparse(source, target, signal, onChunk);
    return store(site, { ...spec, shown: spec.path, signal }, fill);
  });
}

export async function fetchFromHost(site: DataplaneSite, spec: CopyFetchSpec, signal: AbortSignal): Promise<CopyProof> {
  checkOwner(spec.owner);
  checkFormat(spec.format);
  checkDigest('sha256', spec.sha256);
  // The owner is added before the copy is read again: then the removal of another owner cannot delete the file.
  if ((await readCopy(site, spec.sha256, spec.format)) !== null)
    await addOwner(site, spec.sha256, spec.format, spec.owner);
  const present = await readCopy(site, spec.sha256, spec.format);
  if (present !== null) return present;
  await requireSpace(site.folders.images, spec.sizeBytes);
  const shown = `the copy of ${spec.sha256.slice(0, 12)} from ${spec.from}`;
  let stream: Readable;
  try {
    stream = await site.options.fetchBlob(spec.from, spec.sha256, signal);
  } catch (error) {
    throw fetchFailed(shown, error);
  }
  const fill: Fill = (target, onChunk) => receive(stream, target, spec.sizeBytes, shown, onChunk);
  return store(site, { ...spec, shown, signal }, fill);
}

async function receive(
  stream: Readable,
  target: FileHandle,
  limitBytes: number,
  shown: string,
  onChunk: (chunk: Buffer) => void,
): Promise<number> {
  let position = 0;
  try {
    for await (const piece of stream) {
      const chunk = Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece));
      if (position + chunk.length > limitBytes)
        throw new Error(`the other host sent more than the declared ${limitBytes} bytes`);
      onChunk(chunk);
      await writeSparse(target, chunk, position);
      position += chunk.length;
    }
  } catch (error) {
    throw fetchFailed(shown, error);
  } finally {
    stream.destroy();
  }
  await target.truncate(position);
  return position;
}

const fetchFailed = (shown: string, error: unknown): PhotonError =>
  new PhotonError(
    'fault',
    'fetch_failed',
    `Fetching ${shown} failed: ${describeCause(error)}. Try again, or fetch it from another host.`,
    { cause: error },
  );

/** Writes the bytes into a new file. @returns how many */
type Fill = (target: FileHandle, onChunk: (chunk: Buffer) => void) => Promise<number>;

interface StoreRequest {
  readonly owner: OwnerToken;
  readonly format: ImageFormat;
  /** The digest that the bytes must have; null: any. */
  readonly sha256: string | null;
  /** The name of the source in errors. */
  readonly shown: string;
  readonly signal: AbortSignal;
}

/** Fills a new file, checks its digest and header, and only then gives it its final name. */
async function store(site: DataplaneSite, request: StoreRequest, fill: Fill): Promise<CopyProof> {
  const { format, sha256: expected, shown } = request;
  const digest = createHash('sha256');
  let proof: CopyProof | undefined;
  await createFile(blobPath(site.folders.images, expected ?? 'import', format), async (fresh, target) => {
    const sizeBytes = await fill(target, (chunk) => digest.update(chunk));
    const written = await open(fresh, 'r');
    const found = { sha256: digest.digest('hex'), sizeBytes };
    proof = await using(written, () => accept(site, request, written, found));
    return blobPath(site.folders.images, proof.sha256, format);
  });
  if (proof === undefined) throw new PhotonError('bug', 'copy_without_proof', `${shown} was stored without a proof.`);
  return proof;
}

/** Judges bytes that are all there, and adds their owner. The caller gives the file its final name. */
async function accept(
  site: DataplaneSite,
  { owner, format, sha256: expected, shown, signal }: StoreRequest,
  written: FileHandle,
  { sha256, sizeBytes }: Omit<CopyProof, 'virtualSizeBytes'>,
): Promise<CopyProof> {
  requireDigest(shown, sha256, expected);
  const virtualSizeBytes = await inspectHeader(written, format, shown);
  await showToQemuImage(written);
  if (format === 'qcow2') await requireUsable(written, shown, signal);
  // The removal of an unfinished copy removes no file, because it does not know the digest.
  signal.throwIfAborted();
  // The owner is added before the rename: the sweep removes a blob without an owner.
  await addOwner(site, sha256, format, owner);
  return { sha256, sizeBytes, virtualSizeBytes };
}

/** Makes gathered bytes a copy. @throws fault `gathered_missing`; defeat ImageRefusal */
export async function storeIntake(
  site: DataplaneSite,
  { owner, format, sha256 }: CopyGatherSpec,
  intake: Intake,
  signal: AbortSignal,
): Promise<CopyProof> {
  if (!intake.isWhole) {
    // It may have become a copy before, without an answer.
    const owners = await readOwners(site, sha256, format);
    const present = owners.some(({ actor, uid }) => actor === owner.actor && uid === owner.uid)
      ? await readCopy(site, sha256, format)
      : null;
    if (present === null)
      throw new PhotonError('fault', 'gathered_missing', `The bytes of ${owner.actor} are not all there; ask again.`);
    await removeIntake(site, owner);
    return present;
  }
  // It also makes the folder.
  await requireSpace(site.folders.images, 0);
  const digest = createHash('sha256');
  const sizeBytes = await readAll(intake.file, signal, (chunk) => digest.update(chunk));
  const request = { owner, format, sha256, shown: 'the image', signal };
  const proof = await accept(site, request, intake.file, { sha256: digest.digest('hex'), sizeBytes });
  const blob = blobPath(site.folders.images, proof.sha256, format);
  try {
    await intake.file.sync();
    await rename(intake.path, blob);
    await syncFolder(path.dirname(blob));
  } catch (error) {
    throw fileError(`storing ${owner.actor}`, error);
  }
  await removeIntake(site, owner);
  return proof;
}

/** Null when there is no such copy. Its digest was checked when it was stored; the header is inspected again. */
export async function readCopy(site: DataplaneSite, sha256: string, format: ImageFormat): Promise<CopyProof | null> {
  let file: FileHandle;
  try {
    file = await open(blobPath(site.folders.images, sha256, format), 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fileError(`opening the copy ${sha256}`, error);
  }
  return using(file, async () => ({
    sha256,
    sizeBytes: (await file.stat()).size,
    virtualSizeBytes: await inspectHeader(file, format, sha256.slice(0, 12)),
  }));
}

export async function openCopy(site: DataplaneSite, sha256: string): Promise<{ stream: Readable; sizeBytes: number }> {
  checkDigest('sha256', sha256);
  for (const format of imageFormats) {
    try {
      const file = await open(blobPath(site.folders.images, sha256, format), 'r');
      const { size } = await file.stat();
      return { stream: file.createReadStream({ autoClose: true }), sizeBytes: size };
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw fileError(`opening the copy ${sha256}`, error);
    }
  }
  throw blobMissing(sha256);
}
