/**
 * Taps of a simulated host: created in the host's namespace, opened by QEMU, moved into the VPC and wired, read,
 * removed. The rules are those of actors/dataplane/tap: a tap that a process holds is never replaced, one that no
 * process holds any more is created anew, and one that already is in its VPC stays there. Called by
 * simulated-segments.ts (with locks and fences held) and by the sweep of simulated-host.ts.
 */
import type {
  TapBroken,
  TapCreated,
  TapReading,
  TapRef,
} from '@photoncloud/actors/dataplane/contract/network-contract';
import { hostLine } from '@photoncloud/actors/dataplane/dhcp/dhcp-config';
import { refuseOlder, sameOwner } from '@photoncloud/actors/dataplane/owner-alias';
import { segmentMissing } from '@photoncloud/actors/dataplane/segment/segment-errors';
import { networkMissing, tapBusy, tapDrifted, tapMissing } from '@photoncloud/actors/dataplane/tap/tap-errors';
import type { AddressPair, TapProof, TapSpec } from '@photoncloud/machines/values/wiring';
import { bridgeOf, type Bridge, type Segment, type SimulatedKernel, type Tap } from './simulated-kernel.ts';
import { heldByOthers, remoteOf, routeTo } from './simulated-routes.ts';

export function makeTap(kernel: SimulatedKernel, spec: TapSpec, name: string): TapCreated {
  const found = kernel.findTap(name);
  if (found !== undefined) {
    refuseOlder(`tap ${name}`, spec.owner, found.owner);
    const ours = sameOwner(found.owner, spec.owner);
    const place = found.vpc === null ? 'host' : 'segment';
    if (ours && place === 'host' && found.mtu === spec.mtu) return { tap: name, ifindex: found.ifindex, place };
    if (ours && found.heldBy !== null) return { tap: name, ifindex: found.ifindex, place };
    if (found.heldBy !== null) throw tapBusy(name);
    kernel.deleteTap(name);
  }
  const ifindex = kernel.next();
  kernel.taps.set(name, { name, ifindex, owner: spec.owner, mtu: spec.mtu, vpc: null, heldBy: null, wiring: null });
  kernel.changed();
  return { tap: name, ifindex, place: 'host' };
}

export function joinTap(kernel: SimulatedKernel, spec: TapSpec, name: string): TapProof {
  const segment = kernel.segments.get(spec.vpc);
  if (segment === undefined) throw segmentMissing(spec.vpc);
  const tap = kernel.findTap(name);
  if (tap === undefined) throw tapMissing(name, spec.port);
  refuseOlder(`tap ${name}`, spec.owner, tap.owner);
  const bridge = segment.bridges.get(spec.network);
  if (bridge === undefined) throw networkMissing(spec.network);
  const { vpc, network, port, mac, address, groups, pairs = [], portSecurity = true } = spec;
  const before = tap.wiring;
  tap.vpc = vpc;
  kernel.taps.set(name, {
    ...tap,
    owner: spec.owner,
    wiring: { vpc, network, port, bridgeIfindex: bridge.ifindex, mac, address, groups, pairs, portSecurity },
  });
  const { activeHost } = spec;
  const standby = activeHost !== undefined;
  const held = segment.dhcpHosts.get(address);
  const isActive = held?.tap === name && !held.standby;
  segment.dhcpHosts.set(address, { tap: name, mac, hostname: spec.hostname, standby, pairs });
  const addresses = [address, ...pairs.map((pair) => pair.address)];
  const others = heldByOthers(segment, [name]);
  for (const one of addresses)
    if (!standby) segment.routes.set(one, bridge.ifindex);
    else if (!others.has(one)) {
      segment.remotes.set(one, activeHost);
      segment.routes.delete(one);
    }
  dropRoutes(
    segment,
    (held?.pairs ?? []).map((pair) => pair.address).filter((one) => !addresses.includes(one)),
    [name, held?.tap ?? name],
  );
  const isSame = before?.address === address && before.mac === mac && before.network === network;
  const isAlike = isSame && sameGroups(before.groups, groups) && samePairs(before.pairs, pairs);
  if (standby && isActive) kernel.record({ fact: 'tap.gone', tap: name });
  if (!standby && !(isAlike && isActive)) {
    const { runEpoch } = spec.owner;
    kernel.record({ fact: 'tap.wired', tap: name, port, vpc, network, mac, address, groups, pairs, runEpoch });
  }
  kernel.changed();
  const reading = readTap(kernel, spec, name);
  if (reading.proof === null || reading.drift.length > 0) throw tapDrifted(name, reading.drift);
  return reading.proof;
}

/** Takes the local routes of these addresses away, except of those that other taps than these have. */
function dropRoutes(segment: Segment, addresses: readonly string[], taps: readonly string[]): void {
  const others = heldByOthers(segment, taps);
  for (const one of addresses) if (!others.has(one)) segment.routes.delete(one);
}

const samePairs = (some: readonly AddressPair[], others: readonly AddressPair[]): boolean =>
  JSON.stringify(some) === JSON.stringify(others);

const sameGroups = (some: readonly string[], others: readonly string[]): boolean =>
  [...some].sort().join(' ') === [...others].sort().join(' ');

const hasPair = ({ wiring }: Tap, address: string): boolean =>
  wiring?.pairs.some((pair) => pair.address === address) === true;

const isLocal = (segment: Segment, address: string, bridge: Bridge | undefined): boolean => {
  const route = routeTo(segment, address);
  return route !== undefined && 'bridge' in route && route.bridge === bridge?.ifindex;
};

/** Of its pairs those whose packets reach the tap; of a tap that stands by, routes are not looked at. */
function pairsAt(kernel: SimulatedKernel, tap: Tap, segment: Segment, { pairs = [], activeHost }: TapSpec) {
  const bridge = bridgeOf(kernel, tap);
  return pairs.filter(
    ({ address }) => hasPair(tap, address) && (activeHost !== undefined || isLocal(segment, address, bridge)),
  );
}

function routeDrift({ activeHost, address }: TapSpec, segment: Segment, bridge: Bridge | undefined): string[] {
  const remote = remoteOf(segment, address);
  const isHere = isLocal(segment, address, bridge);
  if (activeHost !== undefined) {
    if (remote === activeHost) return [];
    return [isHere ? 'stands by, but has the route' : 'no route to the host that has it'];
  }
  if (isHere) return [];
  return [remote === undefined ? 'no route' : 'its route points to another host'];
}

export function readTap(kernel: SimulatedKernel, spec: TapSpec, name: string): TapReading {
  const tap = kernel.findTap(name);
  if (tap === undefined) return { place: 'none', owner: null, carrier: false, proof: null, drift: ['no tap'] };
  const seen = { owner: tap.owner, carrier: tap.heldBy !== null };
  const segment = kernel.segments.get(spec.vpc);
  if (tap.vpc !== spec.vpc || segment === undefined)
    return { ...seen, place: 'host', proof: null, drift: ['tap is not moved into the segment'] };
  const host = segment.dhcpHosts.get(spec.address);
  const bridge = bridgeOf(kernel, tap);
  const isGuarded = tap.wiring?.portSecurity === (spec.portSecurity ?? true);
  const wanted = spec.pairs ?? [];
  const pairs = pairsAt(kernel, tap, segment, spec);
  const left = (tap.wiring?.pairs ?? []).filter(({ address }) => !wanted.some((pair) => pair.address === address));
  const drift = [
    ...(bridge === undefined ? ['not a slave of its bridge'] : []),
    ...(tap.mtu === spec.mtu ? [] : [`mtu is ${tap.mtu}`]),
    ...(tap.wiring?.mac === spec.mac ? [] : ['no neighbour entry']),
    ...(isGuarded ? [] : ['not admitted by the firewall']),
    ...(isGuarded && sameGroups(tap.wiring?.groups ?? [], spec.groups) ? [] : ['its security groups do not apply']),
    ...(host?.tap === name && host.mac === spec.mac ? [] : ['no DHCP host']),
    ...wanted.filter((pair) => !pairs.includes(pair)).map(({ address }) => `no route to its pair ${address}`),
    ...left.map(({ address }) => `still has the pair ${address}`),
    ...routeDrift(spec, segment, bridge),
    ...(host === undefined || host.standby === (spec.activeHost !== undefined)
      ? []
      : ['its entry says otherwise whether it stands by']),
    ...(sameOwner(tap.owner, spec.owner) ? [] : ['tap is marked for another run']),
  ];
  const route = routeTo(segment, spec.address);
  if (bridge === undefined || route === undefined) return { ...seen, place: 'segment', proof: null, drift };
  const proof: TapProof = {
    tap: name,
    ifindex: tap.ifindex,
    bridge: `br${bridge.ifindex}`,
    mtu: tap.mtu,
    route: 'bridge' in route ? `${spec.address} dev br${route.bridge}` : `${spec.address} over host ${route.host}`,
    dhcpHost: host === undefined ? '' : hostLine({ ...host, address: spec.address }),
    nftGeneration: segment.nftGeneration,
    groups: spec.groups.filter((group) => tap.wiring?.groups.includes(group)),
    portSecurity: tap.wiring?.portSecurity ?? true,
    pairs,
    ...('bridge' in route && route.bridge === bridge.ifindex ? {} : { standby: true }),
  };
  return { ...seen, place: 'segment', proof, drift };
}

export function brokenTap(kernel: SimulatedKernel, spec: TapSpec, name: string): TapBroken | null {
  const { place, drift } = readTap(kernel, spec, name);
  if (place !== 'segment') return { reason: 'tap_gone', detail: `The tap of ${spec.port} is not in ${spec.vpc}.` };
  if (drift.length === 0) return null;
  return { reason: 'tap_drift', detail: `The tap of ${spec.port} differs: ${drift.join(', ')}.` };
}

export function dropTap(kernel: SimulatedKernel, ref: TapRef, name: string): { removed: boolean } {
  const tap = kernel.findTap(name);
  if (tap !== undefined) refuseOlder(`tap ${name}`, ref.owner, tap.owner);
  kernel.deleteTap(name);
  const segment = kernel.segments.get(ref.vpc);
  if (segment?.dhcpHosts.get(ref.address)?.tap === name) unserve(segment, ref.address);
  return { removed: tap !== undefined };
}

/** Removes the DHCP host, and the local routes of its addresses. */
function unserve(segment: Segment, address: string): void {
  const host = segment.dhcpHosts.get(address);
  if (host === undefined) return;
  dropRoutes(segment, [address, ...host.pairs.map((pair) => pair.address)], [host.tap]);
  segment.dhcpHosts.delete(address);
}

/** Removes a tap and every DHCP host that names it; the sweep knows no more of the tap than its name. */
export function dropStrayTap(kernel: SimulatedKernel, tap: Tap): void {
  kernel.deleteTap(tap.name);
  const segment = tap.vpc === null ? undefined : kernel.segments.get(tap.vpc);
  for (const [address, host] of segment?.dhcpHosts ?? [])
    if (segment !== undefined && host.tap === tap.name) unserve(segment, address);
}
