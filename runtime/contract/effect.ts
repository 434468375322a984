/**
 * An effect is a request to the world, recorded in the commit that asked for it and performed only after that commit is
 * durable (G4, G7). It is performed at least once: performers are idempotent (`ensure`, `remove`, `watch`).
 *
 * It belongs to the chart state whose entry asked for it. When that state is left the effect is cancelled: its signal
 * aborts and a late result is dropped and recorded. After a restart or takeover every pending effect is performed
 * again.
 */
import type { ActorId } from './identifiers.ts';
import type { EffectOutcome } from './outcome.ts';

/** Compared as a tuple; a target keeps the highest it has seen per actor and refuses a lower one. */
export interface Fence {
  readonly era: number;
  readonly ownerEpoch: number;
  readonly version: number;
}

export interface EffectRequest {
  /** `<actor id>#<version>.<index>`, unique for ever. */
  readonly effectId: string;
  readonly type: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** Path of the chart state that asked for it, dotted; `''` is the root. */
  readonly stateId: string;
}

export interface EffectContext {
  readonly effectId: string;
  readonly actor: ActorId;
  readonly uid: string;
  readonly fence: Fence;
  /** Aborts when the asking state is left, the actor is dropped, or the effect's time is up. */
  readonly signal: AbortSignal;
  /** It may have been begun before: by an earlier owner, or before a hold. Observe before acting. */
  readonly recovered: boolean;
  /**
   * Waits for something that costs this node nothing (a guest that shuts down, a lock), without a place among the
   * effects that run at once; it has a place again when this resolves. The effect's time goes on meanwhile.
   */
  readonly withoutPlace: <Result>(wait: () => Promise<Result>) => Promise<Result>;
}

/**
 * A performer throws PhotonError(fault|defeat|unknown) or returns an outcome. Anything else thrown is reported as a
 * fault.
 */
export type PerformEffect = (params: never, context: EffectContext) => Promise<EffectOutcome>;

export interface EffectBinding {
  readonly perform: PerformEffect;
  /** After this long the outcome is `unknown`. `null` for a watch that ends only when there is something to say. */
  readonly timeoutMs: number | null;
  /**
   * Effects with the same name here share places of their own, so that others do not wait behind them. For work of
   * minutes. Without it they share the places of all others. Watches need no place.
   */
  readonly pool?: string;
}
