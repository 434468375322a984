/**
 * This node's life in the cluster: it beats, watches the beats of the others, claims the shards it may own, gives
 * some away when it has more than others (shard-handover.ts), and learns when it has lost one. Composition roots call
 * `joinCluster` and wire grants to the journal and to hosting.
 *
 * A shard changes hands only by compare-and-set in the store (shard-claims.ts). Silence of a node only permits that;
 * a node that was taken for dead is fenced at its next commit and needs no agreement. Rejected: leases with a TTL in
 * the store (a clock step there frees a lock), and votes among nodes (the store is the one arbiter anyway).
 */
import type { Clock } from '../contract/clock.ts';
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
import { settleClusterRecord } from './cluster-record.ts';
import { EraKeeper } from './era-keeper.ts';
import { depart } from './node-departure.ts';
import { NodeFencing, type Fencing } from './node-fencing.ts';
import { NodeRoster, nodeRecordOf, registerNode, type NodeEvent, type NodeRecord } from './node-roster.ts';
import { OwnedShards } from './owned-shards.ts';
import { OwnershipMap } from './ownership-map.ts';
import { balanceMoves } from './shard-balance.ts';
import type { Claimant } from './shard-claims.ts';
import { ShardHandover } from './shard-handover.ts';

/** Shards this node gives away at once, and so at most per beat. */
const movesAtOnce = 4;

export type { Fencing, NodeEvent, NodeRecord };

export interface MembershipOptions extends Partial<BeatLimits> {
  readonly store: Store;
  readonly node: NodeRecord;
  readonly clock: Clock;
  readonly log: Log;
  readonly onGrant: (grant: ShardGrant) => void;
  /** Drop the shard's actors, undo nothing: another owner acts already. */
  readonly onLost: (shard: ShardId) => void;
  /** Before these shards are given away: resolves when nothing of them is in flight any more; `onLost` follows. */
  readonly onHandover: (shards: readonly ShardId[]) => Promise<void>;
  readonly onNode: (event: NodeEvent) => void;
  /** A new era has begun: every shard has been told lost, and is claimed again. */
  readonly onEra?: (era: number) => void;
  /**
   * This node was fenced: its own shard is in other hands. Had it nothing in this life, what earlier ones have left is
   * to be removed; it resolves when nothing is left and is called again when it rejects. Had it served, its process is
   * to end.
   */
  readonly onHostFenced?: (had: 'nothing' | 'served') => Promise<void>;
  /** The highest era this node has seen in an earlier life; a record of an earlier one was rolled back. */
  readonly knownEra?: number;
  /** Tells this cluster from another of the same name (cluster-record.ts). */
  readonly identity?: string;
}

export interface Membership {
  readonly directory: Directory;
  /** Every node with a record, this one too. */
  nodes(): readonly (NodeRecord & { readonly alive: boolean })[];
  /** The shards this node owns as far as it knows. */
  grants(): readonly ShardGrant[];
  /**
   * Looks at once whose the shard is: lets go of it, or takes it when it was handed to this node. Wire it to the
   * journal's `onFenced` and to hosting's `onStranger`.
   */
  verify(shard: ShardId): Promise<void>;
  /** The same, and hosting has dropped the shard. Wire it to hosting's `onFenced`. */
  fenced(grant: ShardGrant): Promise<void>;
  /** Takes the own shard of a node that somebody knows to be off: see node-fencing.ts. */
  fence(node: string, assure: () => Promise<void>): Promise<Fencing>;
  /** The store is behind what it has acknowledged: the next beat begins a new era. Wire it to `onRolledBack`. */
  rolledBack(rollback: StoreRollback): void;
  /**
   * Hands all shards to the others and takes the node off the list; it goes on beating meanwhile (G12). Never throws;
   * what it cannot do, others take over.
   */
  leave(): Promise<void>;
}

class StoreMembership implements Membership {
  readonly directory: OwnershipMap;
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

  constructor(options: MembershipOptions, link: StoreLink, era: number) {
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

  /** And from then on. */
  beatAfter(delayMs: number): void {
    if (this.#stopped) return;
    this.#cancelBeat = this.#options.clock.after(delayMs, () => {
      this.#beating = this.#beat().then(
        () => this.beatAfter(this.#beatMs),
        (error: unknown) => this.#survive(error),
      );
    });
  }

  /** Only closing the store or a defect ends a beat with an error: connections are waited for inside. */
  #survive(error: unknown): void {
    if (this.#stopped) return;
    this.#options.log.error(
      { cause: describeCause(error) },
      'a beat failed; this node will be taken for dead if that goes on; look at the cause',
    );
    this.beatAfter(this.#beatMs);
  }

  async #beat(): Promise<void> {
    const { store, node, clock } = this.#options;
    const { keys } = store;
    let askedMs = 0;
    const replies = await this.#link.run((redis) => {
      askedMs = clock.monotonicMs();
      return readAll(redis, [
        ['hincrby', keys.beats, node.name, '1'],
        ['hgetall', keys.beats],
        ['hgetall', keys.nodes],
        ['hgetall', keys.map],
        ['hget', keys.cluster, 'era'],
      ]);
    });
    if (this.#stopped) return;
    const [, counters, records, map, stored] = replies as [
      number,
      Record<string, string>,
      Record<string, string>,
      Record<string, string>,
      string | null,
    ];
    this.directory.replace(map);
    if (await this.#isReplaced(nodeRecordOf(node.name, records[node.name] ?? ''))) return;
    const era = await this.#eras.follow(stored);
    if (this.#stopped) return;
    if (era !== this.#claimant.era) await this.#enter(era);
    this.#roster.look({ askedMs, answeredMs: clock.monotonicMs() }, records, counters);
    await this.#owned.verifyDoubtful();
    if (this.#leaving) return;
    await this.#owned.claim();
    await this.#fencing.lookAtOwn();
    this.#balance();
  }

  /** Gives away what it has too much of, or of nodes that are back; not within the beat, which nothing may hold up. */
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
   * Another process has started under our name: it owns our shards, or will in a moment. No record, a spoilt one, or
   * that of an earlier life is a store that has lost our joining and maybe nothing else: we join again.
   */
  async #isReplaced(record: NodeRecord | undefined): Promise<boolean> {
    const { store, node, log } = this.#options;
    if (record?.boot === node.boot || this.#leaving) return false;
    if ((record?.joinNumber ?? 0) < (node.joinNumber ?? 0)) {
      log.warn({ node: node.name }, 'the store has lost that this node joined; joining again');
      await registerNode(this.#link, store.keys, node);
      return false;
    }
    log.error(
      { node: node.name },
      'another process has joined the cluster under this name; this one stops; see which should run',
    );
    this.#stopped = true;
    void this.#owned.close();
    this.#owned.loseAll();
    return true;
  }

  fence(node: string, assure: () => Promise<void>): Promise<Fencing> {
    return this.#fencing.fence(node, assure);
  }

  rolledBack(rollback: StoreRollback): void {
    this.#eras.suspect(rollback);
    // Who has noticed is connected to whoever is the primary now; an era that the old one is told is lost with it.
    this.#link.renew();
  }

  /** Everything is given up and taken again: what this node has in memory may be ahead of the store. */
  async #enter(era: number): Promise<void> {
    const { store, node, onEra } = this.#options;
    this.#claimant.era = era;
    this.#owned.beginAnew();
    // The store may have gone back to before we joined.
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
      // Closing the link ends what still asks; whoever owns the shard now, it is not this node.
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
 * Grants come only after the returned promise has resolved, so that the caller can wire the directory first.
 * @throws PhotonError defeat when the store belongs to another kind of cluster (cluster-record.ts)
 */
export async function joinCluster(options: MembershipOptions): Promise<Membership> {
  const { store, node } = options;
  if (node.boot === '')
    throw new PhotonError('bug', 'boot_missing', `node ${node.name} joins without a boot id; give it one per start`);
  const link = store.open('membership');
  try {
    const { era } = await settleClusterRecord(link, store.keys, options.identity);
    const joinNumber = await registerNode(link, store.keys, node);
    const membership = new StoreMembership({ ...options, node: { ...node, joinNumber } }, link, era);
    await membership.directory.refresh();
    membership.beatAfter(0);
    return membership;
  } catch (error) {
    link.close();
    throw error;
  }
}
