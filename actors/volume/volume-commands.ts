/** Commands of a volume, validated at the door. */
import { idOf, nameSchema, partsOfId } from '@photoncloud/machines/values/identifiers';
import type { CommandDefinition, Reference } from '@photoncloud/runtime/contract/actor-definition';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { z } from 'zod';

export const volumeCreateParams = z
  .strictObject({
    sizeMib: z.int().min(1).max(1_048_576).describe('Size the guest sees, MiB.'),
    format: z.enum(['raw', 'qcow2']).default('raw'),
    image: nameSchema.nullable().default(null).describe('Image its first bytes come from.'),
  })
  .meta({ id: 'VolumeSpec' });

function references(params: z.infer<typeof volumeCreateParams>, id: ActorId): Reference[] {
  if (params.image === null) return [];
  return [{ path: 'spec.image', to: actorId(idOf('image', partsOfId(id).tenant, params.image)) }];
}

export const volumeCommands: Record<string, CommandDefinition> = {
  create: {
    params: volumeCreateParams,
    permission: 'scope',
    creates: true,
    references,
    description: 'Declares a volume. Its bytes are made on the host of the first VM that attaches it.',
  },
  delete: {
    params: z.strictObject({}),
    permission: 'scope',
    description: 'Removes the volume and its bytes. Rejected in_use while a VM holds it.',
  },
};
