/**
 * The cached map of shard to node, for routing. A hint: a wrong line costs one `moved` and a refresh; the ownership
 * hash of the shard decides. Filled by every beat of cluster-membership.ts.
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

  /** The grant's text as the map has it; undefined when it has none. */
  grantOf(shard: ShardId): string | undefined {
    return this.#grants.get(shard);
  }

  /** The owners of these shards, the empty name where nobody is known. */
  owners(shards: readonly ShardId[]): ReadonlyMap<ShardId, string> {
    return new Map(shards.map((shard) => [shard, this.#nodes.get(shard) ?? '']));
  }

  /** The shards of nodes that were fenced: they are in other hands than their node's. */
  fenced(): readonly ShardId[] {
    const inOtherHands = [...this.#nodes].filter(([shard, node]) => (hostOfShard(shard) ?? node) !== node);
    return inOtherHands.map(([shard]) => shard);
  }

  /** Callers at the same time share one read. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #read(): Promise<void> {
    this.replace(await this.#link.run((redis) => redis.hgetall(this.#keys.map)));
  }

  /** A line that the store has lost is no line any more, so that somebody asks; until then it is the best guess. */
  replace(lines: Readonly<Record<string, string>>): void {
    for (const shard of this.#grants.keys()) if (lines[shard] === undefined) this.#grants.delete(shard);
    for (const [shard, grant] of Object.entries(lines)) this.set(shard as ShardId, grant);
  }

  set(shard: ShardId, grant: string): void {
    if (this.#grants.get(shard) === grant) return;
    this.#grants.set(shard, grant);
    const { node } = parseGrant(grant);
    if (node === (this.#nodes.get(shard) ?? '')) return;
    if (node === '') this.#nodes.delete(shard);
    else this.#nodes.set(shard, node);
    this.#tell();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Once for all changes of one read. */
  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }
}
