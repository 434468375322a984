/**
 * What a step uses of its host: the ports the host was given and the other parts of hosting. Types only. It exists so
 * that step.ts, gate.ts and input-check.ts name what they need instead of importing host.ts, which imports them.
 */
import type { SharedClock } from '../contract/clock.ts';
import type { Journal, ShardGrant } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import type { Activation } from './activation.ts';
import type { CommitBuilder } from './commit-builder.ts';
import type { EffectRunner } from './effect-runner.ts';
import type { HostLimits } from './host-limits.ts';
import type { Outbox } from './outbox.ts';
import type { TimerQueue } from './timer-queue.ts';

export interface StepContext {
  readonly journal: Journal;
  readonly clock: SharedClock;
  readonly random: Random;
  readonly log: Log;
  readonly limits: HostLimits;
  readonly outbox: Outbox;
  readonly timers: TimerQueue;
  readonly effects: EffectRunner;
  /** Of the next commit builder; uncommitted rows remember whose they are by it. */
  nextNumber(): number;
  nextCommitId(): string;
  /** Lets the actor step again as soon as this turn is over. */
  schedule(actor: Activation): void;
  /** A hold has ended durably: what was pending after this builder is armed and performed again. */
  wake(actor: Activation, builder: CommitBuilder): void;
  /** The store refused a commit, or its outcome is unknown: the activation and all commits behind it are dropped. */
  lost(builder: CommitBuilder, failure: unknown): void;
  /** The store does not honour this grant any more: the shard is dropped, and membership is told. */
  fenced(grant: ShardGrant): void;
}
