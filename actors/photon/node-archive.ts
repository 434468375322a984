/**
 * Connects the parts of a node's history archive: the intake for the journal, the historian for the control API, and
 * the route for its peers. The files are in the folder `archive` of the node; every node that owns shards has one.
 */
import { join } from 'node:path';
import type { Clock } from '@photoncloud/runtime/contract/clock';
import type { Historian } from '@photoncloud/runtime/contract/historian';
import type { Commit } from '@photoncloud/runtime/contract/journal';
import type { Log } from '@photoncloud/runtime/contract/log';
import { createHistorian } from '@photoncloud/runtime/archive/archived-history';
import { HistoryArchiver } from '@photoncloud/runtime/archive/history-archiver';
import { createRunFetch, createRunRoute, runPath } from '@photoncloud/runtime/archive/run-route';
import { ChunkWriter } from '@photoncloud/runtime/archive/chunk-writer';
import type { Store } from '@photoncloud/runtime/journal/store-connection';
import type { PeerLinks } from '@photoncloud/runtime/transport/peer-links';
import type { PeerRoute } from '@photoncloud/runtime/transport/peer-server';
import type { NodeFolder } from './node-config.ts';

/** History entries of one actor in the store while nothing can be archived: half a megabyte at 500 bytes each. */
const historyCap = 1_024;

export const archiveFolderOf = (nodeFolder: string): string => join(nodeFolder, 'archive');

export interface NodeArchive {
  /** Passed to the journal. */
  readonly intake: { readonly note: (commit: Commit) => void; readonly historyCap: number };
  readonly routes: Readonly<Record<string, PeerRoute>>;
  historian(links: PeerLinks): Historian;
  stop(): Promise<void>;
}

export function openArchive(folder: NodeFolder, store: Store, clock: Clock, log: Log): NodeArchive {
  const { node } = folder.config;
  const path = archiveFolderOf(folder.path);
  const writer = new ChunkWriter({ folder: path, node });
  const archiver = new HistoryArchiver({ store, writer, clock, log, historyCap });
  const answer = createRunRoute(node, path);
  return {
    intake: { historyCap, note: (commit) => archiver.note(commit) },
    routes: { [runPath]: (request, response) => void answer(request, response) },
    historian: (links) =>
      createHistorian({
        store,
        node,
        folder: path,
        fetchRun: createRunFetch((peer, asked) => links.get(peer, asked)),
        status: () => archiver.figures(),
      }),
    stop: () => archiver.stop(),
  };
}
