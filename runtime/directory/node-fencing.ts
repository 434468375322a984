/**
 * Fences a node that has a host shard, and gives the shard back later (docs/decisions, decision 0012). Fencing a node
 * is one change of its shard's grant: from the node, or nobody, to a controller (the surrogate owner), by
 * compare-and-set with the next epoch. The grant is the only fencing record, and the fence in every commit enforces it.
 *
 * Taking: only on order (`fence`), because no node can tell a dead host from one that is cut off. The caller has the
 * operator's confirmation, and confirms again (`assure`) between the read of the grant and the swap: so an order that
 * was withdrawn while this process hung is not carried out late. From then on the shard passes from controller to
 * controller like any other (owned-shards.ts).
 *
 * Giving back: the node finds that a surrogate owner has its shard. A process that has held the shard may still be
 * performing effects, so it ends. A process that has not held it removes what earlier processes have left on the host,
 * and writes the present grant into its record as `emptied`. Only the owner under exactly that grant hands the shard
 * back, so an `emptied` from before a later fencing has no effect.
 *
 * Rejected: a list of fencing records beside the grants (two keys in two slots cannot be swapped together); giving back
 * on order of an operator (who cannot see what is left in a kernel; the node can).
 */
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { Log } from '../contract/log.ts';
import { hostOfShard, hostShard } from '../journal/shard-placement.ts';
import { readAll } from '../journal/store-connection.ts';
import { grantText, parseGrant } from '../journal/store-keys.ts';
import { nodeRecordOf, type NodeRecord, type NodeRoster } from './node-roster.ts';
import type { OwnedShards } from './owned-shards.ts';
import type { OwnershipMap } from './ownership-map.ts';
import type { Claimant } from './shard-claims.ts';

/** The boot of the fenced node by its last record; null when it had no record. */
export interface Fencing {
  readonly boot: string | null;
}

export interface NodeFencingOptions {
  readonly claimant: Claimant;
  readonly node: NodeRecord;
  readonly roster: NodeRoster;
  readonly owned: OwnedShards;
  readonly directory: OwnershipMap;
  readonly log: Log;
  /** See MembershipOptions. */
  readonly onHostFenced: ((had: 'nothing' | 'served') => Promise<void>) | undefined;
}

export class NodeFencing {
  readonly #options: NodeFencingOptions;
  #state: 'unfenced' | 'emptying' | 'empty' | 'ending' = 'unfenced';
  /** The grant that this node has last written as `emptied`. */
  #said = '';

  constructor(options: NodeFencingOptions) {
    this.#options = options;
  }

  /**
   * Takes the host shard of a node. May be repeated.
   * @param assure throws when the order was withdrawn
   * @throws PhotonError fault `node_alive` when the node beats or has not been watched for long enough, or
   * `shard_moved` when the owner has changed meanwhile
   */
  async fence(name: string, assure: () => Promise<void>): Promise<Fencing> {
    const { claimant, roster, owned, directory } = this.#options;
    const { link, keys } = claimant;
    const shard = hostShard(name);
    // The grant is read first: a node that starts later beats before it claims, and is seen below.
    const replies = await link.run((redis) =>
      readAll(redis, [
        ['get', keys.inShard(shard, 'o')],
        ['hget', keys.nodes, name],
        ['hget', keys.beats, name],
      ]),
    );
    const [text, record, counter] = replies as [string | null, string | null, string | null];
    if (!roster.isSilentAt(name, counter ?? undefined)) {
      const message = `${name} beats, or has not been watched for long enough; make sure that it is off and try again`;
      throw new PhotonError('fault', 'node_alive', message);
    }
    await assure();
    const { node } = parseGrant(text ?? '');
    const isTaken = node !== '' && node !== name && (node === claimant.node || roster.isAlive(node));
    if (isTaken) directory.set(shard, text ?? '');
    else if (!(await owned.take(shard, text ?? '')))
      throw new PhotonError(
        'fault',
        'shard_moved',
        `the owner of the shard of ${name} has changed meanwhile; try again`,
      );
    return { boot: record === null ? null : (nodeRecordOf(name, record)?.boot ?? null) };
  }

  /** Host shards that this node owns as surrogate and whose nodes are back and empty: shard -> node. */
  returning(): ReadonlyMap<ShardId, string> {
    const { owned, roster } = this.#options;
    const found = owned.all().flatMap((grant) => {
      const host = hostOfShard(grant.shard);
      return host !== undefined && roster.find(host)?.emptied === grantText(grant)
        ? [[grant.shard, host] as const]
        : [];
    });
    return new Map(found);
  }

  /** Called at every beat: a worker without its host shard finds out whether it was fenced, and acts on it. */
  async lookAtOwn(): Promise<void> {
    const { owned, claimant, node, log } = this.#options;
    if (node.role !== 'worker' || owned.all().length > 0) return;
    const shard = hostShard(node.name);
    await owned.look(shard);
    const grant = this.#options.directory.grantOf(shard) ?? '';
    const owner = parseGrant(grant).node;
    if (owned.all().length > 0 || owner === '' || owner === node.name) return;
    if (owned.hasHeld) return this.#end(owner);
    if (this.#state === 'unfenced') {
      log.warn({ owner }, 'this node was fenced; what earlier processes left on this host is removed before it serves');
      this.#empty();
    }
    if (this.#state !== 'empty' || this.#said === grant) return;
    const record: NodeRecord = { ...node, emptied: grant };
    await claimant.link.run((redis) => redis.hset(claimant.keys.nodes, node.name, JSON.stringify(record)));
    this.#said = grant;
  }

  #end(owner: string): void {
    const { log, onHostFenced } = this.#options;
    if (this.#state === 'ending') return;
    this.#state = 'ending';
    log.error({ owner }, 'this node was fenced while it ran; this process ends, and the next one empties the host');
    void onHostFenced?.('served');
  }

  #empty(): void {
    const { log, onHostFenced } = this.#options;
    this.#state = 'emptying';
    (onHostFenced?.('nothing') ?? Promise.resolve()).then(
      () => (this.#state = 'empty'),
      (error: unknown) => {
        log.error({ cause: describeCause(error) }, 'this host could not be emptied; retrying at the next beat');
        this.#state = 'unfenced';
      },
    );
  }
}
