/** Effects of a snapshot's copy on the host of its volume. A copy takes minutes: it has its own places. */
import type { snapshotCopyKind } from '@photoncloud/machines/snapshot-copy/snapshot-copy-protocol';
import type { SnapshotDataplane } from '../dataplane/contract/snapshot-contract.ts';
import type { PerformersOf } from '../kind/kind-definition.ts';

export const snapshotCopyPerformers = (snapshots: SnapshotDataplane): PerformersOf<typeof snapshotCopyKind> => ({
  'capture.take': {
    timeoutMs: 3 * 3_600_000,
    pool: 'snapshot',
    perform: async ({ spec }, call) => ({ proof: await snapshots.takeSnapshot(spec, call) }),
  },
  'capture.remove': {
    timeoutMs: 90_000,
    perform: async ({ spec: { owner, snapshotUid } }, call) => {
      await snapshots.removeSnapshot({ owner, snapshotUid }, call);
      return {};
    },
  },
});
