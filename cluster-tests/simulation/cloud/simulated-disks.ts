/**
 * Disks that come to a simulated QEMU while its guest runs, and go from it. A guest that is asked to release one does
 * so at once, later or never; QEMU has its bytes open until the dataplane looks again. Called by
 * simulated-incarnations.ts.
 */
import { fileMissing, plugUnsupported } from '@photoncloud/actors/dataplane/hypervisor/qemu-errors';
import type { DiskStanding } from '@photoncloud/machines/values/device-slots';
import type { IncarnationDisk } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { isAlive, type QemuProcess, type SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

/** Of the guests that answer late. */
const latestMs = 20_000;

/** How long a guest takes to release a device. */
function answersAfter(fraction: number): number {
  if (fraction < 0.6) return 0;
  return fraction < 0.9 ? ((fraction - 0.6) / 0.3) * latestMs : Infinity;
}

/** The guest is asked to release a disk or a NIC. @param uid of the volume, or of the binding */
export function askToRelease({ kernel, options }: SimulatedSite, { leaving }: QemuProcess, uid: string): void {
  if (!leaving.has(uid)) leaving.set(uid, kernel.nowMs() + answersAfter(options.random.fraction()));
}

/** Whether its guest has released it: it does not use it any more. */
export const hasReleased = ({ leaving, status, stalled }: QemuProcess, uid: string, nowMs: number): boolean =>
  status === 'running' && !stalled && (leaving.get(uid) ?? Infinity) <= nowMs;

/** QEMU closes what its guest has released. */
function release(kernel: SimulatedKernel, found: QemuProcess): void {
  const released = [...found.leaving.keys()].filter((uid) => hasReleased(found, uid, kernel.nowMs()));
  for (const uid of released) found.leaving.delete(uid);
  const { disks, nics } = found.spec;
  found.spec = {
    ...found.spec,
    disks: disks.filter(({ volumeUid }) => !released.includes(volumeUid)),
    nics: nics.filter(({ bindingUid }) => !released.includes(bindingUid)),
  };
}

/** In the order of the real dataplane: what is not wanted any more is asked for, then what is missing is plugged. */
export function plug(
  site: SimulatedSite,
  found: QemuProcess,
  disks: readonly IncarnationDisk[],
): readonly DiskStanding[] {
  const { kernel } = site;
  if (found.spec.diskSlots === undefined) throw plugUnsupported(found.owner.actor);
  for (const { volumeUid } of found.spec.disks)
    if (!disks.some((disk) => disk.volumeUid === volumeUid)) askToRelease(site, found, volumeUid);
  release(kernel, found);
  const standings = disks.map((disk): DiskStanding => {
    const { volume, volumeUid } = disk;
    if (found.leaving.has(volumeUid)) return { volume, standing: 'leaving', error: null };
    if (found.spec.disks.some((had) => had.volumeUid === volumeUid))
      return { volume, standing: 'plugged', error: null };
    try {
      requireDisk(kernel, disk, found.spec.vm);
    } catch (error) {
      if (!(error instanceof PhotonError)) throw error;
      const { code, message, group } = error.record;
      return { volume, standing: 'failed', error: { code, message, retryable: group === 'fault' } };
    }
    found.spec = { ...found.spec, disks: [...found.spec.disks, disk] };
    return { volume, standing: 'plugged', error: null };
  });
  kernel.noteDisks(found);
  kernel.changed();
  const others = found.spec.disks.filter(({ volume }) => !disks.some((disk) => disk.volume === volume));
  return [...standings, ...others.map(({ volume }) => ({ volume, standing: 'leaving', error: null }) as const)];
}

/** Its bytes are there, and no other QEMU of the host has them open. */
function requireDisk(kernel: SimulatedKernel, disk: IncarnationDisk, vm: string): void {
  if (!isOnHost(disk)) return;
  if (!kernel.replicas.has(disk.volumeUid)) throw fileMissing('disk_missing', `The replica of ${disk.volume}`);
  const has = (other: QemuProcess): boolean =>
    isAlive(other) && other.spec.disks.some((one) => isOnHost(one) && one.volumeUid === disk.volumeUid);
  if ([...kernel.incarnations.values()].some(has))
    throw new PhotonError('fault', 'disk_locked', `Another process writes a disk of ${vm}.`);
}

/** Its bytes are in a file of the host, which QEMU locks. */
export const isOnHost = ({ source = null }: IncarnationDisk): boolean => source === null;
