/**
 * Writes a small ISO 9660 image with a Joliet tree: files in one folder, read only, for guests of any system. Pure: the
 * same files give the same bytes. Called by seed-disk.ts.
 *
 * Layout in sectors of 2048 bytes: 0-15 empty, 16 primary descriptor, 17 Joliet descriptor, 18 end of descriptors,
 * 19-22 path tables (little and big endian, of either tree), 23-24 root folders, then the files. References: ECMA-119
 * (the clause is named at each structure) and the Joliet specification.
 *
 * The primary tree has the names in upper case, with more characters than ECMA-119 allows in a name of level 1, as all
 * common writers do: a system without Joliet still shows `user-data`.
 */
export interface IsoFile {
  /** 1 to 27 characters a-z, 0-9, `-`: one that both trees can hold. */
  readonly name: string;
  readonly bytes: Buffer;
}

const sector = 2048;
const [primaryAt, jolietAt, endAt, tablesAt, rootsAt, filesAt] = [16, 17, 18, 19, 23, 25];

/** Joliet level 3: UCS-2, big endian. */
const jolietEscape = '%/E';
/** 2000-01-01: the image has no date of its own, so that equal files make an equal image. */
const folderDate = Buffer.from([100, 1, 1, 0, 0, 0, 0]);
const noDate = Buffer.concat([Buffer.alloc(16, '0'), Buffer.alloc(1)]);

const both16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
};
const both32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
};

const wide = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

interface Tree {
  readonly escape: string;
  /** First of its two path tables. */
  readonly table: number;
  readonly root: number;
  readonly nameOf: (file: string) => Buffer;
  /** A text of a descriptor, padded with spaces to its length in bytes. */
  readonly field: (text: string, length: number) => Buffer;
}

const padded = (bytes: Buffer, length: number, space: Buffer): Buffer =>
  Buffer.concat([bytes, Buffer.alloc(length - bytes.length, space)]);

const primary: Tree = {
  escape: '',
  table: tablesAt,
  root: rootsAt,
  nameOf: (file) => Buffer.from(`${file.toUpperCase()}.;1`, 'latin1'),
  field: (text, length) => padded(Buffer.from(text, 'latin1'), length, Buffer.from(' ')),
};
const joliet: Tree = {
  escape: jolietEscape,
  table: tablesAt + 2,
  root: rootsAt + 1,
  nameOf: wide,
  // A field of an odd length ends in a zero byte.
  field: (text, length) => padded(padded(wide(text), length - (length % 2), wide(' ')), length, Buffer.from([0])),
};

interface Placed {
  readonly file: IsoFile;
  readonly at: number;
}

/** ECMA-119 9.1: one entry of a folder. @param flags 2 for a folder */
function entryOf(name: Buffer, at: number, length: number, flags: number): Buffer {
  const size = 33 + name.length + ((name.length + 1) % 2);
  const entry = Buffer.alloc(size);
  entry.writeUInt8(size, 0);
  both32(at).copy(entry, 2);
  both32(length).copy(entry, 10);
  folderDate.copy(entry, 18);
  entry.writeUInt8(flags, 25);
  both16(1).copy(entry, 28);
  entry.writeUInt8(name.length, 32);
  name.copy(entry, 33);
  return entry;
}

/** 6.8.2: the root folder, which begins with itself and its parent, itself again. */
function rootOf(tree: Tree, files: readonly Placed[]): Buffer {
  const own = (name: number): Buffer => entryOf(Buffer.from([name]), tree.root, sector, 2);
  const entries = files.map(({ file, at }) => ({ name: tree.nameOf(file.name), at, length: file.bytes.length }));
  entries.sort((one, other) => Buffer.compare(one.name, other.name));
  return Buffer.concat([own(0), own(1), ...entries.map(({ name, at, length }) => entryOf(name, at, length, 0))]);
}

const tableLength = 10;
/** 9.4: the path table, with the root folder alone. */
function tableOf(tree: Tree, isBig: boolean): Buffer {
  const table = Buffer.alloc(tableLength);
  table.writeUInt8(1, 0);
  if (isBig) table.writeUInt32BE(tree.root, 2);
  else table.writeUInt32LE(tree.root, 2);
  if (isBig) table.writeUInt16BE(1, 6);
  else table.writeUInt16LE(1, 6);
  return table;
}

/** 8.4 and 8.5: a volume descriptor. @param sectors of the whole image */
function descriptorOf(tree: Tree, label: string, sectors: number): Buffer {
  const [little, big] = [Buffer.alloc(4), Buffer.alloc(4)];
  little.writeUInt32LE(tree.table);
  big.writeUInt32BE(tree.table + 1);
  const none = Buffer.alloc(4);
  return Buffer.concat([
    Buffer.from([tree.escape === '' ? 1 : 2]),
    Buffer.from('CD001\x01\x00', 'latin1'),
    tree.field('', 32),
    tree.field(label, 32),
    Buffer.alloc(8),
    both32(sectors),
    padded(Buffer.from(tree.escape, 'latin1'), 32, Buffer.from([0])),
    both16(1),
    both16(1),
    both16(sector),
    both32(tableLength),
    little,
    none,
    big,
    none,
    entryOf(Buffer.from([0]), tree.root, sector, 2),
    ...[128, 128, 128, 128, 37, 37, 37].map((length) => tree.field('', length)),
    noDate,
    noDate,
    noDate,
    noDate,
    Buffer.from([1]),
  ]);
}

/**
 * @param label 1 to 11 capital letters and digits
 * @throws RangeError for a name that not both trees can hold, or more files than fit into a folder of one sector
 */
export function isoImage(label: string, files: readonly IsoFile[]): Buffer {
  if (!/^[A-Z0-9]{1,11}$/.test(label)) throw new RangeError(`${label} is no label of an image`);
  let next = filesAt;
  const placed = files.map((file): Placed => {
    if (!/^[a-z0-9-]{1,27}$/.test(file.name)) throw new RangeError(`${file.name} is no name in an image`);
    const at = next;
    next += Math.ceil(file.bytes.length / sector);
    return { file, at };
  });
  const image = Buffer.alloc(next * sector);
  const put = (at: number, bytes: Buffer): void => void bytes.copy(image, at * sector);
  put(primaryAt, descriptorOf(primary, label, next));
  put(jolietAt, descriptorOf(joliet, label, next));
  put(endAt, Buffer.from('\xffCD001\x01', 'latin1'));
  for (const tree of [primary, joliet]) {
    put(tree.table, tableOf(tree, false));
    put(tree.table + 1, tableOf(tree, true));
    const root = rootOf(tree, placed);
    if (root.length > sector) throw new RangeError(`${files.length} files do not fit into the folder of an image`);
    put(tree.root, root);
  }
  for (const { file, at } of placed) put(at, file.bytes);
  return image;
}

/** A file of an image that `isoImage` has made; undefined when it has none of this name. */
export function fileInIso(image: Buffer, name: string): Buffer | undefined {
  const wanted = primary.nameOf(name);
  for (let at = rootsAt * sector; at < (rootsAt + 1) * sector; at += image[at] ?? 0) {
    if ((image[at] ?? 0) === 0) return undefined;
    const [first, length] = [image.readUInt32LE(at + 2) * sector, image.readUInt32LE(at + 10)];
    const found = image.subarray(at + 33, at + 33 + (image[at + 32] ?? 0));
    if (found.equals(wanted)) return image.subarray(first, first + length);
  }
  return undefined;
}
