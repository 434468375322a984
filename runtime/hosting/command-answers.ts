/**
 * How a command is answered without a receipt of its own: refusals that come out the same when the command is repeated,
 * dry runs, and answers read from an older receipt. What an answer is based on must be durable before the answer is
 * given (G4), so the answer waits for the commit that makes it so. If there is no such commit, the store is asked
 * whether this node still owns the shard: a node that was suspended for a while could otherwise answer from memory what
 * a later owner has changed (G1). Called by input checks, steps, verbs and the gate, and by host.ts, whose own refusals
 * (`overloaded`, `notKept`) are based on nothing stored.
 */
import type { Reply } from '../contract/envelope.ts';
import type { Durability } from '../contract/durability.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ErrorRecord } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { Receipt } from '../contract/journal.ts';
import type { Activation } from './activation.ts';
import type { CommitBuilder } from './commit-builder.ts';
import type { CommandAnswer, OpenCommand } from './mailbox.ts';
import { rejection } from './split.ts';
import type { StepContext } from './step-context.ts';

/** After how long a caller should retry at a node or an actor that is full. */
export const overloadRetryMs = 200;

/**
 * The last commit that is not durable yet, if there is one: an answer may depend on what it contains.
 */
export function carrierOf(builder: CommitBuilder): CommitBuilder | undefined {
  return builder.due ? builder : builder.actor.inFlight.at(-1);
}

/** Refuses without a receipt: a repeated command is refused again, or accepted if that is right by then. */
export function refuseCommand(host: StepContext, builder: CommitBuilder, open: OpenCommand, error: ErrorRecord): void {
  const { actor } = builder;
  answerPlainly(host, builder, open, { ok: false, version: actor.ahead.version, error });
}

/** Answers without a receipt, once what the answer depends on is durable and the shard is proven to be ours. */
export function answerPlainly(host: StepContext, builder: CommitBuilder, open: OpenCommand, reply: Reply): void {
  const carrier = carrierOf(builder);
  if (carrier === undefined) settleAsOwner(host, builder.actor, open, reply);
  else carrier.refusals.push({ open, reply });
}

/** Callers that repeat the command meanwhile wait with the others; if the shard is lost all are told `moved`. */
function settleAsOwner(host: StepContext, actor: Activation, open: OpenCommand, reply: Reply): void {
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

/** Answers a command without further proof: from a receipt, or from a commit that is durable. */
export function settleCommand(actor: Activation, open: OpenCommand, reply: Reply): void {
  actor.commands.delete(open.command.commandId);
  tellAll(open, reply);
}

/** Gives the answer to every caller that waits for the command, once. */
export function tellAll(open: OpenCommand, answer: CommandAnswer): void {
  const { waiters } = open;
  open.waiters = [];
  for (const waiter of waiters) waiter(answer);
}

/**
 * The receipt that a commit in flight writes for a command no caller of this activation has asked for yet: one that was
 * deferred before this activation. The store may not have it yet, so reading it there would be wrong.
 */
export function receiptOnItsWay({ inFlight }: Activation, commandId: string): Receipt | undefined {
  for (const { receipts } of inFlight) {
    const receipt = receipts.find((one) => one.commandId === commandId);
    if (receipt !== undefined) return receipt;
  }
  return undefined;
}

export const notAccepted = (id: ActorId, state: string, type: string): ErrorRecord =>
  rejection('not_accepted', `${id} is ${state} and does not accept ${type} now.`);

export const conflicting = (commandId: string): ErrorRecord =>
  rejection('idempotency_conflict', `command id ${commandId} was used before with other parameters. Use a new one.`);

export const conflict = (actor: Activation, commandId: string): Reply => ({
  ok: false,
  version: actor.ahead.version,
  error: conflicting(commandId),
});

export function notKept(actor: Activation, asked: Durability, offered: readonly Durability[]): Reply {
  const text = `The store does not keep durability ${asked} but ${offered.join(', ')}; ask for one of these.`;
  return { ok: false, version: actor.ahead.version, error: rejection('durability_not_offered', text) };
}

export function overloaded(actor: ActorId, version: number, who: string): Reply {
  const text = `${who} has too much to do. Try again a little later.`;
  const options = { retryable: true, retryAfterMs: overloadRetryMs, actor };
  return { ok: false, version, error: new PhotonError('rejection', 'overloaded', text, options).record };
}
