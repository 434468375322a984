/**
 * What goes with every call into the dataplane: the fence of the effect that asks, and the signal that ends it.
 * An EffectContext of the runtime is a Call as it stands: `dataplane.wireTap(spec, context)`.
 *
 * Promise: an `ensure`, `remove`, `start` or `stop` whose fence or run epoch is lower than one already seen is refused
 * with `ownership_lost` before anything is touched (G7). Reads and watches look at the signal only.
 */
import type { Fence } from '@photoncloud/runtime/contract/effect';

export interface Call {
  readonly fence: Fence;
  readonly signal: AbortSignal;
}
