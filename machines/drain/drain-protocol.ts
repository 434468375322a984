/** Messages of a drain: the VMs of a host move to others, a few at a time. Its host starts it, and is told how far. */
import { z } from 'zod';
import { occupants, occupantsAsk } from '../cluster/cluster-protocol.ts';
import { defineKind, message, type EventOf, type ValueOf } from '../values/kind.ts';

export const drainLimits = z.strictObject({
  maxParallel: z.int().min(1).max(16).default(2).describe('VMs that are moved at the same time.'),
  restart: z
    .boolean()
    .default(false)
    .describe(
      'Whether a VM that cannot be moved while it runs is stopped and started elsewhere, if its disks are shared.',
    ),
});
export type DrainLimits = ValueOf<typeof drainLimits>;

/** Why a VM stays, and what can be done about it. */
export const stayingSchema = z.object({ vm: z.string(), code: z.string(), message: z.string() });
export type Staying = ValueOf<typeof stayingSchema>;

export const drainStart = message('drain.start', 'The host is to be left by all of its VMs.', {
  host: z.string(),
  limits: drainLimits,
});
export const drainCancel = message(
  'drain.cancel',
  'No further VM is moved; the moves that go on end by themselves.',
  {},
);

export const drainPhaseSchema = z.enum(['counting', 'moving', 'waiting', 'drained', 'cancelled']);
export const drainProgressSchema = z.object({
  phase: drainPhaseSchema,
  /** Wall time of its beginning, ms. */
  since: z.number(),
  /** VMs that have left. */
  moved: z.int(),
  /** VMs that are on their way. */
  moving: z.array(z.string()),
  /** VMs that were not asked yet. */
  pending: z.int(),
  /** VMs that cannot leave, and of more than `shownStaying` the first ones. */
  waiting: z.array(stayingSchema),
  waitingCount: z.int(),
});
export type DrainProgress = ValueOf<typeof drainProgressSchema>;

export const drainStands = message('drain.stands', 'How far the drain of the host is.', {
  progress: drainProgressSchema,
});

export const vmEvacuate = message('vm.evacuate', 'The VM is to leave this host, if it is there; it answers at once.', {
  host: z.string(),
  restart: z.boolean(),
});
export const vmEvacuation = message(
  'vm.evacuation',
  'Whether the VM has left the host, is on its way, or stays there; also said when its move has ended.',
  {
    vm: z.string(),
    host: z.string(),
    standing: z.enum(['left', 'moving', 'stays']),
    /** Why it stays. */
    reason: z.object({ code: z.string(), message: z.string() }).nullable(),
  },
);

export const drainKind = defineKind({
  kind: 'drain',
  says: 'The drain of a host: its VMs are moved to other hosts while they run, a few at a time.',
  placement: 'sharded',
  commands: {},
  takes: [drainStart, drainCancel, occupants, vmEvacuation],
  startedBy: [drainStart],
  fromNode: [],
  sends: [occupantsAsk, vmEvacuate, drainStands],
  effects: [],
});

export type DrainEvent = EventOf<typeof drainKind>;
