/**
 * Section `static-routes`: where a router of the VPC sends what is not an address of the VPC. Key: the destination, a
 * CIDR; element: `{via}`, the address of a port, or null for nowhere.
 */
import type { Elements } from '@photoncloud/machines/values/wiring';
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { staticRoutesIn } from './router-checks.ts';
import { settleStaticRoutes, startsWithoutStaticRoutes, staticRouteDrift } from './static-routes.ts';

const gone = (removed: Elements, put: Elements): readonly string[] =>
  Object.keys(removed).filter((destination) => put[destination] === undefined);

export const staticRoutesSection: SegmentSection = {
  name: 'static-routes',
  after: ['overlay', 'networks', 'routes'],
  check: (elements) => void staticRoutesIn(elements),

  startsEmpty: (_, link) => startsWithoutStaticRoutes(link),

  ensure: async (place, elements) =>
    settleStaticRoutes(await linkInto(place), place.segment.vpc, staticRoutesIn(elements), 'all'),

  change: async (place, { put, removed }) =>
    settleStaticRoutes(await linkInto(place), place.segment.vpc, staticRoutesIn(put), gone(removed, put)),

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    return { facts: {}, drift: await staticRouteDrift(link, staticRoutesIn(wanted), gone(unwanted, wanted)) };
  },

  // The namespace takes them along.
  remove: async () => {},
};
