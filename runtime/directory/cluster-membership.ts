/**
 * Membership of this node in the cluster: it beats, watches the beats of the other nodes, claims the shards it may own,
 * hands some over when it has more than others (shard-handover.ts), and notices when it has lost one. Composition roots
 * call `joinCluster` and wire grants to the journal and to hosting.
 *
 * A shard changes its owner only by compare-and-set in the store (shard-claims.ts). Silence of a node only permits
 * that: a node that was wrongly taken for dead is fenced at its next commit, so no agreement with it is needed.
 * Rejected: leases with a TTL in the store (a step of the store's clock would free a lock), and votes among nodes (the
 * store decides anyway).
 */
import { PhotonError, describeCause } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import type { Directory } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import { sharedShards } from '../journal/shard-placement.ts';
import { readAll, type Store } from '../journal/store-connection.ts';
import type { StoreLink } from '../journal/store-link.ts';
import type { StoreRollback } from '../journal/ordinal-memory.ts';
import { defaultBeatLimits, type BeatLimits } from './beat-limits.ts';
import type { ClusterClock } from './cluster-clock.ts';
import { settleClusterRecord } from './cluster-record.ts';
import { EraKeeper } from './era-keeper.ts';
import { depart } from './node-departure.ts';
import { NodeFencing, type Fencing } from './node-fencing.ts';
import { Revocations, writeRevocations, type Revocation, type Subject } from './revocations.ts';
import { NodeRoster, nodeRecordOf, registerNode, type NodeEvent, type NodeRecord } from './node-roster.ts';
import { OwnedShards } from './owned-shards.ts';
import { OwnershipMap } from './ownership-map.ts';
import { balanceMoves } from './shard-balance.ts';
import type { Claimant } from './shard-claims.ts';
import { ShardHandover } from './shard-handover.ts';

/** Shards this node hands over at once, and so at most per beat. */
const movesAtOnce = 4;

export type { Fencing, NodeEvent, NodeRecord, Revocations, Revocation, Subject };

export interface MembershipOptions extends Partial<BeatLimits> {
  readonly store: Store;
  readonly node: NodeRecord;
  /** Ticks before this node owns anything, and with every beat. */
  readonly clock: ClusterClock;
  readonly log: Log;
  readonly onGrant: (grant: ShardGrant) => void;
  /** Must drop the shard's actors and undo nothing: another owner may act already. */
  readonly onLost: (shard: ShardId) => void;
  /** Called before these shards are handed over; must resolve when nothing of them is in flight. `onLost` follows. */
  readonly onHandover: (shards: readonly ShardId[]) => Promise<void>;
  readonly onNode: (event: NodeEvent) => void;
  /**
   * A beat has reached the store, which still knows this node, and the node owns shards. @param agoMs since it was
   * sent: whatever was true in the store by then may have changed since
   */
  readonly onBeat?: (agoMs: number) => void;
  /** A new era has begun: `onLost` was called for every shard, and shards are claimed again. */
  readonly onEra?: (era: number) => void;
  /**
   * This node was fenced: a surrogate owner has its shard. With 'nothing' this process never held the shard: the callee
   * must remove what earlier processes have left on the host and resolve when nothing is left; it is called again after
   * a rejection. With 'served' this process did hold it and must end.
   */
  readonly onHostFenced?: (had: 'nothing' | 'served') => Promise<void>;
  /** The highest era that an earlier process of this node has seen; a cluster record below it was rolled back. */
  readonly knownEra?: number;
  /** Distinguishes this cluster from another of the same name (cluster-record.ts). */
  readonly identity?: string;
  /** The certificate that this node has now; it is kept in the node's record. */
  readonly certificate?: () => Pick<NodeRecord, 'issuedMs' | 'expiresMs'>;
  /**
   * Nodes or clients were removed. Their links and sessions must be cut and refused. With 'self' this node is one of
   * them: it has dropped its shards, and the process must end.
   */
  readonly onRevoked?: (revocations: Revocations, who: 'others' | 'self') => void;
}

export interface Membership {
  readonly directory: Directory;
  /** Every node with a record, this one included. */
  nodes(): readonly (NodeRecord & { readonly alive: boolean })[];
  /** The shards this node owns as far as it knows. */
  grants(): readonly ShardGrant[];
  /**
   * Reads the shard's owner from the store now: drops the shard if it is another's, or takes it if it was handed to
   * this node. Wire it to the journal's `onFenced` and to hosting's `onStranger`.
   */
  verify(shard: ShardId): Promise<void>;
  /** Like `verify`, after hosting has dropped the shard. Wire it to hosting's `onFenced`. */
  fenced(grant: ShardGrant): Promise<void>;
  /** What is refused; kept up to date by every beat. */
  readonly revocations: Revocations;
  /** Refuses what a node or a client has now, on all nodes within a beat (revocations.ts). */
  revoke(order: Omit<Revocation, 'atMs'>): Promise<Revocation>;
  /** Takes the host shard of a node that an operator has declared off: see node-fencing.ts. */
  fence(node: string, assure: () => Promise<void>): Promise<Fencing>;
  /** The store was rolled back: the next beat begins a new era. Wire it to the journal's `onRolledBack`. */
  rolledBack(rollback: StoreRollback): void;
  /**
   * Hands all shards to the other nodes and removes this node's record; it beats until that is done (G12). Never
   * throws: shards that it cannot hand over are taken over once it is silent.
   */
  leave(): Promise<void>;
}

class StoreMembership implements Membership {
  readonly directory: OwnershipMap;
  readonly revocations: Revocations;
  readonly #options: MembershipOptions;
  readonly #link: StoreLink;
  readonly #beatMs: number;
  readonly #eras: EraKeeper;
  readonly #claimant: Claimant;
  readonly #roster: NodeRoster;
  readonly #owned: OwnedShards;
  readonly #handover: ShardHandover;
  readonly #fencing: NodeFencing;
  #leaving = false;
  #stopped = false;
  #cancelBeat: () => void = () => {};
  #beating: Promise<void> = Promise.resolve();

  constructor(options: MembershipOptions, link: StoreLink, era: number, revocations: Revocations) {
    this.revocations = revocations;
    const { store, node } = options;
    this.#beatMs = options.beatMs ?? defaultBeatLimits.beatMs;
    this.#options = options;
    this.#link = link;
    const { clock, log, onGrant, onLost, knownEra = 0 } = options;
    this.#eras = new EraKeeper({ link, keys: store.keys, clock, log, era: Math.max(era, knownEra) });
    this.#claimant = { link, keys: store.keys, node: node.name, boot: node.boot, era };
    this.#roster = new NodeRoster({
      self: node.name,
      silenceMs: options.silenceMs ?? defaultBeatLimits.silenceMs,
      longestGapMs: this.#beatMs * 3,
      onNode: options.onNode,
      isRefused: ({ name, issuedMs = 0 }) => revocations.isRevoked(`node:${name}`, issuedMs),
    });
    this.directory = new OwnershipMap(link, store.keys);
    const parts = { claimant: this.#claimant, node, roster: this.#roster, directory: this.directory, log };
    const onNewerEra = (newer: number): void => this.#eras.saw(newer);
    this.#owned = new OwnedShards({ ...parts, onGrant, onLost, onNewerEra });
    this.#handover = new ShardHandover({ ...parts, owned: this.#owned, clock, retire: options.onHandover });
    this.#fencing = new NodeFencing({ ...parts, owned: this.#owned, onHostFenced: options.onHostFenced });
  }

  nodes(): readonly (NodeRecord & { readonly alive: boolean })[] {
    return this.#roster.nodes();
  }

  grants(): readonly ShardGrant[] {
    return this.#owned.all();
  }

  /** Beats after this delay, and from then on every `beatMs`. */
  beatAfter(delayMs: number): void {
    if (this.#stopped) return;
    this.#cancelBeat = this.#options.clock.after(delayMs, () => {
      this.#beating = this.#beat().then(
        () => this.beatAfter(this.#beatMs),
        (error: unknown) => this.#logFailedBeat(error),
      );
    });
  }

  /** A beat waits for the store by itself, so only closing the store or a defect ends it with an error. */
  #logFailedBeat(error: unknown): void {
    if (this.#stopped) return;
    this.#options.log.error(
      { cause: describeCause(error) },
      'a beat failed; if beats go on failing, other nodes will take this one for dead; see the cause',
    );
    this.beatAfter(this.#beatMs);
  }

  async #beat(): Promise<void> {
    const { store, node, clock } = this.#options;
    const { keys } = store;
    let askedMs = 0;
    const read = this.#link.run((redis) => {
      askedMs = clock.monotonicMs();
      return readAll(redis, [
        ['hincrby', keys.beats, node.name, '1'],
        ['hgetall', keys.beats],
        ['hgetall', keys.nodes],
        ['hgetall', keys.map],
        ['hgetall', keys.cluster],
      ]);
    });
    const [replies] = await Promise.all([read, clock.tick(this.#link, keys)]);
    if (this.#stopped) return;
    const [, counters, records, map, cluster] = replies as [
      number,
      Record<string, string>,
      Record<string, string>,
      Record<string, string>,
      Record<string, string>,
    ];
    this.directory.replace(map);
    if (await this.#isRemoved(cluster)) return;
    const own = nodeRecordOf(node.name, records[node.name] ?? '');
    if (await this.#isReplaced(own)) return;
    await this.#noteCertificate(own);
    const era = await this.#eras.follow(cluster['era'] ?? null);
    if (this.#stopped) return;
    if (era !== this.#claimant.era) await this.#enterEra(era);
    const answeredMs = clock.monotonicMs();
    this.#roster.look({ askedMs, answeredMs }, records, counters);
    if (this.#owned.all().length > 0) this.#options.onBeat?.(answeredMs - askedMs);
    await this.#owned.verifyDoubtful();
    if (this.#leaving) return;
    await this.#owned.claim();
    await this.#fencing.lookAtOwn();
    this.#balance();
  }

  /**
   * Hands over surplus shards, and host shards of fenced nodes that are back. Runs beside the beat, which must not be
   * delayed.
   */
  #balance(): void {
    if (this.#options.node.role !== 'controller' || this.#handover.busy) return;
    const able = this.#roster.staying().filter((name) => this.#roster.isSteady(name));
    const moves = balanceMoves(this.directory.owners(sharedShards), able);
    const own = moves.filter(({ from }) => from === this.#options.node.name).slice(0, movesAtOnce);
    const given = new Map([...this.#fencing.returning(), ...own.map(({ shard, to }) => [shard, to] as const)]);
    if (given.size === 0) return;
    this.#handover.give(given).catch((error: unknown) => {
      if (!this.#stopped) this.#options.log.error({ cause: describeCause(error) }, 'shards could not be handed over');
    });
  }

  /**
   * A record with another boot and a higher joinNumber means that another process has started under this node's name
   * and owns its shards, or soon will: this one stops. No record, a corrupt one, or one with a lower joinNumber means
   * that the store has lost our joining, maybe nothing else: the node joins again.
   */
  async #isReplaced(record: NodeRecord | undefined): Promise<boolean> {
    const { store, node, log } = this.#options;
    if (record?.boot === node.boot || this.#leaving) return false;
    if ((record?.joinNumber ?? 0) < (node.joinNumber ?? 0)) {
      log.warn({ node: node.name }, "this node's record is missing from the store or outdated; joining again");
      await registerNode(this.#link, store.keys, node);
      return false;
    }
    log.error(
      { node: node.name },
      'another process has joined the cluster under the name of this node; this one stops; find out which should run',
    );
    this.#stopped = true;
    void this.#owned.close();
    this.#owned.loseAll();
    return true;
  }

  /** Reads the revocations. A store that was rolled back gets those again that it has lost. */
  async #isRemoved(cluster: Readonly<Record<string, string>>): Promise<boolean> {
    const { store, node, log, certificate, onRevoked } = this.#options;
    const { isNew, lost } = this.revocations.read(cluster);
    if (node.role === 'controller') await writeRevocations(this.#link, store.keys, lost);
    const issuedMs = certificate?.().issuedMs;
    const isSelf = issuedMs !== undefined && this.revocations.isRevoked(`node:${node.name}`, issuedMs);
    if (isNew || isSelf) onRevoked?.(this.revocations, isSelf ? 'self' : 'others');
    if (!isSelf) return false;
    log.error({ node: node.name }, 'this node was removed from the cluster; it needs a new certificate to come back');
    this.#stopped = true;
    void this.#owned.close();
    this.#owned.loseAll();
    return true;
  }

  /** The certificate was renewed: the record shows it at the next beat. */
  async #noteCertificate(own: NodeRecord | undefined): Promise<void> {
    const { store, node, certificate } = this.#options;
    const now = certificate?.();
    if (now === undefined || own?.boot !== node.boot || own.expiresMs === now.expiresMs) return;
    const record = JSON.stringify({ ...own, ...now });
    await this.#link.run((redis) => redis.hset(store.keys.nodes, node.name, record));
  }

  async revoke(order: Omit<Revocation, 'atMs'>): Promise<Revocation> {
    const { store, clock, log } = this.#options;
    const revocation = { ...order, atMs: clock.wallMs() };
    await writeRevocations(this.#link, store.keys, [revocation]);
    log.warn({ ...revocation }, 'what this node or client has is refused from now on');
    return revocation;
  }

  fence(node: string, assure: () => Promise<void>): Promise<Fencing> {
    return this.#fencing.fence(node, assure);
  }

  rolledBack(rollback: StoreRollback): void {
    this.#eras.suspect(rollback);
    // The era must be written to the present primary: written to a replaced one it would be lost with it.
    this.#link.renew();
  }

  /** Drops every shard and claims again: actors in memory may be ahead of the rolled-back store. */
  async #enterEra(era: number): Promise<void> {
    const { store, node, onEra } = this.#options;
    this.#claimant.era = era;
    this.#owned.beginAnew();
    // The store may have been rolled back to a state from before this node joined.
    await registerNode(this.#link, store.keys, node);
    onEra?.(era);
  }

  verify(shard: ShardId): Promise<void> {
    return this.#unlessStopped(this.#owned.look(shard));
  }

  fenced(grant: ShardGrant): Promise<void> {
    return this.#unlessStopped(this.#owned.fenced(grant));
  }

  async #unlessStopped(looked: Promise<void>): Promise<void> {
    try {
      await looked;
    } catch (error) {
      // Closing the link rejects reads in progress; a stopped node owns no shard anyway.
      if (!this.#stopped) throw error;
    }
  }

  async leave(): Promise<void> {
    if (this.#stopped || this.#leaving) return;
    this.#leaving = true;
    const claiming = this.#owned.close();
    await depart({
      ...this.#options,
      link: this.#link,
      claimant: this.#claimant,
      roster: this.#roster,
      handover: this.#handover,
      underWay: Promise.all([this.#beating, claiming]),
    });
    this.#stopped = true;
    this.#cancelBeat();
    this.#link.close();
  }
}

/**
 * `onGrant` is called only after the returned promise has resolved, so that the caller can wire the directory first.
 * @throws PhotonError defeat when the store belongs to another cluster or another program version (cluster-record.ts),
 * or `node_removed`
 */
export async function joinCluster(options: MembershipOptions): Promise<Membership> {
  const { store, node } = options;
  if (node.boot === '')
    throw new PhotonError('bug', 'boot_missing', `node ${node.name} joins without a boot id; give it one per start`);
  const link = store.open('membership');
  try {
    const { era, fields } = await settleClusterRecord(link, store.keys, options.identity);
    await options.clock.tick(link, store.keys);
    const revocations = new Revocations();
    const { isNew } = revocations.read(fields);
    const certificate = options.certificate?.() ?? {};
    assureNotRemoved(node.name, certificate.issuedMs, revocations);
    if (isNew) options.onRevoked?.(revocations, 'others');
    const joinNumber = await registerNode(link, store.keys, { ...node, ...certificate });
    const self = { ...node, ...certificate, joinNumber };
    const membership = new StoreMembership({ ...options, node: self }, link, era, revocations);
    await membership.directory.refresh();
    membership.beatAfter(0);
    return membership;
  } catch (error) {
    link.close();
    throw error;
  }
}

function assureNotRemoved(name: string, issuedMs: number | undefined, revocations: Revocations): void {
  if (issuedMs === undefined || !revocations.isRevoked(`node:${name}`, issuedMs)) return;
  const { reason = '' } = revocations.of(`node:${name}`) ?? {};
  const text = `${name} was removed from this cluster (${reason}); issue a new certificate if it is to come back`;
  throw new PhotonError('defeat', 'node_removed', text);
}
