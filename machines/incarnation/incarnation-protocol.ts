/** Messages and effects of an incarnation, one run of a VM on a host. */
import { z } from 'zod';
import { bindingUnwired, bindingWire, bindingWired } from '../binding/binding-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf, type ValueOf } from '../values/kind.ts';
import { incarnationProofSchema, incarnationSpecSchema, type IncarnationSpec } from '../values/wiring.ts';

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

export interface RunParams {
  readonly spec: IncarnationSpec;
}

export const incarnationKind = defineKind({
  kind: 'incarnation',
  says: 'One run of a VM on a host: a QEMU process from its start to its end.',
  placement: 'pinned',
  commands: {},
  takes: [incarnationStart, incarnationStop, bindingWired, bindingUnwired, hostGone],
  startedBy: [incarnationStart, incarnationStop],
  fromNode: [hostGone],
  sends: [incarnationRunning, incarnationStalled, incarnationEnded, bindingWire],
  effects: [
    effect<RunParams>()(
      'qemu.start',
      'Starts QEMU paused, with its taps and disks; an existing process of this run is reused.',
      {
        ...incarnationProofSchema.shape,
      },
    ),
    effect<RunParams>()('qemu.resume', 'Resumes the guest.', {}),
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
