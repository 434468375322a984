/**
 * The second parameter of every call into the dataplane: the fence of the requesting effect, and its abort signal.
 * An EffectContext of the runtime can be passed as a Call: `dataplane.wireTap(spec, context)`.
 *
 * Promise: an `ensure`, `remove`, `start` or `stop` whose fence or run epoch is lower than one already seen is refused
 * with `ownership_lost` before anything is changed (promise G7 of docs/promises.md). Reads and watches use the signal
 * only.
 */
import type { Fence } from '@photoncloud/runtime/contract/effect';

export interface Call {
  readonly fence: Fence;
  readonly signal: AbortSignal;
  /** Another process had begun it before. */
  readonly recovered?: boolean;
  /** Waits without one of the host's places for effects; a caller that has no place leaves it out. */
  readonly withoutPlace?: <Result>(wait: () => Promise<Result>) => Promise<Result>;
}

/** Runs a wait (for a guest, for a lock) that must not keep others from this host's places. */
export const waitOutside = <Result>({ withoutPlace }: Call, wait: () => Promise<Result>): Promise<Result> =>
  withoutPlace === undefined ? wait() : withoutPlace(wait);
