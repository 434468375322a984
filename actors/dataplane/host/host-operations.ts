/** The host part of the dataplane: observe, sweep, inventory, residue. Called by linux-dataplane.ts only. */
import type { HostDataplane } from '../contract/host-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readDescriptors } from '../descriptor-reserve.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { readInventory } from './host-inventory.ts';
import { observe, readDisk } from './host-observation.ts';
import { listResidue } from './host-residue.ts';
import { sweepHost } from './host-sweep.ts';

export function hostOperations(site: DataplaneSite, sessions: IncarnationSessions): HostDataplane {
  return {
    observeHost: () => observe(site),
    readDisk: () => readDisk(site),
    sweep: (known, call) => site.locks.hold('sweep', () => sweepHost(site, sessions, known, call.signal)),
    readDescriptors,
    readInventory: () => readInventory(site),
    residue: () => listResidue(site),
  };
}
