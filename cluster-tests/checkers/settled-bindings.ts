/**
 * K13 for the places of ports and runs, once no fault is active: a VM has one incarnation, a port one binding and one
 * more where it stands by, and nobody has another, whatever was moved before. A port that stands by on a host has a tap
 * there with everything but the route, no other tap stands by, and from every host of a VPC the addresses of a port,
 * those of its pairs included, lead to the host where it is active. Pure; called by settled-cloud.ts.
 */
import { expandedPairs, type DeclaredPairs } from '@photoncloud/machines/values/address-pairs';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

interface PlacedTap {
  readonly tap: string;
  readonly port: string | null;
  readonly address: string | null;
  readonly mac: string | null;
  readonly groups: readonly string[];
  /** Addresses of its pairs. */
  readonly pairs?: readonly string[];
  /** It has everything but the route. */
  readonly standby?: boolean;
}

interface Placed {
  readonly host: string;
  readonly taps: readonly PlacedTap[];
  readonly segments: readonly {
    readonly vpc: string;
    /** Index of the host among those of the cluster. */
    readonly self?: number;
    /** Address -> index of the host that its route leads to. Absent where routes are not known. */
    readonly routes?: ReadonlyMap<string, number>;
  }[];
}

type Locations = ReadonlyMap<string, ReadonlyMap<string, { readonly port?: string; readonly host?: number }>>;

/** Own address first. */
export function addressesOf({ context }: StoredActor): readonly string[] {
  const { grant, spec } = fields(context);
  const { address, mac } = fields(grant);
  if (address === undefined) return [];
  const own = { address: String(address), mac: String(mac) };
  const pairs = expandedPairs((fields(spec)['addressPairs'] ?? []) as DeclaredPairs, own);
  return [own.address, ...pairs.map((pair) => pair.address)];
}

/** Phases of a binding that stands by which go on by themselves. */
const passing = new Set(['resolving', 'segment', 'tap', 'retiring', 'dropping']);

export function wrongStandby(port: StoredActor, groups: readonly string[], hosts: readonly Placed[]): string[] {
  const { id, state, context } = port;
  const { grant, standby } = fields(context);
  const { host, phase, runEpoch } = fields(standby);
  const found = hosts.flatMap(({ host: at, taps }) =>
    taps.filter((tap) => tap.port === id && tap.standby === true).map((tap) => ({ ...tap, at })),
  );
  // A port that could not be moved says so and stays as it is: the former still has its addresses.
  if (passing.has(String(phase)) && state !== 'failed') return [`${id} still is ${String(phase)} on ${String(host)}`];
  if (phase !== 'standing')
    return phase === 'failed' ? [] : found.map(({ at }) => `${id} stands by on ${at}, and need not`);
  const [only] = found;
  const addresses = addressesOf(port);
  const fits =
    found.length === 1 &&
    only?.at === host &&
    only?.mac === fields(grant)['mac'] &&
    [only?.address, ...(only?.pairs ?? [])].join() === addresses.join() &&
    only?.groups.toSorted().join() === groups.join();
  if (fits) return [];
  const wanted = `${addresses.join(' ')} with ${groups.join() || 'no group'} for run ${String(runEpoch)}`;
  return [`${id} stands by on ${String(host)} as ${wanted}, and is wired as ${JSON.stringify(found)}`];
}

/** `vm/a/v` or `port/a/p` -> hosts on which it has a live counterpart of this kind. */
function counterparts(live: ReadonlyMap<string, StoredActor>, kind: string, of: string): Map<string, string[]> {
  const hosts = new Map<string, string[]>();
  for (const id of live.keys()) {
    const [own, tenant, place = ''] = id.split('/');
    const at = place.lastIndexOf('@');
    if (own !== kind || at < 0) continue;
    const object = `${of}/${tenant}/${place.slice(0, at)}`;
    hosts.set(object, [...(hosts.get(object) ?? []), place.slice(at + 1)]);
  }
  return hosts;
}

/** Incarnations and bindings that nobody has a use for, and running VMs and active ports without one. */
export function wrongCounterparts(live: ReadonlyMap<string, StoredActor>): readonly string[] {
  const [runs, bindings] = [counterparts(live, 'incarnation', 'vm'), counterparts(live, 'binding', 'port')];
  const nameOf = (id: string, field: string, of: string): string[] => {
    const name = fields(fields(live.get(id)?.context)[field])[of];
    return typeof name === 'string' ? [name] : [];
  };
  const surplus = (what: string, id: string, hosts: readonly string[], wanted: readonly string[]): string[] =>
    hosts.filter((host) => !wanted.includes(host)).map((host) => `${what} of ${id} on ${host} has no use`);
  const missing = [...live.values()].flatMap(({ id, state }) => {
    const needs = id.startsWith('vm/') && state === 'running' ? runs : undefined;
    const of = id.startsWith('port/') && state === 'active' ? bindings : needs;
    const [host = 'no host'] = nameOf(id, 'host', 'name');
    return of === undefined || of.get(id)?.includes(host) === true
      ? []
      : [`${id} is ${String(state)} on ${host}, and nothing of it is there`];
  });
  return [
    ...missing,
    ...[...runs].flatMap(([vm, hosts]) => surplus('an incarnation', vm, hosts, nameOf(vm, 'host', 'name'))),
    ...[...bindings].flatMap(([port, hosts]) =>
      surplus('a binding', port, hosts, [...nameOf(port, 'host', 'name'), ...nameOf(port, 'standby', 'host')]),
    ),
  ];
}

export function wrongRoutes(
  live: ReadonlyMap<string, StoredActor>,
  hosts: readonly Placed[],
  locations: Locations,
): readonly string[] {
  return [...locations].flatMap(([vpc, rows]) => [
    ...[...live.values()].filter((one) => isActiveIn(one, vpc)).flatMap((port) => unlocated(port, vpc, rows)),
    ...[...rows].flatMap(([address, { port = '' }]) => {
      const holder = live.get(port);
      return holder !== undefined && addressesOf(holder).includes(address)
        ? []
        : [`${vpc} says that ${address} is at ${port}, which does not have it`];
    }),
    ...hosts.flatMap(({ host, segments }) =>
      segments.flatMap((segment) =>
        segment.vpc === vpc && isServed(live.get(vpc), host) ? astray(host, segment, rows) : [],
      ),
    ),
  ]);
}

const isActiveIn = ({ id, state, context }: StoredActor, vpc: string): boolean =>
  id.startsWith('port/') && state === 'active' && fields(fields(context)['grant'])['vpc'] === vpc;

/** The VPC is to be on this host. */
function isServed(vpc: StoredActor | undefined, host: string): boolean {
  const view = fields(fields(fields(vpc?.context)['segments'])[host]);
  return view['facts'] !== undefined && view['removing'] !== true;
}

function unlocated(
  port: StoredActor,
  vpc: string,
  rows: ReadonlyMap<string, { readonly port?: string; readonly host?: number }>,
): readonly string[] {
  const { name, index } = fields(fields(port.context)['host']);
  return addressesOf(port).flatMap((address) => {
    const row = rows.get(address);
    if (row?.port === port.id && row.host === index) return [];
    return [`${port.id} is active on ${String(name)}, and ${vpc} has ${address} as ${JSON.stringify(row ?? null)}`];
  });
}

/** Routes of a host that lead elsewhere than to the host that has the address. */
function astray(
  host: string,
  { vpc, self, routes }: Placed['segments'][number],
  rows: ReadonlyMap<string, { readonly port?: string; readonly host?: number }>,
): readonly string[] {
  if (routes === undefined) return [];
  const addresses = new Set([...routes.keys(), ...rows.keys()]);
  return [...addresses].flatMap((address) => {
    const [found, row] = [routes.get(address), rows.get(address)];
    const wanted = row?.host === self ? undefined : row?.host;
    if (found === wanted) return [];
    const leads = found === undefined ? 'to no other host' : `to host ${found}`;
    return [
      `${address} of ${vpc} leads ${leads} from ${host}, and ${row?.port ?? 'nobody'} is on ${row?.host ?? 'none'}`,
    ];
  });
}
