/**
 * What operators can do with one actor: pause, resume, skip, redrive, reset (G8). Each is a command that the host
 * answers itself: one receipt, one commit, one entry in the actor's history with the principal and the reason. Letters
 * to redrive were put before the verb by verb-check.ts and are applied when it comes up here. Called by step.ts.
 */
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { ErrorRecord } from '../contract/errors.ts';
import type { OperatorVerb } from '../contract/supervision.ts';
import { answerPlainly, refuseCommand } from './command-answers.ts';
import { keepInput, keepNote, keepReply } from './draft.ts';
import type { Draft } from './draft.ts';
import { keepStep } from './draft-keeping.ts';
import type { DecidedStep } from './draft-keeping.ts';
import { beginHold, endHold } from './holding.ts';
import type { CommandInput } from './mailbox.ts';
import { resetStep } from './reset-plan.ts';
import type { Surroundings } from './surroundings.ts';
import { lettersNamed } from './verb-check.ts';

export function applyVerb(host: Surroundings, draft: Draft, input: CommandInput, verb: OperatorVerb): void {
  switch (verb) {
    case 'pause':
      return pause(host, draft, input);
    case 'resume': {
      const held = draft.actor.hold?.kind ?? null;
      endHold(draft);
      return keepVerb(host, draft, input, { held });
    }
    case 'skip':
      return skip(host, draft, input);
    case 'redrive':
      return redrive(host, draft, input);
    case 'reset':
      return reset(host, draft, input);
  }
}

function pause(host: Surroundings, draft: Draft, input: CommandInput): void {
  const { principal, event } = input.open.command;
  const { hold } = draft.actor;
  // A quarantine says more than a pause, and holds as well.
  if (hold === undefined) {
    const at = host.clock.wallMs();
    beginHold(host, draft, { kind: 'paused', reason: String(event['reason'] ?? ''), at, by: principal });
  }
  keepVerb(host, draft, input, { held: hold?.kind ?? 'paused' });
}

function skip(host: Surroundings, draft: Draft, input: CommandInput): void {
  const { actor } = draft;
  const { open } = input;
  const quarantine = actor.hold?.kind === 'quarantined' ? actor.hold : undefined;
  const named = open.command.event['letters'] !== undefined;
  const gone = lettersNamed(actor, open).filter(({ letter }) => named || letter === quarantine?.letter);
  for (const { place } of gone) {
    actor.lettersTaken.add(place);
    draft.lettersGone.push(place);
  }
  if (quarantine !== undefined && (!named || gone.some(({ letter }) => letter === quarantine.letter))) endHold(draft);
  keepVerb(host, draft, input, { skipped: gone.map(({ letter }) => letter) });
}

function redrive(host: Surroundings, draft: Draft, input: CommandInput): void {
  const { actor } = draft;
  const { open } = input;
  const delivered = (open.driven ?? []).filter(({ place }) => actor.lettersTaken.has(place));
  const left = lettersNamed(actor, open).length;
  const again = actor.hold === undefined ? {} : { quarantined: actor.hold.reason };
  keepVerb(host, draft, input, { redriven: delivered.map(({ letter }) => letter), left, ...again });
}

function reset(host: Surroundings, draft: Draft, input: CommandInput): void {
  const { actor } = draft;
  const { open } = input;
  let step: DecidedStep;
  try {
    step = resetStep(host, actor, input);
  } catch (failure) {
    refuseCommand(host, draft, open, failureOf(failure, actor.id));
    return;
  }
  if (open.command.event['dryRun'] === true) {
    answerPlainly(host, draft, open, { ok: true, version: actor.version, result: step.split.answers.at(-1)?.result });
    return;
  }
  if (actor.hold?.kind === 'quarantined') endHold(draft);
  keepStep(draft, step);
}

function failureOf(failure: unknown, actor: string): ErrorRecord {
  if (failure instanceof PhotonError && failure.record.group === 'rejection') return failure.record;
  const text = `the chart of ${actor} fails on this reset: ${describeCause(failure)}. Choose another state or patch.`;
  return new PhotonError('rejection', 'reset_failed', text, { actor }).record;
}

function keepVerb(
  host: Surroundings,
  draft: Draft,
  input: CommandInput,
  result: Readonly<Record<string, unknown>>,
): void {
  const { commandId, digest, event, principal } = input.open.command;
  keepInput(draft, input);
  keepNote(draft, input, { kind: 'operated', event: { ...event, principal }, at: host.clock.wallMs() });
  keepReply(draft, commandId, digest, { ok: true, version: draft.actor.version, result });
}
