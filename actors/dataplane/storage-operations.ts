/**
 * The storage part of the dataplane: each change takes the lock of its copy or volume and checks its fence.
 * Called by linux-dataplane.ts only.
 */
import type { StorageDataplane } from './contract/storage-contract.ts';
import type { DataplaneSite } from './dataplane-site.ts';
import { requireDescriptors } from './descriptor-reserve.ts';
import { dropOwners } from './image/copy-owners.ts';
import { inspectFile, openCopy, importFile, fetchFromHost } from './image/copy-store.ts';
import { fencedChange } from './network-operations.ts';
import { dropReplica, findReplica, makeReplica } from './volume/replica-store.ts';
import { checkDigest, checkOwner, checkUid } from './wiring-checks.ts';

export function storageOperations(site: DataplaneSite): StorageDataplane {
  const change = fencedChange(site);
  return {
    inspectImage: async (image, call) => {
      await requireDescriptors('Reading an image');
      return inspectFile(site, image, call.signal);
    },
    importCopy: (spec, call) =>
      change('copy', `copy ${spec.owner.actor}`, spec.owner, call, async () => {
        await requireDescriptors(`The import of ${spec.owner.actor}`);
        return importFile(site, spec, call.signal);
      }),
    fetchCopy: (spec, call) =>
      change('copy', `copy ${spec.owner.actor}`, spec.owner, call, async () => {
        await requireDescriptors(`Fetching ${spec.owner.actor}`);
        return fetchFromHost(site, spec, call.signal);
      }),
    openBlob: (sha256) => openCopy(site, sha256),
    removeCopy: (copy, call) =>
      change('copy', `copy ${copy.owner.actor}`, copy.owner, call, async () => {
        checkOwner(copy.owner);
        checkDigest('sha256', copy.sha256);
        const { actor, uid } = copy.owner;
        return {
          removed: await dropOwners(site, copy.sha256, copy.format, (one) => one.actor === actor && one.uid === uid),
        };
      }),
    ensureReplica: (spec, call) =>
      change('replica', `volume ${spec.volumeUid}`, spec.owner, call, async () => {
        await requireDescriptors(`Making ${spec.owner.actor}`);
        return makeReplica(site, spec, call.signal);
      }),
    readReplica: async (replica) => {
      checkUid('volumeUid', replica.volumeUid);
      const found = await findReplica(site, replica.volumeUid);
      return found === null
        ? null
        : { sizeBytes: found.virtualBytes, allocatedBytes: found.allocatedBytes, created: false };
    },
    removeReplica: (replica, call) =>
      change('replica', `volume ${replica.volumeUid}`, replica.owner, call, () => dropReplica(site, replica)),
  };
}
