/** Who may use the bytes of a shared volume over the network, on the host that has them. */
import { z } from 'zod';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf } from '../values/kind.ts';
import { exportSpecSchema, servedExportSchema, type ExportSpec } from '../values/wiring.ts';

export const exportEnsure = message(
  'export.ensure',
  'The volume says which runs may use its bytes; every other one is cut.',
  { spec: exportSpecSchema, volume: z.string() },
);
export const exportDrop = message('export.drop', 'No run may use the bytes any more.', {});
export const exportServing = message(
  'export.serving',
  'The bytes are served to these runs; what a run that was cut had begun is over, and it cannot come back.',
  { host: z.string(), floor: z.int(), served: z.array(servedExportSchema) },
);
export const exportFailed = message('export.failed', 'The bytes cannot be served, or their host is fenced.', {
  host: z.string(),
  floor: z.int(),
  error: failureSchema,
});
export const exportDropped = message('export.dropped', 'Every run is cut.', { host: z.string() });

export const volumeExportKind = defineKind({
  kind: 'volume-export',
  says: 'The runs that may use the bytes of a shared volume over the network, on the host that has them.',
  placement: 'pinned',
  commands: {},
  takes: [exportEnsure, exportDrop, hostGone],
  startedBy: [exportEnsure, exportDrop],
  fromNode: [hostGone],
  sends: [exportServing, exportFailed, exportDropped],
  effects: [
    effect<{ readonly spec: ExportSpec }>()(
      'export.serve',
      'Cuts every run that may not use the bytes, and serves those that may.',
      { served: z.array(servedExportSchema) },
    ),
    effect<{ readonly spec: ExportSpec }>()('export.watch', 'Waits for the end of a process that serves.', {
      reason: z.string(),
      detail: z.string(),
    }),
    effect<{ readonly spec: ExportSpec }>()('export.cut', 'Cuts every run.', {}),
  ],
});

export type VolumeExportEvent = EventOf<typeof volumeExportKind>;
