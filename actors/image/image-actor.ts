/** The kind `image`: bytes known by their digest. */
import { imageMachine } from '@photoncloud/machines/image/image-machine';
import type { ImageContext } from '@photoncloud/machines/image/image-context';
import type { ActorDefinition, RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { imageCommands } from './image-commands.ts';

/** Whoever needs or frees the image: is it among the holders already? */
function needs(event: ActorEvent): RowKey[] {
  const asks = event.type === 'image.need' || event.type === 'image.free';
  return asks && typeof event['holder'] === 'string' ? [{ collection: 'holder', key: event['holder'] }] : [];
}

export const imageDefinition: ActorDefinition = {
  kind: 'image',
  chartVersion: 1,
  machine: imageMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: imageCommands,
  // A VM or a volume may name an image that was deleted before it was needed: it is told so.
  createdBy: ['image.need'],
  effects: {},
  needs,
  view: ({ spec, uid, home, proof, copies, holderCount, failure }: ImageContext) => ({
    spec,
    status: { uid, home, sha256: proof?.sha256 ?? null, proof, copies, holders: holderCount, failure },
  }),
  ignored: ['copy.inspected', 'copy.ready', 'copy.removed', 'quota.granted', 'import.placed'],
};
