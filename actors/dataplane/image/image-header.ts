/**
 * Our own reader of image headers: it determines the format from the bytes, not from the file name or from what its
 * owner declared (docs/threats.md#t7, #t8). No tool opens an image before this file has accepted it, and afterwards the
 * format is passed to every tool explicitly. Called by copy-store.ts and replica-store.ts, always on an open
 * descriptor.
 */
import type { FileHandle } from 'node:fs/promises';
import type { ImageFormat } from '@photoncloud/machines/values/wiring';
import { refuseImage } from './image-errors.ts';

const headBytes = 65536;
const sizeLimitBytes = 16 * 2 ** 40;
const l1LimitBytes = 32 << 20;
const dataFileBit = 1n << 2n;
/** Accepted incompatible features: compression type and extended L2 entries; they refer to no other file. */
const takenBits = (1n << 3n) | (1n << 4n);
const dataFileExtension = 0x44415441;

interface Signature {
  readonly format: string;
  readonly offset: number;
  readonly bytes: Buffer;
}
const signature = (format: string, offset: number, bytes: string | readonly number[]): Signature => ({
  format,
  offset,
  bytes: typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes),
});

/** Disk formats whose header a guest could write into a raw disk, or whose owner could declare them as raw. */
const diskSignatures: readonly Signature[] = [
  signature('qcow2', 0, 'QFI\xfb'),
  signature('vmdk', 0, 'KDMV'),
  signature('vmdk', 0, 'COWD'),
  signature('vmdk', 0, '# Disk DescriptorFile'),
  signature('vhdx', 0, 'vhdxfile'),
  signature('vhd', 0, 'conectix'),
  signature('vdi', 0x40, [0x7f, 0x10, 0xda, 0xbe]),
  signature('qed', 0, 'QED\0'),
  signature('parallels', 0, 'WithoutFreeSpace'),
  signature('parallels', 0, 'WithouFreSpacExt'),
];
const initrdSignatures: readonly Signature[] = [
  signature('cpio', 0, '070701'),
  signature('cpio', 0, '070702'),
  signature('gzip', 0, [0x1f, 0x8b]),
  signature('zstd', 0, [0x28, 0xb5, 0x2f, 0xfd]),
  signature('xz', 0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]),
  signature('lz4', 0, [0x02, 0x21, 0x4c, 0x18]),
  signature('bzip2', 0, 'BZh'),
];
const found = (head: Buffer, list: readonly Signature[]): string | undefined =>
  list.find(({ offset, bytes }) => head.subarray(offset, offset + bytes.length).equals(bytes))?.format;

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/**
 * @param shown the file's name in errors
 * @returns the size in bytes that a guest would see
 * @throws defeat ImageRefusal
 */
export async function inspectHeader(file: FileHandle, format: ImageFormat, shown: string): Promise<number> {
  const { size } = await file.stat();
  if (size === 0) throw refuseImage('image_empty', `${shown} has no content`);
  const head = await readAt(file, 0, headBytes);
  const mismatch = (really: string): Error =>
    refuseImage('format_lies', `${shown} is declared ${format} but is ${really}`);
  switch (format) {
    case 'raw': {
      const disk =
        found(head, diskSignatures) ??
        found(await readAt(file, Math.max(0, size - 512), 512), [signature('vhd', 0, 'conectix')]);
      if (disk !== undefined) throw mismatch(disk);
      return size;
    }
    case 'qcow2': {
      const disk = found(head, diskSignatures);
      if (disk !== 'qcow2') throw mismatch(disk ?? 'something else');
      return inspectQcow2(head, size, shown);
    }
    case 'kernel':
      if (
        head.length < 0x206 ||
        head.readUInt16LE(0x1fe) !== 0xaa55 ||
        head.toString('latin1', 0x202, 0x206) !== 'HdrS'
      )
        throw mismatch('no bzImage');
      return size;
    case 'initrd':
      if (found(head, initrdSignatures) === undefined) throw mismatch('neither cpio nor a compressed one');
      return size;
  }
}

/** Layout: QEMU's docs/interop/qcow2.txt; all numbers big-endian. */
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
  const [l1Entries, l1Offset, refcountOffset] = [
    head.readUInt32BE(36),
    head.readBigUInt64BE(40),
    head.readBigUInt64BE(48),
  ];
  if (l1Entries * 8 > l1LimitBytes) throw malformed(`an L1 table of ${l1Entries} entries`);
  if (l1Offset + BigInt(l1Entries * 8) > BigInt(fileSize) || refcountOffset >= BigInt(fileSize))
    throw malformed('its tables mismatch beyond its end');
  let headerLength = 72;
  if (version === 3) {
    if (head.length < 104) throw malformed('shorter than a version 3 header');
    const features = head.readBigUInt64BE(72);
    if ((features & dataFileBit) !== 0n) throw refuseImage('qcow2_data_file', `${shown} has an external data file`);
    if ((features & ~takenBits) !== 0n)
      throw refuseImage('qcow2_incompatible', `${shown} has incompatible features 0x${features.toString(16)}`);
    headerLength = head.readUInt32BE(100);
    if (headerLength < 104 || headerLength > head.length || headerLength % 8 !== 0)
      throw malformed(`a header of ${headerLength} bytes`);
  }
  inspectExtensions(head, headerLength, shown);
  const size = head.readBigUInt64BE(24);
  if (size === 0n || size > BigInt(sizeLimitBytes)) throw refuseImage('qcow2_size', `${shown} declares ${size} bytes`);
  return Number(size);
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
