/**
 * Our own reader of image headers: it determines the format from the bytes, not from the file name or from what its
 * owner declared (docs/threats.md#t7, #t8). No tool opens an image before this file has accepted it, and afterwards the
 * format is passed to every tool explicitly. Called by copy-store.ts and replica-store.ts, always on an open
 * descriptor.
 */
import type { FileHandle } from 'node:fs/promises';
import type { ImageFormat } from '@photoncloud/machines/values/wiring';
import { refuseImage } from './image-errors.ts';
import {
  diskFormatOf,
  footerBytes,
  footerFormatOf,
  headBytes,
  isImageFormat,
  isInitrd,
  secondFormatOf,
} from './image-signatures.ts';
import { partitionTrouble } from './partition-table.ts';

const sizeLimitBytes = 16 * 2 ** 40;
const l1LimitBytes = 32 << 20;
const dataFileBit = 1n << 2n;
// The accepted incompatible features; they refer to no other file.
const compressionBit = 1n << 3n;
const extendedL2Bit = 1n << 4n;
const refcountLimitBytes = 8n << 20n;
const snapshotLimit = 65_536;
const snapshotHeaderBytes = 40n;
const dataFileExtension = 0x44415441;

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/**
 * @param shown the file's name in errors
 * @param size bytes of the whole file, when only its begin is there yet
 * @returns the size in bytes that a guest would see
 * @throws defeat ImageRefusal
 */
export async function inspectHeader(
  file: FileHandle,
  format: ImageFormat,
  shown: string,
  size?: number,
): Promise<number> {
  const fileSize = size ?? (await file.stat()).size;
  if (fileSize === 0) throw refuseImage('image_empty', `${shown} has no content`);
  const head = await readAt(file, 0, headBytes);
  const really =
    diskFormatOf(head) ?? footerFormatOf(await readAt(file, Math.max(0, fileSize - footerBytes), footerBytes));
  if (really !== undefined && !isImageFormat(really)) throw refuseImage('format_unsupported', `${shown} is ${really}`);
  const requireIs = (is: boolean, other: string): void => {
    if (!is) throw refuseImage('format_lies', `${shown} is declared ${format} but is ${really ?? other}`);
  };
  switch (format) {
    case 'raw': {
      requireIs(really === undefined, '');
      const trouble = partitionTrouble(head, fileSize);
      if (trouble !== undefined) throw refuseImage('partition_table', `${shown} is damaged: ${trouble}`);
      return fileSize;
    }
    case 'qcow2': {
      requireIs(really === 'qcow2', 'something else');
      const second = secondFormatOf(head);
      if (second !== undefined) throw refuseImage('format_ambiguous', `${shown} is qcow2 and ${second} at once`);
      return inspectQcow2(head, fileSize, shown);
    }
    case 'kernel':
      requireIs(isKernel(head), 'no bzImage');
      return fileSize;
    case 'initrd':
      requireIs(isInitrd(head), 'neither cpio nor a compressed one');
      return fileSize;
  }
}

const isKernel = (head: Buffer): boolean =>
  head.length >= 0x206 && head.readUInt16LE(0x1fe) === 0xaa55 && head.toString('latin1', 0x202, 0x206) === 'HdrS';

/**
 * Layout and bounds: QEMU's docs/interop/qcow2.txt and block/qcow2.c; all numbers are big-endian. What QEMU would
 * refuse to open is refused here with its name, before anything is copied; qemu-img is asked afterwards
 * (copy-store.ts).
 */
function inspectQcow2(head: Buffer, fileSize: number, shown: string): number {
  const malformed = (why: string): Error => refuseImage('qcow2_malformed', `${shown}: ${why}`);
  if (head.length < 72) throw malformed('shorter than a header');
  const version = head.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw refuseImage('qcow2_version', `${shown} is qcow2 version ${version}`);
  if (head.readBigUInt64BE(8) !== 0n || head.readUInt32BE(16) !== 0)
    throw refuseImage('qcow2_backing_file', `${shown} has a backing file`);
  if (head.readUInt32BE(32) !== 0) throw refuseImage('qcow2_encrypted', `${shown} is encrypted`);
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw malformed(`cluster size 2^${clusterBits}`);
  const { headerLength, features } = version === 2 ? { headerLength: 72, features: 0n } : inspectVersion3(head, shown);
  if (headerLength > 2 ** clusterBits) throw malformed('its header is larger than a cluster');
  inspectExtensions(head, headerLength, shown);
  const size = head.readBigUInt64BE(24);
  if (size === 0n || size > BigInt(sizeLimitBytes)) throw refuseImage('qcow2_size', `${shown} declares ${size} bytes`);
  const hasSubclusters = (features & extendedL2Bit) !== 0n;
  if (hasSubclusters && clusterBits < 14) throw malformed('extended L2 entries need clusters of 16 KiB or more');
  inspectTables(head, { clusterBits, size, fileSize, entryBits: hasSubclusters ? 4 : 3 }, malformed);
  return Number(size);
}

function inspectVersion3(head: Buffer, shown: string): { headerLength: number; features: bigint } {
  const malformed = (why: string): Error => refuseImage('qcow2_malformed', `${shown}: ${why}`);
  if (head.length < 104) throw malformed('shorter than a version 3 header');
  const features = head.readBigUInt64BE(72);
  if ((features & dataFileBit) !== 0n) throw refuseImage('qcow2_data_file', `${shown} has an external data file`);
  if ((features & ~(compressionBit | extendedL2Bit)) !== 0n)
    throw refuseImage('qcow2_incompatible', `${shown} has incompatible features 0x${features.toString(16)}`);
  const refcountOrder = head.readUInt32BE(96);
  if (refcountOrder > 6) throw malformed(`reference counts of 2^${refcountOrder} bits, where 64 are the most`);
  const headerLength = head.readUInt32BE(100);
  if (headerLength < 104 || headerLength > head.length || headerLength % 8 !== 0)
    throw malformed(`a header of ${headerLength} bytes`);
  const compression = headerLength > 104 ? head.readUInt8(104) : 0;
  if (compression > 1 || (compression === 1) !== ((features & compressionBit) !== 0n))
    throw malformed(`an unknown or unannounced compression ${compression}`);
  return { headerLength, features };
}

interface Qcow2Shape {
  readonly clusterBits: number;
  readonly size: bigint;
  readonly fileSize: number;
  /** Bytes of an L2 entry, as a power of two. */
  readonly entryBits: number;
}

function inspectTables(
  head: Buffer,
  { clusterBits, size, fileSize, entryBits }: Qcow2Shape,
  malformed: (why: string) => Error,
): void {
  const cluster = 2n ** BigInt(clusterBits);
  const entries = {
    l1: head.readUInt32BE(36),
    refcountClusters: head.readUInt32BE(56),
    snapshots: head.readUInt32BE(60),
  };
  if (entries.l1 * 8 > l1LimitBytes) throw malformed(`an L1 table of ${entries.l1} entries`);
  const bytesPerL1Entry = cluster * 2n ** BigInt(clusterBits - entryBits);
  if (BigInt(entries.l1) * bytesPerL1Entry < size) throw malformed('its L1 table is too small for its size');
  if (entries.refcountClusters === 0) throw malformed('no table of reference counts');
  const refcountBytes = BigInt(entries.refcountClusters) * cluster;
  if (refcountBytes > refcountLimitBytes) throw malformed('its table of reference counts is too large');
  if (entries.snapshots > snapshotLimit) throw malformed(`${entries.snapshots} snapshots`);
  const tables: readonly (readonly [string, bigint, bigint])[] = [
    ['L1 table', head.readBigUInt64BE(40), BigInt(entries.l1) * 8n],
    ['table of reference counts', head.readBigUInt64BE(48), refcountBytes],
    ['table of snapshots', head.readBigUInt64BE(64), BigInt(entries.snapshots) * snapshotHeaderBytes],
  ];
  for (const [what, offset, bytes] of tables) {
    if (bytes === 0n) continue;
    if (offset === 0n || offset % cluster !== 0n) throw malformed(`its ${what} begins inside a cluster`);
    if (offset + bytes > BigInt(fileSize)) throw malformed(`its ${what} reaches beyond its end`);
  }
}

function inspectExtensions(head: Buffer, start: number, shown: string): void {
  for (let at = start; at + 8 <= head.length;) {
    const type = head.readUInt32BE(at);
    const length = head.readUInt32BE(at + 4);
    if (type === 0) return;
    if (type === dataFileExtension) throw refuseImage('qcow2_data_file', `${shown} names an external data file`);
    at += 8 + Math.ceil(length / 8) * 8;
  }
  throw refuseImage('qcow2_malformed', `${shown}: its header extensions do not end`);
}
