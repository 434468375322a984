/** Events of the agent chart; see docs/protocol.md. */
import type { HostReport } from '../host/host-events.ts';
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { HostInventory } from '../values/wiring.ts';

/** What one sweep did; names are cut to the first few. */
export interface SweepReport {
  readonly removed: readonly string[];
  readonly removedCount: number;
  readonly failed: readonly string[];
  readonly failedCount: number;
}

export type AgentEvent =
  | { type: 'agent.boot'; boot: string; host: string; meta: Meta }
  | { type: 'host.gone'; meta: Meta }
  | { type: 'host.admitted'; index: number; boot: string; meta: Meta }
  | ({ type: 'host.find.done'; kept: readonly string[]; meta: Meta } & HostInventory)
  | { type: 'host.find.failed'; error: Failure; meta: Meta }
  | { type: 'host.find.unknown'; error: Failure; meta: Meta }
  | { type: 'host.heard'; era: number; meta: Meta }
  | { type: 'host.observe.done'; facts: HostReport; meta: Meta }
  | { type: 'host.observe.failed'; error: Failure; meta: Meta }
  | { type: 'host.observe.unknown'; error: Failure; meta: Meta }
  | ({ type: 'host.sweep.done'; meta: Meta } & SweepReport)
  | { type: 'host.sweep.failed'; error: Failure; meta: Meta }
  | { type: 'host.sweep.unknown'; error: Failure; meta: Meta };
