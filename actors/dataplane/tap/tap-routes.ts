/**
 * The /32 routes of a wired tap. They lead to its bridge where the port is active. Of a port that only stands by here
 * they lead to the host that has it: packets that come here are forwarded there, before the port moves to this host and
 * after it has left. Called by tap-wiring.ts. Promise: a route that another tap of this host needs stays.
 */
import type { TapSpec } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { command, type Command } from '../kernel-command.ts';
import { overlayAddress, vxlanName } from '../kernel-names.ts';
import type { KernelRoute, NamespaceLink } from '../namespace-link.ts';
import { addRemoteRoute, deleteLocalRoute } from '../overlay/overlay-device.ts';
import { heldByOthers } from './tap-removal.ts';

export const standsBy = ({ activeHost }: TapSpec): boolean => activeHost !== undefined;

export const shownRoute = ({ dst, dev, gateway }: KernelRoute): string =>
  gateway === undefined ? `${dst} dev ${dev}` : `${dst} via ${gateway} dev ${dev}`;

const leadsTo = (route: KernelRoute | null | undefined, host: number): boolean =>
  route?.dev === vxlanName && route.gateway === overlayAddress(host);

/** The commands that set the routes of all its addresses. */
export async function routesOf(
  site: DataplaneSite,
  link: NamespaceLink,
  spec: TapSpec,
  tap: string,
  bridge: string,
): Promise<readonly Command[]> {
  const { activeHost, address, pairs = [] } = spec;
  const addresses = [address, ...pairs.map((pair) => pair.address)];
  if (activeHost === undefined) return addresses.map((one) => command`route replace ${one}/32 dev ${bridge}`);
  const others = await heldByOthers(site, String(link.name), [tap]);
  const commands = addresses
    .filter((one) => !others.has(one))
    .map(async (one) => {
      const [route] = await link.routesTo(`${one}/32`);
      if (leadsTo(route, activeHost)) return [];
      const away = addRemoteRoute({ address: one, host: activeHost });
      return route?.dev === bridge ? [away, deleteLocalRoute(one, bridge)] : [away];
    });
  return (await Promise.all(commands)).flat();
}

export function routeDrift({ activeHost }: TapSpec, bridge: string, route: KernelRoute | null): readonly string[] {
  if (activeHost !== undefined) {
    if (leadsTo(route, activeHost)) return [];
    return [route?.dev === bridge ? 'stands by, but has the route' : 'no route to the host that has it'];
  }
  if (route?.dev === bridge) return [];
  return [route?.dev === vxlanName ? 'its route points to another host' : 'no route'];
}
