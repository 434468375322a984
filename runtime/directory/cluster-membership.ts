/**
 * This node's life in the cluster: it beats, watches the beats of the others, claims the shards it may own, and
 * learns when it has lost one. Composition roots call `joinCluster` and wire grants to the journal and to hosting.
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
import { hostShard, sharedShards } from '../journal/shard-placement.ts';
import { readAll, type Store, type StoreLink } from '../journal/store-connection.ts';
import { grantText, parseGrant } from '../journal/store-keys.ts';
import { settleClusterRecord } from './cluster-record.ts';
import { NodeRoster, type NodeEvent, type NodeRecord } from './node-roster.ts';
import { OwnershipMap } from './ownership-map.ts';
import { claimShards, readGrants, releaseShards, writeMap, type Claimant } from './shard-claims.ts';

const defaultBeatMs = 500;
const defaultSilenceMs = 2_000;
const leaveTimeoutMs = 2_000;

export type { NodeEvent, NodeRecord };

export interface MembershipOptions {
  readonly store: Store;
  readonly node: NodeRecord;
  readonly clock: Clock;
  readonly log: Log;
  readonly onGrant: (grant: ShardGrant) => void;
  /** Drop the shard's actors, undo nothing: another owner acts already. */
  readonly onLost: (shard: ShardId) => void;
  readonly onNode: (event: NodeEvent) => void;
  readonly beatMs?: number;
  /** Observed silence after which a controller's shards may be taken. */
  readonly silenceMs?: number;
}

export interface Membership {
  readonly directory: Directory;
  /** Every node with a record, this one too. */
  nodes(): readonly (NodeRecord & { readonly alive: boolean })[];
  /** The shards this node owns as far as it knows. */
  grants(): readonly ShardGrant[];
  /** Looks at once whether the shard is still ours; wire it to the journal's `onFenced`. */
  verify(shard: ShardId): Promise<void>;
  /**
   * Gives all shards back and takes the node off the list. Stop hosting first. Never throws; what it cannot do,
   * others take over.
   */
  leave(): Promise<void>;
}

class StoreMembership implements Membership {
  readonly directory: OwnershipMap;
  readonly #options: MembershipOptions;
  readonly #link: StoreLink;
  readonly #claimant: Claimant;
  readonly #roster: NodeRoster;
  readonly #owned = new Map<ShardId, ShardGrant>();
  #looked = false;
  #stopped = false;
  #cancelBeat: () => void = () => {};
  #beating: Promise<void> = Promise.resolve();

  constructor(options: MembershipOptions, link: StoreLink, era: number) {
    const { store, node } = options;
    const beatMs = options.beatMs ?? defaultBeatMs;
    this.#options = options;
    this.#link = link;
    this.#claimant = { link, keys: store.keys, node: node.name, boot: node.boot, era };
    this.#roster = new NodeRoster({
      self: node.name,
      silenceMs: options.silenceMs ?? defaultSilenceMs,
      longestGapMs: beatMs * 3,
      onNode: options.onNode,
    });
    this.directory = new OwnershipMap(link, store.keys);
  }

  nodes(): readonly (NodeRecord & { readonly alive: boolean })[] {
    return this.#roster.nodes();
  }

  grants(): readonly ShardGrant[] {
    return [...this.#owned.values()];
  }

  start(): void {
    this.#plan(0);
  }

  #plan(delayMs: number): void {
    if (this.#stopped) return;
    this.#cancelBeat = this.#options.clock.after(delayMs, () => {
      this.#beating = this.#beat().then(
        () => this.#plan(this.#options.beatMs ?? defaultBeatMs),
        (error: unknown) => this.#survive(error),
      );
    });
  }

  /** Only closing the store or a defect ends a beat with an error: connections are waited for inside. */
  #survive(error: unknown): void {
    if (this.#stopped) return;
    const { log, beatMs = defaultBeatMs } = this.#options;
    log.error(
      { cause: describeCause(error) },
      'a beat failed; this node will be taken for dead if that goes on; look at the cause',
    );
    this.#plan(beatMs);
  }

  async #beat(): Promise<void> {
    const { store, node, clock } = this.#options;
    const { keys } = store;
    const replies = await this.#link.run((redis) =>
      readAll(redis, [
        ['hincrby', keys.beats, node.name, '1'],
        ['hgetall', keys.beats],
        ['hgetall', keys.nodes],
        ['hgetall', keys.map],
      ]),
    );
    if (this.#stopped) return;
    const [, counters, records, map] = replies as [
      number,
      Record<string, string>,
      Record<string, string>,
      Record<string, string>,
    ];
    this.directory.replace(map);
    if (this.#isReplaced(records[node.name])) return;
    this.#roster.look(clock.monotonicMs(), records, counters);
    await this.#verifyOwned();
    await this.#claim();
  }

  /** Another process has started under our name: it owns our shards, or will in a moment. */
  #isReplaced(record: string | undefined): boolean {
    const { node, log } = this.#options;
    if (record === undefined || (JSON.parse(record) as NodeRecord).boot === node.boot) return false;
    log.error(
      { node: node.name },
      'another process has joined the cluster under this name; this one stops; see which should run',
    );
    this.#stopped = true;
    for (const shard of this.#owned.keys()) this.#lose(shard);
    return true;
  }

  async verify(shard: ShardId): Promise<void> {
    if (this.#owned.has(shard)) await this.#verifyShards([shard]);
  }

  /** The map is cheap to read; where it disagrees, the ownership hash is asked. */
  async #verifyOwned(): Promise<void> {
    const doubtful = [...this.#owned.values()].filter(
      (grant) => this.directory.grantOf(grant.shard) !== grantText(grant),
    );
    if (doubtful.length > 0) await this.#verifyShards(doubtful.map((grant) => grant.shard));
  }

  async #verifyShards(shards: readonly ShardId[]): Promise<void> {
    const stored = await readGrants(this.#claimant, shards);
    for (const [shard, text] of stored) {
      const grant = this.#owned.get(shard);
      if (grant !== undefined && grantText(grant) !== text) this.#lose(shard);
    }
    await this.#correctMap(stored);
  }

  #lose(shard: ShardId): void {
    this.#owned.delete(shard);
    this.#options.log.warn({ shard }, 'a shard has another owner now; its actors here are dropped');
    this.#options.onLost(shard);
  }

  async #correctMap(stored: ReadonlyMap<ShardId, string>): Promise<void> {
    const wrong = new Map([...stored].filter(([shard, text]) => text !== '' && this.directory.grantOf(shard) !== text));
    for (const [shard, text] of wrong) this.directory.set(shard, text);
    await writeMap(this.#link, this.#claimant.keys, wrong);
  }

  async #claim(): Promise<void> {
    const { node } = this.#options;
    const mine = node.role === 'controller' ? sharedShards : [hostShard(node.name)];
    // The first time every ownership hash is asked; later only where the map knows of nobody alive.
    const candidates = mine.filter(
      (shard) => !this.#owned.has(shard) && (!this.#looked || this.#isFree(this.directory.grantOf(shard) ?? '')),
    );
    if (candidates.length === 0) return;
    const stored = await readGrants(this.#claimant, candidates);
    const free = [...stored].filter(([, text]) => this.#isFree(text));
    const ours = free.filter(([, text]) => parseGrant(text).node === node.name);
    const others = free.filter(([, text]) => parseGrant(text).node !== node.name);
    const room = Math.max(0, this.#share(mine.length) - this.#owned.size - ours.length);
    const won = await claimShards(this.#claimant, new Map([...ours, ...others.slice(0, room)]));
    this.#looked = true;
    for (const grant of won) {
      this.directory.set(grant.shard, grantText(grant));
      if (this.#stopped) continue;
      this.#owned.set(grant.shard, grant);
      this.#options.onGrant(grant);
    }
    const held = new Map([...stored].filter(([, text]) => !this.#isFree(text)));
    await this.#correctMap(held);
  }

  /** Nobody's, ours from an earlier life, or of a node that is silent or gone. */
  #isFree(text: string): boolean {
    const { node } = parseGrant(text);
    return node === '' || node === this.#options.node.name || !this.#roster.isAlive(node);
  }

  /** An even part, so that controllers that start together do not leave everything to the first. */
  #share(shards: number): number {
    if (this.#options.node.role === 'worker') return shards;
    const peers = this.#roster.nodes().filter((node) => node.role === 'controller' && node.alive);
    return Math.ceil(shards / Math.max(1, peers.length));
  }

  async leave(): Promise<void> {
    if (this.#stopped) return this.#link.close();
    this.#stopped = true;
    this.#cancelBeat();
    const { clock, log } = this.#options;
    let cancel = (): void => {};
    const timeUp = new Promise<'late'>((resolve) => (cancel = clock.after(leaveTimeoutMs, () => resolve('late'))));
    try {
      if ((await Promise.race([this.#giveBack(), timeUp])) === 'late') {
        log.warn(
          {},
          `the store did not answer within ${leaveTimeoutMs} ms; this node's shards are taken over once it is silent`,
        );
      }
    } catch (error) {
      log.warn(
        { cause: describeCause(error) },
        "this node's shards could not be given back; they are taken over once it is silent",
      );
    } finally {
      cancel();
      this.#link.close();
    }
  }

  async #giveBack(): Promise<'done'> {
    await this.#beating;
    await releaseShards(this.#claimant, [...this.#owned.values()]);
    this.#owned.clear();
    const { keys, node } = this.#claimant;
    await this.#link.run((redis) =>
      readAll(redis, [
        ['hdel', keys.nodes, node],
        ['hdel', keys.beats, node],
      ]),
    );
    return 'done';
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
    const { era } = await settleClusterRecord(link, store.keys);
    const { name, role, peerUrl, boot } = node;
    const record = JSON.stringify({ name, role, peerUrl, boot });
    await link.run((redis) => redis.hset(store.keys.nodes, name, record));
    const membership = new StoreMembership(options, link, era);
    await membership.directory.refresh();
    membership.start();
    return membership;
  } catch (error) {
    link.close();
    throw error;
  }
}
