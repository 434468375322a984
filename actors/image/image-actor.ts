/** The kind `image`: bytes known by their digest. */
import { imageMachine } from '@photoncloud/machines/image/image-machine';
import type { ImageContext } from '@photoncloud/machines/image/image-messages';
import { imageKind } from '@photoncloud/machines/image/image-protocol';
import type { RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { defineActor } from '../kind/kind-definition.ts';

/** Loads the holder row of the actor that requests or frees the image. */
function needs(event: ActorEvent): RowKey[] {
  const asks = event.type === 'image.need' || event.type === 'image.free';
  return asks ? [{ collection: 'holder', key: String(event['holder']) }] : [];
}

export const imageDefinition = defineActor(imageKind, {
  chartVersion: 1,
  machine: imageMachine,
  needs,
  status: ({ home, proof, copies, holderCount }: ImageContext) => ({
    home,
    sha256: proof?.sha256 ?? null,
    proof,
    copies,
    holders: holderCount,
  }),
  operatorOnly: ['home', 'copies'],
  ignored: ['copy.inspected', 'copy.ready', 'copy.removed', 'copy.lost', 'quota.granted', 'import.placed'],
});
