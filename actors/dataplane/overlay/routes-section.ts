/**
 * Section `routes`: addresses of ports that other hosts hold, a /32 route each. Key: the address.
 * The route of a port that is wired here hides them: its own wiring is newer than any list of all of them. An increment
 * takes that route away (it is how a moved port leaves this host), and withdraws only the very route that it names.
 * The routes of a port that only stands by here lead to the host that has it, as those of any other port.
 */
import { followNextHops } from '../router/static-routes.ts';
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { routesIn } from '../wiring-checks.ts';
import { changeRoutes, ensureRoutes, readLeads } from './overlay-device.ts';

export const routesSection: SegmentSection = {
  name: 'routes',
  after: ['overlay'],
  check: (elements) => void routesIn(elements),

  ensure: async (place, elements) => {
    const link = await linkInto(place);
    await ensureRoutes(link, routesIn(elements));
    await followNextHops(link);
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    await changeRoutes(link, place.segment.vpc, routesIn(put), routesIn(removed));
    await followNextHops(link);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const [added, gone] = [routesIn(wanted), routesIn(unwanted)];
    const { away } = await readLeads(
      link,
      [...added, ...gone].map(({ address }) => address),
    );
    const drift = [
      ...added.filter(({ address, host }) => away.get(address) !== host).map(({ address }) => `no route to ${address}`),
      ...gone
        .filter(({ address, host }) => away.get(address) === host)
        .map(({ address }) => `still a route to ${address}`),
    ];
    return { facts: {}, drift };
  },

  // They go with vx0.
  remove: async () => {},
};
