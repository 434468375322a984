/** Events of the binding chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { TapProof, TapSpec } from '../values/wiring.ts';

export type BindingEvent =
  | { type: 'binding.ensure'; spec: TapSpec; port: string; direct: boolean; meta: Meta }
  | { type: 'binding.wire'; requester: string; meta: Meta }
  | { type: 'host.gone'; meta: Meta }
  | { type: 'binding.remove'; runEpoch: number; meta: Meta }
  | { type: 'tap.create.done'; tap: string; ifindex: number; place: 'host' | 'segment'; meta: Meta }
  | { type: 'tap.create.failed'; error: Failure; meta: Meta }
  | { type: 'tap.create.unknown'; error: Failure; meta: Meta }
  | { type: 'tap.wire.done'; proof: TapProof; meta: Meta }
  | { type: 'tap.wire.failed'; error: Failure; meta: Meta }
  | { type: 'tap.wire.unknown'; error: Failure; meta: Meta }
  | { type: 'tap.watch.done'; reason: string; detail: string; meta: Meta }
  | { type: 'tap.watch.failed'; error: Failure; meta: Meta }
  | { type: 'tap.watch.unknown'; error: Failure; meta: Meta }
  | { type: 'tap.remove.done'; meta: Meta }
  | { type: 'tap.remove.failed'; error: Failure; meta: Meta }
  | { type: 'tap.remove.unknown'; error: Failure; meta: Meta };
