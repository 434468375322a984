/**
 * What operators can do with one actor: pause, resume, skip, redrive, reset (G8). Each is a command that the host
 * answers itself: one receipt, one commit, one entry in the actor's history with the principal and the reason.
 *
 * `checkVerb` sees to it that there is an actor, and for skip and redrive reads the actor's dead letters. A redrive
 * puts its dead letters before everything that waits and comes up again behind them: each dead letter leaves the store
 * in the very commit that applies it, so it is applied once, whatever is lost on the way (G2). Called by input-check.ts
 * (check) and step.ts (apply).
 */
import { PhotonError, describeCause } from '../contract/errors.ts';
import type { ErrorRecord } from '../contract/errors.ts';
import type { OperatorVerb, StoredDeadLetter } from '../contract/supervision.ts';
import type { Activation } from './activation.ts';
import { answerPlainly, refuseCommand } from './command-answers.ts';
import { stageInput, stageNote, stageReply } from './commit-builder.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { stageStep } from './commit-staging.ts';
import type { DecidedStep } from './commit-staging.ts';
import { beginHold, endHold, heldError } from './holding.ts';
import type { CommandInput, OpenCommand } from './mailbox.ts';
import { resetStep } from './reset-plan.ts';
import { rejection } from './split.ts';
import type { StepContext } from './step-context.ts';

export function applyVerb(host: StepContext, builder: CommitBuilder, input: CommandInput, verb: OperatorVerb): void {
  switch (verb) {
    case 'pause':
      return pause(host, builder, input);
    case 'resume': {
      const held = builder.actor.ahead.hold?.kind ?? null;
      endHold(builder);
      return stageVerb(host, builder, input, { held });
    }
    case 'skip':
      return skip(host, builder, input);
    case 'redrive':
      return redrive(host, builder, input);
    case 'reset':
      return reset(host, builder, input);
  }
}

function pause(host: StepContext, builder: CommitBuilder, input: CommandInput): void {
  const { principal, event } = input.open.command;
  const { hold } = builder.actor.ahead;
  // A quarantine is not replaced by a pause: it holds the actor as well, and its reason is needed.
  if (hold === undefined) {
    const at = host.clock.sharedMs();
    beginHold(host, builder, { kind: 'paused', reason: String(event['reason'] ?? ''), at, by: principal });
  }
  stageVerb(host, builder, input, { held: hold?.kind ?? 'paused' });
}

function skip(host: StepContext, builder: CommitBuilder, input: CommandInput): void {
  const { actor } = builder;
  const { open } = input;
  const quarantine = actor.ahead.hold?.kind === 'quarantined' ? actor.ahead.hold : undefined;
  const named = open.command.event['deadLetters'] !== undefined;
  const gone = deadLettersNamed(actor, open).filter(
    ({ deadLetterId }) => named || deadLetterId === quarantine?.deadLetterId,
  );
  for (const { place } of gone) {
    actor.deadLettersTaken.add(place);
    builder.deadLettersGone.push(place);
  }
  if (quarantine !== undefined && (!named || gone.some(({ deadLetterId }) => deadLetterId === quarantine.deadLetterId)))
    endHold(builder);
  stageVerb(host, builder, input, { skipped: gone.map(({ deadLetterId }) => deadLetterId) });
}

function redrive(host: StepContext, builder: CommitBuilder, input: CommandInput): void {
  const { actor } = builder;
  const { open } = input;
  const delivered = (open.driven ?? []).filter(({ place }) => actor.deadLettersTaken.has(place));
  const left = deadLettersNamed(actor, open).length;
  const again = actor.ahead.hold === undefined ? {} : { quarantined: actor.ahead.hold.reason };
  stageVerb(host, builder, input, { redriven: delivered.map(({ deadLetterId }) => deadLetterId), left, ...again });
}

function reset(host: StepContext, builder: CommitBuilder, input: CommandInput): void {
  const { actor } = builder;
  const { open } = input;
  let step: DecidedStep;
  try {
    step = resetStep(host, actor, input);
  } catch (failure) {
    refuseCommand(host, builder, open, failureOf(failure, actor.id));
    return;
  }
  if (open.command.event['dryRun'] === true) {
    answerPlainly(host, builder, open, {
      ok: true,
      version: actor.ahead.version,
      result: step.split.answers.at(-1)?.result,
    });
    return;
  }
  if (actor.ahead.hold?.kind === 'quarantined') endHold(builder);
  stageStep(builder, step);
}

function failureOf(failure: unknown, actor: string): ErrorRecord {
  if (failure instanceof PhotonError && failure.record.group === 'rejection') return failure.record;
  const text = `the chart of ${actor} fails on this reset: ${describeCause(failure)}. Choose another state or patch.`;
  return new PhotonError('rejection', 'reset_failed', text, { actor }).record;
}

function stageVerb(
  host: StepContext,
  builder: CommitBuilder,
  input: CommandInput,
  result: Readonly<Record<string, unknown>>,
): void {
  const { commandId, digest, event, principal } = input.open.command;
  stageInput(builder, input);
  stageNote(builder, input, { kind: 'operated', event: { ...event, principal }, at: host.clock.sharedMs() });
  stageReply(builder, commandId, digest, { ok: true, version: builder.actor.ahead.version, result });
}

/** Dead letters that one redrive delivers; for more it has to be repeated. */
const redriveAtOnce = 256;

type VerbVerdict = 'wait' | 'settled' | 'decide' | 'again';

export function checkVerb(
  host: StepContext,
  builder: CommitBuilder,
  input: CommandInput,
  verb: OperatorVerb,
): VerbVerdict {
  const { actor } = builder;
  const { open } = input;
  const aboutDeadLetters = verb === 'skip' || verb === 'redrive';
  if (actor.ahead.version === 0 || (actor.ahead.snapshot === undefined && !aboutDeadLetters)) {
    refuseCommand(host, builder, open, rejection('not_found', `${actor.id} does not exist. Create it first.`));
    return 'settled';
  }
  if (!aboutDeadLetters) return 'decide';
  if (open.deadLetters === undefined) readDeadLetters(host, actor, open);
  if (open.deadLetters === 'reading' || open.deadLetters === undefined) return 'wait';
  if (verb === 'skip' || open.driven !== undefined) return 'decide';
  if (actor.ahead.hold?.kind === 'paused') {
    refuseCommand(host, builder, open, heldError(actor.id, actor.ahead.hold));
    return 'settled';
  }
  open.driven = deadLettersNamed(actor, open).slice(0, redriveAtOnce);
  if (open.driven.length === 0) return 'decide';
  const frees = actor.ahead.hold;
  actor.mailbox.unshift(open.driven.map((deadLetter) => ({ kind: 'deadLetter', deadLetter, frees })));
  return 'again';
}

/** Those the command names by id, or all of the actor; without what this activation has taken since they were read. */
export function deadLettersNamed(
  actor: Activation,
  { deadLetters, command }: OpenCommand,
): readonly StoredDeadLetter[] {
  if (deadLetters === undefined || deadLetters === 'reading') return [];
  const { deadLetters: named } = command.event;
  const wanted = Array.isArray(named) ? new Set<unknown>(named) : undefined;
  return deadLetters.filter(
    ({ deadLetterId, place }) =>
      !actor.deadLettersTaken.has(place) && (wanted === undefined || wanted.has(deadLetterId)),
  );
}

function readDeadLetters(host: StepContext, actor: Activation, open: OpenCommand): void {
  open.deadLetters = 'reading';
  host.journal.deadLetters(actor.id).then(
    (deadLetters) => {
      // As with receipts: the next activation reads for itself.
      if (actor.phase === 'dropped') return;
      if (open.deadLetters === 'reading') open.deadLetters = deadLetters;
      host.schedule(actor);
    },
    (failure: unknown) => {
      if (actor.phase === 'dropped') return;
      host.log.warn({ actor: actor.id, failure }, 'dead letters could not be read; trying again');
      host.clock.after(host.limits.readAgainMs, () => {
        if (open.deadLetters === 'reading') open.deadLetters = undefined;
        host.schedule(actor);
      });
    },
  );
}
