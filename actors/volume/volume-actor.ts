/** The kind `volume`: a disk with an identity of its own. */
import { volumeMachine } from '@photoncloud/machines/volume/volume-machine';
import type { VolumeContext } from '@photoncloud/machines/volume/volume-context';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { volumeCommands } from './volume-commands.ts';

export const volumeDefinition: ActorDefinition = {
  kind: 'volume',
  chartVersion: 1,
  machine: volumeMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: volumeCommands,
  // A VM may name a volume that was deleted while the VM rested: it is told so.
  createdBy: ['volume.locate', 'volume.attach'],
  effects: {},
  view: ({ spec, uid, serial, host, holder, runEpoch, failure }: VolumeContext) => ({
    spec,
    status: { uid, serial, host: host?.name ?? null, holder, runEpoch, failure },
  }),
  ignored: ['replica.ready', 'image.provided', 'volume.detach', 'replica.failed', 'replica.removed', 'quota.granted'],
};
