/**
 * Segments and taps of the simulated dataplane, by the contract of actors/dataplane/contract/network-contract.ts. Specs
 * are checked by the production code (wiring-checks.ts), and errors that depend on the state are the production ones.
 * Called by simulated-dataplane.ts; the state is in simulated-kernel.ts.
 */
import type {
  NetworkDataplane,
  SegmentReading,
  TapReading,
} from '@photoncloud/actors/dataplane/contract/network-contract';
import { KernelNames } from '@photoncloud/actors/dataplane/kernel-names';
import { refuseOlder } from '@photoncloud/actors/dataplane/owner-alias';
import { overlayMtu } from '@photoncloud/actors/dataplane/overlay/overlay-device';
import { mtuTooLarge, segmentInUse, segmentMissing } from '@photoncloud/actors/dataplane/segment/segment-errors';
import { checkSegment, checkTap, checkTapRef } from '@photoncloud/actors/dataplane/wiring-checks';
import type { SegmentProof, SegmentSpec } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Segment, SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';
import { brokenTap, dropTap, joinTap, makeTap, readTap } from './simulated-taps.ts';

const names = new KernelNames('sim');

export function simulatedSegments(site: SimulatedSite): NetworkDataplane {
  const { kernel } = site;
  return {
    ensureSegment: (spec, call) =>
      site.change(
        'ensureSegment',
        'segment',
        `segment ${spec.vpc}`,
        spec.owner,
        call,
        () => makeSegment(kernel, spec),
        () => makeHalf(kernel, spec),
      ),
    setRoutes: ({ segment, added, removed }, call) =>
      site.change('setRoutes', 'routes', `segment ${segment.vpc}`, segment.owner, call, () => {
        const found = kernel.segments.get(segment.vpc);
        if (found === undefined) throw segmentMissing(segment.vpc);
        const gone = removed.filter((route) => found.routes.get(route.address) === route.host);
        for (const { address } of gone) found.routes.delete(address);
        for (const { address, host } of added) found.routes.set(address, host);
        return { applied: gone.length + added.length };
      }),
    readSegment: (spec) => Promise.resolve(readSegment(kernel, spec)),
    watchSegment: (spec, call) => site.watch(call.signal, () => brokenSegment(kernel, spec)),
    removeSegment: (segment, call) =>
      site.change('removeSegment', 'segment', `segment ${segment.vpc}`, segment.owner, call, () => {
        const found = kernel.segments.get(segment.vpc);
        if (found === undefined) return { removed: false };
        refuseOlder(`namespace ${found.namespace}`, segment.owner, found.owner);
        const port = [...kernel.taps.values()].find((tap) => tap.vpc === segment.vpc);
        if (port !== undefined) throw segmentInUse(segment.vpc, port.name);
        kernel.deleteSegment(segment.vpc);
        return { removed: true };
      }),
    createTap: (spec, call) =>
      site.change('createTap', 'tap', `tap ${names.tapOf(spec.owner)}`, spec.owner, call, () => {
        checkTap(spec);
        return makeTap(kernel, spec, names.tapOf(spec.owner));
      }),
    wireTap: (spec, call) =>
      site.change(
        'wireTap',
        'tap',
        `tap ${names.tapOf(spec.owner)}`,
        spec.owner,
        call,
        () => {
          checkTap(spec);
          return joinTap(kernel, spec, names.tapOf(spec.owner));
        },
        () => {
          // The tap is moved into the VPC and not wired.
          const tap = kernel.findTap(names.tapOf(spec.owner));
          if (tap !== undefined && kernel.segments.has(spec.vpc)) tap.vpc = spec.vpc;
        },
      ),
    readTap: (spec): Promise<TapReading> => Promise.resolve(readTap(kernel, spec, names.tapOf(spec.owner))),
    watchTap: (spec, call) => site.watch(call.signal, () => brokenTap(kernel, spec, names.tapOf(spec.owner))),
    removeTap: (ref, call) =>
      site.change(
        'removeTap',
        'tap',
        `tap ${names.tapOf(ref.owner)}`,
        ref.owner,
        call,
        () => {
          checkTapRef(ref);
          return dropTap(kernel, ref, names.tapOf(ref.owner));
        },
        // The tap itself is removed; its DHCP host stays.
        () => kernel.deleteTap(names.tapOf(ref.owner)),
      ),
  };
}

function makeSegment(kernel: SimulatedKernel, spec: SegmentSpec): SegmentProof {
  const segment = openSegment(kernel, spec);
  for (const network of segment.bridges.keys())
    if (!spec.networks.some((one) => one.network === network)) segment.bridges.delete(network);
  for (const { network, mtu } of spec.networks) {
    const bridge = segment.bridges.get(network);
    if (bridge?.mtu !== mtu) segment.bridges.set(network, { ifindex: bridge?.ifindex ?? kernel.next(), mtu });
  }
  segment.routes.clear();
  for (const { address, host } of spec.routes) if (!segment.dhcpHosts.has(address)) segment.routes.set(address, host);
  segment.peers = spec.peers.map((peer) => peer.index);
  if (spec.networks.length > 0) segment.dnsmasqPid ??= kernel.next();
  kernel.changed();
  const { proof, drift } = readSegment(kernel, spec);
  if (proof === null) throw new PhotonError('bug', 'simulation_broken', `${spec.vpc}: ${drift.join('; ')}`);
  return proof;
}

/** Namespace and VXLAN device, which come first in the real order too: the parts of a half-made segment. */
function openSegment(kernel: SimulatedKernel, spec: SegmentSpec): Segment {
  checkSegment(spec);
  const carried = overlayMtu([spec.self, ...spec.peers]);
  for (const { network, mtu } of spec.networks) if (mtu > carried) throw mtuTooLarge(network, mtu, carried);
  const known = kernel.segments.get(spec.vpc);
  const segment: Segment = known ?? {
    vpc: spec.vpc,
    namespace: names.namespaceOf(spec.vpc),
    owner: spec.owner,
    vni: spec.vni,
    vxlanIfindex: null,
    dnsmasqPid: null,
    nftGeneration: kernel.next(),
    peers: [],
    bridges: new Map(),
    routes: new Map(),
    dhcpHosts: new Map(),
  };
  segment.owner = spec.owner;
  const rises = known === undefined || segment.vni !== spec.vni;
  kernel.segments.set(spec.vpc, segment);
  if (segment.vni !== spec.vni) segment.vxlanIfindex = null;
  segment.vni = spec.vni;
  segment.vxlanIfindex ??= kernel.next();
  if (rises) kernel.record({ fact: 'segment.up', vpc: spec.vpc, vni: spec.vni });
  return segment;
}

function makeHalf(kernel: SimulatedKernel, spec: SegmentSpec): void {
  openSegment(kernel, spec);
  kernel.changed();
}

function readSegment(kernel: SimulatedKernel, spec: SegmentSpec): SegmentReading {
  const segment = kernel.segments.get(spec.vpc);
  if (segment === undefined) return { proof: null, drift: ['no namespace'] };
  const drift = [
    ...(segment.vxlanIfindex === null ? ['no vx0'] : []),
    ...(segment.vni === spec.vni ? [] : [`vx0 has VNI ${segment.vni}`]),
    ...(segment.dnsmasqPid === null && spec.networks.length > 0 ? ['no dnsmasq'] : []),
    ...spec.routes
      .filter(({ address, host }) => !segment.dhcpHosts.has(address) && segment.routes.get(address) !== host)
      .map(({ address }) => `no route to ${address}`),
    ...spec.networks.flatMap(({ network, mtu }) => {
      const bridge = segment.bridges.get(network);
      if (bridge === undefined) return [`no bridge of ${network}`];
      return bridge.mtu === mtu ? [] : [`bridge of ${network} has mtu ${bridge.mtu}`];
    }),
  ];
  if (segment.vxlanIfindex === null) return { proof: null, drift };
  const { namespace, vxlanIfindex, dnsmasqPid, nftGeneration } = segment;
  const wanted = spec.networks.flatMap(({ network }) => {
    const bridge = segment.bridges.get(network);
    return bridge === undefined ? [] : [[network, bridge] as const];
  });
  const bridges = Object.fromEntries(wanted);
  const proof = { namespace, vxlanIfindex, bridges, dnsmasqPid: dnsmasqPid ?? 0, nftGeneration };
  return { proof: { ...proof, generation: spec.generation }, drift };
}

function brokenSegment(kernel: SimulatedKernel, spec: SegmentSpec) {
  const segment = kernel.segments.get(spec.vpc);
  const broken = (reason: 'dnsmasq_gone' | 'namespace_gone' | 'vxlan_gone' | 'bridge_gone') => ({
    reason,
    detail: `${spec.vpc} on ${kernel.host}: ${reason}.`,
  });
  if (segment === undefined) return broken('namespace_gone');
  if (segment.dnsmasqPid === null && spec.networks.length > 0) return broken('dnsmasq_gone');
  if (segment.vxlanIfindex === null) return broken('vxlan_gone');
  return spec.networks.every(({ network }) => segment.bridges.has(network)) ? null : broken('bridge_gone');
}
