/**
 * The shards this node holds and the phase of each: opening (the backlog is read, no inputs are taken), open, closing
 * (no inputs are taken, nothing new is sent, what is in flight is finished). It is the only table of grants
 * in hosting; an activation and a box of the outbox bear the grant they began under. Who owns a shard is decided in
 * directory/owned-shards.ts; host.ts passes on what it is told and asks here who may come in.
 *
 * Upholds G5 across takeover: no actor of a shard steps before the messages of its earlier owner stand in the outbox,
 * or a newer one could overtake them. Upholds G12: at the end of `close` nothing is in flight that somebody would have
 * to send again.
 */
import { isForGood } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { ShardBacklog, ShardGrant } from '../contract/journal.ts';
import type { ActivationTable } from './activation-table.ts';
import type { StepContext } from './step-context.ts';

const backlogRetryMs = 200;
const longestBacklogRetryMs = 5_000;
const closingLookMs = 2;

interface HeldShard {
  readonly grant: ShardGrant;
  phase: 'opening' | 'open' | 'closing';
}

export class ShardLifecycle {
  private readonly host: StepContext;
  private readonly activations: ActivationTable;
  private readonly held = new Map<ShardId, HeldShard>();

  constructor(host: StepContext, activations: ActivationTable) {
    this.host = host;
    this.activations = activations;
  }

  get size(): number {
    return this.held.size;
  }

  all(): readonly ShardId[] {
    return [...this.held.keys()];
  }

  /** Whether this node has the shard, in whatever phase. */
  holds(shard: ShardId): boolean {
    return this.held.has(shard);
  }

  /** The grant under which new inputs for actors of the shard are taken; undefined while none are taken. */
  entry(shard: ShardId): ShardGrant | undefined {
    const held = this.held.get(shard);
    return held?.phase === 'open' ? held.grant : undefined;
  }

  /** Whether the shard takes no more inputs and only finishes what is in flight. */
  isClosing(shard: ShardId): boolean {
    return this.held.get(shard)?.phase === 'closing';
  }

  /** Whether this very grant is still the one the shard is held by. */
  isCurrent(grant: ShardGrant): boolean {
    return this.held.get(grant.shard)?.grant === grant;
  }

  /** Resolves when the shard is open, or was lost meanwhile. */
  async open(grant: ShardGrant): Promise<void> {
    const before = this.held.get(grant.shard)?.grant;
    if (before !== undefined && before.era === grant.era && before.ownerEpoch === grant.ownerEpoch) return;
    if (before !== undefined) this.drop(grant.shard);
    const held: HeldShard = { grant, phase: 'opening' };
    this.held.set(grant.shard, held);
    const backlog = await this.read(held);
    if (backlog === undefined) return;
    this.host.outbox.recover(grant, backlog.outbox);
    for (const timer of backlog.timers) this.host.timers.set(grant.shard, timer.actor, timer);
    held.phase = 'open';
    for (const id of backlog.busy) this.activations.activate(id, grant, true);
  }

  private async read({ grant }: HeldShard): Promise<ShardBacklog | undefined> {
    let pauseMs = backlogRetryMs;
    while (this.isCurrent(grant)) {
      try {
        const backlog = await this.host.journal.backlog(grant);
        return this.isCurrent(grant) ? backlog : undefined;
      } catch (failure) {
        this.host.log.warn({ shard: grant.shard, failure }, 'the backlog of a shard could not be read; trying again');
        await this.pause(pauseMs);
        // A key of a foreign type stays until an operator removes it: the pause grows, and with it the time between
        // logs.
        if (isForGood(failure)) pauseMs = Math.min(pauseMs * 2, longestBacklogRetryMs);
      }
    }
    return undefined;
  }

  /**
   * Takes no more inputs and finishes what is in flight: inputs, commits, messages. Resolves when that is done or after
   * `drainMs`; the next owner finds in the store what is left then. The shards stay in the table until `drop`.
   */
  async close(shards: readonly ShardId[]): Promise<void> {
    const closing = new Set<ShardId>();
    for (const shard of shards) {
      const held = this.held.get(shard);
      if (held === undefined) continue;
      held.phase = 'closing';
      closing.add(shard);
      this.host.timers.dropShard(shard);
    }
    const startedMs = this.host.clock.monotonicMs();
    const leftMs = (): number => this.host.limits.drainMs - (this.host.clock.monotonicMs() - startedMs);
    while (this.isBusy(closing) && leftMs() > 0) await this.pause(closingLookMs);
    await this.within(leftMs(), this.host.outbox.forgetNow());
  }

  private async within(timeoutMs: number, work: Promise<void>): Promise<void> {
    let cancel = (): void => {};
    const timeUp = new Promise<void>((resolve) => (cancel = this.host.clock.after(Math.max(timeoutMs, 0), resolve)));
    await Promise.race([work, timeUp]);
    cancel();
  }

  private isBusy(shards: ReadonlySet<ShardId>): boolean {
    for (const actor of this.activations.all()) {
      if (!shards.has(actor.grant.shard)) continue;
      if (actor.mailbox.length > 0 || actor.inFlight.length > 0) return true;
    }
    return this.host.outbox.isSending(shards);
  }

  /** Drops the shard at once; nothing of it leaves this node any more. */
  drop(shard: ShardId): void {
    this.held.delete(shard);
    this.activations.dropShard(shard);
    this.host.timers.dropShard(shard);
    this.host.outbox.dropShard(shard);
  }

  private pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.host.clock.after(delayMs, resolve));
  }
}
