/** Commands of a port, validated at the door. Ports of VMs are made by their VM, by message. */
import { idOf, nameSchema, partsOfId } from '@photoncloud/machines/values/identifiers';
import type { CommandDefinition, Reference } from '@photoncloud/runtime/contract/actor-definition';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { z } from 'zod';

export const portCreateParams = z
  .strictObject({
    network: nameSchema,
    address: z.ipv4().nullable().default(null).describe('Wanted address, or null for the next free one.'),
    mac: z
      .string()
      .regex(/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/, 'must be six lower case hex pairs')
      .nullable()
      .default(null),
    host: nameSchema.nullable().default(null).describe('Host to bind it on at once, without a VM.'),
  })
  .meta({ id: 'PortSpec' });

const references = (params: z.infer<typeof portCreateParams>, id: ActorId): Reference[] => [
  { path: 'spec.network', to: actorId(idOf('network', partsOfId(id).tenant, params.network)) },
];

export const portCommands: Record<string, CommandDefinition> = {
  create: {
    params: portCreateParams,
    permission: 'scope',
    creates: true,
    references,
    description: 'Declares a port. Answered once it has its address and MAC.',
  },
  unbind: {
    params: z.strictObject({}),
    permission: 'scope',
    description: 'Takes a port without a VM off its host; it keeps its address.',
  },
  delete: {
    params: z.strictObject({}),
    permission: 'scope',
    description: 'Unbinds it and frees its address. Rejected in_use while a VM has it.',
  },
};
