/**
 * Checks of backends on a simulated host: a backend answers while its port is wired in the VPC. Called by
 * simulated-dataplane.ts.
 */
import type { ServiceDataplane } from '@photoncloud/actors/dataplane/contract/service-contract';
import { segmentMissing } from '@photoncloud/actors/dataplane/segment/segment-errors';
import type { CheckedBackend } from '@photoncloud/machines/values/service-elements';
import type { SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

/** Whether something answers at this address of the VPC on this host. */
export function answers(kernel: SimulatedKernel, vpc: string, address: string): boolean {
  const tap = [...kernel.taps.values()].find(({ wiring }) => wiring?.vpc === vpc && wiring.address === address);
  return tap !== undefined;
}

export function simulatedServices(site: SimulatedSite): ServiceDataplane {
  const { kernel } = site;
  return {
    checkBackends: async ({ spec: { vpc }, backends, once }, call) => {
      call.signal.throwIfAborted();
      if (!kernel.segments.has(vpc)) throw segmentMissing(vpc);
      const look = (): readonly CheckedBackend[] =>
        backends.map(({ address }) => {
          const healthy = answers(kernel, vpc, address);
          return { address, healthy, streak: 0, detail: healthy ? 'connection accepted' : 'no answer to ARP' };
        });
      const isNews = (seen: readonly CheckedBackend[]): boolean =>
        once || seen.some(({ healthy }, index) => healthy !== backends[index]?.healthy);
      return site.watch(call.signal, () => {
        const seen = look();
        return isNews(seen) ? seen : null;
      });
    },
  };
}
