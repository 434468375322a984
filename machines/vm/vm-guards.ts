/** Guards of the VM chart: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { hostGone, isHostGone as saysHostGone, sameJson } from '../values/failures.ts';
import { eraOf } from '../values/requests.ts';
import { declarationOf } from './vm-changes.ts';
import type { VmSpec } from './vm-protocol.ts';
import { addedNics, formatOf, imageIds, isNameBusy, portIds, volumeIds, type At } from './vm-context.ts';

// A changed declaration

/** A NIC has the name of another port that still exists, so the change cannot be validated yet. */
export const isUndecided = (seen: At): boolean =>
  addedNics(seen.context, declarationOf(seen).spec).some((nic) => isNameBusy(seen.context, nic));
/** The proposed change, repeated. */
export function isProposed(seen: At): boolean {
  if (seen.context.proposed === null) return false;
  const { awaited: _, ...proposed } = seen.context.proposed;
  return sameJson(proposed, declarationOf(seen));
}
export const addsNics = (seen: At): boolean => addedNics(seen.context, declarationOf(seen).spec).length > 0;
export const isProposing = ({ context }: At): boolean => context.proposed !== null;
export function completesProposal({ context, event }: At): boolean {
  assertEvent(event, 'port.ready');
  const awaited = context.proposed?.awaited ?? [];
  return awaited.length === 1 && awaited[0] === event.port;
}
/** The port that has ended is an earlier one of the same name; the new one has not answered yet. */
export function isAwaitedPort({ context, event }: At): boolean {
  assertEvent(event, 'port.gone');
  return context.awaited.includes(event.port) || context.proposed?.awaited.includes(event.port) === true;
}
export function refusesProposal({ context, event }: At): boolean {
  assertEvent(event, 'port.refused');
  return context.proposed?.awaited.includes(event.port) === true;
}

// Awaited answers and desired state

export const nothingAwaited = ({ context }: At): boolean => context.awaited.length === 0;
export const allRefused = (seen: At): boolean => nothingAwaited(seen) && seen.context.refusal !== null;
export const wantsRun = ({ context }: At): boolean => context.wanted === 'running';
export const isPaused = ({ context }: At): boolean => context.paused;
export const isResumed = ({ context }: At): boolean => !context.paused;
/** What it does already when it is told to start. */
export const runsAsWanted = (seen: At): boolean => wantsRun(seen) && !isPaused(seen);
export const isDying = ({ context }: At): boolean => context.wanted === 'deleted';
export const leaves = ({ context }: At): boolean => context.wanted !== 'running';
/** A command or declaration requests another attempt. */
export const isRetried = (seen: At): boolean => wantsRun(seen) && seen.context.failure === null;
export const releasedForDeletion = (seen: At): boolean => nothingAwaited(seen) && isDying(seen);
export const releasedWithFailure = (seen: At): boolean =>
  nothingAwaited(seen) && wantsRun(seen) && seen.context.failure !== null;
export const releasedForRun = (seen: At): boolean => nothingAwaited(seen) && wantsRun(seen);

// A run

/**
 * The present placement is valid for the next run: it is of this era, and neither size nor host constraints have
 * changed.
 */
export function staysPlaced({ context, event }: At): boolean {
  const { spec, runSpec } = context;
  if (spec === null || runSpec === null || eraOf(event) > context.era || context.leaving !== null) return false;
  return isPlacedAlike(spec, runSpec);
}
const isPlacedAlike = (spec: VmSpec, runSpec: VmSpec): boolean =>
  (['cpus', 'memoryMib', 'host', 'placement', 'disks'] as const).every((field) =>
    sameJson(spec[field], runSpec[field]),
  );
/** A host was asked for what is not declared any more. */
export const isPlacedOtherwise = ({ context: { spec, runSpec } }: At): boolean =>
  spec !== null && runSpec !== null && !isPlacedAlike(spec, runSpec);
export const restarts = ({ context }: At): boolean => context.restarting;
export const restartsPlaced = (seen: At): boolean => restarts(seen) && staysPlaced(seen);
/** False for a message of an earlier run, which is ignored. */
export const isThisIncarnation = ({ context, event }: At): boolean =>
  'incarnationUid' in event && event.incarnationUid === context.incarnationUid;
/** A message of a port, volume or image that the VM no longer needs. */
export function isNotOfRun({ context, event }: At): boolean {
  const { runSpec } = context;
  if ('port' in event) return !portIds(context, runSpec).includes(event.port);
  if ('volume' in event) return !volumeIds(context, runSpec).includes(event.volume);
  return 'image' in event && !imageIds(context, runSpec).includes(event.image);
}
/** The image is a kernel where the run needs an initrd, or the reverse, or a disk. */
export const isWrongImage = ({ context, event }: At): boolean =>
  event.type === 'image.provided' && !isNotOfRun({ context, event }) && event.format !== formatOf(context, event.image);
export const isHostGone = ({ event }: At): boolean => saysHostGone(event);
/** The host of the last run is fenced, and the VM continues on another one. */
export const movesOn = (seen: At): boolean =>
  seen.context.failure?.code === `run_${hostGone}` && (restarts(seen) || policyRestarts(seen));
/** Whether the restart policy starts the VM again after an unrequested end. */
export function policyRestarts({ context }: At): boolean {
  if (context.failure !== null && !context.failure.retryable) return false;
  const policy = context.spec?.restart ?? 'once';
  return policy === 'always' || (policy === 'on-failure' && context.failure !== null);
}
