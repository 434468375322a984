/** The kind `image-copy`: an image on a host. Only its image sends messages to it. */
import { imageCopyMachine, type ImageCopyContext } from '@photoncloud/machines/image-copy/image-copy-machine';
import { imageCopyKind } from '@photoncloud/machines/image-copy/image-copy-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { StorageDataplane } from '../dataplane/contract/storage-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { imageCopyPerformers } from './image-copy-effects.ts';

export const imageCopyDefinition = (storage: StorageDataplane): ActorDefinition =>
  defineActor(imageCopyKind, {
    chartVersion: 2,
    upgrades: {
      // Bytes may be gathered from an address or a client.
      1: ({ state, context }) => ({
        state,
        context: { ...(context as ImageCopyContext), gathering: null, progress: null },
      }),
    },
    machine: imageCopyMachine,
    performers: imageCopyPerformers(storage),
    spec: ({ importing, gathering, fetching }: ImageCopyContext) => importing ?? gathering ?? fetching,
    status: ({ progress, proof, failure, tries }: ImageCopyContext) => ({ progress, proof, failure, tries }),
    ignored: ['copy.import', 'copy.gather', 'copy.fetch', 'copy.remove'],
  });
