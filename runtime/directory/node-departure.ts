/**
 * The last that a node does in the cluster: it says that it is leaving, hands all its shards to the others and takes
 * itself off the list (G12), for as long as a drain may take. Called by cluster-membership.ts, which goes on beating
 * meanwhile and stops after it.
 */
import type { Clock } from '../contract/clock.ts';
import { describeCause } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { readAll } from '../journal/store-connection.ts';
import type { StoreLink } from '../journal/store-link.ts';
import type { NodeRecord, NodeRoster } from './node-roster.ts';
import type { Claimant } from './shard-claims.ts';
import type { ShardHandover } from './shard-handover.ts';

/** As long as a drain may take in all. */
const leaveTimeoutMs = 15_000;

export interface DepartureParts {
  readonly link: StoreLink;
  readonly claimant: Claimant;
  readonly roster: NodeRoster;
  readonly handover: ShardHandover;
  readonly node: NodeRecord;
  readonly clock: Clock;
  readonly log: Log;
  /** The beat and the claims that were begun: what they decide comes first. */
  readonly underWay: Promise<unknown>;
}

/** Never throws: what it cannot give back, others take over. */
export async function depart(parts: DepartureParts): Promise<void> {
  const { clock, log } = parts;
  let cancel = (): void => {};
  const timeUp = new Promise<'late'>((resolve) => (cancel = clock.after(leaveTimeoutMs, () => resolve('late'))));
  try {
    if ((await Promise.race([giveBack(parts), timeUp])) === 'late') {
      log.warn(
        {},
        `not all was handed over within ${leaveTimeoutMs} ms; the rest is taken over once this node is silent`,
      );
    }
  } catch (error) {
    log.warn(
      { cause: describeCause(error) },
      "this node's shards could not be given back; they are taken over once it is silent",
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
