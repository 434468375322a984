/**
 * What a gateway host does for an external network as a whole: it looks at the uplink, listens to the other gateway
 * host, and keeps the permit. Called by gateway-operations.ts.
 * Promise: with the end of a watch nothing of it goes on but the permit, which then runs out by itself.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { GatewayAsk, GatewayPeer, UplinkProof, UplinkSpec } from '@photoncloud/machines/values/router-elements';
import type { Call } from '../contract/call-contract.ts';
import type { GatewayWatched } from '../contract/gateway-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { uplinkDown, uplinkMissing, uplinkMtu, uplinkUnfit } from './gateway-errors.ts';
import { endPermit, keepPermit } from './gateway-permit.ts';
import { listenTo } from './gateway-probe.ts';

const lookEveryMs = 1_000;

/** @throws fault `uplink_missing`, `uplink_down`; defeat `uplink_mtu`, `uplink_unfit` */
export async function readUplink(site: DataplaneSite, uplink: UplinkSpec): Promise<UplinkProof> {
  const { links, options } = site;
  const found = await links.host.link(uplink.interface);
  if (found === null) throw uplinkMissing(options.host, uplink.interface);
  if (found.address === undefined || found.flags.includes('LOOPBACK'))
    throw uplinkUnfit(options.host, uplink.interface);
  if (!found.flags.includes('UP')) throw uplinkDown(options.host, uplink.interface);
  if (found.mtu < uplink.mtu) throw uplinkMtu(options.host, uplink, found.mtu);
  return { ifindex: found.ifindex, mtu: found.mtu, mac: found.address };
}

export async function checkGateway(site: DataplaneSite, ask: GatewayAsk): Promise<UplinkProof> {
  if (!ask.leads) await endPermit(site, ask.network);
  // Another interface of that name may have come since it was last looked at.
  site.links.host.appeared(ask.uplink.interface);
  return readUplink(site, ask.uplink);
}

/** Rejects when the uplink is not as it is to be any more. */
async function untilUplinkFails(site: DataplaneSite, uplink: UplinkSpec, signal: AbortSignal): Promise<never> {
  for (;;) {
    await readUplink(site, uplink);
    await pause(lookEveryMs, undefined, { signal });
  }
}

type Ask = GatewayAsk & { readonly peer: GatewayPeer | null };

export async function watchGateway(site: DataplaneSite, ask: Ask, call: Call): Promise<GatewayWatched> {
  const { peer, network, uplink, leads } = ask;
  call.signal.throwIfAborted();
  const heard = peer?.heard ?? true;
  // Nobody replaces a gateway host that is the only one.
  const permit = leads && peer !== null ? await keepPermit(site, network, call.recovered === true) : undefined;
  if (permit === null) return { heard, lapsed: true };
  const ended = new AbortController();
  const signal = AbortSignal.any([call.signal, ended.signal]);
  const works: readonly Promise<GatewayWatched>[] = [
    untilUplinkFails(site, uplink, signal),
    ...(permit === undefined ? [] : [permit.lapsed.then(() => ({ heard, lapsed: true }))]),
    ...(peer === null
      ? []
      : [
          listenTo(peer.peer.underlay, heard, signal).then(async (now) => {
            if (!now) await permit?.doubt();
            return { heard: now, lapsed: false };
          }),
        ]),
  ];
  try {
    return await Promise.race(works);
  } finally {
    permit?.close();
    ended.abort(new Error('the watch has ended'));
    // Those that were not the first end with that.
    await Promise.allSettled(works.filter((_, index) => index !== 1 || permit === undefined));
  }
}
