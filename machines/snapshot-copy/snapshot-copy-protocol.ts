/** The bytes of a snapshot on the host of its volume. */
import { z } from 'zod';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf } from '../values/kind.ts';
import { snapshotProofSchema, snapshotSpecSchema, type SnapshotSpec } from '../values/snapshot-wiring.ts';

export const captureEnsure = message('capture.ensure', 'The snapshot requests a copy of the volume as it is now.', {
  spec: snapshotSpecSchema,
  snapshot: z.string(),
});
export const captureDrop = message('capture.drop', 'The snapshot requests the removal of its copy.', {});
export const captureTaken = message('capture.taken', 'The copy is complete, with the bytes of that moment.', {
  host: z.string(),
  proof: snapshotProofSchema,
});
export const captureFailed = message('capture.failed', 'The copy cannot be made, or its host is fenced.', {
  host: z.string(),
  error: failureSchema,
});
export const captureDropped = message('capture.dropped', 'Nothing of the copy is left on the host.', {
  host: z.string(),
});

export const snapshotCopyKind = defineKind({
  kind: 'snapshot-copy',
  says: 'The bytes of a snapshot on the host of its volume.',
  placement: 'pinned',
  commands: {},
  takes: [captureEnsure, captureDrop, hostGone],
  startedBy: [captureEnsure, captureDrop],
  fromNode: [hostGone],
  sends: [captureTaken, captureFailed, captureDropped],
  effects: [
    effect<{ readonly spec: SnapshotSpec }>()(
      'capture.take',
      'Copies the bytes of one moment: through the process that has the volume open, or from its file.',
      { proof: snapshotProofSchema },
    ),
    effect<{ readonly spec: SnapshotSpec }>()('capture.remove', 'Ends a copy that is being made, and removes it.', {}),
  ],
});

export type SnapshotCopyEvent = EventOf<typeof snapshotCopyKind>;
