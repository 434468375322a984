/**
 * Which actors leave memory, and when: those that have nothing in progress and were idle long enough, or the longest
 * idle ones when too many are in memory (G11). Nothing is lost, the store has all of them. Also says whether there is
 * room for another actor; if not, its callers are told to retry later. Called by activation-table.ts, and by host.ts
 * before an actor is activated.
 */
import type { ActorId } from '../contract/identifiers.ts';
import type { Activation } from './activation.ts';
import type { StepContext } from './step-context.ts';

const sweepEveryMs = 5000;
/** When no actor could leave, how long the node counts as full before it is looked through again. */
const lookAgainMs = 50;

export class Passivation {
  private readonly host: StepContext;
  private readonly actors: ReadonlyMap<ActorId, Activation>;
  private readonly leave: (actor: Activation) => void;
  private cancelSweep: (() => void) | undefined;
  private fullUntilMs = 0;

  constructor(host: StepContext, actors: ReadonlyMap<ActorId, Activation>, leave: (actor: Activation) => void) {
    this.host = host;
    this.actors = actors;
    this.leave = leave;
  }

  /**
   * Whether another actor may be activated. Not a mere question: when the node is full, some of the idle ones leave at
   * once, so that a run of new actors does not sort all activations for each of them.
   */
  hasRoom(id: ActorId): boolean {
    const { activations } = this.host.limits;
    if (this.actors.size < activations || this.actors.has(id)) return true;
    const nowMs = this.host.clock.monotonicMs();
    if (nowMs < this.fullUntilMs) return false;
    this.sweep(Math.floor(activations * 0.95));
    if (this.actors.size < activations) return true;
    this.fullUntilMs = nowMs + lookAgainMs;
    return false;
  }

  plan(): void {
    this.cancelSweep ??= this.host.clock.after(Math.min(sweepEveryMs, this.host.limits.idleMs), () => {
      this.cancelSweep = undefined;
      this.sweep();
      if (this.actors.size > 0) this.plan();
    });
  }

  /**
   * Drops idle activations: all that were idle long enough, and the longest idle ones until at most `most` are left.
   */
  private sweep(most = this.host.limits.activations): void {
    const nowMs = this.host.clock.monotonicMs();
    const idle: Activation[] = [];
    for (const actor of this.actors.values()) if (this.atRest(actor)) idle.push(actor);
    idle.sort((one, other) => one.usedMs - other.usedMs);
    let excess = this.actors.size - most;
    for (const actor of idle) {
      if (excess <= 0 && nowMs - actor.usedMs < this.host.limits.idleMs) break;
      this.leave(actor);
      excess -= 1;
    }
  }

  private atRest(actor: Activation): boolean {
    // A quarantined activation that could not be loaded may leave; the next input loads the actor again.
    if (
      (actor.phase !== 'ready' && actor.phase !== 'quarantined') ||
      actor.mailbox.length > 0 ||
      actor.inFlight.length > 0
    )
      return false;
    if (actor.ahead.effects.length > 0 && actor.ahead.hold === undefined && actor.phase === 'ready') return false;
    if (actor.reads.reviewsWatermarks || actor.reads.prunable.length > 0) return false;
    if (this.host.outbox.depthOf(actor.id) > 0) return false;
    for (const open of actor.commands.values()) if (open.waiters.length > 0) return false;
    return true;
  }

  stop(): void {
    this.cancelSweep?.();
    this.cancelSweep = undefined;
  }
}
