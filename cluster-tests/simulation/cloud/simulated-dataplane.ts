/**
 * The dataplane of a simulated host: the port of actors/dataplane/contract over an in-memory kernel, with faults.
 * One per life of a worker process; the kernel below outlives it. cloud-node.ts makes it where worker-node.ts makes the
 * real one, and dataplane-conformance.test.ts holds both to the same answers.
 */
import type { Dataplane } from '@photoncloud/actors/dataplane/contract/dataplane-contract';
import { simulatedHost } from './simulated-host.ts';
import { simulatedIncarnations } from './simulated-incarnations.ts';
import { simulatedSegments } from './simulated-segments.ts';
import { SimulatedSite, type SiteOptions } from './simulated-site.ts';
import { simulatedStorage } from './simulated-storage.ts';

export interface SimulatedDataplane extends Dataplane {
  /** The process was killed: nothing is heard of any more, and what was under way has happened or has not. */
  kill(): void;
}

export function createSimulatedDataplane(options: SiteOptions): SimulatedDataplane {
  const site = new SimulatedSite(options);
  return {
    ...simulatedSegments(site),
    ...simulatedIncarnations(site),
    ...simulatedStorage(site),
    ...simulatedHost(site),
    kill: () => site.kill(),
    close: () => {
      site.kill();
      return Promise.resolve();
    },
  };
}
