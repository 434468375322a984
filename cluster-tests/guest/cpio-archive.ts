/**
 * Writes a cpio archive in the newc format of the kernel's initramfs reader. The same entries give the same bytes:
 * sorted by path, no times, owner root, inode numbers counted. It is not a general archiver: no hard links, no sizes
 * above 4 GiB. Called by guest-image.ts.
 */

export type CpioEntry =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'device'; readonly path: string; readonly major: number; readonly minor: number };

const typeBits = { folder: 0o040000, file: 0o100000, link: 0o120000, device: 0o020000 } as const;

const hex = (value: number): string => value.toString(16).padStart(8, '0');
const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

function modeOf(entry: CpioEntry): number {
  if (entry.kind === 'file') return typeBits.file | entry.mode;
  return typeBits[entry.kind] | (entry.kind === 'device' ? 0o600 : entry.kind === 'link' ? 0o777 : 0o755);
}

function bodyOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === 'file') return entry.bytes;
  return entry.kind === 'link' ? Buffer.from(entry.target) : new Uint8Array();
}

function record(path: string, mode: number, inode: number, body: Uint8Array, major = 0, minor = 0): Buffer {
  const name = Buffer.from(`${path}\0`);
  const links = (mode & 0o170000) === typeBits.folder ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, body.length, 0, 0, major, minor, name.length, 0];
  const head = Buffer.concat([Buffer.from(`070701${fields.map(hex).join('')}`), name]);
  return Buffer.concat([head, padding(head.length), body, padding(body.length)]);
}

/** Paths are relative, without a leading slash; a folder must be listed for every file in it. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : 1));
  const records = sorted.map((entry, index) =>
    entry.kind === 'device'
      ? record(entry.path, modeOf(entry), index + 1, bodyOf(entry), entry.major, entry.minor)
      : record(entry.path, modeOf(entry), index + 1, bodyOf(entry)),
  );
  return Buffer.concat([...records, record('TRAILER!!!', 0, 0, new Uint8Array())]);
}
