/**
 * The gateway part of the simulated dataplane: uplinks are as they are declared, the other gateway host answers while
 * it has power and the underlay carries, and the permit is a time in the kernel, as in actors/dataplane/router: begun
 * by a watch, renewed by beats that reached the store, never begun again by a watch in which it ran out. Each permit is
 * a fact for K22. Called by simulated-dataplane.ts.
 */
import type { GatewayDataplane } from '@photoncloud/actors/dataplane/contract/gateway-contract';
import { checkGatewayAsk } from '@photoncloud/actors/dataplane/router/router-checks';
import { gatewayDoubtMs, gatewayPermitMs, gatewaySilenceMs } from '@photoncloud/machines/values/router-elements';
import { names } from './simulated-sections.ts';
import type { SimulatedSite } from './simulated-site.ts';

const echoEveryMs = 200;

/** A watch that keeps the permit. */
interface Lead {
  readonly network: string;
  untilMs: number;
}

export function simulatedGateways(site: SimulatedSite): GatewayDataplane {
  const { kernel, options } = site;
  const nowMs = (): number => kernel.nowMs();
  const leads = new Map<string, Lead>();
  let beatMs = -Infinity;

  const give = (lead: Lead, untilMs: number): void => {
    lead.untilMs = untilMs;
    kernel.permit(lead.network, untilMs);
  };
  const end = (network: string): void => {
    leads.delete(network);
    kernel.permit(network, nowMs());
  };
  /** The permit that the kernel still has, or a new one that counts from the last beat. */
  const begin = (network: string, recovered: boolean): Lead => {
    const had = kernel.permits.get(network) ?? 0;
    const lead: Lead = { network, untilMs: had };
    leads.set(network, lead);
    if (!recovered) give(lead, Math.max(had, beatMs + gatewayPermitMs));
    return lead;
  };

  return {
    checkGateway: async (ask, call) => {
      checkGatewayAsk(names, ask);
      const { network, owner, leads: isToLead, uplink } = ask;
      return site.change('checkGateway', 'gateway', `gateway ${network}`, owner, call, () => {
        if (!isToLead) end(network);
        return { ifindex: 2, mtu: uplink.mtu, mac: '02:00:00:00:00:01' };
      });
    },
    watchGateway: async (ask, call) => {
      checkGatewayAsk(names, ask);
      const { network, peer, leads: isToLead } = ask;
      const heard = peer?.heard ?? true;
      const lead = isToLead && peer !== null ? begin(network, call.recovered === true) : undefined;
      let heardMs = heard ? nowMs() : -Infinity;
      try {
        for (;;) {
          call.signal.throwIfAborted();
          if (lead !== undefined && lead.untilMs <= nowMs()) return { heard, lapsed: true };
          if (peer !== null && options.echoes(peer.peer.name)) heardMs = nowMs();
          const hears = peer === null || nowMs() - heardMs < gatewaySilenceMs;
          if (hears !== heard) {
            if (lead !== undefined && !hears) give(lead, Math.min(lead.untilMs, nowMs() + gatewayDoubtMs));
            return { heard: hears, lapsed: false };
          }
          await site.pause(echoEveryMs);
        }
      } finally {
        if (leads.get(network) === lead) leads.delete(network);
      }
    },
    beatReached: async (agoMs) => {
      beatMs = Math.max(beatMs, nowMs() - agoMs);
      for (const lead of leads.values())
        if (lead.untilMs > nowMs()) give(lead, Math.max(lead.untilMs, beatMs + gatewayPermitMs));
    },
  };
}
