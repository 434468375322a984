/**
 * Holds: an actor that is paused or quarantined takes operators' verbs and nothing else (G8). The hold is part of the
 * commit, so every later owner keeps to it; messages wait with their senders meanwhile, timers and effects in the
 * store. Called by steps that park an input and by the verbs of operators.
 */
import { PhotonError } from '../contract/errors.ts';
import type { ErrorRecord } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { verbOf } from '../contract/supervision.ts';
import type { Hold } from '../contract/supervision.ts';
import type { CommitBuilder } from './commit-builder.ts';
import type { CommandInput, Input } from './mailbox.ts';
import type { StepContext } from './step-context.ts';

/** How long a sender leaves a held actor alone. */
export const busyWhileHeldMs = 2000;

/** From here the actor takes no inputs. Its effects stop; they are still pending and performed again later. */
export function beginHold(host: StepContext, builder: CommitBuilder, hold: Hold): void {
  const { actor } = builder;
  actor.hold = hold;
  builder.due = true;
  host.effects.cancelAll(actor);
}

/** The actor goes on; what was pending with it does so when this is durable. */
export function endHold(builder: CommitBuilder): void {
  const { actor } = builder;
  if (actor.hold === undefined) return;
  actor.hold = undefined;
  builder.woken = true;
  builder.due = true;
}

export function heldError(actor: ActorId, { kind, reason }: Pick<Hold, 'kind' | 'reason'>): ErrorRecord {
  if (kind === 'paused') {
    const text = `${actor} is paused: ${bare(reason)}. Wait until an operator resumes it.`;
    const options = { actor, retryable: true, retryAfterMs: busyWhileHeldMs };
    return new PhotonError('rejection', 'paused', text, options).record;
  }
  const text = `${actor} is quarantined: ${bare(reason)}. An operator must look at it and resume it.`;
  return new PhotonError('defeat', 'quarantined', text, { actor, public: true }).record;
}

/** Reasons come with and without a full stop. */
const bare = (reason: string): string => reason.replace(/[.\s]+$/, '');

export const isResume = (input: Input): input is CommandInput =>
  input.kind === 'command' && verbOf(input.open.command.event) === 'resume';
