/**
 * All activations of this node, by actor id: it loads actors, schedules their steps, reloads an actor whose commit was
 * refused, and removes activations of lost shards. It decides nothing about an actor's state; step.ts does. Called by
 * host.ts with inputs, by the gate when a commit is durable, and by shard-lifecycle.ts. Upholds G1 (a refused commit
 * drops the activation), G8 and G11.
 */
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { ShardGrant, StoredActor } from '../contract/journal.ts';
import { partsOf } from '../contract/identifiers.ts';
import { describeCause, isForGood, PhotonError } from '../contract/errors.ts';
import { Activation } from './activation.ts';
import { tellAll } from './command-answers.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { busyWhileHeldMs, heldError, isResume } from './holding.ts';
import { causeOf } from './mailbox.ts';
import type { CommandAnswer, Input } from './mailbox.ts';
import { Passivation } from './passivation.ts';
import type { RegisteredKind } from './registration.ts';
import { step } from './step.ts';
import type { StepContext } from './step-context.ts';

export class ActivationTable {
  private readonly actors = new Map<ActorId, Activation>();
  private readonly host: StepContext;
  readonly passivation: Passivation;
  private readonly kinds: ReadonlyMap<string, RegisteredKind>;
  private ready: Activation[] = [];
  private turnPlanned = false;
  private readonly waitingLoads: Activation[] = [];
  private loads = 0;

  constructor(host: StepContext, kinds: ReadonlyMap<string, RegisteredKind>) {
    this.host = host;
    this.kinds = kinds;
    this.passivation = new Passivation(host, this.actors, (actor) => this.discard(actor));
  }

  get size(): number {
    return this.actors.size;
  }

  all(): IterableIterator<Activation> {
    return this.actors.values();
  }

  find(id: ActorId): Activation | undefined {
    return this.actors.get(id);
  }

  /**
   * The actor's activation; if it was not in memory, its load begins. Of `patient` ones only a bounded number loads at
   * once: a recovery activates many.
   */
  activate(id: ActorId, grant: ShardGrant, patient = false): Activation {
    const known = this.actors.get(id);
    if (known !== undefined) return known;
    const actor = this.enter(id, grant);
    if (patient && this.loads >= this.host.limits.loads) this.waitingLoads.push(actor);
    else this.load(actor);
    return actor;
  }

  private enter(id: ActorId, grant: ShardGrant): Activation {
    const actor = new Activation(id, this.kinds.get(partsOf(id).kind), grant);
    actor.usedMs = this.host.clock.monotonicMs();
    this.actors.set(id, actor);
    this.passivation.plan();
    return actor;
  }

  offer(actor: Activation, input: Input): void {
    actor.usedMs = this.host.clock.monotonicMs();
    actor.mailbox.push(input);
    this.schedule(actor);
  }

  schedule(actor: Activation): void {
    if (actor.scheduled || (actor.mailbox.length === 0 && actor.reads.prunable.length === 0)) return;
    if (actor.phase !== 'ready' && actor.phase !== 'quarantined') return;
    if (actor.inFlight.length >= this.host.limits.commitsInFlight) return;
    actor.scheduled = true;
    this.ready.push(actor);
    if (this.turnPlanned) return;
    this.turnPlanned = true;
    // Runs after everything that arrived in the same turn of the event loop, so that it becomes one commit.
    queueMicrotask(() => this.turn());
  }

  private turn(): void {
    this.turnPlanned = false;
    const { ready } = this;
    this.ready = [];
    for (const actor of ready) {
      actor.scheduled = false;
      if (actor.phase === 'ready') {
        if (step(this.host, actor)) this.schedule(actor);
      } else if (actor.phase === 'quarantined') this.refuseAll(actor);
    }
  }

  private load(actor: Activation): void {
    this.loads += 1;
    this.host.journal.load(actor.id).then(
      (stored) => {
        this.loads -= 1;
        this.loaded(actor, stored);
        this.loadNext();
      },
      (failure: unknown) => {
        this.loads -= 1;
        this.loadNext();
        if (isForGood(failure)) return this.refuse(actor, failure);
        this.host.log.warn({ actor: actor.id, failure }, 'an actor could not be loaded; trying again');
        this.loadLater(actor, this.host.limits.readAgainMs);
        return undefined;
      },
    );
  }

  private loadLater(actor: Activation, pauseMs: number): void {
    this.host.clock.after(pauseMs, () => {
      if (actor.phase === 'loading') this.load(actor);
    });
  }

  private loadNext(): void {
    if (this.loads >= this.host.limits.loads) return;
    const next = this.waitingLoads.shift();
    if (next !== undefined && next.phase === 'loading') this.load(next);
  }

  private loaded(actor: Activation, stored: StoredActor | undefined): void {
    if (actor.phase !== 'loading') return;
    try {
      actor.load(stored);
    } catch (failure) {
      this.refuse(actor, failure);
      return;
    }
    actor.phase = 'ready';
    if (actor.ahead.hold === undefined) {
      this.host.timers.replace(actor.grant.shard, actor.id, actor.ahead.timers);
      this.resumeEffects(actor);
    }
    this.schedule(actor);
  }

  /** This program cannot load or write the actor: nothing is stored, and the next owner tries again (G9). */
  private refuse(actor: Activation, failure: unknown): void {
    if (actor.phase !== 'loading') return;
    const reason = failure instanceof PhotonError ? failure.record.message : describeCause(failure);
    this.host.log.error({ actor: actor.id, failure }, 'an actor cannot be loaded or written; it is quarantined');
    this.quarantine(actor, reason);
  }

  wake(actor: Activation, builder: CommitBuilder): void {
    const { effects, timers } = actor.committed;
    this.host.timers.replace(actor.grant.shard, actor.id, timers);
    for (const effect of effects) {
      if (actor.ahead.effects.includes(effect))
        this.host.effects.start(actor, effect, !builder.effectsStarted.includes(effect));
    }
  }

  /** Pending effects are performed again, but for those whose outcome is already waiting in the mailbox. */
  private resumeEffects(actor: Activation): void {
    for (const effect of actor.ahead.effects) {
      if (!actor.mailbox.some((input) => input.kind === 'effect' && input.effectId === effect.effectId)) {
        this.host.effects.start(actor, effect, true);
      }
    }
  }

  private quarantine(actor: Activation, reason: string): void {
    actor.phase = 'quarantined';
    actor.quarantineReason = reason;
    this.host.effects.cancelAll(actor);
    // Refuses inputs after the current step only: what that step has staged is committed first.
    this.schedule(actor);
  }

  private refuseAll(actor: Activation): void {
    const inputs = actor.mailbox.takeAll();
    const again = inputs.find((input) => isResume(input) && !input.open.retried);
    if (again?.kind === 'command') {
      // The record may be readable by now: the actor is loaded again, and the new activation answers the verb.
      again.open.retried = true;
      for (const input of inputs) actor.mailbox.push(input);
      this.reload(actor);
      return;
    }
    const error = heldError(actor.id, { kind: 'quarantined', reason: actor.quarantineReason });
    for (const input of inputs) {
      if (input.kind === 'message') input.settle({ result: 'busy', retryAfterMs: busyWhileHeldMs });
      if (input.kind !== 'command') continue;
      const { open } = input;
      actor.commands.delete(open.command.commandId);
      tellAll(open, { ok: false, version: actor.ahead.version, error });
    }
  }

  /**
   * A commit that the journal will never take. If that is because of what was decided, its inputs are decided again one
   * by one, and the input whose own commit cannot be written either is parked. For any other reason the actor is
   * quarantined.
   */
  condemn(builder: CommitBuilder, failure: PhotonError): void {
    const { actor, inputs } = builder;
    const [only] = inputs;
    const fresh = this.reload(actor);
    if (failure.record.code !== 'commit_malformed') return this.refuse(fresh, failure);
    fresh.careful = true;
    if (inputs.length === 1 && only !== undefined) fresh.poison = { cause: causeOf(only), failure };
    else if (inputs.length === 0) this.refuse(fresh, failure);
  }

  /**
   * The store refused a commit for another reason than ownership, or its outcome is unknown. Every step since then is
   * discarded, and its inputs are decided again on what the store holds; inputs that were applied after all are found
   * there as duplicates.
   *
   * @param pauseMs how long to wait before the load, when the store itself has failed
   */
  reload(actor: Activation, pauseMs = 0): Activation {
    const inputs = [...actor.inFlight.flatMap((commit) => commit.inputs), ...actor.mailbox.takeAll()];
    for (const commit of actor.inFlight) this.host.outbox.returnAcknowledged(actor.id, actor.grant, commit.ackedSeqs);
    this.discard(actor);
    const fresh = this.enter(actor.id, actor.grant);
    fresh.reads.readsReceipts = true;
    if (pauseMs === 0) this.load(fresh);
    else this.loadLater(fresh, pauseMs);
    const requeued = new Set<string>();
    for (const input of inputs) {
      if (input.kind === 'command') requeued.add(input.open.command.commandId);
      // Only the store knows whether a dead letter was taken; the verb that delivers it reads it again.
      else if (input.kind === 'message') fresh.mailbox.push({ ...input, atSender: undefined });
      else if (input.kind !== 'deadLetter') fresh.mailbox.push(input);
    }
    for (const [commandId, open] of actor.commands) {
      if (open.waiters.length === 0 && !requeued.has(commandId)) continue;
      open.receipt = 'unknown';
      open.reply = undefined;
      open.deadLetters = undefined;
      open.driven = undefined;
      fresh.commands.set(commandId, open);
      fresh.mailbox.push({ kind: 'command', open });
    }
    return fresh;
  }

  /** This node no longer owns the shard: nothing may leave, and waiting callers are told `moved`. */
  dropShard(shard: ShardId): void {
    for (const actor of this.actors.values()) if (actor.grant.shard === shard) this.drop(actor);
  }

  private drop(actor: Activation): void {
    const moved: CommandAnswer = { moved: true };
    for (const commit of actor.inFlight)
      for (const input of commit.inputs) if (input.kind === 'message') input.settle({ result: 'moved' });
    for (const input of actor.mailbox.takeAll()) if (input.kind === 'message') input.settle({ result: 'moved' });
    for (const open of actor.commands.values()) tellAll(open, moved);
    this.discard(actor);
  }

  private discard(actor: Activation): void {
    this.host.effects.cancelAll(actor);
    actor.phase = 'dropped';
    actor.inFlight.length = 0;
    if (this.actors.get(actor.id) === actor) this.actors.delete(actor.id);
  }
}

/** For the log: why a commit was not taken. */
export function refusalReason(builder: CommitBuilder, failure: unknown): string {
  const { outcome } = builder;
  if (outcome === undefined) return describeCause(failure);
  return outcome.result === 'conflict' ? `conflict at version ${outcome.storedVersion}` : outcome.result;
}
