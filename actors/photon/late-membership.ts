/**
 * A node's membership for parts that are made before it and that it needs in turn (member-node.ts closes the circle):
 * until it has joined nobody is known, and questions about shards are not asked. It decides nothing.
 */
import type { Fencing, Membership } from '@photoncloud/runtime/directory/cluster-membership';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ActorId, ShardId } from '@photoncloud/runtime/contract/identifiers';
import type { ShardGrant } from '@photoncloud/runtime/contract/journal';
import type { Directory } from '@photoncloud/runtime/contract/link';
import type { StoreRollback } from '@photoncloud/runtime/journal/ordinal-memory';

export class LateMembership implements Directory {
  #joined: Membership | undefined;
  #rollback: StoreRollback | undefined;
  readonly #listeners: (() => void)[] = [];

  /** @param rollback found before there was a membership is told to it when it comes */
  rolledBack(rollback: StoreRollback): void {
    this.#rollback = rollback;
    this.#joined?.rolledBack(rollback);
  }

  join(membership: Membership): void {
    if (this.#rollback !== undefined) membership.rolledBack(this.#rollback);
    this.#joined = membership;
    for (const listener of this.#listeners) membership.directory.onChange?.(listener);
  }

  ownerOf(id: ActorId): string | undefined {
    return this.#joined?.directory.ownerOf(id);
  }

  async refresh(): Promise<void> {
    await this.#joined?.directory.refresh();
  }

  /** Before joining only: hosts are made then. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Where a peer is reached. */
  addressOf(node: string): string | undefined {
    return this.#joined?.nodes().find(({ name }) => name === node)?.peerUrl;
  }

  fence(node: string, assure: () => Promise<void>): Promise<Fencing> {
    if (this.#joined === undefined)
      throw new PhotonError('fault', 'not_joined', 'this node is still joining; ask again');
    return this.#joined.fence(node, assure);
  }

  verify(shard: ShardId): void {
    void this.#joined?.verify(shard);
  }

  fenced(grant: ShardGrant): void {
    void this.#joined?.fenced(grant);
  }
}
