/**
 * The highest ordinal of each shard that the store has acknowledged to this node, and the era of these ordinals. A
 * store whose ordinals are lower was rolled back; a restarted store has them unchanged. redis-journal.ts records
 * ordinals here and rollback-detector.ts compares them.
 *
 * With a file the memory survives the process, so that a rollback is also noticed when every node was restarted
 * together with the store. The file is written at most once a second, without waiting, so after a crash it lacks up to
 * the last second. A store that lost no more than that is noticed only by a node that was not restarted.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Clock } from '../contract/clock.ts';
import { describeCause } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { Log } from '../contract/log.ts';

const writeAfterMs = 1_000;

/** A shard whose stored ordinal is lower than one that the store acknowledged in that era. */
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
  /** Default: the disk. */
  readonly platform?: OrdinalPlatform;
}

/** The file operations, which a simulation replaces. */
export interface OrdinalPlatform {
  /** @throws Error with code ENOENT when there is none */
  readonly read: (path: string) => string;
  /** Atomic: a crash leaves the old or the new text. */
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

  /** @param file without one, the memory ends with the process */
  constructor(file?: OrdinalFile) {
    this.#file = file;
    if (file !== undefined) this.#read(file);
  }

  /** 0 before the first grant. */
  get era(): number {
    return this.#era;
  }

  /** A copy of the highest acknowledged ordinal of each shard. */
  known(): ReadonlyMap<ShardId, number> {
    return new Map(this.#ordinals);
  }

  /** Starts a new era: ordinals acknowledged under an earlier one are forgotten. */
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

  /** Writes changes that are not in the file yet. */
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
      file.log.warn(
        { path: file.path, cause: describeCause(cause) },
        'acknowledged ordinals could not be written; a rollback may go unnoticed',
      );
    }
  }

  /** An unreadable file counts as none: the node starts all the same. */
  #read({ path, log, platform = onDisk }: OrdinalFile): void {
    try {
      const kept = JSON.parse(platform.read(path)) as { era: number; ordinals: Record<ShardId, number> };
      this.#ordinals = new Map(Object.entries(kept.ordinals) as [ShardId, number][]);
      this.#era = kept.era;
    } catch (cause) {
      if ((cause as { code?: string }).code === 'ENOENT') return;
      log.warn(
        { path, cause: describeCause(cause) },
        'acknowledged ordinals cannot be read; an earlier rollback may go unnoticed',
      );
    }
  }
}
