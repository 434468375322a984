/** The gateway part of the dataplane. Called by linux-dataplane.ts only. */
import type { GatewayDataplane } from '../contract/gateway-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fencedChange } from '../network-operations.ts';
import { checkCount } from '../wiring-checks.ts';
import { beatReached } from './gateway-permit.ts';
import { checkGateway, watchGateway } from './gateway-watch.ts';
import { checkGatewayAsk } from './router-checks.ts';

const longestMs = 3_600_000;

export function gatewayOperations(site: DataplaneSite): GatewayDataplane {
  const change = fencedChange(site);
  return {
    checkGateway: async (ask, call) => {
      checkGatewayAsk(site.names, ask);
      return change('gateway', `gateway ${ask.network}`, ask.owner, call, () => checkGateway(site, ask));
    },
    watchGateway: async (ask, call) => {
      checkGatewayAsk(site.names, ask);
      // It begins as a change does, and then lasts.
      await change('gateway', `gateway ${ask.network}`, ask.owner, call, async () => {});
      return watchGateway(site, ask, call);
    },
    beatReached: async (agoMs) => {
      checkCount('agoMs', Math.ceil(agoMs), 0, longestMs);
      await beatReached(site, agoMs);
    },
  };
}
