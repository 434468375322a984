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
import type { CommitBuilder } from './commit-builder.ts';
import { settleCommand, tellAll } from './command-answers.ts';
import type { StepContext } from './step-context.ts';

export function openGate(host: StepContext, builder: CommitBuilder, outcome: CommitOutcome): void {
  const { actor } = builder;
  if (actor.phase === 'dropped') return;
  builder.outcome = outcome;
  for (let first = actor.inFlight[0]; first?.outcome !== undefined; first = actor.inFlight[0]) {
    if (first.outcome.result !== 'committed') {
      host.lost(first, first.outcome);
      return;
    }
    actor.inFlight.shift();
    actor.committed = first.after;
    release(host, actor, first);
  }
  host.schedule(actor);
}

function release(host: StepContext, actor: Activation, builder: CommitBuilder): void {
  for (const input of builder.inputs) if (input.kind === 'message') input.settle({ result: 'applied' });
  if (builder.receipts.length > 0) answer(host, actor, builder);
  for (const { open, reply } of builder.refusals) settleCommand(actor, open, reply);
  if (builder.rows !== undefined) {
    for (const name of builder.rows.keys()) {
      if (actor.ahead.rows.get(name)?.inFlight === builder.number) actor.ahead.rows.delete(name);
    }
  }
  if (builder.messages.length > 0) host.outbox.send(actor.grant, builder.messages);
  for (const timerId of builder.timersCancelled) host.timers.cancel(actor.id, timerId);
  for (const timer of builder.timersSet) host.timers.set(actor.grant.shard, actor.id, timer);
  for (const effect of builder.effectsEnded) host.effects.cancel(effect.effectId);
  if (actor.ahead.hold !== undefined) return;
  if (builder.woken) host.wake(actor, builder);
  for (const effect of builder.effectsStarted) {
    // A later step may have left the asking state already: then the effect is not begun.
    if (actor.phase === 'ready' && actor.ahead.effects.includes(effect)) host.effects.start(actor, effect, false);
  }
}

function answer(host: StepContext, actor: Activation, builder: CommitBuilder): void {
  const { commands, answered } = actor;
  const reached = builder.outcome?.result === 'committed' ? builder.outcome.durability : undefined;
  for (const receipt of builder.receipts) {
    const { commandId, digest, reply } = receipt;
    const open = commands.get(commandId);
    const told = reached === undefined ? reply : { ...reply, durability: reached };
    answered.set(commandId, { commandId, digest, reply: told });
    // A command with the same id and other parameters still waits for its refusal.
    if (open?.reply !== reply) continue;
    commands.delete(commandId);
    tellAll(open, told);
  }
  for (const commandId of answered.keys()) {
    if (answered.size <= host.limits.receiptsRemembered) break;
    answered.delete(commandId);
    actor.reads.receiptsKnown = false;
  }
}
