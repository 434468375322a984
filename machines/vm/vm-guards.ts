/** Questions the VM chart asks; pure functions of (context, event). */
import { hostGone, isHostGone as saysHostGone, sameJson } from '../values/failures.ts';
import { eraOf } from '../values/requests.ts';
import type { VmContext } from './vm-context.ts';
import type { VmEvent } from './vm-events.ts';
import { specOf } from './vm-replies.ts';

interface Seen {
  readonly context: VmContext;
  readonly event: VmEvent;
}

export const sameSpec = ({ context, event }: Seen): boolean => sameJson(context.spec, specOf(event));
export const nothingAwaited = ({ context }: Seen): boolean => context.awaited.length === 0;
export const allRefused = ({ context }: Seen): boolean => context.awaited.length === 0 && context.refusal !== null;
export const wantsRun = ({ context }: Seen): boolean => context.wanted === 'running';
export const isDying = ({ context }: Seen): boolean => context.wanted === 'deleted';
export const leaves = ({ context }: Seen): boolean => context.wanted !== 'running';
export const restarts = ({ context }: Seen): boolean => context.restarting;
/** Its place is from this era: nothing has been lost since that the cluster would have to be asked about. */
export const isPlaced = ({ context, event }: Seen): boolean => eraOf(event) <= context.era;
export const restartsPlaced = (seen: Seen): boolean => restarts(seen) && isPlaced(seen);
export const releasedForDeletion = (seen: Seen): boolean => nothingAwaited(seen) && seen.context.wanted === 'deleted';
export const releasedWithFailure = (seen: Seen): boolean =>
  nothingAwaited(seen) && wantsRun(seen) && seen.context.failure !== null;
export const releasedForRun = (seen: Seen): boolean => nothingAwaited(seen) && wantsRun(seen);
/** The word of an earlier run, which changes nothing. */
export const isThisIncarnation = ({ context, event }: Seen): boolean =>
  'incarnationUid' in event && event.incarnationUid === context.incarnationUid;
export const passes = ({ event }: Seen): boolean => 'error' in event && event.error !== null && event.error.retryable;
export const isHostGone = ({ event }: Seen): boolean => saysHostGone(event);
/** Its last run ended with its host, and it goes on: not there. */
export const movesOn = (seen: Seen): boolean =>
  seen.context.failure?.code === `run_${hostGone}` && (restarts(seen) || policyRestarts(seen));
/** After an end nobody asked for. */
export function policyRestarts({ context }: Seen): boolean {
  if (context.failure !== null && !context.failure.retryable) return false;
  const policy = context.spec?.restart ?? 'never';
  return policy === 'always' || (policy === 'on-failure' && context.failure !== null);
}
