/**
 * What controllers and workers have in common: the store, the journal, links to peers, membership, and a host for
 * actors. These parts depend on each other in a circle (the host reads the directory, the membership grants shards to
 * the host); LateMembership breaks the circle, and this file connects the parts.
 */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { ClusterClock } from '@photoncloud/runtime/directory/cluster-clock';
import {
  joinCluster,
  type Fencing,
  type Membership,
  type NodeEvent,
  type Revocations,
} from '@photoncloud/runtime/directory/cluster-membership';
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { SharedClock } from '@photoncloud/runtime/contract/clock';
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
import type { Admits } from '@photoncloud/runtime/transport/peer-identity';
import { createPeerLinks, type PeerLinks, type PeerLinksOptions } from '@photoncloud/runtime/transport/peer-links';
import { startLoopDelay, type LoopDelay } from '@photoncloud/runtime/telemetry/loop-delay';
import { processFigures } from '@photoncloud/runtime/telemetry/metrics';
import type { PeerRoute, PeerStream } from '@photoncloud/runtime/transport/peer-server';
import { openArchive, type NodeArchive } from './node-archive.ts';
import { LateMembership } from './late-membership.ts';
import { NodeCertificate } from './node-certificate.ts';
import { storeUrlOf, type NodeFolder } from './node-config.ts';
import { listenerOf, type NodeListeners } from './node-listeners.ts';
import { openPeerPort, type PeerPort } from './peer-port.ts';

/**
 * Wraps the journal that the host gets. Fault tests use it to end the process between two commits; production does not
 * set it.
 */
export type JournalDecorator = (journal: Journal) => Journal;

/** The parts of the node that effects may use. */
export interface MemberParts {
  readonly links: PeerLinks;
  readonly reader: RedisReader;
  /** Rows of an actor, as Journal.loadRows. */
  readonly rows: Journal['loadRows'];
  readonly clock: SharedClock;
  readonly random: Random;
  /** The host, once there is one. */
  readonly host: Promise<Host>;
  /** Addresses of the other nodes, without their ports. */
  readonly nodeAddresses: () => readonly string[];
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
  readonly listeners: NodeListeners;
  readonly log: Log;
  /** Called when the links exist, because effects may use them. */
  readonly registry: (parts: MemberParts) => ActorRegistry;
  readonly routes?: Readonly<Record<string, PeerRoute>>;
  readonly streams?: Readonly<Record<string, PeerStream>>;
  readonly posts?: Readonly<Record<string, PeerRoute>>;
  readonly onNode?: (event: NodeEvent, host: Host) => void;
  /** A beat that was sent so long ago has reached the store, and this node owns shards. */
  readonly onBeat?: (agoMs: number) => void;
  /** Called after a store rollback, when a new era has begun; this node is claiming its shards again. */
  readonly onEra?: (era: number, host: Host) => void;
  /** Nodes or clients were removed: what serves clients ends their sessions. Links to nodes are cut already. */
  readonly onRevoked?: () => void;
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
  readonly links: PeerLinks;
  readonly registry: ActorRegistry;
  readonly random: Random;
  readonly certificate: NodeCertificate;
  readonly membership: Pick<Membership, 'nodes' | 'revoke' | 'revocations'>;
  readonly clock: SharedClock;
  /** The id of this run of the node process. */
  readonly boot: string;
  /** Rejects when the node can no longer write to the store: the process must end. */
  readonly failed: Promise<never>;
  readonly delay: LoopDelay;
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

export async function joinAsMember(options: MemberOptions): Promise<MemberNode> {
  const { folder, role, log } = options;
  const { config } = folder;
  const random = createSystemRandom();
  const clock = new ClusterClock(systemClock);
  const boot = random.ulid(systemClock.wallMs());
  const late = new LateMembership();
  const certificate = new NodeCertificate({ ...config, role, path: folder.path, clock: systemClock, log });
  let revocations: Revocations | undefined;
  const admits: Admits = ({ name, issuedMs }) => revocations?.isRevoked(`node:${name}`, issuedMs) !== true;
  const addressOf = (node: string): string | undefined => late.addressOf(node);
  const parts = await openParts({ folder, clock, random, log, tls: () => certificate.tls, admits, addressOf });
  const { store, memory, journal, reader, links, archive } = parts;
  const hosted = Promise.withResolvers<Host>();
  const registry = options.registry({
    links,
    reader,
    rows: (id, keys) => journal.loadRows(id, keys),
    clock,
    random,
    host: hosted.promise,
    nodeAddresses: () => late.addresses().map((url) => new URL(url).hostname),
    assureStore: () => journal.assureStore(),
    fence: (node, { actor, fence: { era, ownerEpoch } }) => {
      const grant = { shard: journal.shardOf(actor), node: config.node, era, ownerEpoch };
      return late.fence(node, () => assureHeld(journal, grant));
    },
  });
  const host = openHost(options, { registry, late, parts, clock, random });
  hosted.resolve(host);
  let fail: (why: PhotonError) => void = () => {};
  const failed = new Promise<never>((_, reject) => (fail = reject));
  journal.onFailed((why) => fail(why));
  const delay = startLoopDelay();
  const routes = { ...options.routes, ...archive.routes };
  const { streams = {}, posts = {} } = options;
  const figures = () => processFigures(delay);
  const listener = listenerOf(options.listeners, 'peer');
  const served = { routes, posts, streams, figures };
  const peers = await openPeerPort({ folder, listener, certificate, inlet: host, admits, ...served, log });
  const peerUrl = `https://${config.address}:${config.peerListenPort}`;
  const membership = await joinCluster({
    store,
    node: { name: config.node, role, peerUrl, boot },
    clock,
    log,
    ...shardDuties(host, journal, (grant) => options.onHostShard?.(grant, { host, boot, reader, registry })),
    onNode: (change) => {
      if (change.event === 'joined' || change.event === 'back') {
        links.retry(change.node.name);
        host.retryNow();
      }
      options.onNode?.(change, host);
    },
    onBeat: (agoMs) => options.onBeat?.(agoMs),
    onEra: (era) => options.onEra?.(era, host),
    onHostFenced: async (had) => {
      if (had === 'served') fail(fencedAlive(config.node));
      else await options.onHostFenced?.(reader);
    },
    knownEra: memory.era,
    certificate: () => certificate.facts,
    onRevoked: (known, who) => {
      revocations = known;
      peers.review();
      links.review();
      options.onRevoked?.();
      if (who === 'self') fail(removedAlive(config.node));
    },
    ...config.limits.beats,
    // Clusters with the same name are told apart by the certificate of their authority.
    identity: new X509Certificate(certificate.tls.ca).fingerprint256,
  });
  late.join(membership);
  const historian = archive.historian(links);
  return {
    host,
    store,
    reader,
    historian,
    links,
    registry,
    random,
    certificate,
    membership,
    clock,
    boot,
    failed,
    delay,
    async stop() {
      certificate.close();
      await leave(host, membership, peers, parts);
      delay.stop();
    },
  };
}

interface HostParts {
  readonly registry: ActorRegistry;
  readonly late: LateMembership;
  readonly parts: Parts;
  readonly clock: ClusterClock;
  readonly random: Random;
}

function openHost({ folder: { config }, log, journal: decorate }: MemberOptions, given: HostParts): Host {
  const { registry, late, parts, clock, random } = given;
  const { journal, links } = parts;
  const verify = (shard: ShardId): void => late.verify(shard);
  journal.onFenced(verify);
  journal.onRolledBack((rollback) => late.rolledBack(rollback));
  return createHost({
    registry,
    journal: decorate?.(journal) ?? journal,
    directory: late,
    outlet: links,
    nodeName: config.node,
    onFenced: (grant) => late.fenced(grant),
    onStranger: verify,
    limits: config.limits.host ?? {},
    clock,
    random,
    log,
  });
}

/** What the host and the journal do when this node gets shards, loses them, or hands them over. */
function shardDuties(host: Host, journal: RedisJournal, onHostShard: (grant: ShardGrant) => void) {
  return {
    onGrant: (grant: ShardGrant): void => {
      journal.adopt(grant);
      const isPinned = hostOfShard(grant.shard) !== undefined;
      void host.grant(grant).then(() => {
        if (isPinned) onHostShard(grant);
      });
    },
    onLost: (shard: ShardId): void => {
      journal.drop(shard);
      host.revoke(shard);
    },
    onHandover: (shards: readonly ShardId[]) => host.retire(shards),
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

const removedAlive = (node: string): PhotonError =>
  new PhotonError(
    'ownership_lost',
    'node_removed',
    `an operator removed ${node} from the cluster while it ran; it ends`,
  );

type PartsOptions = { readonly folder: NodeFolder; readonly clock: ClusterClock; readonly admits: Admits } & Pick<
  PeerLinksOptions,
  'random' | 'log' | 'tls' | 'addressOf'
>;

async function openParts({ folder, clock, random, log, tls, admits, addressOf }: PartsOptions): Promise<Parts> {
  const url = storeUrlOf(folder, process.env['REDIS_URL']);
  const store = await connectStore({ url, prefix: `ph:${folder.config.cluster}:`, clock, log });
  const archive = openArchive(folder, store, clock, log);
  const { replicas, durability: level } = folder.config.store;
  const durability = { replicas, ...(level === undefined ? {} : { default: level }) };
  const memory = new OrdinalMemory({ path: join(folder.path, 'acknowledged.json'), clock, log });
  const receipts = folder.config.limits.journal ?? {};
  const journal = createJournal({ store, clock, log, durability, memory, receipts, archive: archive.intake });
  const reader = createReader({ store, clock, log });
  const { node: nodeName, limits } = folder.config;
  const peers = { tls, admits, nodeName, addressOf, clock, random, log };
  const links = createPeerLinks({ ...peers, limits: limits.peer ?? {} });
  return { store, memory, journal, reader, links, archive };
}

async function leave(host: Host, membership: Membership, peers: PeerPort, parts: Parts): Promise<void> {
  await membership.leave();
  await host.drain();
  await peers.close();
  parts.links.close();
  parts.journal.close();
  parts.reader.close();
  // Entries that are not archived yet stay in the store; a running archive round ends with the connection.
  const archived = parts.archive.stop();
  parts.store.close();
  await archived;
}
