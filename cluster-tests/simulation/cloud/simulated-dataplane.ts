/**
 * The dataplane of a simulated host: the port of actors/dataplane/contract over an in-memory kernel, with faults. There
 * is one for each boot of a worker process; the kernel outlives it. cloud-hosts.ts creates it where worker-node.ts of
 * actors/photon creates the real one; dataplane-conformance.test.ts compares the results of both.
 */
import type { Dataplane } from '@photoncloud/actors/dataplane/contract/dataplane-contract';
import { simulatedExports } from './simulated-exports.ts';
import { simulatedGateways } from './simulated-gateways.ts';
import { simulatedHost } from './simulated-host.ts';
import { simulatedIncarnations } from './simulated-incarnations.ts';
import { simulatedSegments } from './simulated-segments.ts';
import { simulatedServices } from './simulated-services.ts';
import { simulatedMigrations } from './simulated-migrations.ts';
import { SimulatedSite, type SiteOptions } from './simulated-site.ts';
import { simulatedSnapshots } from './simulated-snapshots.ts';
import { simulatedStorage } from './simulated-storage.ts';

export interface SimulatedDataplane extends Dataplane {
  /** Its process was killed: no call is answered any more; each pending operation has been applied or not. */
  kill(): void;
}

export function createSimulatedDataplane(options: SiteOptions): SimulatedDataplane {
  const site = new SimulatedSite(options);
  return {
    ...simulatedSegments(site),
    ...simulatedServices(site),
    ...simulatedGateways(site),
    ...simulatedIncarnations(site),
    ...simulatedMigrations(site),
    ...simulatedStorage(site),
    ...simulatedExports(site),
    ...simulatedSnapshots(site),
    ...simulatedHost(site),
    kill: () => site.kill(),
    close: () => {
      site.kill();
      return Promise.resolve();
    },
  };
}
