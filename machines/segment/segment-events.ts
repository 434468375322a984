/** Events of the segment chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { RouteSpec, SegmentProof, SegmentSpec } from '../values/wiring.ts';

export type SegmentEvent =
  | { type: 'segment.ensure'; spec: SegmentSpec; meta: Meta }
  | { type: 'segment.route'; added: readonly RouteSpec[]; removed: readonly RouteSpec[]; meta: Meta }
  | { type: 'host.gone'; meta: Meta }
  | { type: 'segment.remove'; meta: Meta }
  | { type: 'segment.ensure.done'; proof: SegmentProof; meta: Meta }
  | { type: 'segment.ensure.failed'; error: Failure; meta: Meta }
  | { type: 'segment.ensure.unknown'; error: Failure; meta: Meta }
  | { type: 'segment.route.done'; applied: number; meta: Meta }
  | { type: 'segment.route.failed'; error: Failure; meta: Meta }
  | { type: 'segment.route.unknown'; error: Failure; meta: Meta }
  | { type: 'segment.watch.done'; reason: string; detail: string; meta: Meta }
  | { type: 'segment.watch.failed'; error: Failure; meta: Meta }
  | { type: 'segment.watch.unknown'; error: Failure; meta: Meta }
  | { type: 'segment.remove.done'; meta: Meta }
  | { type: 'segment.remove.failed'; error: Failure; meta: Meta }
  | { type: 'segment.remove.unknown'; error: Failure; meta: Meta };
