/**
 * Forwards to a node's membership, which is created later: links and host are made before the membership and call it,
 * and the membership needs them (member-node.ts connects the parts). Until the node has joined, no owner is known,
 * `fence` fails and other calls do nothing.
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

  /** @param rollback passed on at once, or when the node joins if it was detected before */
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

  /** May be called only before the node joins; the host is made then. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The URL of a peer; undefined when the node is not known. */
  addressOf(node: string): string | undefined {
    return this.#joined?.nodes().find(({ name }) => name === node)?.peerUrl;
  }

  /** The URLs of all nodes that are known. */
  addresses(): readonly string[] {
    return this.#joined?.nodes().map(({ peerUrl }) => peerUrl) ?? [];
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
