/** Spec, commands and messages of an image: for clients, its holders (VMs and volumes) and its copies on hosts. */
import { z } from 'zod';
import { importPlace, importPlaced, importRefused } from '../cluster/cluster-protocol.ts';
import {
  copyFetch,
  copyGather,
  copyImport,
  copyInspected,
  copyLost,
  copyProgress,
  copyReady,
  copyRejected,
  copyRemove,
  copyRemoved,
} from '../image-copy/image-copy-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import { imageUrl } from '../values/image-url.ts';
import { declare, defineKind, message, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { hostFactsSchema, imageFormatSchema, type ImageFormat } from '../values/wiring.ts';

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

const fileScheme = 'file://';
const plainPath = /^\/[^\0\n\r]*$/;

/**
 * The path that a `file://` address names: percent codes stand for bytes of UTF-8, as in every address. A plain path is
 * taken as it is. @throws Error that says what is wrong with the text
 */
function pathIn(text: string): string {
  if (!text.startsWith(fileScheme)) return text;
  const encoded = text.slice(fileScheme.length);
  if (/[?#]/.test(encoded)) throw new Error('must write ? as %3F and # as %23 in a file:// address');
  if (/%2f/i.test(encoded)) throw new Error('must not contain %2F: the name of a file has no slash');
  try {
    return decodeURIComponent(encoded);
  } catch (error) {
    const rule = 'must contain % only as part of percent codes of UTF-8 in a file:// address; write % itself as %25';
    throw new Error(rule, { cause: error });
  }
}

const path = z
  .string()
  .max(1_024)
  .regex(/^(?:file:\/\/)?\/[^\0\n\r]*$/, 'must be an absolute path or a file:// address on a host')
  .transform((text, context) => {
    try {
      const named = pathIn(text);
      // A half of a surrogate pair has no bytes in UTF-8: it would name another file.
      if (plainPath.test(named) && named.isWellFormed()) return named;
      context.addIssue('must not contain a NUL, a line break or half a character, encoded or not');
    } catch (error) {
      context.addIssue(error instanceof Error ? error.message : String(error));
    }
    return z.NEVER;
  });

/** What a client may send or an address may have, of one image. */
const imageLimitBytes = 64 * 2 ** 30;

const source = z
  .strictObject({
    path: path
      .optional()
      .describe(
        'File on a host, below one of its allowed roots: a plain path, or a file:// address with percent codes. The ' +
          'file must be a regular file with one name (no hard links) that everybody on the host may read, or that ' +
          'belongs to the image owner that the operator has named.',
      ),
    url: imageUrl
      .optional()
      .describe(
        'Address that begins with https:// or http://, from which a host fetches the bytes, without credentials. ' +
          'Its host must have public addresses, or ones that the operator allows; the same holds for redirects, of ' +
          'which 3 are followed. ' +
          'Needs `sha256`.',
      ),
    upload: z
      .strictObject({ sizeBytes: z.int().min(1).max(imageLimitBytes).describe('Size of the file.') })
      .optional()
      .describe('A client sends the bytes: `photon image upload`. Needs `sha256`.'),
  })
  .refine((given) => Object.values(given).filter((one) => one !== undefined).length === 1, {
    message: 'must have exactly one of path, url and upload',
  });

export const imageSpec = z
  .strictObject({
    source,
    format: imageFormatSchema.describe(
      'Format of the file, and so what the image is for: raw and qcow2 for volumes, kernel and initrd for direct ' +
        'boot. It is checked against the header and never guessed.',
    ),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'must be 64 lower case hex digits')
      .nullable()
      .default(null)
      .describe('Digest that the bytes must have. Required for bytes that come over a network.'),
    host: nameSchema
      .nullable()
      .default(null)
      .describe('Host that imports the bytes; null: the first host that has the path, or any with room.'),
  })
  .refine(({ source: { path: local }, sha256 }) => local !== undefined || sha256 !== null, {
    path: ['sha256'],
    message: 'must be given, because the bytes come over a network',
  })
  .meta({ id: 'ImageSpec' });

/** Where a spec names an image: only one of these formats will do. */
export const imageOf =
  (...formats: readonly ImageFormat[]) =>
  (spec: unknown): string | undefined => {
    const { format } = (spec ?? {}) as { readonly format?: ImageFormat };
    if (format === undefined || formats.includes(format)) return undefined;
    return `has the format ${format}; an image of format ${formats.join(' or ')} is needed here`;
  };

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
      create:
        'Imports an image from a file of a host, from an address, or from what a client sends. Answered once the ' +
        'header has been inspected, or once a host waits for the upload.',
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
    copyProgress,
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
  sends: [
    quotaClaim,
    quotaRelease,
    importPlace,
    copyImport,
    copyGather,
    copyFetch,
    copyRemove,
    imageProvided,
    imageRefused,
  ],
  effects: [],
});

export type ImageEvent = EventOf<typeof imageKind>;
export type ImageSpec = SpecOf<typeof imageKind>;
