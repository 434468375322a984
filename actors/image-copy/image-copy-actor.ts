/** The kind `image-copy`: an image on a host. Only its image speaks to it. */
import { imageCopyMachine, type ImageCopyContext } from '@photoncloud/machines/image-copy/image-copy-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { StorageDataplane } from '../dataplane/contract/storage-contract.ts';
import { imageCopyEffects } from './image-copy-effects.ts';

export function imageCopyDefinition(storage: StorageDataplane): ActorDefinition {
  return {
    kind: 'image-copy',
    chartVersion: 1,
    machine: imageCopyMachine,
    placement: 'pinned',
    input: (id) => ({ id }),
    commands: {},
    createdBy: ['copy.import', 'copy.fetch', 'copy.remove'],
    effects: imageCopyEffects(storage),
    view: ({ importing, fetching, proof, failure, tries }: ImageCopyContext) => ({
      spec: importing ?? fetching,
      status: { proof, failure, tries },
    }),
    ignored: ['copy.import', 'copy.fetch', 'copy.remove'],
  };
}
