/**
 * What controllers and workers have in common: the store, the journal, links to peers, membership, and a host for
 * actors. These parts depend on each other in a circle (the host reads the directory, the membership grants shards to
 * the host); LateMembership breaks the circle, and this file connects the parts.
 */
import { X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import {
  joinCluster,
  type Fencing,
  type Membership,
  type NodeEvent,
} from '@photoncloud/runtime/directory/cluster-membership';
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { EffectContext } from '@photoncloud/runtime/contract/effect';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Historian } from '@photoncloud/runtime/contract/historian';
import type { ShardId } from '@photoncloud/runtime/contract/identifiers';
import type { Journal, ShardGrant } from '@photoncloud/runtime/contract/journal';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { Random } from '@photoncloud/runtime/contract/random';
import { createHost, type Host } from '@photoncloud/runtime/hosting/host';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { createSystemRandom } from '@photoncloud/runtime/hosting/system-random';
import { createJournal, type RedisJournal } from '@photoncloud/runtime/journal/redis-journal';
import { OrdinalMemory } from '@photoncloud/runtime/journal/ordinal-memory';
import { createReader, type RedisReader } from '@photoncloud/runtime/journal/redis-reader';
import { hostOfShard } from '@photoncloud/runtime/journal/shard-placement';
import { connectStore, type Store } from '@photoncloud/runtime/journal/store-connection';
import { createPeerLinks, type PeerLinks } from '@photoncloud/runtime/transport/peer-links';
import { createPeerServer, type PeerRoute, type PeerServer } from '@photoncloud/runtime/transport/peer-server';
import { openArchive, type NodeArchive } from './node-archive.ts';
import { LateMembership } from './late-membership.ts';
import { storeUrlOf, type NodeFolder } from './node-config.ts';

/**
 * Wraps the journal that the host gets. Fault tests use it to end the process between two commits; production does not
 * set it.
 */
export type JournalDecorator = (journal: Journal) => Journal;

/** The parts of the node that effects may use. */
export interface MemberParts {
  readonly links: PeerLinks;
  readonly reader: RedisReader;
  /** @throws PhotonError ownership_lost when the store was rolled back, so that what was just read may be incomplete */
  readonly assureStore: () => Promise<void>;
  /**
   * Takes over the shard of a node that is powered off, if the requesting effect's actor is still owned by this node.
   */
  readonly fence: (node: string, call: Pick<EffectContext, 'actor' | 'fence'>) => Promise<Fencing>;
}

export interface MemberOptions {
  readonly folder: NodeFolder;
  readonly role: 'controller' | 'worker';
  readonly log: Log;
  /** Called when the links exist, because effects may use them. */
  readonly registry: (parts: MemberParts) => ActorRegistry;
  readonly routes?: Readonly<Record<string, PeerRoute>>;
  readonly onNode?: (event: NodeEvent, host: Host) => void;
  /** Called after a store rollback, when a new era has begun; this node is claiming its shards again. */
  readonly onEra?: (era: number, host: Host) => void;
  /** Called when this node has taken over a host's shard: as its worker, or as surrogate owner of a fenced host. */
  readonly onHostShard?: (grant: ShardGrant, member: Pick<MemberNode, 'host' | 'boot' | 'reader' | 'registry'>) => void;
  /** Called when this worker returns after it was fenced: removes what earlier runs have left, or rejects. */
  readonly onHostFenced?: (reader: RedisReader) => Promise<void>;
  readonly journal?: JournalDecorator;
}

export interface MemberNode {
  readonly host: Host;
  readonly store: Store;
  readonly reader: RedisReader;
  readonly historian: Historian;
  readonly registry: ActorRegistry;
  readonly random: Random;
  /** The id of this run of the node process. */
  readonly boot: string;
  /** Rejects when the node can no longer write to the store: the process must end. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

interface Parts {
  readonly store: Store;
  readonly memory: OrdinalMemory;
  readonly journal: RedisJournal;
  readonly reader: RedisReader;
  readonly links: PeerLinks;
  readonly archive: NodeArchive;
}

const listen = (server: Server, address: string, listenPort: number): Promise<void> =>
  new Promise((resolve, fail) => {
    server.once('error', fail);
    server.listen(listenPort, address, () => {
      server.off('error', fail);
      resolve();
    });
  });

export async function joinAsMember(options: MemberOptions): Promise<MemberNode> {
  const { folder, role, log } = options;
  const { config, tls } = folder;
  const random = createSystemRandom();
  const boot = random.ulid(systemClock.wallMs());
  const late = new LateMembership();
  const parts = await openParts(folder, log, (node) => late.addressOf(node));
  const { store, memory, journal, reader, links, archive } = parts;
  const registry = options.registry({
    links,
    reader,
    assureStore: () => journal.assureStore(),
    fence: (node, { actor, fence: { era, ownerEpoch } }) => {
      const grant = { shard: journal.shardOf(actor), node: config.node, era, ownerEpoch };
      return late.fence(node, () => assureHeld(journal, grant));
    },
  });
  const verify = (shard: ShardId): void => late.verify(shard);
  journal.onFenced(verify);
  journal.onRolledBack((rollback) => late.rolledBack(rollback));
  const common = { clock: systemClock, random, log };
  const hosted = options.journal?.(journal) ?? journal;
  const host = createHost({
    registry,
    journal: hosted,
    directory: late,
    outlet: links,
    nodeName: config.node,
    onFenced: (grant) => late.fenced(grant),
    onStranger: verify,
    limits: config.limits.host ?? {},
    ...common,
  });
  let fail: (why: PhotonError) => void = () => {};
  const failed = new Promise<never>((_, reject) => (fail = reject));
  journal.onFailed((why) => fail(why));
  const server = createServer({ ...tls, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' });
  const peers = createPeerServer({
    server,
    inlet: host,
    clock: systemClock,
    log,
    limits: config.limits.peer ?? {},
    routes: { ...options.routes, ...archive.routes },
  });
  await listen(server, config.address, config.peerListenPort);
  const peerUrl = `https://${config.address}:${config.peerListenPort}`;
  const membership = await joinCluster({
    store,
    node: { name: config.node, role, peerUrl, boot },
    clock: systemClock,
    log,
    onGrant: (grant) => {
      journal.adopt(grant);
      const isPinned = hostOfShard(grant.shard) !== undefined;
      void host.grant(grant).then(() => {
        if (isPinned) options.onHostShard?.(grant, { host, boot, reader, registry });
      });
    },
    onLost: (shard) => {
      journal.drop(shard);
      host.revoke(shard);
    },
    onHandover: (shards) => host.retire(shards),
    onNode: (event) => options.onNode?.(event, host),
    onEra: (era) => options.onEra?.(era, host),
    onHostFenced: async (had) => {
      if (had === 'served') fail(fencedAlive(config.node));
      else await options.onHostFenced?.(reader);
    },
    knownEra: memory.era,
    ...config.limits.beats,
    // Clusters with the same name are told apart by the certificate of their authority.
    identity: new X509Certificate(tls.ca).fingerprint256,
  });
  late.join(membership);
  const historian = archive.historian(links);
  return {
    host,
    store,
    reader,
    historian,
    registry,
    random,
    boot,
    failed,
    stop: () => leave(host, membership, peers, server, parts),
  };
}

/** Checks that the request to fence is still valid: this node owns the requesting actor under the same grant. */
async function assureHeld(journal: Journal, grant: ShardGrant): Promise<void> {
  if (await journal.isHeld(grant)) return;
  const text = `shard ${grant.shard} has another owner, which now decides about the fencing; nothing was taken over`;
  throw new PhotonError('ownership_lost', 'shard_fenced', text);
}

const fencedAlive = (node: string): PhotonError =>
  new PhotonError(
    'ownership_lost',
    'node_fenced',
    `an operator fenced ${node} as powered off while this process ran; it ends, and the next one empties the host`,
  );

async function openParts(
  folder: NodeFolder,
  log: Log,
  addressOf: (node: string) => string | undefined,
): Promise<Parts> {
  const url = storeUrlOf(folder, process.env['REDIS_URL']);
  const clock = systemClock;
  const store = await connectStore({ url, prefix: `ph:${folder.config.cluster}:`, clock, log });
  const archive = openArchive(folder, store, clock, log);
  const { replicas, durability: level } = folder.config.store;
  const durability = { replicas, ...(level === undefined ? {} : { default: level }) };
  const memory = new OrdinalMemory({ path: join(folder.path, 'acknowledged.json'), clock, log });
  const receipts = folder.config.limits.journal ?? {};
  const journal = createJournal({ store, clock, log, durability, memory, receipts, archive: archive.intake });
  const reader = createReader({ store, clock, log });
  const { node: nodeName, limits } = folder.config;
  const links = createPeerLinks({ tls: folder.tls, nodeName, addressOf, clock, log, limits: limits.peer ?? {} });
  return { store, memory, journal, reader, links, archive };
}

async function leave(
  host: Host,
  membership: Membership,
  peers: PeerServer,
  server: Server,
  parts: Parts,
): Promise<void> {
  await membership.leave();
  await host.drain();
  await peers.close();
  server.close();
  parts.links.close();
  parts.journal.close();
  parts.reader.close();
  // Entries that are not archived yet stay in the store; a running archive round ends with the connection.
  const archived = parts.archive.stop();
  parts.store.close();
  await archived;
}
