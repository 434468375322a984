/**
 * The historian of a node: reads an actor's history backwards, first the recent entries in the store, then the archived
 * runs, whose pointers lead from node to node. Called by the control API; run-route.ts serves runs to peers.
 */
import { PhotonError } from '../contract/errors.ts';
import type { ArchiveStatus, Historian, HistoryPage, RebuiltActor } from '../contract/historian.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { HistoryEntry } from '../contract/journal.ts';
import { decodeHistory } from '../journal/record-decoding.ts';
import { shardOf } from '../journal/shard-placement.ts';
import { readAll, type Store } from '../journal/store-connection.ts';
import type { ArchivePlatform } from './archive-platform.ts';
import { incomplete, isBase, rebuild } from './history-fold.ts';
import { compareIds, parsePointer, type HistoryRun, type RunPlace } from './history-run.ts';
import { parseRun, readRunLine } from './chunk-reader.ts';

const hotPage = 500;
/** Most entries folded for one answer, to bound the memory of the node. */
const longestFold = 100_000;

export interface HistorianOptions {
  readonly store: Store;
  readonly node: string;
  readonly folder: string;
  /** Fetches the text of a run from another node's archive. Rejects when that node cannot be reached. */
  readonly fetchRun: (place: RunPlace) => Promise<string>;
  readonly status: () => ArchiveStatus;
  readonly platform?: ArchivePlatform;
}

type StreamEntry = readonly [id: string, fields: readonly string[]];

class ArchivedHistory implements Historian {
  readonly #options: HistorianOptions;

  constructor(options: HistorianOptions) {
    this.#options = options;
  }

  async history(id: ActorId, { after, to, skip = 0, limit }: HistoryPage): Promise<readonly HistoryEntry[]> {
    const found: HistoryEntry[] = [];
    let left = skip;
    for await (const entry of this.#backwards(id, to)) {
      if (entry.version <= after || found.length === limit) break;
      if (left > 0) left -= 1;
      else found.push(entry);
    }
    return found.toReversed();
  }

  async at(id: ActorId, version: number): Promise<RebuiltActor> {
    const entries: HistoryEntry[] = [];
    for await (const entry of this.#backwards(id, version)) {
      if (entries.length === 0 && entry.version < version) throw unknownVersion(id, version, entry.version);
      if (entries.length === longestFold) throw incomplete(id, `more than ${longestFold} entries lead to this version`);
      entries.push(entry);
      if (isBase(entry)) break;
    }
    if (entries.length === 0) throw unknownVersion(id, version, 0);
    return rebuild(id, entries.toReversed());
  }

  status(): ArchiveStatus {
    return this.#options.status();
  }

  /** Newest first. The stream is read before the pointer: entries trimmed in between are read twice, never missed. */
  async *#backwards(id: ActorId, to: number | undefined): AsyncGenerator<HistoryEntry> {
    const { store } = this.#options;
    const key = (what: string): string => store.keys.inShard(shardOf(id), what);
    let end = to === undefined ? '+' : String(to);
    let oldest: string | undefined;
    for (;;) {
      const command = ['xrevrange', key(`h:${id}`), end, '-', 'COUNT', String(hotPage)];
      const [reply] = await store.shared.run((redis) => readAll(redis, [command]));
      const page = reply as StreamEntry[];
      for (const [entryId, fields] of page) yield decodeHistory(entryId, fields);
      oldest = page.at(-1)?.[0] ?? oldest;
      if (page.length < hotPage) break;
      end = `(${oldest}`;
    }
    let pointer = await store.shared.run((redis) => redis.hget(key(`a:${id}`), 'archived'));
    while (pointer !== null && pointer !== '') {
      const run = await this.#run(id, pointer);
      if (oldest === undefined || compareIds(run.last, oldest) < 0) {
        for (const entry of run.entries.toReversed()) if (to === undefined || entry.version <= to) yield entry;
      }
      const before = parsePointer(run.before);
      // Each run must precede the last one, so that the loop ends whatever the files contain.
      if (before !== undefined && compareIds(before.last, run.first) >= 0) {
        throw incomplete(id, `the run before ${run.first} claims to end at ${before.last}`);
      }
      pointer = run.before;
    }
  }

  async #run(id: ActorId, text: string): Promise<HistoryRun> {
    const { node, folder, fetchRun, platform } = this.#options;
    const pointer = parsePointer(text);
    if (pointer === undefined) throw incomplete(id, `its pointer into the archive is not readable (${text})`);
    const own = pointer.node === node;
    const run = parseRun(own ? await readRunLine(folder, pointer, platform) : await fetchRun(pointer));
    if (run.actor !== id || run.last !== pointer.last) {
      throw incomplete(id, `${text} holds the history of ${run.actor} up to ${run.last}`);
    }
    return run;
  }
}

function unknownVersion(id: ActorId, version: number, newest: number): PhotonError {
  const text = newest === 0 ? `${id} has no history` : `${id} has no version ${version} yet; it is at ${newest}`;
  return new PhotonError('rejection', 'not_found', `${text}.`, { actor: id });
}

export const createHistorian = (options: HistorianOptions): Historian => new ArchivedHistory(options);
