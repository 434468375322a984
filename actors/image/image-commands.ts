/** Commands of an image, validated at the door. The path itself is judged by the host that opens it. */
import { nameSchema } from '@photoncloud/machines/values/identifiers';
import type { CommandDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { z } from 'zod';

const path = z
  .string()
  .max(1_024)
  .regex(/^(?:file:\/\/)?\/[^\0\n\r]*$/, 'must be an absolute path or a file:// address on a host')
  .transform((text) => text.replace(/^file:\/\//, ''));

export const imageCreateParams = z
  .strictObject({
    source: z.strictObject({ path: path.describe('File on a host, below one of its allowed roots.') }),
    format: z
      .enum(['raw', 'qcow2', 'kernel', 'initrd'])
      .describe('Declared, checked against the header, never probed.'),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 lower case hex digits')
      .nullable()
      .default(null),
    host: nameSchema
      .nullable()
      .default(null)
      .describe('Host whose file it is; null takes the first host that allows the path.'),
  })
  .meta({ id: 'ImageSpec' });

export const imageCommands: Record<string, CommandDefinition> = {
  create: {
    params: imageCreateParams,
    permission: 'scope',
    creates: true,
    description: 'Imports a local file of a host as an image. Answered once its header has been inspected.',
  },
  delete: {
    params: z.strictObject({}),
    permission: 'scope',
    description: 'Removes the image and its copies. Rejected in_use while a VM or volume holds it.',
  },
};
