/** Effects of a replica on its host's disks. One that is filled from an image takes minutes: it has its own places. */
import type { replicaKind } from '@photoncloud/machines/replica/replica-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { StorageDataplane } from '../dataplane/contract/storage-contract.ts';

export const replicaPerformers = (storage: StorageDataplane): PerformersOf<typeof replicaKind> => ({
  'replica.make': {
    timeoutMs: 3_600_000,
    pool: 'volume',
    perform: async ({ spec }, call) => {
      await storage.ensureReplica(spec, call);
      return {};
    },
  },
  'replica.remove': {
    timeoutMs: 60_000,
    perform: async ({ spec: { owner, volumeUid } }, call) => {
      await storage.removeReplica({ owner, volumeUid }, call);
      return {};
    },
  },
});
