/**
 * Static routes of a VPC on this host. A next hop is the address of a port; where that port is, the /32 route of its
 * address says, which every host has (section `routes` and the wiring of taps). So each host leads a static route there
 * itself, and again when the address has moved: no increment of the section is needed for that. While nobody has the
 * address, packets are answered as unreachable.
 *
 * The kernel remembers everything: a static route has a protocol number of its own, and its metric is the next hop as a
 * number, or `noNextHop`. A destination has one static route, so its metric orders nothing, and it is smaller than that
 * of the way out, which a route of the tenant to 0.0.0.0/0 therefore replaces.
 * Called by static-routes-section.ts, and by whatever changes the /32 routes of ports.
 */
import { command, joined } from '../kernel-command.ts';
import type { Command } from '../kernel-command.ts';
import { overlayIndex, vxlanName } from '../kernel-names.ts';
import type { KernelRoute, NamespaceLink } from '../namespace-link.ts';
import { ObjectLocks } from '../object-locks.ts';
import { overlayErrors } from '../overlay/overlay-errors.ts';
import { addressNumber, addressText } from '../wiring-checks.ts';
import type { StaticRoutes } from './router-checks.ts';

const protocol = 80;
/** No address of a port. */
const noNextHop = 1;

const metricOf = (via: string | null): number => (via === null ? noNextHop : addressNumber(via));

/** How a packet to the next hop goes now. */
type Lead =
  | { readonly type: 'unicast'; readonly gateway: string; readonly dev: string }
  | { readonly type: 'unreachable' | 'blackhole' };

export interface FoundRoute {
  readonly via: string | null;
  readonly lead: Lead;
}

/** As `ip` prints them: a /32 without its length, everything as a word. */
const destinationOf = (printed: string): string =>
  printed === 'default' ? '0.0.0.0/0' : printed.includes('/') ? printed : `${printed}/32`;

const leadOf = ({ type, gateway, dev }: KernelRoute): Lead => {
  if (type === 'blackhole') return { type };
  return gateway === undefined || dev === undefined ? { type: 'unreachable' } : { type: 'unicast', gateway, dev };
};

/** Static routes in the kernel by destination; of a destination that has several, all. */
export async function readStaticRoutes(link: NamespaceLink): Promise<ReadonlyMap<string, readonly FoundRoute[]>> {
  const found = new Map<string, FoundRoute[]>();
  for (const route of await link.routesBy(protocol)) {
    const destination = destinationOf(route.dst);
    const via = route.metric === noNextHop ? null : addressText(route.metric ?? 0);
    found.set(destination, [...(found.get(destination) ?? []), { via, lead: leadOf(route) }]);
  }
  return found;
}

const sameLead = (a: Lead, b: Lead): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Where the next hop is, by its own route. */
async function resolve(link: NamespaceLink, via: string | null): Promise<Lead> {
  if (via === null) return { type: 'blackhole' };
  const [route] = await link.routesTo(`${via}/32`);
  if (route?.dev === undefined) return { type: 'unreachable' };
  if (route.gateway === undefined) return { type: 'unicast', gateway: via, dev: route.dev };
  return route.dev === vxlanName && overlayIndex(route.gateway) !== undefined
    ? { type: 'unicast', gateway: route.gateway, dev: vxlanName }
    : { type: 'unreachable' };
}

async function resolveAll(link: NamespaceLink, hops: Iterable<string | null>) {
  const leads = await Promise.all([...new Set(hops)].map(async (via) => [via, await resolve(link, via)] as const));
  return new Map(leads);
}

function replacing(destination: string, via: string | null, lead: Lead): Command {
  const metric = metricOf(via);
  const mark = command`metric ${metric} proto ${protocol}`;
  return lead.type === 'unicast'
    ? joined(command`route replace ${destination} via ${lead.gateway} dev ${lead.dev} onlink`, mark)
    : joined(command`route replace ${lead.type} ${destination}`, mark);
}

const deleting = (destination: string, via: string | null): Command =>
  command`route delete ${destination} metric ${metricOf(via)} proto ${protocol}`;

/** What this process knows to be in the kernel, so that a port that comes or goes costs no listing. */
const knownRoutes = new WeakMap<NamespaceLink, Map<string, string | null>>();
const turns = new WeakMap<NamespaceLink, ObjectLocks>();

function inTurn<Result>(link: NamespaceLink, work: () => Promise<Result>): Promise<Result> {
  const locks = turns.get(link) ?? new ObjectLocks();
  turns.set(link, locks);
  return locks.hold('static routes', work);
}

/** Its namespace is new. */
export const startsWithoutStaticRoutes = (link: NamespaceLink): void => void knownRoutes.set(link, new Map());

/** A worker that has just started reads them once. */
async function known(link: NamespaceLink): Promise<Map<string, string | null>> {
  const had = knownRoutes.get(link);
  if (had !== undefined) return had;
  const read = [...(await readStaticRoutes(link))].map(([to, routes]) => [to, routes[0]?.via ?? null] as const);
  const now = new Map(read);
  knownRoutes.set(link, now);
  return now;
}

/** Makes these, and of the destinations given takes away every other; with `all`, of all destinations. */
export function settleStaticRoutes(
  link: NamespaceLink,
  vpc: string,
  wanted: StaticRoutes,
  gone: readonly string[] | 'all',
): Promise<void> {
  return inTurn(link, async () => {
    const [actual, leads] = await Promise.all([readStaticRoutes(link), resolveAll(link, wanted.values())]);
    const touched = gone === 'all' ? [...actual.keys()] : [...gone, ...wanted.keys()];
    const commands = [
      ...[...wanted].flatMap(([to, via]) => {
        const lead = leads.get(via) ?? { type: 'unreachable' };
        const stands = actual.get(to)?.some((one) => one.via === via && sameLead(one.lead, lead)) === true;
        return stands ? [] : [replacing(to, via, lead)];
      }),
      ...touched.flatMap((to) =>
        (actual.get(to) ?? [])
          .filter(({ via }) => !wanted.has(to) || wanted.get(to) !== via)
          .map(({ via }) => deleting(to, via)),
      ),
    ];
    knownRoutes.delete(link);
    await link.ip(`setting static routes of ${vpc}`, commands, overlayErrors);
    const left = [...actual].filter(([to]) => !touched.includes(to)).map(([to, [first]]) => [to, first?.via ?? null]);
    knownRoutes.set(link, new Map([...left, ...wanted] as [string, string | null][]));
  });
}

/** The /32 routes of ports have changed: routes over them are led where they are now. */
export async function followNextHops(link: NamespaceLink): Promise<void> {
  if (knownRoutes.get(link)?.size === 0) return;
  await inTurn(link, async () => {
    const led = [...(await known(link))].filter(([, via]) => via !== null);
    if (led.length === 0) return;
    const leads = await resolveAll(
      link,
      led.map(([, via]) => via),
    );
    await link.ip(
      'leading static routes to their next hops',
      led.map(([to, via]) => replacing(to, via, leads.get(via) ?? { type: 'unreachable' })),
      overlayErrors,
    );
  });
}

/** What differs from these routes and from where their next hops are now. */
export async function staticRouteDrift(
  link: NamespaceLink,
  wanted: StaticRoutes,
  unwanted: readonly string[],
): Promise<readonly string[]> {
  const [actual, leads] = await Promise.all([readStaticRoutes(link), resolveAll(link, wanted.values())]);
  return [
    ...[...wanted].flatMap(([to, via]) => {
      const [found, ...more] = actual.get(to) ?? [];
      const lead = leads.get(via) ?? { type: 'unreachable' };
      const stands = found?.via === via && sameLead(found.lead, lead) && more.length === 0;
      return stands ? [] : [`the route to ${to} is not as wanted`];
    }),
    ...unwanted.filter((to) => actual.has(to)).map((to) => `still a route to ${to}`),
  ];
}
