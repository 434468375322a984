/** The bytes of a volume on one host. */
import { z } from 'zod';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf } from '../values/kind.ts';
import { replicaSpecSchema, type ReplicaSpec } from '../values/wiring.ts';

export const replicaEnsure = message('replica.ensure', 'The volume requests its bytes on the host.', {
  spec: replicaSpecSchema,
  volume: z.string(),
});
export const replicaDrop = message('replica.drop', 'The volume requests the removal of its bytes from the host.', {});
/** Of which restoration the request was that is answered: its uid. */
const restore = z.string().nullable().optional();
export const replicaReady = message('replica.ready', 'The file exists.', { host: z.string(), restore });
export const replicaFailed = message('replica.failed', 'The file cannot be created, or its host is fenced.', {
  host: z.string(),
  error: failureSchema,
  restore,
});
export const replicaRemoved = message('replica.removed', 'The file is removed.', { host: z.string() });

export const replicaKind = defineKind({
  kind: 'replica',
  says: 'The bytes of a volume on one host.',
  placement: 'pinned',
  commands: {},
  takes: [replicaEnsure, replicaDrop, hostGone],
  startedBy: [replicaEnsure, replicaDrop],
  fromNode: [hostGone],
  sends: [replicaReady, replicaFailed, replicaRemoved],
  effects: [
    effect<{ readonly spec: ReplicaSpec }>()(
      'replica.make',
      'Creates the file: sparse and empty, or filled from an image copy or a snapshot; or replaces it by a snapshot.',
      {},
    ),
    effect<{ readonly spec: ReplicaSpec }>()('replica.remove', 'Removes the file.', {}),
  ],
});

export type ReplicaEvent = EventOf<typeof replicaKind>;
