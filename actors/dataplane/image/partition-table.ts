/**
 * Whether the partition table of a raw disk fits the disk: a table that reaches beyond the last byte is that of a
 * larger disk, so the file was cut, or its table lies. Guests read partition tables, not the host; this check is for
 * the owner of a download that broke off. Called by image-header.ts with the first bytes of the file.
 */

const sectorBytes = 512;
const entriesAt = 446;
const entryBytes = 16;
const protectiveType = 0xee;
const entriesLimitBytes = 1 << 20;

/** @returns what is wrong with it, in words; undefined when it fits, or when there is no table */
export function partitionTrouble(head: Buffer, diskBytes: number): string | undefined {
  if (head.length < 2 * sectorBytes || head.readUInt16LE(510) !== 0xaa55) return undefined;
  const entries = [0, 1, 2, 3].map((index) =>
    head.subarray(entriesAt + index * entryBytes, entriesAt + (index + 1) * entryBytes),
  );
  // The boot sector of a file system has the same mark, and code or text where a table would be.
  if (entries.some((entry) => entry.readUInt8(0) !== 0 && entry.readUInt8(0) !== 0x80)) return undefined;
  const used = entries.filter((entry) => entry.readUInt8(4) !== 0);
  if (used.some((entry) => entry.readUInt8(4) === protectiveType)) return gptTrouble(head, diskBytes);
  const beyond = used.find((entry) => endOf(entry) > diskBytes);
  if (beyond === undefined) return undefined;
  return `a partition of it ends at byte ${endOf(beyond)}, but the file has ${diskBytes} bytes`;
}

const endOf = (entry: Buffer): number => (entry.readUInt32LE(8) + entry.readUInt32LE(12)) * sectorBytes;

function gptTrouble(head: Buffer, diskBytes: number): string | undefined {
  const header = head.subarray(sectorBytes, 2 * sectorBytes);
  // Of a disk with larger sectors the header is elsewhere.
  if (header.toString('latin1', 0, 8) !== 'EFI PART') return undefined;
  const size = header.readUInt32LE(12);
  if (size < 92 || size > sectorBytes) return `its GPT has a header of ${size} bytes`;
  const disk = BigInt(diskBytes);
  const last = { 'backup table': header.readBigUInt64LE(32), 'last usable sector': header.readBigUInt64LE(48) };
  for (const [what, sector] of Object.entries(last)) {
    const end = (sector + 1n) * BigInt(sectorBytes);
    if (end > disk) return `the ${what} of its GPT ends at byte ${end}, but the file has ${diskBytes} bytes`;
  }
  const each = header.readUInt32LE(84);
  const bytes = header.readUInt32LE(80) * each;
  if (each < 128 || bytes > entriesLimitBytes) return `its GPT has a table of ${bytes} bytes, ${each} for each entry`;
  return header.readBigUInt64LE(72) * BigInt(sectorBytes) + BigInt(bytes) > disk
    ? 'the table of its GPT reaches beyond its end'
    : undefined;
}
