/**
 * Holds (G8): an actor that is paused or quarantined takes operators' verbs and nothing else. The hold is part of the
 * commit, so every later owner keeps to it; messages wait with their senders meanwhile, timers and effects in the
 * store. An input on which the chart throws, or whose commit cannot be written, is parked: in one commit it becomes a
 * dead letter with the actor's state, version and the reason, a command is answered, and the actor is quarantined. The
 * shard goes on. Called by step.ts, which parks, and by the verbs of operators.
 */
import type { ActorEvent } from '../contract/envelope.ts';
import { PhotonError, describeCause } from '../contract/errors.ts';
import type { ErrorRecord } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { verbOf } from '../contract/supervision.ts';
import type { Hold } from '../contract/supervision.ts';
import { refuseCommand } from './command-answers.ts';
import { nothingChanges, stageDeadLetter, stageInput, stageNote, stageReply } from './commit-builder.ts';
import { causeOf, eventOf } from './mailbox.ts';
import type { CommitBuilder } from './commit-builder.ts';
import type { CommandInput, Input } from './mailbox.ts';
import type { StepContext } from './step-context.ts';

/** After how long a sender should retry at a held actor. */
export const busyWhileHeldMs = 2000;

/** From here the actor takes no inputs. Its effects stop; they are still pending and performed again later. */
export function beginHold(host: StepContext, builder: CommitBuilder, hold: Hold): void {
  const { actor } = builder;
  actor.ahead.hold = hold;
  builder.due = true;
  host.effects.cancelAll(actor);
}

/** The actor takes inputs again; its pending effects and timers go on when this commit is durable. */
export function endHold(builder: CommitBuilder): void {
  const { actor } = builder;
  if (actor.ahead.hold === undefined) return;
  actor.ahead.hold = undefined;
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

/** Without the full stop that some reasons end with. */
const bare = (reason: string): string => reason.replace(/[.\s]+$/, '');

export const isResume = (input: Input): input is CommandInput =>
  input.kind === 'command' && verbOf(input.open.command.event) === 'resume';

export function park(host: StepContext, builder: CommitBuilder, input: Input, failure: unknown): void {
  const { actor } = builder;
  const reason = `chart_failed: ${describeCause(failure)}`;
  const at = host.clock.sharedMs();
  const event = writable(eventOf(input));
  host.log.error(
    { actor: actor.id, event: event.type, cause: causeOf(input), failure },
    'the chart failed; its input is parked',
  );
  if (input.kind === 'command') {
    const text = `${actor.id} failed while handling ${event.type}. An operator must look at it.`;
    const { record } = new PhotonError('bug', 'chart_failed', text, { cause: failure, actor: actor.id });
    if (actor.ahead.snapshot === undefined) return refuseCommand(host, builder, input.open, record);
    const reply = { ok: false, version: actor.ahead.version, error: record } as const;
    stageReply(builder, input.open.command.commandId, input.open.command.digest, reply);
  }
  stageInput(builder, input);
  consume(builder, input);
  // A command is answered and its caller can repeat it; all other inputs would be lost without a dead letter.
  const deadLetter =
    input.kind === 'command'
      ? {}
      : { deadLetterId: stageDeadLetter(builder, input, { deadLetterId: host.random.ulid(at), event, reason, at }) };
  stageNote(builder, input, { kind: 'dropped', event, at, asked: [reason] });
  builder.closed = true;
  if (actor.ahead.snapshot !== undefined)
    beginHold(host, builder, { kind: 'quarantined', reason, at, by: 'host', ...deadLetter });
}

/** A timer fires once and an effect has one result, whether or not the chart cares. */
export function consume(builder: CommitBuilder, input: Input): void {
  const { effects, timers } = builder.actor.ahead;
  if (input.kind === 'timer')
    builder.change({ ...nothingChanges, timersEnded: timers.filter(({ timerId }) => timerId === input.timerId) });
  if (input.kind === 'effect')
    builder.change({ ...nothingChanges, effectsEnded: effects.filter(({ effectId }) => effectId === input.effectId) });
}

/** The event itself may be what cannot be written. */
function writable(event: ActorEvent): ActorEvent {
  try {
    JSON.stringify(event);
    return event;
  } catch (failure) {
    return { type: event.type, unwritable: describeCause(failure) };
  }
}
