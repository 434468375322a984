/**
 * The shards this node owns, as far as it knows: it claims shards that are free or were handed to it, reads the store
 * again when in doubt, and drops shards that another node owns. The store decides who wins a claim (shard-claims.ts);
 * cluster-membership.ts decides when to claim and verify. Upholds G1 (docs/promises.md) with the fence in every commit.
 */
import type { ShardId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';
import { hostOfShard, hostShard, sharedShards } from '../journal/shard-placement.ts';
import { grantText, parseGrant } from '../journal/store-keys.ts';
import type { NodeRecord, NodeRoster } from './node-roster.ts';
import type { OwnershipMap } from './ownership-map.ts';
import { claimShards, readGrants, writeMap, type Claimant } from './shard-claims.ts';

export interface OwnedShardsOptions {
  readonly claimant: Claimant;
  readonly node: NodeRecord;
  readonly roster: NodeRoster;
  readonly directory: OwnershipMap;
  readonly log: Log;
  readonly onGrant: (grant: ShardGrant) => void;
  readonly onLost: (shard: ShardId) => void;
  /** Called when a grant was read whose era this node has not entered. */
  readonly onNewerEra: (era: number) => void;
}

export class OwnedShards {
  readonly #options: OwnedShardsOptions;
  readonly #grants = new Map<ShardId, ShardGrant>();
  readonly #looking = new Set<ShardId>();
  #claiming: Promise<void> = Promise.resolve();
  #looked = false;
  #closed = false;
  #hasHeld = false;

  constructor(options: OwnedShardsOptions) {
    this.#options = options;
  }

  all(): readonly ShardGrant[] {
    return [...this.#grants.values()];
  }

  grantOf(shard: ShardId): ShardGrant | undefined {
    return this.#grants.get(shard);
  }

  /** Whether this process has owned any shard. */
  get hasHeld(): boolean {
    return this.#hasHeld;
  }

  /** Takes no more shards; owned ones stay until handed over or lost. Resolves when no claim is in progress. */
  close(): Promise<void> {
    this.#closed = true;
    return this.#claiming;
  }

  /** Checks the ownership key of each owned shard for which the map names another grant. */
  async verifyDoubtful(): Promise<void> {
    const { directory } = this.#options;
    const doubtful = this.all().filter((grant) => directory.grantOf(grant.shard) !== grantText(grant));
    if (doubtful.length > 0) await this.#verify(doubtful.map((grant) => grant.shard));
  }

  /** Drops or takes the shard, as its ownership key says. While a call for a shard runs, further ones do nothing. */
  async look(shard: ShardId): Promise<void> {
    if (this.#looking.has(shard)) return;
    const isOurs = this.#grants.has(shard);
    if (!isOurs && (this.#closed || !this.#mayOwn().includes(shard))) return;
    this.#looking.add(shard);
    try {
      await (isOurs ? this.#verify([shard]) : this.#claimOf([shard]));
    } finally {
      this.#looking.delete(shard);
    }
  }

  /**
   * Hosting has dropped the shard because the store refused this grant. The refusal may have come from a replaced
   * primary: if the store still names this node, the shard is claimed again.
   */
  async fenced({ shard, ownerEpoch }: ShardGrant): Promise<void> {
    if (this.#grants.get(shard)?.ownerEpoch === ownerEpoch) this.#lose(shard);
    await this.look(shard);
  }

  /** Claims free shards up to an even share, and every shard whose grant names this node. */
  async claim(): Promise<void> {
    if (this.#closed) return;
    // The first time every ownership key is read; later only those for which the map names no live owner.
    const candidates = this.#mayOwn().filter(
      (shard) => !this.#grants.has(shard) && (!this.#looked || this.#isFree(shard, this.#known(shard))),
    );
    if (candidates.length > 0) await this.#claimOf(candidates);
    this.#looked = true;
  }

  /** Takes a shard that `claim` would not (fencing). @param before the grant as it was read @returns whether it won */
  take(shard: ShardId, before: string): Promise<boolean> {
    const taken = this.#claiming.then(async () => {
      if (this.#closed) return false;
      await this.#win(new Map([[shard, before]]));
      return this.#grants.has(shard);
    });
    this.#claiming = taken.then(
      () => undefined,
      () => undefined, // the caller gets the error
    );
    return taken;
  }

  /** Drops a shard that was handed over; another node may own it already. */
  release(grant: ShardGrant): void {
    if (this.#grants.get(grant.shard) !== grant) return;
    this.#grants.delete(grant.shard);
    this.#options.onLost(grant.shard);
  }

  /** For a new era: drops every shard and claims again, as after a start. */
  beginAnew(): void {
    this.loseAll();
    this.#looked = false;
  }

  loseAll(): void {
    for (const shard of this.#grants.keys()) this.#lose(shard);
  }

  #known(shard: ShardId): string {
    return this.#options.directory.grantOf(shard) ?? '';
  }

  async #verify(shards: readonly ShardId[]): Promise<void> {
    const stored = await readGrants(this.#options.claimant, shards);
    for (const [shard, text] of stored) {
      const grant = this.#grants.get(shard);
      if (grant !== undefined && grantText(grant) !== text) this.#lose(shard);
    }
    await this.#correctMap(stored);
  }

  #lose(shard: ShardId): void {
    this.#grants.delete(shard);
    this.#options.log.warn({ shard }, 'this node no longer owns the shard; its actors here are dropped');
    this.#options.onLost(shard);
  }

  /** Corrects the map also for shards without an owner: while the map names one, no node claims the shard. */
  async #correctMap(stored: ReadonlyMap<ShardId, string>): Promise<void> {
    const { directory, claimant } = this.#options;
    const wrong = new Map([...stored].filter(([shard, text]) => (directory.grantOf(shard) ?? '') !== text));
    for (const [shard, text] of wrong) directory.set(shard, text);
    await writeMap(claimant.link, claimant.keys, wrong);
  }

  #mayOwn(): readonly ShardId[] {
    const { node } = this.#options;
    if (node.role === 'worker') return [hostShard(node.name)];
    return [...sharedShards, ...this.#options.directory.fenced()];
  }

  /** Claims run one after the other: a second one would take our own first claim for one of an earlier process. */
  #claimOf(candidates: readonly ShardId[]): Promise<void> {
    const claimed = this.#claiming.then(() => this.#claimNow(candidates.filter((shard) => !this.#grants.has(shard))));
    this.#claiming = claimed.catch(() => undefined); // the caller gets the error
    return claimed;
  }

  async #claimNow(candidates: readonly ShardId[]): Promise<void> {
    const { claimant, node } = this.#options;
    if (this.#closed) return;
    const stored = await readGrants(claimant, candidates);
    // A node that has begun to leave takes no shard, since it might not hand it over any more.
    if (this.#closed) return;
    const free = [...stored].filter(([shard, text]) => this.#isFree(shard, text));
    const ours = free.filter(([, text]) => parseGrant(text).node === node.name);
    const others = free.filter(([, text]) => parseGrant(text).node !== node.name);
    const room = Math.max(0, this.#share() - this.#grants.size - ours.length);
    const wanted = new Map([...ours, ...others.slice(0, room)]);
    await this.#win(wanted);
    await this.#correctMap(new Map([...stored].filter(([shard]) => !wanted.has(shard))));
  }

  async #win(wanted: ReadonlyMap<ShardId, string>): Promise<void> {
    const { claimant, directory, onGrant } = this.#options;
    const ours = new Map([...wanted].filter(([, text]) => !this.#isNewer(text)));
    for (const grant of await claimShards(claimant, ours)) {
      directory.set(grant.shard, grantText(grant));
      // If the era has ended meanwhile, the shard is claimed again under the new one.
      if (grant.era !== claimant.era) continue;
      this.#grants.set(grant.shard, grant);
      this.#hasHeld = true;
      onGrant(grant);
    }
  }

  /** A claim under an older era than the grant's is not made: receivers would take its messages for old duplicates. */
  #isNewer(text: string): boolean {
    const { claimant, onNewerEra } = this.#options;
    const { era } = parseGrant(text);
    if (era <= claimant.era) return false;
    onNewerEra(era);
    return true;
  }

  /**
   * Whether this node may claim the shard: it has no owner, its grant names this node (an earlier process of it, or a
   * handover), or its owner is silent or gone. A host shard passes between controllers only after its node was fenced,
   * and from them back to its node only by a handover.
   */
  #isFree(shard: ShardId, text: string): boolean {
    const { roster, node: self } = this.#options;
    const { node } = parseGrant(text);
    const host = hostOfShard(shard);
    if (node === self.name) return true;
    if (host === self.name) return node === '';
    if (host !== undefined && (node === '' || node === host)) return false;
    return node === '' || !roster.isAlive(node);
  }

  /** An even share, so that of controllers that start together the first does not take everything. */
  #share(): number {
    const shards = this.#mayOwn().length;
    if (this.#options.node.role === 'worker') return shards;
    return Math.ceil(shards / Math.max(1, this.#options.roster.staying().length));
  }
}
