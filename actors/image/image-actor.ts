/** The kind `image`: bytes known by their digest. */
import { imageMachine } from '@photoncloud/machines/image/image-machine';
import type { ImageContext } from '@photoncloud/machines/image/image-messages';
import { imageKind } from '@photoncloud/machines/image/image-protocol';
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import type { RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { incomingPath } from '../dataplane/contract/storage-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';

/** Loads the holder row of the actor that requests or frees the image. */
function needs(event: ActorEvent): RowKey[] {
  const asks = event.type === 'image.need' || event.type === 'image.free';
  return asks ? [{ collection: 'holder', key: String(event['holder']) }] : [];
}

export const imageDefinition = defineActor(imageKind, {
  chartVersion: 2,
  upgrades: {
    // Bytes may come from an address or a client, with progress.
    1: ({ state, context }) => ({ state, context: { ...(context as ImageContext), progress: null } }),
  },
  machine: imageMachine,
  needs,
  status: ({ home, progress, proof, copies, holderCount }: ImageContext) => ({
    home,
    progress,
    sha256: proof?.sha256 ?? null,
    proof,
    copies,
    holders: holderCount,
  }),
  intake: (id, { home, proof, spec }: ImageContext) => {
    const { tenant, name } = partsOfId(id);
    const waits = home !== null && proof === null && spec?.source.upload !== undefined;
    return waits ? { node: home, path: `${incomingPath}${tenant}/${name}` } : null;
  },
  operatorOnly: ['home', 'copies'],
  ignored: [
    'copy.inspected',
    'copy.progress',
    'copy.ready',
    'copy.removed',
    'copy.lost',
    'quota.granted',
    'import.placed',
  ],
});
