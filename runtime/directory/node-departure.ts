/**
 * How a node leaves the cluster (G12 in docs/promises.md): it marks its record as leaving, hands all its shards to
 * other nodes and removes its record, within `leaveTimeoutMs`. Called by cluster-membership.ts, which beats until it is
 * done.
 */
import type { Clock } from '../contract/clock.ts';
import { describeCause } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { readAll } from '../journal/store-connection.ts';
import type { StoreLink } from '../journal/store-link.ts';
import type { NodeRecord, NodeRoster } from './node-roster.ts';
import type { Claimant } from './shard-claims.ts';
import type { ShardHandover } from './shard-handover.ts';

/** The whole departure may take so long. */
const leaveTimeoutMs = 15_000;

export interface DepartureParts {
  readonly link: StoreLink;
  readonly claimant: Claimant;
  readonly roster: NodeRoster;
  readonly handover: ShardHandover;
  readonly node: NodeRecord;
  readonly clock: Clock;
  readonly log: Log;
  /** The beat and the claims in progress; the departure begins after them. */
  readonly underWay: Promise<unknown>;
}

/** Never throws: shards that it cannot hand over are taken over once this node is silent. */
export async function depart(parts: DepartureParts): Promise<void> {
  const { clock, log } = parts;
  let cancel = (): void => {};
  const timeUp = new Promise<'late'>((resolve) => (cancel = clock.after(leaveTimeoutMs, () => resolve('late'))));
  try {
    if ((await Promise.race([giveBack(parts), timeUp])) === 'late') {
      log.warn(
        {},
        `not all shards were handed over within ${leaveTimeoutMs} ms; the rest is taken over once this node is silent`,
      );
    }
  } catch (error) {
    log.warn(
      { cause: describeCause(error) },
      "this node's shards could not be handed over; they are taken over once it is silent",
    );
  } finally {
    cancel();
  }
}

async function giveBack({ link, claimant, roster, handover, node, underWay }: DepartureParts): Promise<'done'> {
  await underWay;
  const { keys } = claimant;
  const record = JSON.stringify({ ...node, leaving: true });
  await link.run((redis) => redis.hset(keys.nodes, node.name, record));
  const others = roster.staying().filter((name) => name !== node.name);
  const steady = others.filter((name) => roster.isSteady(name));
  await handover.giveAll(steady.length > 0 ? steady : others);
  await link.run((redis) =>
    readAll(redis, [
      ['hdel', keys.nodes, node.name],
      ['hdel', keys.beats, node.name],
    ]),
  );
  return 'done';
}
