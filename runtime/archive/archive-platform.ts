/**
 * What an archive needs of the machine: files that can be synced, and compression. The real one is here; that of the
 * simulation fills up, tears writes and loses what was not synced. Used by the writer and the reader of chunks;
 * upholds nothing itself, but all of G10 stands on `datasync` and `syncFolder` meaning it.
 */
import { mkdir, open, readdir, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';

export interface ArchiveFile {
  /** May read less than asked for; 0 at the end. */
  read(into: Buffer, at: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  /** May write less than it was given. */
  write(bytes: Buffer, at: number, length: number, position: number): Promise<{ readonly bytesWritten: number }>;
  stat(): Promise<{ readonly size: number }>;
  truncate(length: number): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

export interface ArchivePlatform {
  readonly open: (path: string, flags: 'r' | 'wx') => Promise<ArchiveFile>;
  readonly unlink: (path: string) => Promise<void>;
  /** Also when it is there already. */
  readonly makeFolder: (folder: string) => Promise<void>;
  readonly namesIn: (folder: string) => Promise<readonly string[]>;
  /** A file that was made is on the disk only when its folder is. */
  readonly syncFolder: (folder: string) => Promise<void>;
  readonly compress: (raw: Buffer) => Promise<Buffer>;
  /** @throws Error when this is not compressed, or larger than `most` */
  readonly decompress: (packed: Buffer, most: number) => Promise<Buffer>;
}

const zstd = promisify(zstdCompress);
const unzstd = promisify(zstdDecompress);

export const systemPlatform: ArchivePlatform = {
  open: (path, flags) => open(path, flags, 0o600),
  unlink,
  makeFolder: async (folder) => void (await mkdir(folder, { recursive: true, mode: 0o700 })),
  namesIn: (folder) => readdir(folder),
  syncFolder: async (folder) => {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  compress: (raw) => zstd(raw),
  decompress: (packed, most) => unzstd(packed, { maxOutputLength: most }),
};
