/**
 * The bytes of an image on one host: imported from a file there, gathered from an address or from a client, or fetched
 * from a host that has them.
 */
import { z } from 'zod';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf } from '../values/kind.ts';
import {
  copyFetchSpecSchema,
  copyGatherSpecSchema,
  copyImportSpecSchema,
  copyProgressSchema,
  copyProofSchema,
  type CopyFetchSpec,
  type CopyGatherSpec,
  type CopyImportSpec,
  type ImageFormat,
  type OwnerToken,
} from '../values/wiring.ts';

export const copyImport = message('copy.import', 'The image requests the import of a file on the host.', {
  image: z.string(),
  spec: copyImportSpecSchema,
});
export const copyGather = message(
  'copy.gather',
  'The image requests that the host takes the bytes from an address, or from a client.',
  { image: z.string(), spec: copyGatherSpecSchema },
);
export const copyFetch = message('copy.fetch', 'The image requests that the host fetches the bytes by their digest.', {
  image: z.string(),
  spec: copyFetchSpecSchema,
});
export const copyRemove = message('copy.remove', 'The image requests the removal of the copy.', {});
export const copyInspected = message('copy.inspected', 'The file matches its declaration; its bytes are being read.', {
  host: z.string(),
});
export const copyProgress = message(
  'copy.progress',
  'So many bytes have arrived from an address or a client, and their begin matches the declaration.',
  { host: z.string(), ...copyProgressSchema.shape },
);
export const copyReady = message('copy.ready', 'The host has the bytes, with this digest.', {
  host: z.string(),
  proof: copyProofSchema,
});
export const copyRejected = message('copy.rejected', 'The import or fetch has failed permanently.', {
  host: z.string(),
  error: failureSchema,
});
export const copyLost = message(
  'copy.lost',
  'The host of the copy is fenced; other hosts fetch from a remaining copy.',
  {
    host: z.string(),
  },
);
export const copyRemoved = message('copy.removed', 'The host no longer has bytes of the image.', {
  host: z.string(),
});

/** A copy that was never finished has no digest: then only what was gathered is removed. */
export interface CopyRemoveSpec {
  readonly owner: OwnerToken;
  readonly format: ImageFormat;
  readonly sha256: string | null;
}

export const imageCopyKind = defineKind({
  kind: 'image-copy',
  says: 'The bytes of an image on one host, known by their digest.',
  placement: 'pinned',
  commands: {},
  takes: [copyImport, copyGather, copyFetch, copyRemove, hostGone],
  startedBy: [copyImport, copyGather, copyFetch, copyRemove],
  fromNode: [hostGone],
  sends: [copyInspected, copyProgress, copyReady, copyRejected, copyLost, copyRemoved],
  effects: [
    effect<{ readonly spec: CopyImportSpec }>()('image.inspect', 'Opens the file and reads its header.', {}),
    effect<{ readonly spec: CopyImportSpec }>()('image.import', 'Copies the bytes and computes their digest.', {
      proof: copyProofSchema,
    }),
    effect<{ readonly spec: CopyGatherSpec }>()(
      'image.gather',
      'Takes bytes from an address or a client, and says now and then how many have come.',
      { ...copyProgressSchema.shape, isWhole: z.boolean() },
    ),
    effect<{ readonly spec: CopyGatherSpec }>()('image.store', 'Checks what was gathered, and makes it a copy.', {
      proof: copyProofSchema,
    }),
    effect<{ readonly spec: CopyFetchSpec }>()('image.fetch', 'Fetches the bytes from another host by their digest.', {
      proof: copyProofSchema,
    }),
    effect<{ readonly spec: CopyRemoveSpec }>()(
      'image.remove',
      'Removes the bytes, unless another image uses them.',
      {},
    ),
  ],
});

export type ImageCopyEvent = EventOf<typeof imageCopyKind>;
