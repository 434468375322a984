/** Messages and effects of an incarnation, one run of a VM on a host. */
import { z } from 'zod';
import { bindingUnwired, bindingWire, bindingWired } from '../binding/binding-protocol.ts';
import { diskStandingSchema, nicStandingSchema } from '../values/device-slots.ts';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf, type ValueOf } from '../values/kind.ts';
import { trackedFlowsSchema, type TrackedFlow } from '../values/tracked-flows.ts';
import {
  incarnationDiskSchema,
  incarnationNicSchema,
  incarnationProofSchema,
  incarnationSpecSchema,
  incomingDoorSchema,
  migrationMethodSchema,
  migrationProgressSchema,
  outgoingSpecSchema,
  type IncarnationDisk,
  type IncarnationNic,
  type IncarnationSpec,
  type OutgoingSpec,
} from '../values/wiring.ts';

/** How QEMU ended, as the dataplane observed it. */
export const runEndSchema = z.enum(['guest_shutdown', 'host_quit', 'crash', 'killed', 'gone']);
export type RunEnd = ValueOf<typeof runEndSchema>;

/** Why a run ended: how QEMU ended, or what prevented its start. */
export const endReasonSchema = z.enum([
  ...runEndSchema.options,
  'stopped',
  'start_failed',
  'wiring_failed',
  'host_gone',
]);
export type EndReason = ValueOf<typeof endReasonSchema>;

export const incarnationStart = message('incarnation.start', 'The VM requests this run on the host.', {
  vm: z.string(),
  spec: incarnationSpecSchema,
});
export const incarnationStop = message('incarnation.stop', 'The VM requests the end of the run.', {
  graceMs: z.int(),
  incarnationUid: z.string().nullable(),
});
const ofRun = { incarnationUid: z.string() };
export const incarnationPause = message('incarnation.pause', 'The VM requests that the guest stands still.', ofRun);
export const incarnationResume = message('incarnation.resume', 'The VM requests that the guest goes on.', ofRun);
export const incarnationReset = message('incarnation.reset', 'The VM requests that the guest boots anew.', ofRun);
export const incarnationRunning = message('incarnation.running', 'The guest runs.', {
  host: z.string(),
  runEpoch: z.int(),
  /** Distinguishes late messages of an earlier run. */
  incarnationUid: z.string(),
  proof: incarnationProofSchema,
});
export const incarnationStalled = message(
  'incarnation.stalled',
  'A disk did not take a request of the guest, which stands still; `incarnation.running` follows once it goes on.',
  {
    ...incarnationRunning.schema.shape,
    error: failureSchema,
  },
);
export const incarnationPaused = message(
  'incarnation.paused',
  'The guest stands still, as requested.',
  incarnationRunning.schema.shape,
);
export const incarnationEnded = message(
  'incarnation.ended',
  'The run has ended and nothing of it is left, with the reason.',
  {
    host: z.string(),
    runEpoch: z.int().nullable(),
    incarnationUid: z.string().nullable(),
    reason: endReasonSchema,
    error: failureSchema.nullable(),
  },
);

const growth = { volume: z.string(), runEpoch: z.int(), sizeMib: z.int() };
export const incarnationResize = message(
  'incarnation.resize',
  'A shared volume has grown: the guest of that run is to see its size.',
  { ...growth, volumeUid: z.string() },
);
export const incarnationResized = message(
  'incarnation.resized',
  'The guest sees the size, or that run is over; or why the guest does not see it.',
  { ...growth, error: failureSchema.nullable() },
);

export const incarnationPlug = message(
  'incarnation.plug',
  'The VM says all disks and NICs that the run is to have from now on.',
  {
    incarnationUid: z.string(),
    /** Grows with each change; the answer names it. */
    revision: z.int(),
    disks: z.array(incarnationDiskSchema),
    /** Absent: its NICs stay what they are. */
    nics: z.array(incarnationNicSchema).optional(),
  },
);
export const incarnationPlugged = message(
  'incarnation.plugged',
  'What the run has of these disks and NICs, and what it still has beside them; or why that is unknown.',
  {
    incarnationUid: z.string(),
    revision: z.int(),
    disks: z.array(diskStandingSchema),
    nics: z.array(nicStandingSchema).optional(),
    error: failureSchema.nullable(),
  },
);

// A run that moves to another host. Each of its two ends is told by the migration, and tells it.

export const incarnationReceive = message(
  'incarnation.receive',
  'The migration requests this run on its new host: QEMU is to listen for the memory of the present run.',
  { vm: z.string(), spec: incarnationSpecSchema },
);
export const incarnationReceiving = message(
  'incarnation.receiving',
  'QEMU listens on the new host, and has every tap, wired.',
  { incarnationUid: z.string(), proof: incarnationProofSchema, door: incomingDoorSchema },
);
export const incarnationReceived = message(
  'incarnation.received',
  'Everything has arrived; the guest can be resumed.',
  {
    incarnationUid: z.string(),
  },
);
export const incarnationGoOn = message(
  'incarnation.go-on',
  'The VM has decided for the new host: the guest is to go on there.',
  { incarnationUid: z.string(), flows: trackedFlowsSchema },
);
export const incarnationResumed = message('incarnation.resumed', 'The guest goes on, on the new host.', {
  incarnationUid: z.string(),
  /** Wall time, ms since the epoch; null when it was not noticed. */
  resumedAt: z.number().nullable(),
  /** How many of its connections the new host knows. */
  flows: z.int(),
});
export const incarnationSend = message(
  'incarnation.send',
  'The migration requests that the present run is sent to the one that listens.',
  { incarnationUid: z.string(), outgoing: outgoingSpecSchema },
);
export const incarnationHold = message(
  'incarnation.hold',
  'The guest is to stand still for the rest of the sending, which then ends.',
  { incarnationUid: z.string() },
);
export const incarnationProgress = message('incarnation.progress', 'How far the run has been sent.', {
  incarnationUid: z.string(),
  progress: migrationProgressSchema,
});
const sentFields = {
  method: migrationMethodSchema,
  /** Wall time at which the guest was stopped, ms since the epoch; null when it was not noticed. */
  pausedAt: z.number().nullable(),
  sentBytes: z.number(),
  /** Connections of the guest that its new host is to know. */
  flows: trackedFlowsSchema,
};
export const incarnationSent = message('incarnation.sent', 'All of the run was sent; its guest stands still.', {
  incarnationUid: z.string(),
  ...sentFields,
});
export const incarnationUnsend = message(
  'incarnation.unsend',
  'The migration has ended without the VM having decided for the new host: the guest is to go on here.',
  { incarnationUid: z.string() },
);
export const incarnationUnsent = message('incarnation.unsent', 'The run is not being sent; its guest goes on.', {
  incarnationUid: z.string(),
  /** Why the sending failed; null when the migration has asked for its end. */
  error: failureSchema.nullable(),
});

export interface SendParams {
  readonly spec: IncarnationSpec;
  readonly outgoing: OutgoingSpec;
}

export interface ResizeParams {
  readonly spec: IncarnationSpec;
  readonly volumeUid: string;
  readonly sizeMib: number;
}

export interface PlugParams {
  readonly spec: IncarnationSpec;
  readonly disks: readonly IncarnationDisk[];
  /** Absent: its NICs stay what they are. */
  readonly nics?: readonly IncarnationNic[];
  /** Bindings of those whose taps are wired. */
  readonly wired?: readonly string[];
}

export interface RunParams {
  readonly spec: IncarnationSpec;
}

export interface ResumeParams extends RunParams {
  /** Of a run that has moved here: what the connection tracking is told before. */
  readonly flows?: readonly TrackedFlow[];
}

export const incarnationKind = defineKind({
  kind: 'incarnation',
  says: 'One run of a VM on a host: a QEMU process from its start to its end.',
  placement: 'pinned',
  secrets: ['seed.userData'],
  commands: {},
  takes: [
    incarnationStart,
    incarnationStop,
    incarnationPause,
    incarnationResume,
    incarnationReset,
    incarnationResize,
    incarnationPlug,
    incarnationReceive,
    incarnationGoOn,
    incarnationSend,
    incarnationHold,
    incarnationUnsend,
    bindingWired,
    bindingUnwired,
    hostGone,
  ],
  startedBy: [
    incarnationStart,
    incarnationStop,
    incarnationResize,
    incarnationReceive,
    incarnationUnsend,
    incarnationGoOn,
  ],
  fromNode: [hostGone],
  sends: [
    incarnationRunning,
    incarnationPaused,
    incarnationStalled,
    incarnationEnded,
    incarnationResized,
    incarnationPlugged,
    incarnationReceiving,
    incarnationReceived,
    incarnationResumed,
    incarnationProgress,
    incarnationSent,
    incarnationUnsent,
    bindingWire,
  ],
  effects: [
    effect<RunParams>()(
      'qemu.start',
      'Starts QEMU paused, with its taps and disks; an existing process of this run is reused.',
      {
        ...incarnationProofSchema.shape,
      },
    ),
    effect<ResumeParams>()(
      'qemu.resume',
      'Resumes the guest; of one that has moved here, the connection tracking learns its connections before.',
      { resumedAt: z.number().nullable(), flows: z.int() },
    ),
    effect<RunParams>()(
      'qemu.receive',
      'Starts QEMU for a run that moves here; it listens for the memory and the bytes of local volumes.',
      { ...incarnationProofSchema.shape, door: incomingDoorSchema },
    ),
    effect<RunParams>()('qemu.await-incoming', 'Ends when everything has arrived.', {}),
    effect<SendParams>()('qemu.send', 'Sends the run to the QEMU that listens; the guest stands still at its end.', {
      ...sentFields,
    }),
    effect<RunParams>()('qemu.measure', 'Reads how far the sending is.', {
      progress: migrationProgressSchema.nullable(),
    }),
    effect<RunParams>()('qemu.hold', 'Stops the guest for the rest of the sending.', {}),
    effect<RunParams>()('qemu.unsend', 'Ends the sending and lets the guest go on.', {}),
    effect<RunParams>()('qemu.pause', 'Pauses the guest.', {}),
    effect<RunParams>()('qemu.reset', 'Resets the guest as its reset button does; a paused one stays paused.', {}),
    effect<ResizeParams>()('qemu.resize', 'Tells the guest the size of a shared volume that has grown.', {}),
    effect<PlugParams>()(
      'qemu.plug',
      'Plugs disks and NICs that the run does not have, and asks its guest to release those that it is not to have.',
      { disks: z.array(diskStandingSchema), nics: z.array(nicStandingSchema).optional() },
    ),
    effect<RunParams>()('qemu.watch', 'Ends when the process has ended.', { reason: runEndSchema, detail: z.string() }),
    effect<RunParams>()(
      'qemu.watch-disks',
      'Ends when QEMU has stopped the guest because a disk did not take a request, with the reason.',
      { stall: failureSchema },
    ),
    effect<RunParams>()(
      'qemu.await-disks',
      'Waits until the disks can take the request that failed, and resumes the guest.',
      {},
    ),
    effect<RunParams & { readonly graceMs: number }>()(
      'qemu.stop',
      'Presses the power button, then quits QEMU, then kills it.',
      {},
    ),
    effect<RunParams>()('qemu.clean', 'Removes sockets and pid file of the process that has ended.', {}),
  ],
});

export type IncarnationEvent = EventOf<typeof incarnationKind>;
