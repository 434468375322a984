/**
 * One node of the simulation: the production store client, journal, reader, membership and host, wired on simulated
 * ports as actors/photon/member-node.ts wires them on real ones. It hosts the kinds of the scenario's registry. A node
 * whose journal has failed ends its process, as in production; simulation.ts starts it again.
 */
import { LateMembership } from '@photoncloud/actors/photon/late-membership';
import { createHistorian } from '@photoncloud/runtime/archive/archived-history';
import { HistoryArchiver } from '@photoncloud/runtime/archive/history-archiver';
import type { RunPlace } from '@photoncloud/runtime/archive/history-run';
import { readRunLine } from '@photoncloud/runtime/archive/chunk-reader';
import { ChunkWriter } from '@photoncloud/runtime/archive/chunk-writer';
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { EffectContext } from '@photoncloud/runtime/contract/effect';
import type { Command, Reply } from '@photoncloud/runtime/contract/envelope';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Historian } from '@photoncloud/runtime/contract/historian';
import type { ShardId } from '@photoncloud/runtime/contract/identifiers';
import type { Commit, Journal, ShardGrant } from '@photoncloud/runtime/contract/journal';
import type { Inlet } from '@photoncloud/runtime/contract/link';
import { ClusterClock } from '@photoncloud/runtime/directory/cluster-clock';
import {
  joinCluster,
  type Fencing,
  type Membership,
  type NodeEvent,
} from '@photoncloud/runtime/directory/cluster-membership';
import { createHost, type Host } from '@photoncloud/runtime/hosting/host';
import type { HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import type { DurabilityRequest } from '@photoncloud/runtime/journal/durability-plan';
import { OrdinalMemory, type OrdinalPlatform } from '@photoncloud/runtime/journal/ordinal-memory';
import { createJournal } from '@photoncloud/runtime/journal/redis-journal';
import type { ReceiptLimits } from '@photoncloud/runtime/journal/receipt-limits';
import { createReader, type RedisReader } from '@photoncloud/runtime/journal/redis-reader';
import { hostOfShard } from '@photoncloud/runtime/journal/shard-placement';
import { connectStore, type Store } from '@photoncloud/runtime/journal/store-connection';
import type { Redis } from 'ioredis';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { SimulatedNetwork } from './simulated-network.ts';
import type { SimulatedProcess } from './simulated-process.ts';

const folder = 'archive';
const chunkBytes = 16_384;
/** Most history entries of one actor that stay in the store while they cannot be archived. */
export const archiveCap = 400;

export interface NodeParts {
  readonly process: SimulatedProcess;
  readonly role: 'controller' | 'worker';
  /** @param server connects to this server only; without it, to the one that the Sentinels name */
  readonly connect: (process: SimulatedProcess, server?: string) => Redis;
  /** The store servers that Sentinels know. */
  readonly boxes: (process: SimulatedProcess) => Promise<readonly string[]>;
  /** Given where the store has replicas. */
  readonly durability?: DurabilityRequest;
  readonly network: SimulatedNetwork;
  readonly limits: Partial<HostLimits>;
  readonly receipts: Partial<ReceiptLimits>;
  readonly registry: (node: {
    readonly process: SimulatedProcess;
    readonly reader: RedisReader;
    readonly fence: (node: string, call: Pick<EffectContext, 'actor' | 'fence'>) => Promise<Fencing>;
    readonly clock: ClusterClock;
    readonly rows: Journal['loadRows'];
    /** Sends a command to the owner of its actor. */
    readonly ask: (command: Command) => Promise<Reply>;
  }) => ActorRegistry;
  /** Called when this worker comes back after it was fenced. */
  readonly onHostFenced?: (reader: RedisReader) => Promise<void>;
  /** Called when this node has been granted the shard of a host and has loaded it. */
  readonly onHostShard?: (grant: ShardGrant, node: Pick<SimulatedNode, 'host' | 'process' | 'reader'>) => void;
  readonly onNode?: (event: NodeEvent, host: Host) => void;
  /** A beat of the node has reached the store. It was sent so many ms ago. */
  readonly onBeat?: (agoMs: number) => void;
  /** Called when the node begins to hand shards over. */
  readonly onHandover?: (shards: readonly ShardId[]) => void;
  /** Called when a new era of the store has begun. */
  readonly onEra?: () => void;
  /** Files of the node that outlive its process. Without them a store rollback ends the process. */
  readonly files?: OrdinalPlatform;
  /** Without disks the commit trims history, and nothing is archived. */
  readonly diskOf?: (host: string) => SimulatedDisk;
}

export interface SimulatedNode {
  readonly process: SimulatedProcess;
  /** The node's own view of the time that all nodes share. */
  readonly clock: ClusterClock;
  readonly role: 'controller' | 'worker';
  readonly host: Host;
  readonly reader: RedisReader;
  readonly membership: Membership;
  readonly archiver: HistoryArchiver | undefined;
  readonly historian: Historian | undefined;
  /** As on SIGTERM: hands its shards over, drains, ends its process. */
  stop(): Promise<void>;
}

export async function startNode(parts: NodeParts): Promise<SimulatedNode> {
  const { process, role, network } = parts;
  const { random, log, name, boot } = process;
  const clock = new ClusterClock(process.clock);
  const store = await connectStore({
    url: 'simulated',
    clock,
    log,
    connect: (_purpose, server) => parts.connect(process, server),
    boxes: () => parts.boxes(process),
  });
  const archive = parts.diskOf === undefined ? undefined : openArchive(process, store, parts.diskOf);
  const { files } = parts;
  const file = files === undefined ? undefined : { path: 'acknowledged.json', clock, log, platform: files };
  const memory = new OrdinalMemory(file);
  const journal = createJournal({
    store,
    clock,
    log,
    memory,
    ...(archive === undefined ? {} : { archive: archive.intake }),
    ...(parts.durability === undefined ? {} : { durability: parts.durability }),
    receipts: parts.receipts,
  });
  const reader = createReader({ store, clock, log });
  const late = new LateMembership();
  const verify = (shard: ShardId): void => late.verify(shard);
  journal.onFenced(verify);
  if (files !== undefined) journal.onRolledBack((rollback) => late.rolledBack(rollback));
  journal.onFailed(() => process.kill());
  const fence = async (node: string, { actor, fence: { era, ownerEpoch } }: Pick<EffectContext, 'actor' | 'fence'>) => {
    const grant = { shard: journal.shardOf(actor), node: name, era, ownerEpoch };
    return await late.fence(node, async () => {
      if (!(await journal.isHeld(grant)))
        throw new PhotonError('ownership_lost', 'shard_fenced', 'another node owns the shard');
    });
  };
  const rows: Journal['loadRows'] = (id, keys) => journal.loadRows(id, keys);
  const ask = async (command: Command): Promise<Reply> => await host.ask(command);
  const host: Host = createHost({
    registry: parts.registry({ process, reader, fence, clock, rows, ask }),
    journal,
    directory: late,
    outlet: network.outletOf(process),
    nodeName: name,
    clock,
    random,
    log,
    limits: parts.limits,
    onFenced: (grant) => late.fenced(grant),
    onStranger: verify,
  });
  const inlet: Inlet = host;
  network.listen(process, inlet);
  const membership = await joinCluster({
    store,
    node: { name, role, peerUrl: name, boot },
    clock,
    log,
    onGrant: (grant) => {
      journal.adopt(grant);
      const isPinned = hostOfShard(grant.shard) !== undefined;
      void host.grant(grant).then(() => {
        if (isPinned) parts.onHostShard?.(grant, { host, process, reader });
      });
    },
    onLost: (shard) => {
      journal.drop(shard);
      host.revoke(shard);
    },
    onHandover: (shards) => {
      parts.onHandover?.(shards);
      return host.retire(shards);
    },
    onNode: (event) => parts.onNode?.(event, host),
    onBeat: (agoMs) => parts.onBeat?.(agoMs),
    onEra: () => parts.onEra?.(),
    onHostFenced: async (had) => {
      if (had === 'served') process.kill();
      else await parts.onHostFenced?.(reader);
    },
    knownEra: memory.era,
  });
  late.join(membership);
  const end = async (): Promise<void> => {
    await membership.leave();
    await host.drain();
    await network.close(process);
    journal.close();
    reader.close();
    const archived = archive?.archiver.stop();
    store.close();
    await archived;
    process.kill();
  };
  let ending: Promise<void> | undefined;
  const stop = (): Promise<void> => (ending ??= end());
  const { archiver, historian } = archive ?? {};
  return { process, clock, role, host, reader, membership, archiver, historian, stop };
}

/** As actors/photon/node-archive.ts, but with small chunks, and archives of other nodes are read from their disks. */
function openArchive(process: SimulatedProcess, store: Store, diskOf: (host: string) => SimulatedDisk) {
  const { name: node, clock, log } = process;
  const platform = diskOf(node).platformFor(process);
  const writer = new ChunkWriter({ folder, node, chunkBytes, platform });
  const archiver = new HistoryArchiver({ store, writer, clock, log, historyCap: archiveCap });
  const fetchRun = (place: RunPlace): Promise<string> =>
    readRunLine(folder, place, diskOf(place.node).platformFor(process));
  const historian = createHistorian({ store, node, folder, fetchRun, status: () => archiver.figures(), platform });
  const intake = { historyCap: archiveCap, note: (commit: Commit) => archiver.note(commit) };
  return { archiver, historian, intake };
}
