/** What a replica asks of its host's disks. */
import type { ReplicaSpec } from '@photoncloud/machines/values/wiring';
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { done } from '@photoncloud/runtime/contract/outcome';
import type { StorageDataplane } from '../dataplane/contract/storage-contract.ts';

export function replicaEffects(storage: StorageDataplane): Record<string, EffectBinding> {
  return {
    'replica.make': {
      timeoutMs: 600_000,
      perform: async ({ spec }: { spec: ReplicaSpec }, call: EffectContext) =>
        done({ ...(await storage.ensureReplica(spec, call)) }),
    },
    'replica.remove': {
      timeoutMs: 60_000,
      perform: async ({ spec }: { spec: ReplicaSpec }, call: EffectContext) =>
        done({ ...(await storage.removeReplica({ owner: spec.owner, volumeUid: spec.volumeUid }, call)) }),
    },
  };
}
