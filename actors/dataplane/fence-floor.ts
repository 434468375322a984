/**
 * The floor of an object is the highest fence and run epoch seen for it, per actor and kind of object. A call below
 * the floor is refused (promise G7 of docs/promises.md).
 * Era, owner epoch and run epoch are kept in `fences.log` (one fsynced line per rise, compacted when opened). Behind
 * the lines the file has room for more, already written, so that a full disk does not stop the operations that make
 * space: the stop of a VM, the removal of a volume. The version is kept in memory only: a lower version under the same
 * owner epoch can come only from this process.
 * Called through network-operations.ts before every ensure, start, stop and remove.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Fence } from '@photoncloud/runtime/contract/effect';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import { errnoOf, fileError } from './kernel-errors.ts';

interface Floor {
  readonly era: number;
  readonly ownerEpoch: number;
  readonly runEpoch: number;
  readonly version: number;
}

/** Room for some 9,000 rises between two compactions. */
const roomBytes = 1 << 20;

/** What a fence guards; objects of one actor that live apart have floors apart. */
export type FencedKind =
  'segment' | 'gateway' | 'tap' | 'incarnation' | 'copy' | 'replica' | 'export' | 'snapshot' | 'host';

export class FenceFloor {
  readonly #floors = new Map<string, Floor>();
  #file: FileHandle | undefined;
  /** Where the next line begins. */
  #end = 0;
  #queue: string[] = [];
  #flushing: Promise<void> | undefined;

  /** Reads the floors from `folder` and rewrites the file with the newest line of each. */
  static async open(folder: string): Promise<FenceFloor> {
    const floor = new FenceFloor();
    const name = path.join(folder, 'fences.log');
    const text = await readOrEmpty(name);
    for (const line of text.split('\n')) floor.#learn(line);
    try {
      await floor.#compact(name);
    } catch (error) {
      // On a full disk the file is continued as it is, on a new line: the last one may have been cut short.
      if (errnoOf(error) !== 'ENOSPC' || text === '') throw fileError(`rewriting ${name}`, error);
      floor.#file = await open(name, 'r+');
      floor.#end = Buffer.byteLength(text.trimEnd()) + 1;
    }
    return floor;
  }

  async #compact(name: string): Promise<void> {
    const fresh = `${name}.new`;
    const file = await open(fresh, 'w', 0o600);
    const lines = [...this.#floors].map(([key, at]) => lineOf(key, at)).join('');
    try {
      await file.writeFile(lines + '\n'.repeat(roomBytes));
      await file.sync();
      await rename(fresh, name);
    } catch (error) {
      await file.close();
      await rm(fresh, { force: true });
      throw error;
    }
    this.#file = file;
    this.#end = Buffer.byteLength(lines);
  }

  /** Raises the floor durably. @throws ownership_lost `fence_older`, `run_epoch_older` */
  async raise(kind: FencedKind, owner: OwnerToken, fence: Fence): Promise<void> {
    const key = `${kind} ${owner.actor} ${owner.uid}`;
    const next: Floor = {
      era: fence.era,
      ownerEpoch: fence.ownerEpoch,
      version: fence.version,
      runEpoch: owner.runEpoch,
    };
    const floor = this.#floors.get(key);
    if (floor !== undefined) refuseBelow(key, floor, next);
    this.#floors.set(key, next);
    const rises =
      floor === undefined ||
      floor.era !== next.era ||
      floor.ownerEpoch !== next.ownerEpoch ||
      floor.runEpoch !== next.runEpoch;
    if (!rises) return this.#flushing;
    this.#queue.push(lineOf(key, next));
    try {
      await this.#flush();
    } catch (error) {
      // The fence is not durable, so it does not count as seen: the next call must write it again.
      this.#flushing = undefined;
      if (this.#floors.get(key) === next) this.#restore(key, floor);
      throw fileError(`recording the fence of ${key}`, error);
    }
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.#file?.close();
    this.#file = undefined;
  }

  #restore(key: string, floor: Floor | undefined): void {
    if (floor === undefined) this.#floors.delete(key);
    else this.#floors.set(key, floor);
  }

  #flush(): Promise<void> {
    // All rises that arrive during an fsync share the next one.
    const earlier = this.#flushing ?? Promise.resolve();
    const write = async (): Promise<void> => {
      if (this.#queue.length === 0) return;
      if (this.#file === undefined)
        throw new PhotonError('fault', 'dataplane_closed', 'The fences of this host are closed.');
      const lines = this.#queue.join('');
      this.#queue = [];
      const bytes = Buffer.from(lines);
      for (let done = 0; done < bytes.length;)
        done += (await this.#file.write(bytes, done, bytes.length - done, this.#end + done)).bytesWritten;
      await this.#file.datasync();
      this.#end += bytes.length;
    };
    // A failed write rejected its own callers; the next caller writes again.
    const flushing = earlier.then(write, write);
    this.#flushing = flushing;
    return flushing;
  }

  #learn(line: string): void {
    const [kind, actor, uid, era, ownerEpoch, runEpoch] = line.split(' ');
    // A crash before the sync may have cut the last line short; nothing was changed under that fence.
    if (runEpoch === undefined || !line.endsWith(';')) return;
    const next = { era: Number(era), ownerEpoch: Number(ownerEpoch), runEpoch: Number(runEpoch), version: 0 };
    this.#floors.set(`${kind} ${actor} ${uid}`, next);
  }
}

const lineOf = (key: string, floor: Floor): string => `${key} ${floor.era} ${floor.ownerEpoch} ${floor.runEpoch} ;\n`;

function refuseBelow(key: string, floor: Floor, next: Floor): void {
  const order = next.era - floor.era || next.ownerEpoch - floor.ownerEpoch || next.version - floor.version;
  if (order < 0) {
    throw new PhotonError(
      'ownership_lost',
      'fence_older',
      `${key}: fence ${next.era}.${next.ownerEpoch}.${next.version} is ` +
        `below ${floor.era}.${floor.ownerEpoch}.${floor.version}, which this host has seen; nothing was changed.`,
    );
  }
  if (next.runEpoch < floor.runEpoch) {
    throw new PhotonError(
      'ownership_lost',
      'run_epoch_older',
      `${key}: run epoch ${next.runEpoch} is below ${floor.runEpoch}, which this host has seen; nothing was changed.`,
    );
  }
}

async function readOrEmpty(name: string): Promise<string> {
  try {
    return await readFile(name, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
