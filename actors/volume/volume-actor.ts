/** The kind `volume`: a disk that outlives the VMs that use it. */
import { serialOf } from '@photoncloud/machines/values/serials';
import { volumeMachine } from '@photoncloud/machines/volume/volume-machine';
import type { VolumeContext } from '@photoncloud/machines/volume/volume-messages';
import { volumeKind } from '@photoncloud/machines/volume/volume-protocol';
import { defineActor } from '../kind/kind-definition.ts';

export const volumeDefinition = defineActor(volumeKind, {
  chartVersion: 1,
  machine: volumeMachine,
  status: ({ uid, host, holder, runEpoch }: VolumeContext) => ({
    serial: serialOf(uid),
    host: host?.name ?? null,
    holder,
    runEpoch,
  }),
  operatorOnly: ['host'],
  ignored: [
    'replica.ready',
    'image.provided',
    'volume.detach',
    'replica.failed',
    'replica.removed',
    'quota.granted',
    'room.granted',
  ],
});
