/**
 * The shards this node owns as far as it knows: claims those that are free or were handed to it, asks the store again
 * where there is doubt, lets go of what another has. The store decides who wins (shard-claims.ts); when to look is
 * said by cluster-membership.ts. Upholds G1 together with the fence in every commit.
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
  /** A shard was granted under an era that this node has not entered. */
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

  /** Whether it has owned any since it was started. */
  get hasHeld(): boolean {
    return this.#hasHeld;
  }

  /** Takes nothing more; what is owned stays until it is given away or lost. @returns when no claim is under way */
  close(): Promise<void> {
    this.#closed = true;
    return this.#claiming;
  }

  /** The map is cheap to read; where it disagrees, the ownership key is asked. */
  async verifyDoubtful(): Promise<void> {
    const { directory } = this.#options;
    const doubtful = this.all().filter((grant) => directory.grantOf(grant.shard) !== grantText(grant));
    if (doubtful.length > 0) await this.#verify(doubtful.map((grant) => grant.shard));
  }

  /** Lets go of the shard, or takes it, if that is how things are. Whoever asks meanwhile adds no question. */
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
   * Hosting has dropped the shard because the store refused this grant. A primary that was replaced may have said so:
   * if the store still names this node, it takes the shard anew.
   */
  async fenced({ shard, ownerEpoch }: ShardGrant): Promise<void> {
    if (this.#grants.get(shard)?.ownerEpoch === ownerEpoch) this.#lose(shard);
    await this.look(shard);
  }

  /** Claims what is free, up to an even share, and all that names this node. */
  async claim(): Promise<void> {
    if (this.#closed) return;
    // The first time every ownership key is asked; later only where the map knows of nobody alive.
    const candidates = this.#mayOwn().filter(
      (shard) => !this.#grants.has(shard) && (!this.#looked || this.#isFree(shard, this.#known(shard))),
    );
    if (candidates.length > 0) await this.#claimOf(candidates);
    this.#looked = true;
  }

  /** Takes a shard it may not claim by itself. @param before as it was read @returns whether it was won */
  take(shard: ShardId, before: string): Promise<boolean> {
    const taken = this.#claiming.then(async () => {
      if (this.#closed) return false;
      await this.#win(new Map([[shard, before]]));
      return this.#grants.has(shard);
    });
    this.#claiming = taken.then(
      () => undefined,
      () => undefined, // whoever asked hears of it
    );
    return taken;
  }

  /** It was given away; another may own it already. */
  release(grant: ShardGrant): void {
    if (this.#grants.get(grant.shard) !== grant) return;
    this.#grants.delete(grant.shard);
    this.#options.onLost(grant.shard);
  }

  /** A new era: everything is lost, and claimed again as if this node had just started. */
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

  /** Also where a shard has no owner any more: as long as the map names one, nobody else takes it. */
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

  /** One after the other: a second claim must not take our own first one for that of an earlier life. */
  #claimOf(candidates: readonly ShardId[]): Promise<void> {
    const claimed = this.#claiming.then(() => this.#claimNow(candidates.filter((shard) => !this.#grants.has(shard))));
    this.#claiming = claimed.catch(() => undefined); // whoever asked hears of it
    return claimed;
  }

  async #claimNow(candidates: readonly ShardId[]): Promise<void> {
    const { claimant, node } = this.#options;
    if (this.#closed) return;
    const stored = await readGrants(claimant, candidates);
    // Who has begun to leave takes nothing, and no more than it can still give away.
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
      // One of an era that has ended meanwhile is claimed again, under the new one.
      if (grant.era !== claimant.era) continue;
      this.#grants.set(grant.shard, grant);
      this.#hasHeld = true;
      onGrant(grant);
    }
  }

  /** Taken under our era it would go back to an earlier one, whose numbers receivers take for those of old messages. */
  #isNewer(text: string): boolean {
    const { claimant, onNewerEra } = this.#options;
    const { era } = parseGrant(text);
    if (era <= claimant.era) return false;
    onNewerEra(era);
    return true;
  }

  /**
   * Nobody's, ours from an earlier life or handed to us, or of a node that is silent or gone. A shard that is a node's
   * own passes between controllers only once it was fenced, and from them to the node only by being handed over.
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

  /** An even part, so that controllers that start together do not leave everything to the first. */
  #share(): number {
    const shards = this.#mayOwn().length;
    if (this.#options.node.role === 'worker') return shards;
    return Math.ceil(shards / Math.max(1, this.#options.roster.staying().length));
  }
}
