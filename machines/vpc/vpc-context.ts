/** What a VPC remembers, and the plain arithmetic on it. Where each address is stands in rows `location/<address>`. */
import { idOf, partsOfId } from '../values/identifiers.ts';
import { sameJson, type Failure } from '../values/failures.ts';
import type { HostFacts, NetworkSpec, RouteSpec, SegmentSpec } from '../values/wiring.ts';

/** The VPC on one host, as wanted and as last acknowledged. */
export interface SegmentView {
  readonly facts: HostFacts;
  readonly generation: number;
  /** Highest generation the segment has proved; 0 before the first. */
  readonly acknowledged: number;
  readonly networks: Readonly<Record<string, NetworkSpec>>;
  /** It has been told to go; nothing else is said to it until it is gone. */
  readonly removing: boolean;
  readonly failure: Failure | null;
}

/** A port that waits for its network on a host. */
export interface Waiting {
  readonly port: string;
  readonly host: HostFacts;
  readonly network: NetworkSpec;
  /** Answered once the segment has proved this generation. */
  readonly generation: number;
}

/** Row `location/<address>`. */
export interface Location {
  readonly port: string;
  /** Index of the host. */
  readonly host: number;
}

export interface VpcContext {
  readonly id: string;
  readonly uid: string;
  readonly vni: number;
  /** CIDRs by network. */
  readonly networks: Readonly<Record<string, readonly string[]>>;
  readonly segments: Readonly<Record<string, SegmentView>>;
  readonly waiting: readonly Waiting[];
  /** Networks that are to go and which some host may still have; their CIDRs stay claimed until then. */
  readonly withdrawing: Withdrawing;
  /** Commands that wait for the VPC to be ready, or to be gone. */
  readonly waiters: readonly string[];
}

export const nameOf = (context: VpcContext): string => partsOfId(context.id).name;
export const tenantOf = (context: VpcContext): string => partsOfId(context.id).tenant;
export const segmentId = (context: VpcContext, host: string): string =>
  idOf('segment', tenantOf(context), nameOf(context), host);

/** Every location but those on the segment's own host. */
export function routesFor(view: SegmentView, locations: Readonly<Record<string, Location>>): readonly RouteSpec[] {
  return Object.entries(locations)
    .filter(([, location]) => location.host !== view.facts.index)
    .map(([address, location]) => ({ address, host: location.host }));
}

export function specFor(
  context: VpcContext,
  view: SegmentView,
  locations: Readonly<Record<string, Location>>,
): SegmentSpec {
  const others = Object.values(context.segments).filter(
    (other) => !other.removing && other.facts.name !== view.facts.name,
  );
  return {
    // The segment puts its own uid here: this actor does not know which life of the counterpart will read it.
    owner: { actor: segmentId(context, view.facts.name), uid: '', runEpoch: 1 },
    vpc: context.id,
    vni: context.vni,
    self: view.facts,
    peers: others.map((other) => other.facts),
    networks: Object.values(view.networks),
    routes: routesFor(view, locations),
    generation: view.generation,
  };
}

/** True when the host's segment has proved that it has this very network, seen from this very host. */
export function provides(view: SegmentView | undefined, host: HostFacts, network: NetworkSpec): boolean {
  return (
    view !== undefined &&
    !view.removing &&
    view.failure === null &&
    view.acknowledged >= view.generation &&
    sameJson(view.facts, host) &&
    sameJson(view.networks[network.network], network)
  );
}

/** VXLAN over IPv4: outer Ethernet, IP and UDP headers, and its own. */
const overlayBytes = 50;

/**
 * Why the host and the network cannot come together in the VPC, or undefined when they can. Asked before a segment
 * wants them: a segment is realised whole or not at all, so one network that is too large would stop all others.
 */
export function tooLarge(segments: VpcContext['segments'], host: HostFacts, network: NetworkSpec): string | undefined {
  const living = Object.values(segments).filter((view) => !view.removing);
  const hosts = [host, ...living.map((view) => view.facts).filter(({ name }) => name !== host.name)];
  const narrowest = hosts.reduce((least, each) => (each.underlayMtu < least.underlayMtu ? each : least));
  const carried = narrowest.underlayMtu - overlayBytes;
  const networks = [network, ...living.flatMap((view) => Object.values(view.networks))];
  const large = networks.find(({ mtu }) => mtu > carried);
  if (large === undefined) return undefined;
  const which = `${large.network} declares an MTU of ${large.mtu}, but the underlay of host ${narrowest.name} carries`;
  return `${which} ${carried} inside the overlay; lower the network's MTU or raise the underlay's`;
}

/** Wants the network on the host: which segments have to be realised anew after that. */
export interface Change {
  readonly segments: VpcContext['segments'];
  /** Names of the hosts whose desired segment has changed. */
  readonly changed: readonly string[];
}

const raised = (view: SegmentView): SegmentView => ({ ...view, generation: view.generation + 1, failure: null });

/** Every other living segment, raised, because its peers have changed. */
function withPeersRaised(segments: VpcContext['segments'], except: string): Change {
  const entries = Object.entries(segments).map(([host, view]): [string, SegmentView] =>
    host === except || view.removing ? [host, view] : [host, raised(view)],
  );
  const changed = entries.filter(([host, view]) => host !== except && !view.removing).map(([host]) => host);
  return { segments: Object.fromEntries(entries), changed };
}

export function wanting(segments: VpcContext['segments'], host: HostFacts, network: NetworkSpec): Change {
  const view = segments[host.name];
  if (view?.removing === true) return { segments, changed: [] };
  if (view !== undefined && sameJson(view.facts, host)) {
    if (sameJson(view.networks[network.network], network)) return { segments, changed: [] };
    const grown = raised({ ...view, networks: { ...view.networks, [network.network]: network } });
    return { segments: { ...segments, [host.name]: grown }, changed: [host.name] };
  }
  const peers = withPeersRaised(segments, host.name);
  const before: SegmentView = view ?? {
    facts: host,
    generation: 0,
    acknowledged: 0,
    networks: {},
    removing: false,
    failure: null,
  };
  const made = raised({ ...before, facts: host, networks: { ...before.networks, [network.network]: network } });
  return { segments: { ...peers.segments, [host.name]: made }, changed: [host.name, ...peers.changed] };
}

/** Takes a network from every segment; one that has no network left is told to go. */
export function withdrawn(
  segments: VpcContext['segments'],
  network: string,
): Change & { readonly emptied: readonly string[] } {
  const result: Record<string, SegmentView> = {};
  const changed: string[] = [];
  const emptied: string[] = [];
  for (const [host, view] of Object.entries(segments)) {
    if (view.networks[network] === undefined) {
      result[host] = view;
      continue;
    }
    const networks = { ...view.networks };
    delete networks[network];
    const removing = view.removing || Object.keys(networks).length === 0;
    result[host] = { ...raised({ ...view, networks }), removing };
    if (!removing) changed.push(host);
    else if (!view.removing) emptied.push(host);
  }
  return { segments: result, changed, emptied };
}

/** The segment is gone: the others lose a peer, and ports that waited for its end get a new one. */
export function without(context: VpcContext, host: string): Change & { readonly waiting: readonly Waiting[] } {
  const rest = { ...context.segments };
  delete rest[host];
  const peers = withPeersRaised(rest, host);
  const late = context.waiting.filter((waiting) => waiting.host.name === host);
  let { segments } = peers;
  for (const waiting of late) segments = wanting(segments, waiting.host, waiting.network).segments;
  const generation = segments[host]?.generation ?? 0;
  const waiting = context.waiting.map((each) => (each.host.name === host ? { ...each, generation } : each));
  return { segments, changed: late.length === 0 ? peers.changed : [host, ...peers.changed], waiting };
}

/** Per network given back: host -> generation that proves its absence there. */
export type Withdrawing = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** The hosts of `withdrawing` that still owe a proof after this host has proved `generation`. */
export function proved(withdrawing: Withdrawing, host: string, generation: number): Withdrawing {
  const entries = Object.entries(withdrawing).map(([network, hosts]): [string, Readonly<Record<string, number>>] => {
    const owed = hosts[host];
    if (owed === undefined || owed > generation) return [network, hosts];
    const { [host]: _, ...rest } = hosts;
    return [network, rest];
  });
  return Object.fromEntries(entries);
}

/** Networks that no host owes a proof for: their CIDRs are free. */
export function settled(withdrawing: Withdrawing): readonly string[] {
  return Object.keys(withdrawing).filter((network) => Object.keys(withdrawing[network] ?? {}).length === 0);
}

export function omit<T>(record: Readonly<Record<string, T>>, keys: readonly string[]): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !keys.includes(key)));
}
