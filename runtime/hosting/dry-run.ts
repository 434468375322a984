/**
 * Dry runs of commands: the chart decides as it would for the command itself, the answer says what would follow, and
 * nothing is committed, sent or performed. A command that the chart would refuse is refused in the same words. What
 * other actors would decide later (a quota, an address) is not asked. Called by input-check.ts (check) and step.ts.
 */
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { ErrorRecord } from '../contract/errors.ts';
import { dryRunOf } from '../contract/supervision.ts';
import type { Activation } from './activation.ts';
import { answerPlainly, notAccepted, refuseCommand } from './command-answers.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { refusal } from './commit-staging.ts';
import { consider } from './consider.ts';
import { stateNameOf } from './decide.ts';
import type { CommandInput } from './mailbox.ts';
import { planOf } from './reset-plan.ts';
import type { StepContext } from './step-context.ts';

/** The input with the command that the dry run is about. */
export function triedInput(input: CommandInput): CommandInput {
  const { command } = input.open;
  const event = dryRunOf(command.event);
  return event === undefined ? input : { ...input, open: { ...input.open, command: { ...command, event } } };
}

/** A chart that throws would quarantine the actor; a dry run only tells of it. */
export const dryRunFailed = (actor: Activation, failure: unknown): ErrorRecord =>
  new PhotonError('rejection', 'dry_run_failed', `${actor.id} would fail on it: ${describeCause(failure)}.`, {
    actor: actor.id,
  }).record;

export function answerDryRun(host: StepContext, builder: CommitBuilder, input: CommandInput): void {
  const { actor } = builder;
  const tried = triedInput(input);
  const { type } = tried.open.command.event;
  let step;
  try {
    step = consider(host, actor, tried);
  } catch (failure) {
    return refuseCommand(host, builder, input.open, dryRunFailed(actor, failure));
  }
  const { snapshot } = actor.ahead;
  if (step === undefined) {
    const state = snapshot === undefined ? 'absent' : stateNameOf(snapshot.value);
    return refuseCommand(host, builder, input.open, notAccepted(actor.id, state, type));
  }
  const { answers, defer } = step.split;
  const { commandId: ownId } = input.open.command;
  const own = answers.find(({ commandId = ownId }) => commandId === ownId);
  if (refusal(step) && own?.error !== undefined) return refuseCommand(host, builder, input.open, own.error);
  // `deferred`: the answer comes later, after other actors have decided.
  const result = { dryRun: true, deferred: defer, result: own?.result ?? null, ...planOf(actor, step) };
  return answerPlainly(host, builder, input.open, { ok: true, version: actor.ahead.version, result });
}
