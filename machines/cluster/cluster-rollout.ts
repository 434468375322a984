/**
 * Which rollout is under way: at most one, so that two operators do not take the hosts of a cluster down together.
 * Pure functions of context and event.
 */
import type { Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { send, type Acted, type Seen } from '../values/telling.ts';
import type { ClusterContext } from './cluster-context.ts';
import { rolloutAsk, rolloutGranted, rolloutRefused, type ClusterEvent } from './cluster-protocol.ts';

type At = Seen<ClusterContext, ClusterEvent>;

const busy = (rollout: string): Failure => ({
  code: 'rollout_busy',
  message: `${rollout} is under way; wait for its end, or end it: photon rollout abort ${partsOfId(rollout).name}`,
  retryable: true,
});

/** The one that has it is asked whether it still goes on: one that was lost with a store rollback releases it. */
export function tellRollout({ context, event }: At): Acted<ClusterContext> {
  const { from = '' } = event.meta;
  const { rollout } = context;
  if (rollout !== null && rollout !== from)
    return { changes: {}, asks: [send(from, rolloutRefused({ error: busy(rollout) })), send(rollout, rolloutAsk({}))] };
  return { changes: { rollout: from }, asks: [send(from, rolloutGranted({}))] };
}

export const endRollout = ({ context, event }: At): Partial<ClusterContext> =>
  event.meta.from === context.rollout ? { rollout: null } : {};
