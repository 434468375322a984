/**
 * Fencing a node that has a shard of its own, and its way back (docs/decisions/0012). A fencing is nothing but a change
 * of the shard's owner: from the node, or nobody, to a controller, by compare-and-set with the next epoch. There is no
 * second record that could disagree with it, and the fence in every commit does the rest.
 *
 * Taking: only by order (`fence`), for nobody can tell a dead node from one that is cut off. Whoever gives the order
 * has the proof, and says so once more between the reading of the grant and the swap: so an order that was withdrawn
 * while this process stood still is not carried out late. From then on the shard is one of the controllers' and passes
 * from one to the next like any other (owned-shards.ts).
 *
 * Giving back: the node finds its shard in other hands. A process that has held it may still be doing something, so it
 * ends; one that has not removes what earlier lives have left and writes into its record under which grant it is
 * empty. Only the owner by that very grant hands the shard back: a word from before a later fencing fits none.
 *
 * Rejected: a list of fencingRecords beside the grants (two keys, two slots, no common swap); giving back by order of
 * an operator (he cannot see what is left in a kernel, the node can).
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

/** The node that was fenced, as it was last on the list; without a boot when it had left it. */
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
  /** The grant under which this node has said that it is empty. */
  #said = '';

  constructor(options: NodeFencingOptions) {
    this.#options = options;
  }

  /**
   * Takes the shard of a node that is gone. Repeatable.
   * @param assure throws when the order does not stand any more
   * @throws PhotonError fault `node_alive` when the node beats or has not been watched for long enough, or
   * `shard_moved` when somebody else changed the owner meanwhile
   */
  async fence(name: string, assure: () => Promise<void>): Promise<Fencing> {
    const { claimant, roster, owned, directory } = this.#options;
    const { link, keys } = claimant;
    const shard = hostShard(name);
    // The grant first: a node that comes to life later beats before it claims.
    const replies = await link.run((redis) =>
      readAll(redis, [
        ['get', keys.inShard(shard, 'o')],
        ['hget', keys.nodes, name],
        ['hget', keys.beats, name],
      ]),
    );
    const [text, record, counter] = replies as [string | null, string | null, string | null];
    if (!roster.isSilentAt(name, counter ?? undefined)) {
      const message = `${name} beats, or has not been watched for long enough; fence a node that is off and stays so`;
      throw new PhotonError('fault', 'node_alive', message);
    }
    await assure();
    const { node } = parseGrant(text ?? '');
    const isTaken = node !== '' && node !== name && (node === claimant.node || roster.isAlive(node));
    if (isTaken) directory.set(shard, text ?? '');
    else if (!(await owned.take(shard, text ?? '')))
      throw new PhotonError('fault', 'shard_moved', `the shard of ${name} has got another owner meanwhile; look again`);
    return { boot: record === null ? null : (nodeRecordOf(name, record)?.boot ?? null) };
  }

  /** The shards this node has of nodes that are back and empty: shard -> node. */
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

  /** At every beat of a node with a shard of its own: is it in other hands, and what is there to be said about it? */
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
      log.warn({ owner }, 'this node was fenced; what earlier lives have left here is removed before it serves again');
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
    log.error(
      { owner },
      'this node was fenced while it lived; its process must end, and empties the node at its start',
    );
    void onHostFenced?.('served');
  }

  #empty(): void {
    const { log, onHostFenced } = this.#options;
    this.#state = 'emptying';
    (onHostFenced?.('nothing') ?? Promise.resolve()).then(
      () => (this.#state = 'empty'),
      (error: unknown) => {
        log.error(
          { cause: describeCause(error) },
          'this node could not be emptied; it is tried again at the next beat',
        );
        this.#state = 'unfenced';
      },
    );
  }
}
