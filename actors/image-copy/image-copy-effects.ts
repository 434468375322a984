/**
 * Effects of an image copy on its host's image store. What reads whole images takes minutes and has places of its own;
 * a removal does not wait behind it.
 */
import type { imageCopyKind } from '@photoncloud/machines/image-copy/image-copy-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { StorageDataplane } from '../dataplane/contract/storage-contract.ts';

export const imageCopyPerformers = (storage: StorageDataplane): PerformersOf<typeof imageCopyKind> => ({
  'image.inspect': {
    timeoutMs: 1_200_000,
    pool: 'image',
    perform: async ({ spec }, call) => {
      await storage.inspectImage(spec, call);
      return {};
    },
  },
  'image.import': {
    timeoutMs: 1_200_000,
    pool: 'image',
    perform: async ({ spec }, call) => ({ proof: await storage.importCopy(spec, call) }),
  },
  'image.gather': {
    timeoutMs: 240_000,
    pool: 'image',
    perform: ({ spec }, call) => storage.gatherCopy(spec, call),
  },
  'image.store': {
    timeoutMs: 1_200_000,
    pool: 'image',
    perform: async ({ spec }, call) => ({ proof: await storage.storeGathered(spec, call) }),
  },
  'image.fetch': {
    timeoutMs: 1_200_000,
    pool: 'image',
    perform: async ({ spec }, call) => ({ proof: await storage.fetchCopy(spec, call) }),
  },
  'image.remove': {
    timeoutMs: 30_000,
    perform: async ({ spec: { owner, format, sha256 } }, call) => {
      await storage.removeCopy({ owner, format, sha256 }, call);
      return {};
    },
  },
});
