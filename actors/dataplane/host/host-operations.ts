/** The host half of the port: observe, sweep, residue. Called by linux-dataplane.ts only. */
import type { HostDataplane } from '../contract/host-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import type { MachineSessions } from '../hypervisor/machine-session.ts';
import { findHost } from './host-finds.ts';
import { observe } from './host-observation.ts';
import { listResidue } from './host-residue.ts';
import { sweepHost } from './host-sweep.ts';

export function hostOperations(site: DataplaneSite, sessions: MachineSessions): HostDataplane {
  return {
    observeHost: () => observe(site),
    sweep: (known, call) => site.locks.hold('sweep', () => sweepHost(site, sessions, known, call.signal)),
    findHost: () => findHost(site),
    residue: () => listResidue(site),
  };
}
