/**
 * Section `routes`: addresses of ports that other hosts hold, a /32 route each. Key: the address.
 * A list of all of them never displaces the route of a port that is wired here: its own wiring is newer than any list.
 * An increment does (it is how a moved port leaves this host), and takes away only the very route that it names.
 * The routes of a port that only stands by here lead to the host that has it, as those of any other port.
 */
import type { RouteSpec } from '@photoncloud/machines/values/wiring';
import { readHoldings } from '../dhcp/dhcp-hosts.ts';
import { overlayIndex } from '../kernel-names.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { followNextHops } from '../router/static-routes.ts';
import { linkInto, type SectionPlace, type SegmentSection } from '../segment/segment-section.ts';
import { routesIn } from '../wiring-checks.ts';
import { changeRoutes, ensureRoutes, readRemoteRoutes } from './overlay-device.ts';

/** So many are asked for one by one; more, and the whole table is listed once. */
const fewRoutes = 16;

const localIn = async ({ site, namespace }: SectionPlace): Promise<ReadonlySet<string>> =>
  new Set(
    (await readHoldings(site.folders.dhcp, namespace)).filter(({ standby }) => !standby).map(({ address }) => address),
  );

/** Address -> index of the host it leads to, of these routes. */
async function routesNow(link: NamespaceLink, routes: readonly RouteSpec[]): Promise<ReadonlyMap<string, number>> {
  if (routes.length > fewRoutes) return readRemoteRoutes(link);
  const found = await Promise.all(
    routes.map(async ({ address }) => {
      const [route] = await link.routesTo(`${address}/32`);
      return [address, overlayIndex(route?.gateway ?? '')] as const;
    }),
  );
  return new Map(found.flatMap(([address, host]) => (host === undefined ? [] : [[address, host] as const])));
}

export const routesSection: SegmentSection = {
  name: 'routes',
  after: ['overlay'],
  check: (elements) => void routesIn(elements),

  ensure: async (place, elements) => {
    const link = await linkInto(place);
    await ensureRoutes(link, routesIn(elements), await localIn(place));
    await followNextHops(link);
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    const gone = routesIn(removed);
    const actual = gone.length === 0 ? new Map<string, number>() : await routesNow(link, gone);
    const stale = gone.filter(({ address, host }) => actual.get(address) === host);
    await changeRoutes(link, place.segment.vpc, routesIn(put), stale);
    await followNextHops(link);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const [added, gone] = [routesIn(wanted), routesIn(unwanted)];
    const [actual, local] = await Promise.all([routesNow(link, [...added, ...gone]), localIn(place)]);
    const drift = [
      ...added
        .filter(({ address, host }) => !local.has(address) && actual.get(address) !== host)
        .map(({ address }) => `no route to ${address}`),
      ...gone
        .filter(({ address, host }) => actual.get(address) === host)
        .map(({ address }) => `still a route to ${address}`),
    ];
    return { facts: {}, drift };
  },

  // They go with vx0.
  remove: async () => {},
};
