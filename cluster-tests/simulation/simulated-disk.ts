/**
 * The disk of a simulated host, as far as an archive needs one: it outlives the processes of the host. A write is torn
 * when the process dies in it; data that was not synced is lost or torn when the host loses power; the disk may be full
 * for a while, or fail to sync. Keeps the contract of runtime/archive/archive-platform.ts; compresses nothing.
 */
import type { ArchiveFile, ArchivePlatform } from '@photoncloud/runtime/archive/archive-platform';
import type { Chance } from './seeded-random.ts';
import type { SimulatedProcess } from './simulated-process.ts';
import type { VirtualTime } from './virtual-time.ts';

interface DiskFile {
  cached: Buffer;
  /** What is certain to survive a power cut. */
  synced: Buffer;
  /** The folder entry is synced: the file survives a power cut. */
  named: boolean;
}

class DiskError extends Error {
  readonly code: string;

  constructor(code: string, what: string) {
    super(`${code}: ${what}`);
    this.code = code;
  }
}

const stallMs = 400;

export class SimulatedDisk {
  fault: 'full' | 'failing' | undefined;
  /** Mean duration of an operation. */
  delayMs: number;
  private readonly files = new Map<string, DiskFile>();
  private readonly time: VirtualTime;
  private readonly chance: Chance;

  constructor(time: VirtualTime, chance: Chance, delayMs: number) {
    this.time = time;
    this.chance = chance;
    this.delayMs = delayMs;
  }

  /** Of data that is not synced, nothing or a part from its beginning is left. */
  losePower(): void {
    for (const [path, file] of this.files) {
      if (!file.named && this.chance.happens(0.5)) this.files.delete(path);
      const { cached, synced } = file;
      const kept = this.chance.whole(0, Math.max(0, cached.length - synced.length));
      const left = Buffer.concat([synced, cached.subarray(synced.length, synced.length + kept)]);
      this.files.set(path, { cached: left, synced: left, named: true });
      if (!file.named && this.chance.happens(0.5)) this.files.delete(path);
    }
  }

  /** The disk for one process; operations of a process that has died never complete. */
  platformFor(process: SimulatedProcess): ArchivePlatform {
    const done = <Result>(act: () => Result): Promise<Result> =>
      new Promise((resolve, reject) => {
        const lastsMs = this.chance.around(this.chance.happens(0.01) ? stallMs : this.delayMs);
        this.time.after(lastsMs, process, 'disk', () => {
          try {
            resolve(act());
          } catch (failure) {
            reject(failure as Error);
          }
        });
      });
    return {
      open: (path, flags) => done(() => this.open(path, flags, done)),
      unlink: (path) => done(() => void this.files.delete(path)),
      makeFolder: () => done(() => {}),
      namesIn: (folder) =>
        done(() =>
          [...this.files.keys()].flatMap((path) =>
            path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : [],
          ),
        ),
      syncFolder: () =>
        done(() => {
          this.mayFail('EIO', 'failing');
          for (const file of this.files.values()) file.named = true;
        }),
      compress: (raw) => Promise.resolve(Buffer.from(raw)),
      decompress: (packed) => Promise.resolve(Buffer.from(packed)),
    };
  }

  private mayFail(code: string, fault: 'full' | 'failing'): void {
    if (this.fault === fault) throw new DiskError(code, `the disk is ${fault}`);
  }

  private open(path: string, flags: 'r' | 'wx', done: <Result>(act: () => Result) => Promise<Result>): ArchiveFile {
    const known = this.files.get(path);
    if (flags === 'wx' && known !== undefined) throw new DiskError('EEXIST', path);
    if (flags === 'r' && known === undefined) throw new DiskError('ENOENT', path);
    const file = known ?? { cached: Buffer.alloc(0), synced: Buffer.alloc(0), named: false };
    this.files.set(path, file);
    return {
      read: (into, at, length, position) =>
        done(() => ({ bytesRead: file.cached.subarray(position, position + length).copy(into, at) })),
      write: (bytes, at, length, position) => {
        const part = bytes.subarray(at, at + length);
        put(file, part.subarray(0, this.chance.whole(0, length - 1)), position);
        return done(() => {
          this.mayFail('ENOSPC', 'full');
          put(file, part, position);
          return { bytesWritten: length };
        });
      },
      stat: () => done(() => ({ size: file.cached.length })),
      truncate: (length) =>
        done(() => {
          file.cached = file.cached.subarray(0, length);
        }),
      datasync: () =>
        done(() => {
          this.mayFail('EIO', 'failing');
          file.synced = file.cached;
        }),
      close: () => done(() => {}),
    };
  }
}

function put(file: DiskFile, part: Buffer, position: number): void {
  const { cached } = file;
  const end = cached.subarray(position + part.length);
  file.cached = Buffer.concat([cached.subarray(0, position), part, end]);
}
