/**
 * The corpus of hostile images: each is made by code, names what its author hopes for, and says with which code it must
 * be refused. The tests of every way by which an image comes in (a path, an address, an upload) take it from here. Not
 * part of the product.
 */
import type { ImageFormat } from '@photoncloud/machines/values/wiring';
import type { ImageRefusal } from '../contract/storage-contract.ts';

export interface HostileImage {
  readonly name: string;
  readonly declared: ImageFormat;
  readonly refusal: ImageRefusal;
  readonly bytes: Buffer;
}

const clusterBits = 16;
const cluster = 2 ** clusterBits;
const copied = 1n << 63n;
const compressed = 1n << 62n;

/** Fields of a qcow2 header, with those of a valid image of 64 MiB as defaults. */
interface Qcow2Fields {
  readonly version: number;
  readonly backing: string;
  readonly size: bigint;
  readonly l1Entries: number;
  readonly l1At: number;
  readonly refcountsAt: number;
  readonly snapshots: number;
  readonly snapshotsAt: number;
  readonly features: bigint;
  readonly refcountOrder: number;
  /** Header extensions: type and content. */
  readonly extensions: readonly (readonly [number, string])[];
}
const plain: Qcow2Fields = {
  version: 3,
  backing: '',
  size: 64n << 20n,
  l1Entries: 1,
  l1At: 3 * cluster,
  refcountsAt: cluster,
  snapshots: 0,
  snapshotsAt: 0,
  features: 0n,
  refcountOrder: 4,
  extensions: [],
};

function headerOf(fields: Qcow2Fields): Buffer {
  const head = Buffer.alloc(cluster);
  head.write('QFI\xfb', 0, 'latin1');
  head.writeUInt32BE(fields.version, 4);
  head.writeUInt32BE(clusterBits, 20);
  head.writeBigUInt64BE(fields.size, 24);
  head.writeUInt32BE(fields.l1Entries, 36);
  head.writeBigUInt64BE(BigInt(fields.l1At), 40);
  head.writeBigUInt64BE(BigInt(fields.refcountsAt), 48);
  head.writeUInt32BE(1, 56);
  head.writeUInt32BE(fields.snapshots, 60);
  head.writeBigUInt64BE(BigInt(fields.snapshotsAt), 64);
  head.writeBigUInt64BE(fields.features, 72);
  head.writeUInt32BE(fields.refcountOrder, 96);
  head.writeUInt32BE(104, 100);
  let at = 104;
  for (const [type, content] of fields.extensions) {
    head.writeUInt32BE(type, at);
    head.writeUInt32BE(content.length, at + 4);
    head.write(content, at + 8, 'latin1');
    at += 8 + Math.ceil(content.length / 8) * 8;
  }
  if (fields.backing !== '') {
    head.writeBigUInt64BE(512n, 8);
    head.writeUInt32BE(fields.backing.length, 16);
    head.write(fields.backing, 512, 'latin1');
  }
  return head;
}

/** A table of 64-bit entries, one cluster long. */
function tableOf(entries: Readonly<Record<number, bigint>>): Buffer {
  const table = Buffer.alloc(cluster);
  for (const [index, entry] of Object.entries(entries)) table.writeBigUInt64BE(entry, Number(index) * 8);
  return table;
}

/**
 * Header, table of reference counts, its one block, L1 table, L2 table, one cluster of content, in this order, with
 * right reference counts. @param more further clusters
 */
export function qcow2Of(
  fields: Partial<Qcow2Fields> = {},
  tables: { readonly refcounts?: Buffer; readonly counts?: Buffer; readonly l1?: Buffer; readonly l2?: Buffer } = {},
  more: readonly Buffer[] = [],
): Buffer {
  const counts = Buffer.alloc(cluster);
  for (let index = 0; index < 6 + more.length; index += 1) counts.writeUInt16BE(1, index * 2);
  return Buffer.concat([
    headerOf({ ...plain, ...fields }),
    tables.refcounts ?? tableOf({ 0: BigInt(2 * cluster) }),
    tables.counts ?? counts,
    tables.l1 ?? tableOf({ 0: BigInt(4 * cluster) | copied }),
    tables.l2 ?? tableOf({ 0: BigInt(5 * cluster) | copied }),
    Buffer.alloc(cluster, 7),
    ...more,
  ]);
}

/** 64 GiB of content in 7 clusters: every entry of every table names the same compressed cluster, and is counted. */
function bomb(): Buffer {
  const l1Entries = 128;
  const perL2 = cluster / 8;
  const data = 5 * cluster;
  const counts = Buffer.alloc(cluster);
  for (const index of [0, 1, 2, 3]) counts.writeUInt32BE(1, index * 4);
  counts.writeUInt32BE(l1Entries, 4 * 4);
  counts.writeUInt32BE(l1Entries * perL2, 5 * 4);
  const l1 = Object.fromEntries(Array.from({ length: l1Entries }, (_, index) => [index, BigInt(4 * cluster)]));
  const l2 = Object.fromEntries(Array.from({ length: perL2 }, (_, index) => [index, BigInt(data) | compressed]));
  const size = BigInt(l1Entries * perL2) * BigInt(cluster);
  return qcow2Of({ size, l1Entries, refcountOrder: 5 }, { counts, l1: tableOf(l1), l2: tableOf(l2) });
}

/** A disk of 1 MiB with a partition table of four entries: type, first sector, sectors. */
function partitioned(...entries: readonly (readonly [type: number, start: number, count: number])[]): Buffer {
  const disk = Buffer.alloc(1 << 20);
  for (const [index, [type, start, count]] of entries.entries()) {
    disk.writeUInt8(type, 446 + index * 16 + 4);
    disk.writeUInt32LE(start, 446 + index * 16 + 8);
    disk.writeUInt32LE(count, 446 + index * 16 + 12);
  }
  disk.writeUInt16LE(0xaa55, 510);
  return disk;
}

/** The same disk with a GPT. */
export function gptDisk(
  more: { size?: number; backup?: number; entries?: number; each?: number; table?: number } = {},
) {
  const disk = partitioned([0xee, 1, 0xffffffff]);
  disk.write('EFI PART', 512, 'latin1');
  disk.writeUInt32LE(more.size ?? 92, 512 + 12);
  disk.writeBigUInt64LE(1n, 512 + 24);
  disk.writeBigUInt64LE(BigInt(more.backup ?? 2047), 512 + 32);
  disk.writeBigUInt64LE(34n, 512 + 40);
  disk.writeBigUInt64LE(2014n, 512 + 48);
  disk.writeBigUInt64LE(BigInt(more.table ?? 2), 512 + 72);
  disk.writeUInt32LE(more.entries ?? 128, 512 + 80);
  disk.writeUInt32LE(more.each ?? 128, 512 + 84);
  return disk;
}

const withText = (text: string, at = 0, size = 1 << 20): Buffer => {
  const bytes = Buffer.alloc(size);
  bytes.write(text, at, 'latin1');
  return bytes;
};
const descriptor = 'CID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8192 FLAT "/etc/shadow" 0\n';
const iso = (bytes: Buffer): Buffer => {
  bytes.write('\x01CD001\x01', 0x8000, 'latin1');
  return bytes;
};
const dataFileBit = 1n << 2n;
const extendedL2Bit = 1n << 4n;
const dataFileName = 0x44415441;
const beyond = BigInt(1 << 30);

const containers: readonly (readonly [string, Buffer])[] = [
  ['vmdk, sparse', withText('KDMV')],
  ['vmdk of ESX', withText('COWD')],
  ['vmdk descriptor that names /etc/shadow', withText(`# Disk DescriptorFile\nversion=1\n${descriptor}`)],
  ['vmdk descriptor behind comments', withText(`# hello\n\n  \nversion=3\n${descriptor}`)],
  ['vmdk descriptor with line ends of Windows', withText(`#x\r\nversion=1\r\n${descriptor}`)],
  ['vhd, dynamic', withText('conectix')],
  ['vhd, fixed: it has only a footer', withText('conectix', (1 << 20) - 512)],
  ['vhdx', withText('vhdxfile')],
  ['vdi', withText('\x7f\x10\xda\xbe', 0x40)],
  ['qed', withText('QED\0')],
  ['parallels', withText('WithoutFreeSpace')],
  ['luks', withText('LUKS\xba\xbe')],
  ['dmg', withText('koly', (1 << 20) - 512)],
];

const raw: readonly (readonly [string, ImageRefusal, Buffer])[] = [
  ['qcow2 with the secret of the host behind it', 'format_lies', qcow2Of({ backing: '/etc/shadow' })],
  ['iso that is also qcow2', 'format_lies', iso(qcow2Of())],
  ['a partition beyond the end', 'partition_table', partitioned([0x83, 2048, 0xffffffff])],
  ['a second partition that was cut off', 'partition_table', partitioned([0x83, 1, 100], [0x83, 1024, 1025])],
  ['a GPT that was cut off', 'partition_table', gptDisk({ backup: 2048 })],
  ['a GPT whose sectors overflow', 'partition_table', gptDisk({ backup: Number.MAX_SAFE_INTEGER })],
  ['a GPT with a header of 4 GiB', 'partition_table', gptDisk({ size: 0xffffffff })],
  ['a GPT with very many entries', 'partition_table', gptDisk({ entries: 0xffffffff, each: 0xffffffff })],
  ['a GPT with entries of no bytes', 'partition_table', gptDisk({ each: 0 })],
  ['a GPT whose table is elsewhere', 'partition_table', gptDisk({ table: 1 << 30 })],
  ['nothing', 'image_empty', Buffer.alloc(0)],
];

const l1To = (offset: bigint): Buffer => tableOf({ 0: offset | copied });
const qcow2: readonly (readonly [string, ImageRefusal, Buffer])[] = [
  ['backing file of the host', 'qcow2_backing_file', qcow2Of({ backing: '/etc/shadow' })],
  ['backing file by protocol', 'qcow2_backing_file', qcow2Of({ backing: 'nbd:unix:/run/x' })],
  ['backing file as JSON', 'qcow2_backing_file', qcow2Of({ backing: 'json:{"driver":"file"}' })],
  ['data file', 'qcow2_data_file', qcow2Of({ features: dataFileBit, extensions: [[dataFileName, '/etc/shadow']] })],
  [
    'data file without its feature',
    'qcow2_data_file',
    qcow2Of({
      extensions: [
        [1, 'x'],
        [dataFileName, '/etc/shadow'],
      ],
    }),
  ],
  ['extended L2 entries in an unknown form', 'qcow2_incompatible', qcow2Of({ features: extendedL2Bit | (1n << 60n) })],
  ['header extensions without an end', 'qcow2_malformed', qcow2Of({ extensions: [[1, 'x'.repeat(cluster - 112)]] })],
  ['huge L1 table', 'qcow2_malformed', qcow2Of({ l1Entries: 0xffffffff })],
  ['huge disk', 'qcow2_size', qcow2Of({ size: 1n << 62n })],
  ['L1 table that is elsewhere', 'qcow2_malformed', qcow2Of({ l1At: 2 ** 40 })],
  ['snapshots that are not there', 'qcow2_malformed', qcow2Of({ snapshots: 5, snapshotsAt: 6 * cluster })],
  ['very many snapshots', 'qcow2_malformed', qcow2Of({ snapshots: 0xffffffff, snapshotsAt: cluster })],
  [
    'snapshots of garbage',
    'qcow2_unusable',
    qcow2Of({ snapshots: 3, snapshotsAt: 6 * cluster }, {}, [Buffer.alloc(cluster, 0xff)]),
  ],
  ['snapshots in the L1 table', 'qcow2_unusable', qcow2Of({ snapshots: 3, snapshotsAt: 3 * cluster })],
  ['L1 table that is its own L2 table', 'qcow2_unusable', qcow2Of({}, { l1: l1To(BigInt(3 * cluster)) })],
  ['L2 table in the header', 'qcow2_unusable', qcow2Of({}, { l2: tableOf({ 0: copied }), l1: l1To(0n) })],
  ['L2 table beyond the end', 'qcow2_unusable', qcow2Of({}, { l1: l1To(beyond) })],
  ['content beyond the end: it was cut off', 'qcow2_unusable', qcow2Of({}, { l2: l1To(beyond) })],
  ['content that is the L2 table', 'qcow2_unusable', qcow2Of({}, { l2: l1To(BigInt(4 * cluster)) })],
  [
    'reference counts that count themselves',
    'qcow2_unusable',
    qcow2Of({}, { refcounts: tableOf({ 0: BigInt(cluster) }) }),
  ],
  ['reference counts beyond the end', 'qcow2_unusable', qcow2Of({}, { refcounts: tableOf({ 0: beyond }) })],
  ['64 GiB of content in 400 KiB', 'qcow2_bomb', bomb()],
  ['qcow2 that is also an iso', 'format_ambiguous', iso(qcow2Of())],
  ['qcow2 that is also a boot sector', 'format_ambiguous', withMark(qcow2Of())],
  ['a header that was cut off', 'qcow2_malformed', qcow2Of().subarray(0, 100)],
  ['a raw disk', 'format_lies', Buffer.alloc(1 << 20, 3)],
];

function withMark(bytes: Buffer): Buffer {
  bytes.writeUInt16LE(0xaa55, 510);
  return bytes;
}

const formats: readonly ImageFormat[] = ['raw', 'qcow2', 'kernel', 'initrd'];

export const hostileImages: readonly HostileImage[] = [
  ...containers.flatMap(([name, bytes]) =>
    formats.map((declared) => ({ name, declared, refusal: 'format_unsupported' as const, bytes })),
  ),
  ...raw.map(([name, refusal, bytes]) => ({ name, declared: 'raw' as const, refusal, bytes })),
  ...qcow2.map(([name, refusal, bytes]) => ({ name, declared: 'qcow2' as const, refusal, bytes })),
  { name: 'a raw disk as kernel', declared: 'kernel', refusal: 'format_lies', bytes: Buffer.alloc(1 << 20, 3) },
  { name: 'a raw disk as initrd', declared: 'initrd', refusal: 'format_lies', bytes: Buffer.alloc(1 << 20, 3) },
];
