/**
 * What the first and the last bytes of a file say it is. The table names every format that QEMU would recognize, with
 * QEMU's own rules where they are wider than a fixed text (block/vmdk.c), because a file that some tool takes for a
 * container must not pass as raw bytes. Called by image-header.ts, which decides.
 */
import type { ImageFormat } from '@photoncloud/machines/values/wiring';

/** Bytes at the begin of a file that are enough to recognize every format. */
export const headBytes = 65_536;
/** Bytes at the end of a file where a fixed VHD has its only header. */
export const footerBytes = 512;

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
  signature('luks', 0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]),
  signature('bochs', 0, 'Bochs Virtual HD Image'),
  signature('cloop', 0, '#!/bin/sh\n#V2.0 Format\n'),
];
const footerSignatures: readonly Signature[] = [signature('vhd', 0, 'conectix'), signature('dmg', 0, 'koly')];
const initrdSignatures: readonly Signature[] = [
  signature('cpio', 0, '070701'),
  signature('cpio', 0, '070702'),
  signature('gzip', 0, [0x1f, 0x8b]),
  signature('zstd', 0, [0x28, 0xb5, 0x2f, 0xfd]),
  signature('xz', 0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]),
  signature('lz4', 0, [0x02, 0x21, 0x4c, 0x18]),
  signature('bzip2', 0, 'BZh'),
];
/** What a file may be besides, because the bytes of its own format begin elsewhere: a polyglot. */
const overlaid: readonly Signature[] = [
  signature('iso9660', 0x8001, 'CD001'),
  signature('mbr', 510, [0x55, 0xaa]),
  signature('gpt', 512, 'EFI PART'),
];

const found = (bytes: Buffer, list: readonly Signature[]): string | undefined =>
  list.find(({ offset, bytes: wanted }) => bytes.subarray(offset, offset + wanted.length).equals(wanted))?.format;

/**
 * QEMU takes a text for the descriptor of a VMDK whose first line that is neither empty nor a comment is a version.
 * Such a descriptor names the files that have the bytes, and they may be any file of the host.
 */
function isVmdkDescriptor(head: Buffer): boolean {
  const lines = head.toString('latin1', 0, 4096).split(/\r?\n/);
  const first = lines.find((line) => !/^#|^[ \t]*$/.test(line));
  return first !== undefined && /^version=\d/.test(first.trim());
}

/** The disk format that the first bytes announce; undefined: none. */
export const diskFormatOf = (head: Buffer): string | undefined =>
  found(head, diskSignatures) ?? (isVmdkDescriptor(head) ? 'vmdk' : undefined);

/** The disk format that the last 512 bytes announce. */
export const footerFormatOf = (footer: Buffer): string | undefined => found(footer, footerSignatures);

export const isInitrd = (head: Buffer): boolean => found(head, initrdSignatures) !== undefined;

/** A second format that a file of a container format also announces: tools differ about what it is. */
export const secondFormatOf = (head: Buffer): string | undefined => found(head, overlaid);

/** Whether an image of this format could be imported; others must be converted before. */
export const isImageFormat = (format: string): format is ImageFormat =>
  ['raw', 'qcow2', 'kernel', 'initrd'].includes(format);
