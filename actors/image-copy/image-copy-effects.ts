/** What an image copy asks of its host's store. */
import type { CopyRemoveSpec } from '@photoncloud/machines/image-copy/image-copy-machine';
import type { CopyFetchSpec, CopyImportSpec } from '@photoncloud/machines/values/wiring';
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { done } from '@photoncloud/runtime/contract/outcome';
import type { StorageDataplane } from '../dataplane/contract/storage-contract.ts';

export function imageCopyEffects(storage: StorageDataplane): Record<string, EffectBinding> {
  return {
    'image.inspect': {
      timeoutMs: 1_200_000,
      perform: async ({ spec }: { spec: CopyImportSpec }, call: EffectContext) =>
        done({ proof: await storage.inspectImage(spec, call) }),
    },
    'image.import': {
      timeoutMs: 1_200_000,
      perform: async ({ spec }: { spec: CopyImportSpec }, call: EffectContext) =>
        done({ proof: await storage.importCopy(spec, call) }),
    },
    'image.fetch': {
      timeoutMs: 1_200_000,
      perform: async ({ spec }: { spec: CopyFetchSpec }, call: EffectContext) =>
        done({ proof: await storage.fetchCopy(spec, call) }),
    },
    'image.remove': {
      timeoutMs: 30_000,
      perform: async ({ spec: { owner, format, sha256 } }: { spec: CopyRemoveSpec }, call: EffectContext) =>
        done(sha256 === null ? { removed: false } : { ...(await storage.removeCopy({ owner, format, sha256 }, call)) }),
    },
  };
}
