/**
 * Moves older history from the store into the archive of the node that owns the actor: entries are read, written,
 * synced, and only then trimmed (G10 in docs/promises.md). A commit trims only at a cap. So history that cannot be
 * archived (disk full) stays in the store, commits go on, and an error is logged every minute until archiving works
 * again.
 *
 * No state survives a crash, and none is needed: the stream length of an actor is read at its first commit in this
 * process, and unfinished work is found then. Archiving an entry twice is harmless: the store accepts a run only
 * directly behind the last one it knows. Rejected: trimming in the commit (loses entries that are not on the disk), a
 * list of actors in the store (one more write in every commit).
 */
import type { Clock } from '../contract/clock.ts';
import { PhotonError, describeCause } from '../contract/errors.ts';
import type { ArchiveStatus } from '../contract/historian.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { Commit, ShardGrant } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';
import { entryText } from '../journal/record-decoding.ts';
import { archiveScript } from '../journal/script-library.ts';
import { readAll, runScript, type Store } from '../journal/store-connection.ts';
import { grantText } from '../journal/store-keys.ts';
import { parsePointer, pointerText, runLine, versionOf } from './history-run.ts';
import type { ChunkWriter } from './chunk-writer.ts';

const actorsPerRound = 256;
const entriesPerRun = 200;
/** Most stream lengths kept; beyond that all are dropped and read again. */
const lengthsKept = 50_000;
const dueKept = 100_000;
const roundMs = 250;
const behindMs = 1;
const retryMs = 1_000;
const longestRetryMs = 30_000;
const sameAlarmMs = 60_000;

export interface ArchiverOptions {
  readonly store: Store;
  readonly writer: ChunkWriter;
  readonly clock: Clock;
  readonly log: Log;
  /** Entries in the store at which a commit drops the oldest. An actor at 90 % of it counts as `nearCap`. */
  readonly historyCap: number;
}

interface Due {
  readonly grant: ShardGrant;
  readonly tail: number;
}

interface Piece extends Due {
  readonly actor: ActorId;
  readonly length: number;
  readonly before: string;
  readonly entries: readonly { readonly id: string; readonly text: string }[];
}

type StreamEntry = readonly [id: string, fields: readonly string[]];

export class HistoryArchiver {
  readonly #options: ArchiverOptions;
  readonly #log: Log;
  /** Stream length per actor; absent when it must be read. */
  readonly #lengths = new Map<ActorId, number>();
  readonly #due = new Map<ActorId, Due>();
  #round: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;
  #retryMs = retryMs;
  #archivedEntries = 0;
  #lostVersions = 0;
  #nearCap = 0;
  /** Some actor has more to archive than fits one run, so the next round follows soon. */
  #behind = false;
  #trouble: ArchiveStatus['trouble'];
  #alarmedAtMs = -Infinity;

  constructor(options: ArchiverOptions) {
    this.#options = options;
    this.#log = options.log.child({ part: 'archive' });
  }

  /** Called with every commit of this node after it was stored. Must be cheap. */
  note({ actor, history, grant, historyTail }: Commit): void {
    if (history.length === 0) return;
    const known = this.#lengths.get(actor);
    if (known !== undefined) {
      this.#lengths.set(actor, known + history.length);
      if (known + history.length <= 2 * historyTail) return;
    }
    if (this.#due.size >= dueKept) return void this.#lengths.delete(actor);
    this.#due.set(actor, { grant, tail: historyTail });
    this.#plan(roundMs);
  }

  figures(): ArchiveStatus {
    const trouble = this.#trouble;
    return {
      archivedEntries: this.#archivedEntries,
      waiting: this.#due.size,
      nearCap: this.#nearCap,
      lostVersions: this.#lostVersions,
      ...(trouble === undefined ? {} : { trouble }),
    };
  }

  /** Waits for the present round; further history stays in the store for the next owner. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#round;
    await this.#options.writer.close();
  }

  #plan(delayMs: number): void {
    if (this.#stopped || this.#cancel !== undefined || this.#round !== undefined) return;
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#round = this.#runRound().finally(() => {
        this.#round = undefined;
        const pauseMs = this.#behind ? behindMs : roundMs;
        if (this.#due.size > 0) this.#plan(this.#trouble === undefined ? pauseMs : this.#retryMs);
      });
    });
  }

  async #runRound(): Promise<void> {
    const taken = [...this.#due].slice(0, actorsPerRound);
    for (const [actor] of taken) this.#due.delete(actor);
    this.#behind = false;
    try {
      const pieces = await this.#read(taken);
      if (pieces.length > 0) await this.#archive(pieces);
      this.#recover();
    } catch (error) {
      for (const [actor, due] of taken) if (!this.#due.has(actor)) this.#due.set(actor, due);
      this.#alarm(error);
    }
  }

  async #read(taken: readonly (readonly [ActorId, Due])[]): Promise<readonly Piece[]> {
    const { keys, shared } = this.#options.store;
    const ask = (commands: readonly string[][]): Promise<unknown[]> => shared.run((redis) => readAll(redis, commands));
    const key = (due: Due, what: string): string => keys.inShard(due.grant.shard, what);
    const lengths = await ask(taken.map(([actor, due]) => ['xlen', key(due, `h:${actor}`)]));
    if (this.#lengths.size > lengthsKept) this.#lengths.clear();
    const long: { actor: ActorId; due: Due; length: number }[] = [];
    for (const [index, [actor, due]] of taken.entries()) {
      const length = lengths[index] as number;
      this.#lengths.set(actor, length);
      if (length > 2 * due.tail) long.push({ actor, due, length });
    }
    const replies = await ask(
      long.flatMap(({ actor, due, length }) => {
        const count = String(Math.min(length - due.tail, entriesPerRun));
        return [
          ['hget', key(due, `a:${actor}`), 'archived'],
          ['xrange', key(due, `h:${actor}`), '-', '+', 'COUNT', count],
        ];
      }),
    );
    return long.map(({ actor, due, length }, index) => {
      const before = (replies[2 * index] as string | null) ?? '';
      const entries = (replies[2 * index + 1] as StreamEntry[]).map(([id, fields]) => ({
        id,
        text: entryText(id, fields),
      }));
      return { ...due, actor, length, before, entries };
    });
  }

  async #archive(pieces: readonly Piece[]): Promise<void> {
    this.#nearCap = pieces.filter(({ length }) => length > this.#options.historyCap * 0.9).length;
    const lines = pieces.map(({ actor, before, entries }) => runLine(actor, before, entries));
    const places = await this.#options.writer.append(lines);
    const pointers = pieces.map(({ entries }, index) => {
      const place = places[index];
      if (place === undefined) throw new Error('fewer places than lines');
      return pointerText({ ...place, last: entries.at(-1)?.id ?? '' });
    });
    await Promise.all(pieces.map((piece, index) => this.#acknowledge(piece, pointers[index] ?? '')));
  }

  async #acknowledge(piece: Piece, pointer: string): Promise<void> {
    const { actor, grant, tail, length, before, entries } = piece;
    const { keys, shared } = this.#options.store;
    const last = entries.at(-1)?.id ?? '';
    const [version = '', n = ''] = last.split('-');
    const stored = ['o', `a:${actor}`, `h:${actor}`].map((what) => keys.inShard(grant.shard, what));
    const args = [grantText(grant), before, pointer, last, `${version}-${Number(n) + 1}`];
    const reply = await shared.run((redis) => runScript(redis, archiveScript, stored, args));
    if (reply !== 1) return void this.#lengths.delete(actor);
    this.#archivedEntries += entries.length;
    this.#countLost(piece);
    const left = length - entries.length;
    // Entries committed meanwhile were added to `length` by `note`.
    this.#lengths.set(actor, (this.#lengths.get(actor) ?? length) - entries.length);
    if (left <= 2 * tail) return;
    this.#due.set(actor, { grant, tail });
    this.#behind = true;
  }

  #countLost({ actor, before, entries }: Piece): void {
    const { historyCap } = this.#options;
    const known = parsePointer(before);
    const lost = versionOf(entries[0]?.id ?? '0-0') - (known === undefined ? 0 : versionOf(known.last)) - 1;
    if (lost <= 0) return;
    this.#lostVersions += lost;
    this.#log.error({ actor, lost, historyCap }, 'history was dropped at the cap before it could be archived');
  }

  #recover(): void {
    if (this.#trouble !== undefined) this.#log.info({ ...this.figures() }, 'history can be archived again');
    this.#trouble = undefined;
    this.#retryMs = retryMs;
    this.#alarmedAtMs = -Infinity;
  }

  #alarm(error: unknown): void {
    if (this.#stopped) return;
    const { clock } = this.#options;
    const message = error instanceof PhotonError ? error.record.message : describeCause(error);
    this.#trouble = { message, sinceMs: this.#trouble?.sinceMs ?? clock.wallMs() };
    this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
    if (clock.monotonicMs() - this.#alarmedAtMs < sameAlarmMs) return;
    this.#alarmedAtMs = clock.monotonicMs();
    this.#log.error({ ...this.figures() }, `history stays in the store: ${message}`);
  }
}
