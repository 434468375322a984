/**
 * NICs that come to a simulated guest and go from it while it runs, in the order of the real dataplane: QEMU opens the
 * tap in the host's namespace, and the guest has the NIC once its binding has wired that. Called by
 * simulated-incarnations.ts.
 */
import type { DevicePlug } from '@photoncloud/actors/dataplane/contract/incarnation-contract';
import { plugUnsupported } from '@photoncloud/actors/dataplane/hypervisor/qemu-errors';
import { KernelNames } from '@photoncloud/actors/dataplane/kernel-names';
import { tapBusy, tapMissing } from '@photoncloud/actors/dataplane/tap/tap-errors';
import type { NicStanding } from '@photoncloud/machines/values/device-slots';
import type { IncarnationNic } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { askToRelease } from './simulated-disks.ts';
import type { QemuProcess, SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

const names = new KernelNames('sim');
export const tapOf = ({ binding, bindingUid }: IncarnationNic): string =>
  names.tapOf({ actor: binding, uid: bindingUid });

/** The guest was asked to release what it has beside the wanted ones. */
export function leaveNics(site: SimulatedSite, found: QemuProcess, nics: DevicePlug['nics']): void {
  if (nics === undefined) return;
  if (found.spec.nicSlots === undefined) throw plugUnsupported(found.owner.actor);
  for (const { bindingUid } of found.spec.nics)
    if (!nics.some((nic) => nic.bindingUid === bindingUid)) askToRelease(site, found, bindingUid);
}

/** QEMU closes the taps of these and of those that no NIC of the guest has any more. */
function closeTaps(kernel: SimulatedKernel, found: QemuProcess, wanted: readonly IncarnationNic[]): void {
  const open = new Set([...found.spec.nics, ...wanted].map(tapOf));
  for (const tap of kernel.taps.values()) if (tap.heldBy === found.pid && !open.has(tap.name)) tap.heldBy = null;
}

export function plugNics(
  kernel: SimulatedKernel,
  found: QemuProcess,
  { nics, wired = [] }: Pick<DevicePlug, 'nics' | 'wired'>,
): readonly NicStanding[] {
  if (nics === undefined) return [];
  closeTaps(kernel, found, nics);
  const standings = nics.map((nic): NicStanding => {
    const { port, bindingUid } = nic;
    if (found.leaving.has(bindingUid)) return { port, standing: 'leaving', error: null };
    if (found.spec.nics.some((had) => had.bindingUid === bindingUid)) return { port, standing: 'plugged', error: null };
    try {
      openTap(kernel, found, nic);
    } catch (error) {
      if (!(error instanceof PhotonError)) throw error;
      const { code, message, group } = error.record;
      return { port, standing: 'failed', error: { code, message, retryable: group === 'fault' } };
    }
    if (!wired.includes(nic.binding)) return { port, standing: 'opened', error: null };
    found.spec = { ...found.spec, nics: [...found.spec.nics, nic] };
    kernel.record({ fact: 'nic.given', vm: found.spec.vm, port, tap: tapOf(nic) });
    return { port, standing: 'plugged', error: null };
  });
  const others = found.spec.nics.filter(({ port }) => !nics.some((nic) => nic.port === port));
  return [...standings, ...others.map(({ port }) => ({ port, standing: 'leaving', error: null }) as const)];
}

function openTap(kernel: SimulatedKernel, found: QemuProcess, nic: IncarnationNic): void {
  const name = tapOf(nic);
  const tap = kernel.findTap(name);
  if (tap?.heldBy === found.pid) return;
  if (tap === undefined || tap.vpc !== null) throw tapMissing(name, nic.port);
  if (tap.heldBy !== null) throw tapBusy(name);
  tap.heldBy = found.pid;
}
