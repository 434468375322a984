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
import type { TapProof, TapSpec } from '@photoncloud/machines/values/wiring';
import { bridgeOf, type SimulatedKernel, type Tap } from './simulated-kernel.ts';

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
  const { vpc, network, port, mac, address, groups } = spec;
  const before = tap.wiring;
  tap.vpc = vpc;
  kernel.taps.set(name, {
    ...tap,
    owner: spec.owner,
    wiring: { vpc, network, port, bridgeIfindex: bridge.ifindex, mac, address, groups },
  });
  segment.dhcpHosts.set(address, { tap: name, mac, hostname: spec.hostname });
  segment.routes.delete(address);
  if (before?.address !== address || before.mac !== mac || before.network !== network) {
    kernel.record({ fact: 'tap.wired', tap: name, port, vpc, network, mac, address });
  }
  kernel.changed();
  const reading = readTap(kernel, spec, name);
  if (reading.proof === null || reading.drift.length > 0) throw tapDrifted(name, reading.drift);
  return reading.proof;
}

const sameGroups = (some: readonly string[], others: readonly string[]): boolean =>
  [...some].sort().join(' ') === [...others].sort().join(' ');

export function readTap(kernel: SimulatedKernel, spec: TapSpec, name: string): TapReading {
  const tap = kernel.findTap(name);
  if (tap === undefined) return { place: 'none', owner: null, carrier: false, proof: null, drift: ['no tap'] };
  const seen = { owner: tap.owner, carrier: tap.heldBy !== null };
  if (tap.vpc !== spec.vpc)
    return { ...seen, place: 'host', proof: null, drift: ['tap is not moved into the segment'] };
  const segment = kernel.segments.get(spec.vpc);
  const host = segment?.dhcpHosts.get(spec.address);
  const bridge = bridgeOf(kernel, tap);
  const drift = [
    ...(bridge === undefined ? ['not a slave of its bridge'] : []),
    ...(tap.mtu === spec.mtu ? [] : [`mtu is ${tap.mtu}`]),
    ...(tap.wiring?.mac === spec.mac ? [] : ['no neighbour entry']),
    ...(sameGroups(tap.wiring?.groups ?? [], spec.groups) ? [] : ['its security groups do not apply']),
    ...(host?.tap === name && host.mac === spec.mac ? [] : ['no DHCP host']),
    ...(segment?.routes.has(spec.address) === true ? ['its route points to another host'] : []),
    ...(sameOwner(tap.owner, spec.owner) ? [] : ['tap is marked for another run']),
  ];
  if (bridge === undefined || segment === undefined) return { ...seen, place: 'segment', proof: null, drift };
  const proof: TapProof = {
    tap: name,
    ifindex: tap.ifindex,
    bridge: `br${bridge.ifindex}`,
    mtu: tap.mtu,
    route: `${spec.address} dev br${bridge.ifindex}`,
    dhcpHost: host === undefined ? '' : hostLine({ ...host, address: spec.address }),
    nftGeneration: segment.nftGeneration,
    groups: spec.groups.filter((group) => tap.wiring?.groups.includes(group)),
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
  if (segment?.dhcpHosts.get(ref.address)?.tap === name) segment.dhcpHosts.delete(ref.address);
  return { removed: tap !== undefined };
}

/** Removes a tap and every DHCP host that names it; the sweep knows no more of the tap than its name. */
export function dropStrayTap(kernel: SimulatedKernel, tap: Tap): void {
  kernel.deleteTap(tap.name);
  const segment = tap.vpc === null ? undefined : kernel.segments.get(tap.vpc);
  for (const [address, host] of segment?.dhcpHosts ?? []) if (host.tap === tap.name) segment?.dhcpHosts.delete(address);
}
