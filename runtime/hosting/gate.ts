/**
 * The output gate (G4): what a commit caused leaves when the store has said that it is durable, in the order of the
 * commits.
 *
 *   acknowledge messages, answer commands -> send messages -> arm timers -> cancel and perform effects
 *
 * A commit that was refused opens nothing: the activation is dropped with all that is queued behind it. Called by
 * step.ts.
 */
import type { CommitOutcome } from '../contract/journal.ts';
import type { Activation } from './activation.ts';
import type { Draft } from './draft.ts';
import { settleCommand, tellAll } from './command-answers.ts';
import type { Surroundings } from './surroundings.ts';

export function openGate(host: Surroundings, draft: Draft, outcome: CommitOutcome): void {
  const { actor } = draft;
  if (actor.phase === 'dropped') return;
  draft.outcome = outcome;
  for (let first = actor.flights[0]; first?.outcome !== undefined; first = actor.flights[0]) {
    if (first.outcome.result !== 'committed') {
      host.lost(first, first.outcome);
      return;
    }
    actor.flights.shift();
    release(host, actor, first);
  }
  host.schedule(actor);
}

function release(host: Surroundings, actor: Activation, draft: Draft): void {
  for (const input of draft.inputs) if (input.kind === 'message') input.settle({ result: 'applied' });
  if (draft.receipts.length > 0) answer(host, actor, draft);
  for (const { open, reply } of draft.refusals) settleCommand(actor, open, reply);
  if (draft.rows !== undefined) {
    for (const name of draft.rows.keys()) {
      if (actor.rowsAhead.get(name)?.flight === draft.number) actor.rowsAhead.delete(name);
    }
  }
  if (draft.messages.length > 0) host.outbox.send(actor.grant, draft.messages);
  for (const timerId of draft.timersCancelled) host.timers.cancel(actor.id, timerId);
  for (const timer of draft.timersSet) host.timers.set(actor.grant.shard, actor.id, timer);
  for (const effect of draft.effectsEnded) host.effects.cancel(effect.effectId);
  if (actor.hold !== undefined) return;
  if (draft.woken) host.wake(actor, draft);
  for (const effect of draft.effectsStarted) {
    // A later step may have left the state already: then nobody needs it any more.
    if (actor.phase === 'ready' && actor.effects.includes(effect)) host.effects.start(actor, effect, false);
  }
}

function answer(host: Surroundings, actor: Activation, draft: Draft): void {
  const { commands, answered } = actor;
  const reached = draft.outcome?.result === 'committed' ? draft.outcome.durability : undefined;
  for (const receipt of draft.receipts) {
    const { commandId, digest, reply } = receipt;
    const open = commands.get(commandId);
    const told = reached === undefined ? reply : { ...reply, durability: reached };
    answered.set(commandId, { commandId, digest, reply: told });
    // Another one under the same id, with other parameters, still waits for its refusal.
    if (open?.reply !== reply) continue;
    commands.delete(commandId);
    tellAll(open, told);
  }
  for (const commandId of answered.keys()) {
    if (answered.size <= host.limits.receiptsRemembered) break;
    answered.delete(commandId);
    actor.receiptsKnown = false;
  }
}
