/** The part of dataplane-script.ts about volumes: made, grown, copied, made from a copy, restored, removed. */
import type { Dataplane } from '@photoncloud/actors/dataplane/contract/dataplane-contract';
import { nextCall, ownerOf } from '@photoncloud/actors/dataplane/dataplane-for-tests';
import type { ReplicaSpec } from '@photoncloud/machines/values/wiring';
import type { Step } from './dataplane-script.ts';
import { imageScript } from './image-script.ts';

export async function storageScript(dp: Dataplane, step: Step, folder: string): Promise<void> {
  const replica: ReplicaSpec = {
    owner: ownerOf('replica/acme/data@w1'),
    volumeUid: 'DATA',
    serial: 'SERIAL',
    sizeMib: 4,
    format: 'raw',
    image: null,
  };
  const made = ({ sizeBytes, created }: { sizeBytes: number; created: boolean }) => [sizeBytes, created];
  const ref = { owner: replica.owner, volumeUid: 'DATA' };
  await step('read before', dp.readReplica(ref, nextCall()));
  await step('replica', dp.ensureReplica(replica, nextCall()), made);
  await step('the same', dp.ensureReplica(replica, nextCall()), made);
  await step('a smaller size', dp.ensureReplica({ ...replica, sizeMib: 3 }, nextCall()));
  await step('a larger size', dp.ensureReplica({ ...replica, sizeMib: 8 }, nextCall()), made);
  const image = { sha256: 'a'.repeat(64), format: 'raw' as const };
  await step('no image', dp.ensureReplica({ ...replica, volumeUid: 'COPY', image }, nextCall()));
  await step('read', dp.readReplica(ref, nextCall()), (found) => found?.sizeBytes);
  const figures = async (uid: string | null) => dp.readVolumeFigures(uid);
  const seen = (all: Awaited<ReturnType<typeof figures>>) =>
    all.map(({ volume, uid, figures: of }) => [volume, uid, of['sizeBytes']]);
  await step('its figures', figures('DATA'), seen);
  await imageScript(dp, step, folder);
  await snapshotScript(dp, step);
  await step('figures of all', figures(null), seen);
  await step('figures of none', figures('NONE'), seen);
  await step('the replica goes', dp.removeReplica(ref, nextCall()));
  await step('it is gone', dp.removeReplica(ref, nextCall()));
}

/** Copies of a volume that rests. */
async function snapshotScript(dp: Dataplane, step: Step): Promise<void> {
  const owner = ownerOf('snapshot-copy/acme/friday@w1');
  const spec = { owner, snapshotUid: 'FRIDAY', volumeUid: 'DATA', format: 'raw' as const, sizeMib: 8 };
  await step('a copy of nothing', dp.takeSnapshot({ ...spec, volumeUid: 'NONE' }, nextCall()));
  await step('a copy of another format', dp.takeSnapshot({ ...spec, format: 'qcow2' }, nextCall()));
  let takenAt = 0;
  await step('a copy', dp.takeSnapshot(spec, nextCall()), (proof) => {
    ({ takenAt } = proof);
    return [proof.sizeBytes, takenAt > 0, proof.consistency];
  });
  await step('the same copy', dp.takeSnapshot(spec, nextCall()), (proof) => proof.takenAt === takenAt);
  await fromSnapshot(dp, step);
  await step('the copy goes', dp.removeSnapshot({ owner, snapshotUid: 'FRIDAY' }, nextCall()));
  await step('the copy is gone', dp.removeSnapshot({ owner, snapshotUid: 'FRIDAY' }, nextCall()));
}

/** A volume made from the copy, and one whose bytes the copy replaces. */
async function fromSnapshot(dp: Dataplane, step: Step): Promise<void> {
  const owner = ownerOf('replica/acme/clone@w1');
  const snapshot = { uid: 'FRIDAY', host: 'w1', allocatedBytes: 0, restore: null };
  const clone = {
    owner,
    volumeUid: 'CLONE',
    serial: 'SERIAL',
    sizeMib: 8,
    format: 'raw' as const,
    image: null,
    snapshot,
  };
  const restored = (restore: string) => ({ ...clone, snapshot: { ...snapshot, restore } });
  const made = ({ sizeBytes, created }: { sizeBytes: number; created: boolean }) => [sizeBytes, created];
  await step('from no copy', dp.ensureReplica({ ...clone, snapshot: { ...snapshot, uid: 'NONE' } }, nextCall()));
  await step('from a volume', dp.ensureReplica({ ...clone, snapshot: { ...snapshot, uid: 'DATA' } }, nextCall()));
  await step('from a silent host', dp.ensureReplica({ ...clone, snapshot: { ...snapshot, host: 'w9' } }, nextCall()));
  await step('from a larger copy', dp.ensureReplica({ ...clone, sizeMib: 7 }, nextCall()));
  await step('a clone', dp.ensureReplica(clone, nextCall()), made);
  await step('the same clone', dp.ensureReplica(clone, nextCall()), made);
  await step('restored', dp.ensureReplica(restored('R1'), nextCall()), made);
  await step('the same restoration', dp.ensureReplica(restored('R1'), nextCall()), made);
  await step('restored again', dp.ensureReplica(restored('R2'), nextCall()), made);
  await step('the clone goes', dp.removeReplica({ owner, volumeUid: 'CLONE' }, nextCall()));
}
