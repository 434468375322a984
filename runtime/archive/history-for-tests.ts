/**
 * Test support: a node with a journal and an archive on a real Redis, without hosting. Never used in production.
 */
import { randomBytes } from 'node:crypto';
import { rm, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PhotonError } from '../contract/errors.ts';
import type { Historian } from '../contract/historian.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { Commit, HistoryEntry } from '../contract/journal.ts';
import { commitOf, grantFor } from '../journal/commit-for-tests.ts';
import { createJournal, type RedisJournal } from '../journal/redis-journal.ts';
import { processClock, recordedLog, type RecordedLog } from '../journal/redis-for-tests.ts';
import { connectStore, type Store } from '../journal/store-connection.ts';
import { grantText } from '../journal/store-keys.ts';
import { createHistorian } from './archived-history.ts';
import { HistoryArchiver } from './history-archiver.ts';
import type { RunPlace } from './history-run.ts';
import { readRunLine } from './chunk-reader.ts';
import { ChunkWriter } from './chunk-writer.ts';

export const historyCap = 400;

/** The code of the PhotonError a promise rejects with; `none` when it does not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'none';
  } catch (error) {
    if (error instanceof PhotonError) return error.record.code;
    throw error;
  }
}

export interface ArchivingNode {
  readonly name: string;
  readonly folder: string;
  readonly store: Store;
  readonly journal: RedisJournal;
  readonly archiver: HistoryArchiver;
  readonly historian: Historian;
  readonly log: RecordedLog;
  /** Ends the node like a crash, except that file handles are closed. */
  end(): Promise<void>;
}

/** Archive folders by node name, from which `fetchRun` reads; a node without an entry cannot be reached. */
export const peerFolders = new Map<string, string>();

async function fetchRun(place: RunPlace): Promise<string> {
  const folder = peerFolders.get(place.node);
  if (folder === undefined) throw new PhotonError('fault', 'archive_unreachable', `${place.node} is away`);
  return readRunLine(folder, place);
}

export async function archivingNode(url: string, name: string, folder: string): Promise<ArchivingNode> {
  const log = recordedLog();
  const clock = processClock;
  const store = await connectStore({ url, clock, log });
  const writer = new ChunkWriter({ folder, node: name });
  const archiver = new HistoryArchiver({ store, writer, clock, log, historyCap });
  const archive = { historyCap, note: (commit: Commit) => archiver.note(commit) };
  const journal = createJournal({ store, clock, log, archive });
  const historian = createHistorian({ store, node: name, folder, fetchRun, status: () => archiver.figures() });
  peerFolders.set(name, folder);
  return {
    name,
    folder,
    store,
    journal,
    archiver,
    historian,
    log,
    async end() {
      const stopped = archiver.stop();
      journal.close();
      store.close();
      await stopped;
    },
  };
}

export const tempFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'photon-archive-test-'));
export const removeFolder = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true });

/** Makes a node the owner of an actor's shard, as after a takeover. */
export async function own(node: ArchivingNode, actor: ActorId, ownerEpoch: number): Promise<void> {
  const grant = grantFor(actor, node.name, ownerEpoch);
  await node.store.shared.redis.set(node.store.keys.inShard(grant.shard, 'o'), grantText(grant));
}

/** The context of the actors of these tests at a version. */
export const contextAt = (version: number): Record<string, unknown> => ({
  count: version,
  ...(version % 3 === 0 ? {} : { rest: version % 3 }),
  name: 'web',
});

function entryAt(version: number): HistoryEntry {
  // Random, so that zstd cannot shrink it.
  const pad = randomBytes(100).toString('hex');
  const base = {
    version,
    at: 1_000 + version,
    event: { type: 'x', pad },
    cause: `command:c${version}`,
  };
  const step = { ...base, from: 'a', to: 'b', kind: 'transition', asked: [] } as const;
  if (version === 1) return { ...step, from: null, changed: contextAt(1), whole: 1 };
  const { rest } = contextAt(version);
  const changed = { count: version, ...(rest === undefined ? {} : { rest }) };
  return rest === undefined ? { ...step, changed, gone: ['rest'] } : { ...step, changed };
}

/** Commits versions `from` to `to` of an actor, one commit each; resolves when all are stored. */
export async function climb(
  node: ArchivingNode,
  actor: ActorId,
  from: number,
  to: number,
  ownerEpoch = 1,
  historyTail = 32,
): Promise<void> {
  const results: Promise<unknown>[] = [];
  for (let version = from; version <= to; version += 1) {
    const changes: Partial<Commit> = {
      grant: grantFor(actor, node.name, ownerEpoch),
      history: [entryAt(version)],
      context: JSON.stringify(contextAt(version)),
      historyTail,
    };
    results.push(
      node.journal.commit(commitOf(actor, version, changes)).then((outcome) => {
        if (outcome.result !== 'committed') throw new Error(`version ${version}: ${outcome.result}`);
      }),
    );
  }
  await Promise.all(results);
}
