/** Events of the replica chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { ReplicaSpec } from '../values/wiring.ts';

export type ReplicaEvent =
  | { type: 'replica.ensure'; spec: ReplicaSpec; volume: string; meta: Meta }
  | { type: 'replica.remove'; meta: Meta }
  | { type: 'host.gone'; meta: Meta }
  | { type: 'replica.make.done'; meta: Meta }
  | { type: 'replica.make.failed'; error: Failure; meta: Meta }
  | { type: 'replica.make.unknown'; error: Failure; meta: Meta }
  | { type: 'replica.remove.done'; meta: Meta }
  | { type: 'replica.remove.failed'; error: Failure; meta: Meta }
  | { type: 'replica.remove.unknown'; error: Failure; meta: Meta };
