/** A worker's eyes on its own host, started by the worker process at each of its boots. */
import { z } from 'zod';
import { inventoryReceived, inventoryReport } from '../cluster/cluster-protocol.ts';
import { hostAdmitted, hostAnnounce } from '../host/host-protocol.ts';
import { hostReportSchema } from '../host/host-report.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf, type ValueOf } from '../values/kind.ts';
import { hostInventorySchema } from '../values/wiring.ts';

export const agentBoot = message('agent.boot', 'The worker process has started, or the store has begun a new era.', {
  boot: z.string(),
  host: z.string(),
});

/** What one sweep did; names are cut to the first few, the counts say how many there were. */
export const sweepReportSchema = z.object({
  removed: z.array(z.string()),
  removedCount: z.int(),
  failed: z.array(z.string()),
  failedCount: z.int(),
});
export type SweepReport = ValueOf<typeof sweepReportSchema>;

export const agentKind = defineKind({
  kind: 'agent',
  says: 'Observes its host, announces it, and removes what bears our mark and has no owner.',
  placement: 'pinned',
  commands: {},
  takes: [agentBoot, hostAdmitted, inventoryReceived, hostGone],
  startedBy: [agentBoot],
  fromNode: [agentBoot, hostGone],
  sends: [hostAnnounce, inventoryReport],
  effects: [
    effect<undefined>()('inventory.read', 'Reads what the host really has, whatever the store knows of it.', {
      ...hostInventorySchema.shape,
      /** Names of what has no owner in the store: no sweep takes it. */
      kept: z.array(z.string()),
    }),
    effect<undefined>()('host.observe', 'Reads the host: address, MTU, memory, QEMU, allowed folders.', {
      facts: hostReportSchema,
    }),
    effect<{ readonly kept: readonly string[] }>()(
      'host.sweep',
      'Removes what bears our mark and has no owner.',
      sweepReportSchema.shape,
    ),
  ],
});

export type AgentEvent = EventOf<typeof agentKind>;
