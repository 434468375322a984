/**
 * The cached map of shard to owner, for routing. The ownership key of the shard is authoritative: a wrong entry here
 * costs one answer `moved` and a refresh. Every beat of cluster-membership.ts fills it.
 */
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { Directory } from '../contract/link.ts';
import { hostOfShard, shardOf } from '../journal/shard-placement.ts';
import type { StoreLink } from '../journal/store-link.ts';
import { parseGrant, type StoreKeys } from '../journal/store-keys.ts';

export class OwnershipMap implements Directory {
  readonly #link: StoreLink;
  readonly #keys: StoreKeys;
  readonly #grants = new Map<ShardId, string>();
  readonly #nodes = new Map<ShardId, string>();
  readonly #listeners: (() => void)[] = [];
  #refreshing: Promise<void> | undefined;
  #telling = false;

  constructor(link: StoreLink, keys: StoreKeys) {
    this.#link = link;
    this.#keys = keys;
  }

  ownerOf(id: ActorId): string | undefined {
    return this.#nodes.get(shardOf(id));
  }

  /** The grant string of the shard in the map; undefined when it has none. */
  grantOf(shard: ShardId): string | undefined {
    return this.#grants.get(shard);
  }

  /** The owners of these shards; the empty string where none is known. */
  owners(shards: readonly ShardId[]): ReadonlyMap<ShardId, string> {
    return new Map(shards.map((shard) => [shard, this.#nodes.get(shard) ?? '']));
  }

  /** The host shards of fenced nodes: those whose grant names another node than their own. */
  fenced(): readonly ShardId[] {
    const inOtherHands = [...this.#nodes].filter(([shard, node]) => (hostOfShard(shard) ?? node) !== node);
    return inOtherHands.map(([shard]) => shard);
  }

  /** Concurrent callers share one read. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #read(): Promise<void> {
    this.replace(await this.#link.run((redis) => redis.hgetall(this.#keys.map)));
  }

  /** A grant missing from the map is dropped, so that it is verified; its node stays known for routing until then. */
  replace(stored: Readonly<Record<string, string>>): void {
    for (const shard of this.#grants.keys()) if (stored[shard] === undefined) this.#grants.delete(shard);
    for (const [shard, grant] of Object.entries(stored)) this.set(shard as ShardId, grant);
  }

  set(shard: ShardId, grant: string): void {
    if (this.#grants.get(shard) === grant) return;
    this.#grants.set(shard, grant);
    const { node } = parseGrant(grant);
    if (node === '') this.#nodes.delete(shard);
    else this.#nodes.set(shard, node);
    // Also of the same node: it was started again, and takes messages from now on.
    this.#tell();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Calls the listeners once for all changes of one read. */
  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }
}
