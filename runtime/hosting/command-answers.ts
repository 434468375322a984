/**
 * How a command is answered outside of a receipt: refusals that come out the same when asked again, dry runs, answers
 * from an older receipt. Whatever an answer rests on must be durable before it is told (G4), so it rides with the
 * commit that makes it so. Called by the checks of inputs, by steps and by the gate.
 */
import type { Reply } from '../contract/envelope.ts';
import type { ErrorRecord } from '../contract/errors.ts';
import type { Activation } from './activation.ts';
import type { Draft } from './draft.ts';
import type { OpenCommand } from './mailbox.ts';

/**
 * The commit that makes durable what the actor has decided so far, if anything is not yet: an answer may rest on it.
 */
export function carrierOf(draft: Draft): Draft | undefined {
  return draft.due ? draft : draft.actor.flights.at(-1);
}

/** A refusal that needs no receipt: asked again, it comes out the same or rightly better. */
export function refuseCommand(draft: Draft, open: OpenCommand, error: ErrorRecord): void {
  const { actor } = draft;
  answerPlainly(draft, open, { ok: false, version: actor.version, error });
}

/** Answers without a receipt, on grounds that are durable first. */
export function answerPlainly(draft: Draft, open: OpenCommand, reply: Reply): void {
  const { actor } = draft;
  const carrier = carrierOf(draft);
  if (carrier === undefined) settleCommand(actor, open, reply);
  else carrier.refusals.push({ open, reply });
}

/** Answers a command of which no receipt is kept by this step. */
export function settleCommand(actor: Activation, open: OpenCommand, reply: Reply): void {
  actor.commands.delete(open.command.commandId);
  for (const waiter of open.waiters.splice(0)) waiter(reply);
}
