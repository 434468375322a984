/**
 * The file operations and the compression that an archive needs, and their real implementation. The simulation replaces
 * them by a disk that fills up, tears writes and loses unsynced data. Used by chunk-writer.ts and chunk-reader.ts. G10
 * (docs/promises.md) depends on `datasync` and `syncFolder` returning only when the data is on the disk.
 */
import { mkdir, open, readdir, unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';

export interface ArchiveFile {
  /** May read fewer bytes than requested; 0 at the end of the file. */
  read(into: Buffer, at: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  /** May write fewer bytes than requested. */
  write(bytes: Buffer, at: number, length: number, position: number): Promise<{ readonly bytesWritten: number }>;
  stat(): Promise<{ readonly size: number }>;
  truncate(length: number): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

export interface ArchivePlatform {
  readonly open: (path: string, flags: 'r' | 'wx') => Promise<ArchiveFile>;
  readonly unlink: (path: string) => Promise<void>;
  /** Succeeds also when the folder exists. */
  readonly makeFolder: (folder: string) => Promise<void>;
  readonly namesIn: (folder: string) => Promise<readonly string[]>;
  /** Syncs a folder: a new file survives a power cut only after its folder was synced. */
  readonly syncFolder: (folder: string) => Promise<void>;
  readonly compress: (raw: Buffer) => Promise<Buffer>;
  /** @throws Error when the bytes are not zstd, or unpack to more than `most` bytes */
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
