/**
 * How a command is answered outside of a receipt: refusals that come out the same when asked again, dry runs, answers
 * from an older receipt. Whatever an answer rests on must be durable before it is told (G4), so it rides with the
 * commit that makes it so. Where there is none, the store is asked whether the shard is still ours: a node that stood
 * still for a while would otherwise tell from memory what a later owner has changed (G1). Called by the checks of
 * inputs, by steps and by the gate.
 */
import type { Reply } from '../contract/envelope.ts';
import type { ErrorRecord } from '../contract/errors.ts';
import type { Activation } from './activation.ts';
import type { Draft } from './draft.ts';
import type { OpenCommand } from './mailbox.ts';
import type { Surroundings } from './surroundings.ts';

/**
 * The commit that makes durable what the actor has decided so far, if anything is not yet: an answer may rest on it.
 */
export function carrierOf(draft: Draft): Draft | undefined {
  return draft.due ? draft : draft.actor.flights.at(-1);
}

/** A refusal that needs no receipt: asked again, it comes out the same or rightly better. */
export function refuseCommand(host: Surroundings, draft: Draft, open: OpenCommand, error: ErrorRecord): void {
  const { actor } = draft;
  answerPlainly(host, draft, open, { ok: false, version: actor.version, error });
}

/** Answers without a receipt, on grounds that are durable and still ours. */
export function answerPlainly(host: Surroundings, draft: Draft, open: OpenCommand, reply: Reply): void {
  const carrier = carrierOf(draft);
  if (carrier === undefined) settleAsOwner(host, draft.actor, open, reply);
  else carrier.refusals.push({ open, reply });
}

/** Whoever asks in the meantime waits with the others; if the shard is lost all of them are sent on. */
function settleAsOwner(host: Surroundings, actor: Activation, open: OpenCommand, reply: Reply): void {
  host.journal.isHeld(actor.grant).then(
    (held) => {
      if (actor.phase === 'dropped') return;
      if (held) settleCommand(actor, open, reply);
      else host.fenced(actor.grant);
    },
    (failure: unknown) => {
      host.log.warn({ actor: actor.id, failure }, 'the store could not be asked for the owner; trying again');
      host.clock.after(host.limits.readAgainMs, () => {
        if (actor.phase !== 'dropped') settleAsOwner(host, actor, open, reply);
      });
    },
  );
}

/** Answers a command whose grounds need no further proof: a receipt, or a commit that has been taken. */
export function settleCommand(actor: Activation, open: OpenCommand, reply: Reply): void {
  actor.commands.delete(open.command.commandId);
  for (const waiter of open.waiters.splice(0)) waiter(reply);
}
