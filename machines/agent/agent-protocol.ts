/** Messages and effects of the agent, which the worker process starts at each boot. */
import { z } from 'zod';
import { bindingConfirm, foundBindingSchema } from '../binding/binding-protocol.ts';
import { inventoryReceived, inventoryReport } from '../cluster/cluster-protocol.ts';
import { hostAdmitted, hostAnnounce } from '../host/host-protocol.ts';
import { diskUseSchema, hostReportSchema } from '../host/host-report.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf, type ValueOf } from '../values/kind.ts';
import { hostInventorySchema } from '../values/inventory-schema.ts';

export const agentBoot = message('agent.boot', 'The worker process has started, or the store has begun a new era.', {
  boot: z.string(),
  host: z.string(),
});

/** Result of a sweep: the first few names, and counts of all. */
export const sweepReportSchema = z.object({
  removed: z.array(z.string()),
  removedCount: z.int(),
  failed: z.array(z.string()),
  failedCount: z.int(),
});

/** File descriptors of the worker process; with fewer than `reserved` free it begins nothing new. */
export const descriptorsSchema = z.object({ used: z.int(), limit: z.int(), reserved: z.int() });
export type Descriptors = ValueOf<typeof descriptorsSchema>;
export type SweepReport = ValueOf<typeof sweepReportSchema>;

export const agentKind = defineKind({
  kind: 'agent',
  says: 'Observes its host, announces it, and removes objects of this cloud that have no owner in the store.',
  placement: 'pinned',
  commands: {},
  takes: [agentBoot, hostAdmitted, inventoryReceived, hostGone],
  startedBy: [agentBoot],
  fromNode: [agentBoot, hostGone],
  sends: [hostAnnounce, inventoryReport, bindingConfirm],
  effects: [
    effect<undefined>()('inventory.read', 'Reads the inventory of the host from its kernel and files.', {
      ...hostInventorySchema.shape,
      /** Names of objects without an owner in the store: no sweep removes them. */
      kept: z.array(z.string()),
    }),
    effect<undefined>()('host.observe', 'Reads address, MTU, memory, QEMU version and allowed roots of the host.', {
      facts: hostReportSchema,
    }),
    effect<{ readonly kept: readonly string[]; readonly released: boolean }>()(
      'host.sweep',
      'Removes objects of this cloud that have no owner in the store; reads the free space of the disk, and counts ' +
        'what the worker has left.',
      {
        ...sweepReportSchema.shape,
        ...diskUseSchema.shape,
        descriptors: descriptorsSchema,
        /** Of those kept: taps that nobody uses, which are swept like others from now on. */
        freed: z.array(z.string()),
      },
    ),
    effect<undefined>()('bindings.watch', 'Ends when bindings of the host are found that their ports do not have.', {
      found: z.array(foundBindingSchema),
    }),
  ],
});

export type AgentEvent = EventOf<typeof agentKind>;
