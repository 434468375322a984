/**
 * What becomes of an input on which the chart fails, or whose commit cannot be written (G8): it is parked among the
 * dead letters with the actor's state, version and the reason, a command is answered, and the actor is quarantined, all
 * in one commit. The shard goes on. Called by step.ts.
 */
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { ActorEvent } from '../contract/envelope.ts';
import type { Activation } from './activation.ts';
import { refuseCommand } from './command-answers.ts';
import { causeOf, stageInput, stageDeadLetter, stageNote, stageReply } from './commit-builder.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { beginHold } from './holding.ts';
import { eventOf } from './input-check.ts';
import type { Input } from './mailbox.ts';
import type { StepContext } from './step-context.ts';

export function park(host: StepContext, builder: CommitBuilder, input: Input, failure: unknown): void {
  const { actor } = builder;
  const reason = `chart_failed: ${describeCause(failure)}`;
  const at = host.clock.wallMs();
  const event = writable(eventOf(input));
  host.log.error(
    { actor: actor.id, event: event.type, cause: causeOf(input), failure },
    'the chart failed; its input is parked',
  );
  if (input.kind === 'command') {
    const text = `${actor.id} failed while handling ${event.type}. An operator must look at it.`;
    const { record } = new PhotonError('bug', 'chart_failed', text, { cause: failure, actor: actor.id });
    if (actor.snapshot === undefined) return refuseCommand(host, builder, input.open, record);
    const reply = { ok: false, version: actor.version, error: record } as const;
    stageReply(builder, input.open.command.commandId, input.open.command.digest, reply);
  }
  stageInput(builder, input);
  consume(actor, input);
  // A command has its answer, and whoever asked can ask anew; nobody would say the others again.
  const deadLetter =
    input.kind === 'command'
      ? {}
      : { deadLetterId: stageDeadLetter(builder, input, { deadLetterId: host.random.ulid(at), event, reason, at }) };
  stageNote(builder, input, { kind: 'dropped', event, at, asked: [reason] });
  builder.closed = true;
  if (actor.snapshot !== undefined)
    beginHold(host, builder, { kind: 'quarantined', reason, at, by: 'host', ...deadLetter });
}

/** A timer fires once and an effect has one result, whether or not the chart cares. */
export function consume(actor: Activation, input: Input): void {
  if (input.kind === 'timer') actor.timers = actor.timers.filter((timer) => timer.timerId !== input.timerId);
  if (input.kind === 'effect') actor.effects = actor.effects.filter((effect) => effect.effectId !== input.effectId);
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
