/** The kind `snapshot`: the bytes of a volume as they were at one moment. */
import { snapshotMachine } from '@photoncloud/machines/snapshot/snapshot-machine';
import type { SnapshotContext } from '@photoncloud/machines/snapshot/snapshot-messages';
import { snapshotKind } from '@photoncloud/machines/snapshot/snapshot-protocol';
import { defineActor } from '../kind/kind-definition.ts';

export const snapshotDefinition = defineActor(snapshotKind, {
  chartVersion: 1,
  machine: snapshotMachine,
  status: ({ source, proof }: SnapshotContext) => ({
    volumeUid: source?.volumeUid ?? null,
    class: source?.class ?? null,
    sizeMib: source?.sizeMib ?? null,
    allocatedBytes: proof?.allocatedBytes ?? null,
    consistency: proof === null ? null : (proof.consistency ?? 'crash'),
    takenAt: proof === null ? null : new Date(proof.takenAt).toISOString(),
    host: source?.host.name ?? null,
  }),
  operatorOnly: ['host'],
  ignored: [
    'quota.granted',
    'quota.refused',
    'room.granted',
    'room.refused',
    'snapshot.begun',
    'snapshot.hindered',
    'capture.taken',
    'capture.failed',
    'capture.dropped',
  ],
});
