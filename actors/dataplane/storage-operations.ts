/**
 * The storage part of the dataplane: each change takes the lock of its copy or volume and checks its fence.
 * Called by linux-dataplane.ts only.
 */
import type { StorageDataplane } from './contract/storage-contract.ts';
import type { DataplaneSite } from './dataplane-site.ts';
import { requireDescriptors } from './descriptor-reserve.ts';
import type { Gatherings } from './image/copy-gathering.ts';
import { dropOwners } from './image/copy-owners.ts';
import { inspectFile, openCopy, importFile, fetchFromHost } from './image/copy-store.ts';
import type { IncarnationSessions } from './hypervisor/qemu-session.ts';
import { fencedChange } from './network-operations.ts';
import { dropReplica, findReplica, makeReplica } from './volume/replica-store.ts';
import { readVolumeFigures } from './volume/volume-figures.ts';
import { checkDigest, checkOwner, checkUid } from './wiring-checks.ts';

export function storageOperations(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  gatherings: Gatherings,
): StorageDataplane {
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
    gatherCopy: (spec, call) =>
      change('copy', `copy ${spec.owner.actor}`, spec.owner, call, () => gatherings.gather(spec, call)),
    putGathered: (actor, offset, bytes) => gatherings.put(actor, offset, bytes),
    storeGathered: (spec, call) =>
      change('copy', `copy ${spec.owner.actor}`, spec.owner, call, async () => {
        await requireDescriptors(`Storing ${spec.owner.actor}`);
        return gatherings.store(spec, call);
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
        await gatherings.drop(copy.owner);
        if (copy.sha256 === null) return { removed: true };
        checkDigest('sha256', copy.sha256);
        const { actor, uid } = copy.owner;
        return {
          removed: await dropOwners(site, copy.sha256, copy.format, (one) => one.actor === actor && one.uid === uid),
        };
      }),
    ensureReplica: (spec, call) =>
      change('replica', `volume ${spec.volumeUid}`, spec.owner, call, async () => {
        await requireDescriptors(`Making ${spec.owner.actor}`);
        return makeReplica(site, sessions, spec, call.signal);
      }),
    readReplica: async (replica) => {
      checkUid('volumeUid', replica.volumeUid);
      const found = await findReplica(site, replica.volumeUid);
      return found === null
        ? null
        : { sizeBytes: found.virtualBytes, allocatedBytes: found.allocatedBytes, created: false };
    },
    readVolumeFigures: (volumeUid) => readVolumeFigures(site, sessions, volumeUid),
    removeReplica: (replica, call) =>
      change('replica', `volume ${replica.volumeUid}`, replica.owner, call, () => dropReplica(site, replica)),
  };
}
