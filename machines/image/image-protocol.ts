/** Spec, commands and messages of an image: for clients, its holders (VMs and volumes) and its copies on hosts. */
import { z } from 'zod';
import { importPlace, importPlaced, importRefused } from '../cluster/cluster-protocol.ts';
import {
  copyFetch,
  copyImport,
  copyInspected,
  copyLost,
  copyReady,
  copyRejected,
  copyRemove,
  copyRemoved,
} from '../image-copy/image-copy-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import { declare, defineKind, message, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { hostFactsSchema, imageFormatSchema } from '../values/wiring.ts';

export const imageNeed = message('image.need', 'A VM or a volume requests the image on a host.', {
  /** Actor id of the VM or volume. */
  holder: z.string(),
  host: hostFactsSchema,
});
export const imageProvided = message('image.provided', 'The host has the image, with this digest.', {
  image: z.string(),
  host: z.string(),
  sha256: z.string(),
  format: imageFormatSchema,
  virtualSizeBytes: z.int(),
});
export const imageRefused = message('image.refused', 'The image is not available on the host, or does not exist.', {
  image: z.string(),
  error: failureSchema,
});
export const imageFree = message('image.free', 'A VM or a volume no longer holds the image.', { holder: z.string() });

const path = z
  .string()
  .max(1_024)
  .regex(/^(?:file:\/\/)?\/[^\0\n\r]*$/, 'must be an absolute path or a file:// address on a host')
  .transform((text) => text.replace(/^file:\/\//, ''));

export const imageSpec = z
  .strictObject({
    source: z.strictObject({ path: path.describe('File on a host, below one of its allowed roots.') }),
    format: imageFormatSchema.describe('Format of the file; it is checked against the header and never guessed.'),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 lower case hex digits')
      .nullable()
      .default(null),
    host: nameSchema
      .nullable()
      .default(null)
      .describe('Host that has the file; null: the first host whose allowed roots contain the path.'),
  })
  .meta({ id: 'ImageSpec' });

export const imageKind = defineKind({
  kind: 'image',
  says: 'Bytes identified by their digest: imported once, copied between hosts by that digest.',
  placement: 'sharded',
  declared: declare(imageSpec, {
    changes: { source: 'replace', format: 'replace', sha256: 'replace', host: 'replace' },
    parents: ['tenant'],
    references: () => [],
    quota: 50,
    columns: { format: ({ format }) => format, sha256: (_, { sha256 }) => sha256 },
    says: {
      create: 'Imports a local file of a host as an image. Answered once its header has been inspected.',
      update: 'Changes labels and protection; the bytes of an image never change.',
      delete: 'Removes the image and its copies. Rejected in_use while a VM or volume holds it.',
    },
  }),
  commands: {},
  takes: [
    quotaGranted,
    quotaRefused,
    importPlaced,
    importRefused,
    copyInspected,
    copyReady,
    copyRejected,
    copyLost,
    copyRemoved,
    imageNeed,
    imageFree,
  ],
  // A VM or a volume may name an image that was deleted: the request is answered with a refusal.
  startedBy: [imageNeed],
  fromNode: [],
  sends: [quotaClaim, quotaRelease, importPlace, copyImport, copyFetch, copyRemove, imageProvided, imageRefused],
  effects: [],
});

export type ImageEvent = EventOf<typeof imageKind>;
export type ImageSpec = SpecOf<typeof imageKind>;
