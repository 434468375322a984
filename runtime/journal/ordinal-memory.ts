/**
 * The highest ordinal of each shard that the store has acknowledged to this node, and the era in which. A store that
 * is found behind was rolled back; one that was only restarted is not. redis-journal.ts feeds and asks it.
 *
 * With a file it outlives the process, so that a rollback is also noticed when every node was restarted together with
 * the store. The file is written at most once a second and never waited for: what it lacks is the last second before
 * a crash, and a store that lost no more than that is noticed only by a node that still runs.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Clock } from '../contract/clock.ts';
import { describeCause } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { Log } from '../contract/log.ts';

const writeAfterMs = 1_000;

/** A shard that is behind what the store has acknowledged to us in that era. */
export interface StoreRollback {
  readonly era: number;
  readonly shard: ShardId;
  readonly known: number;
  readonly found: number;
}

export interface OrdinalFile {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The disk, unless it says otherwise. */
  readonly platform?: OrdinalPlatform;
}

/** What a simulation replaces. */
export interface OrdinalPlatform {
  /** @throws Error with code ENOENT when there is none */
  readonly read: (path: string) => string;
  /** All or nothing. */
  readonly write: (path: string, text: string) => void;
}

const onDisk: OrdinalPlatform = {
  read: (path) => readFileSync(path, 'utf8'),
  write(path, text) {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  },
};

export class OrdinalMemory {
  readonly #file: OrdinalFile | undefined;
  #era = 0;
  #ordinals = new Map<ShardId, number>();
  #cancelWrite: (() => void) | undefined;

  /** @param file none: nothing outlives the process */
  constructor(file?: OrdinalFile) {
    this.#file = file;
    if (file !== undefined) this.#read(file);
  }

  /** 0 before the first. */
  get era(): number {
    return this.#era;
  }

  /** What is known now of each shard. */
  known(): ReadonlyMap<ShardId, number> {
    return new Map(this.#ordinals);
  }

  /** What was acknowledged under an earlier era counts for nothing in the next one. */
  begin(era: number): void {
    this.#era = era;
    this.#ordinals.clear();
    this.#writeSoon();
  }

  raise(era: number, shard: ShardId, ordinal: number): void {
    if (era !== this.#era || ordinal <= (this.#ordinals.get(shard) ?? 0)) return;
    this.#ordinals.set(shard, ordinal);
    this.#writeSoon();
  }

  /** Writes what is not written yet. */
  close(): void {
    if (this.#cancelWrite !== undefined) this.#write();
  }

  #writeSoon(): void {
    if (this.#file === undefined || this.#cancelWrite !== undefined) return;
    this.#cancelWrite = this.#file.clock.after(writeAfterMs, () => this.#write());
  }

  #write(): void {
    this.#cancelWrite?.();
    this.#cancelWrite = undefined;
    const file = this.#file as OrdinalFile;
    try {
      const text = JSON.stringify({ era: this.#era, ordinals: Object.fromEntries(this.#ordinals) });
      (file.platform ?? onDisk).write(file.path, text);
    } catch (cause) {
      file.log.warn({ path: file.path, cause: describeCause(cause) }, 'what the store has acknowledged is not kept');
    }
  }

  /** An unreadable file is no memory; it is not worth refusing to start. */
  #read({ path, log, platform = onDisk }: OrdinalFile): void {
    try {
      const kept = JSON.parse(platform.read(path)) as { era: number; ordinals: Record<ShardId, number> };
      this.#ordinals = new Map(Object.entries(kept.ordinals) as [ShardId, number][]);
      this.#era = kept.era;
    } catch (cause) {
      if ((cause as { code?: string }).code === 'ENOENT') return;
      log.warn({ path, cause: describeCause(cause) }, 'what the store has acknowledged earlier cannot be read');
    }
  }
}
