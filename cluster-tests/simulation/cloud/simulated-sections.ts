/**
 * The sections of a segment on a simulated host: the same table as actors/dataplane/segment/segment-sections.ts, over
 * the state of simulated-kernel.ts. Elements are checked at the real one's own door, and errors that the state explains
 * are the real one's own. Called by simulated-segments.ts.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { SegmentBroken } from '@photoncloud/actors/dataplane/contract/network-contract';
import { addressSetsIn } from '@photoncloud/actors/dataplane/address-set/address-sets-section';
import { metadataIn } from '@photoncloud/actors/dataplane/metadata/metadata-section';
import { fencesIn } from '@photoncloud/actors/dataplane/overlay/fences-section';
import { rangesIn } from '@photoncloud/actors/dataplane/overlay/ranges-section';
import { peeringsIn } from '@photoncloud/actors/dataplane/peering/peerings-section';
import { externalAddressesIn, gatewayIn, staticRoutesIn } from '@photoncloud/actors/dataplane/router/router-checks';
import { membersIn } from '@photoncloud/actors/dataplane/security-group/group-members-section';
import { servicesIn } from '@photoncloud/actors/dataplane/service-ip/service-ips-section';
import { groupsIn } from '@photoncloud/actors/dataplane/security-group/security-groups-section';
import { KernelNames } from '@photoncloud/actors/dataplane/kernel-names';
import { mtuTooLarge, overlayOutdated, segmentMissing } from '@photoncloud/actors/dataplane/segment/segment-errors';
import type { Section } from '@photoncloud/actors/dataplane/segment/segment-section';
import { networksIn, overlayIn, routesIn } from '@photoncloud/actors/dataplane/wiring-checks';
import type { Elements, NetworkSpec, SegmentRef } from '@photoncloud/machines/values/wiring';
import type { Segment, SimulatedKernel } from './simulated-kernel.ts';
import { endingFlows } from './simulated-translation.ts';

export const names = new KernelNames('sim');

export interface SimulatedPlace {
  readonly kernel: SimulatedKernel;
  readonly segment: SegmentRef;
}

type Broken = Omit<SegmentBroken, 'section'>;

export interface SimulatedSection extends Section<SimulatedPlace> {
  readonly missing?: (segment: Segment) => Pick<Broken, 'reason' | 'key'> | null;
}

function standing({ kernel, segment }: SimulatedPlace): Segment {
  const found = kernel.segments.get(segment.vpc);
  if (found === undefined) throw segmentMissing(segment.vpc);
  return found;
}

const asInvalid = (path: string): PhotonError =>
  new PhotonError('defeat', 'spec_invalid', `${path} of the spec is missing; nothing was made.`);

/** What a half-made segment consists of. */
const overlay: SimulatedSection = {
  name: 'overlay',
  after: [],
  check: (elements) => void overlayIn(elements),

  ensure: async ({ kernel, segment: { owner, vpc } }, elements) => {
    const { vni, mtu, self, peers } = overlayIn(elements);
    if (vni === undefined || mtu === undefined || self === undefined) throw asInvalid('overlay');
    const known = kernel.segments.get(vpc);
    const segment: Segment = known ?? {
      vpc,
      namespace: names.namespaceOf(vpc),
      owner,
      self: self.index,
      vni,
      mtu,
      vxlanIfindex: null,
      nftGeneration: kernel.next(),
      peers: new Set(),
      bridges: new Map(),
      served: new Map(),
      routes: new Map(),
      remotes: new Map(),
      dhcpHosts: new Map(),
      elements: new Map(),
      flows: new Map(),
    };
    const rises = known === undefined || segment.vni !== vni;
    if (segment.vni !== vni) segment.vxlanIfindex = null;
    // A new device has none of the routes that led over the one before.
    if (segment.vxlanIfindex === null) segment.remotes.clear();
    segment.owner = owner;
    segment.self = self.index;
    segment.vni = vni;
    segment.mtu = mtu;
    segment.vxlanIfindex ??= kernel.next();
    segment.peers = new Set(peers.map(({ index }) => index));
    kernel.segments.set(vpc, segment);
    if (rises) kernel.record({ fact: 'segment.up', vpc, vni, index: self.index });
    kernel.changed();
  },

  change: async (place, { put, removed }) => {
    const [added, gone] = [overlayIn(put), overlayIn(removed)];
    if ([added.vni, added.self, gone.vni, gone.self].some((one) => one !== undefined))
      throw overlayOutdated(place.segment.vpc);
    const segment = standing(place);
    if (segment.vxlanIfindex === null) throw new PhotonError('fault', 'device_missing', 'vx0 is gone.');
    segment.mtu = added.mtu ?? segment.mtu;
    for (const { index } of gone.peers) segment.peers.delete(index);
    for (const { index } of added.peers) segment.peers.add(index);
  },

  read: async ({ kernel, segment: { vpc } }, wanted, unwanted) => {
    const segment = kernel.segments.get(vpc);
    if (segment === undefined) return { facts: {}, drift: ['no namespace'] };
    const { namespace, vxlanIfindex, nftGeneration } = segment;
    if (vxlanIfindex === null) return { facts: { namespace }, drift: ['no vx0'] };
    const { vni, mtu, peers } = overlayIn(wanted);
    const drift = [
      ...(vni === undefined || segment.vni === vni ? [] : ['vx0 is of another VNI or host']),
      ...(mtu === undefined || segment.mtu === mtu ? [] : [`vx0 has mtu ${segment.mtu}`]),
      ...peers.filter(({ index }) => !segment.peers.has(index)).map(({ name }) => `host ${name} may not send`),
      ...peers.filter(({ index }) => !segment.peers.has(index)).map(({ name }) => `no neighbour for host ${name}`),
      ...overlayIn(unwanted)
        .peers.filter(({ index }) => segment.peers.has(index))
        .map(({ name }) => `still a neighbour for host ${name}`),
    ];
    return { facts: { namespace, vxlanIfindex, nftGeneration }, drift };
  },

  // Seen through a dnsmasq.
  missing: ({ vxlanIfindex, served }) =>
    vxlanIfindex === null && [...served.values()].some(({ pid }) => pid !== null) ? { reason: 'vxlan_gone' } : null,
};

function makeNetworks(kernel: SimulatedKernel, segment: Segment, networks: readonly NetworkSpec[]): void {
  const large = networks.find(({ mtu }) => mtu > segment.mtu);
  if (large !== undefined) throw mtuTooLarge(large.network, large.mtu, segment.mtu);
  for (const { network, mtu } of networks) {
    const bridge = segment.bridges.get(network);
    if (bridge?.mtu !== mtu) segment.bridges.set(network, { ifindex: bridge?.ifindex ?? kernel.next(), mtu });
  }
}

/** A server that serves something else is another process. */
function serve(kernel: SimulatedKernel, { served, bridges }: Segment, networks: readonly NetworkSpec[]): void {
  for (const one of networks) {
    const configuration = textOf(one, bridges.get(one.network)?.ifindex);
    const server = served.get(one.network);
    if (server?.configuration !== configuration || server.pid === null)
      served.set(one.network, { configuration, pid: kernel.next() });
  }
}

const textOf = ({ subnets, dhcp }: NetworkSpec, ifindex: number | undefined): string =>
  JSON.stringify([ifindex, subnets, dhcp]);

const networks: SimulatedSection = {
  name: 'networks',
  after: ['overlay'],
  check: (elements) => void networksIn(elements),

  ensure: async (place, elements) => {
    const { kernel } = place;
    const segment = standing(place);
    const wanted = networksIn(elements);
    makeNetworks(kernel, segment, wanted);
    serve(kernel, segment, wanted);
    for (const kept of [segment.served, segment.bridges])
      for (const network of kept.keys()) if (!wanted.some((one) => one.network === network)) kept.delete(network);
    kernel.changed();
  },

  change: async (place, { put, removed }) => {
    const { kernel } = place;
    const segment = standing(place);
    const [added, gone] = [networksIn(put), networksIn(removed).map(({ network }) => network)];
    makeNetworks(kernel, segment, added);
    serve(kernel, segment, added);
    for (const network of gone) {
      segment.served.delete(network);
      segment.bridges.delete(network);
    }
    kernel.changed();
  },

  read: async (place, wanted, unwanted) => {
    const segment = standing(place);
    const found = networksIn(wanted).map((one) => ({
      ...one,
      bridge: segment.bridges.get(one.network),
      server: segment.served.get(one.network),
    }));
    const drift = [
      ...found.flatMap((one) => {
        const { network, mtu, bridge, server } = one;
        if (bridge === undefined) return [`no bridge of ${network}`];
        const isCurrent = server?.configuration === textOf(one, bridge.ifindex);
        return [
          ...(server === undefined || server.pid === null
            ? [`no dnsmasq of ${network}`]
            : isCurrent
              ? []
              : [`dnsmasq of ${network} runs with an older configuration`]),
          ...(bridge.mtu === mtu ? [] : [`bridge of ${network} has mtu ${bridge.mtu}`]),
        ];
      }),
      ...networksIn(unwanted)
        .filter(({ network }) => segment.bridges.has(network))
        .map(({ network }) => `still a bridge of ${network}`),
    ];
    const bridges = found.flatMap(({ network, bridge, server }) =>
      bridge === undefined ? [] : [[network, { ...bridge, dnsmasqPid: server?.pid ?? 0 }] as const],
    );
    return { facts: { bridges: Object.fromEntries(bridges) }, drift };
  },

  missing: ({ served, bridges }) => {
    const ended = [...served].find(([, { pid }]) => pid === null)?.[0];
    if (ended !== undefined) return { reason: 'dnsmasq_gone', key: ended };
    const bare = [...served.keys()].find((network) => !bridges.has(network));
    return bare === undefined ? null : { reason: 'bridge_gone', key: bare };
  },
};

const routes: SimulatedSection = {
  name: 'routes',
  after: ['overlay'],
  check: (elements) => void routesIn(elements),

  ensure: async (place, elements) => {
    const segment = standing(place);
    const wanted = routesIn(elements);
    segment.remotes.clear();
    for (const { address, host } of wanted) segment.remotes.set(address, host);
  },

  change: async (place, { put, removed }) => {
    const segment = standing(place);
    for (const { address, host } of routesIn(removed))
      if (segment.remotes.get(address) === host) segment.remotes.delete(address);
    for (const { address, host } of routesIn(put)) {
      segment.remotes.set(address, host);
      segment.routes.delete(address);
    }
  },

  read: async (place, wanted, unwanted) => {
    const { remotes } = standing(place);
    const drift = [
      ...routesIn(wanted)
        .filter(({ address, host }) => remotes.get(address) !== host)
        .map(({ address }) => `no route to ${address}`),
      ...routesIn(unwanted)
        .filter(({ address, host }) => remotes.get(address) === host)
        .map(({ address }) => `still a route to ${address}`),
    ];
    return { facts: {}, drift };
  },
};

/** A section whose elements are put by their owners: the kernel has each as it was given. */
export const ownedSection = (name: string, check: (elements: Elements) => void): SimulatedSection => {
  const kept = (place: SimulatedPlace): Map<string, unknown> => {
    const segment = standing(place);
    const known = segment.elements.get(name) ?? new Map<string, unknown>();
    segment.elements.set(name, known);
    return known;
  };
  return {
    name,
    after: ['overlay'],
    check,
    ensure: async (place, elements) => {
      const known = kept(place);
      known.clear();
      for (const [key, element] of Object.entries(elements)) known.set(key, element);
    },
    change: async (place, { put, removed }) => {
      const known = kept(place);
      for (const key of Object.keys(removed)) known.delete(key);
      for (const [key, element] of Object.entries(put)) known.set(key, element);
    },
    read: async (place, wanted, unwanted) => {
      const known = kept(place);
      const drift = [
        ...Object.keys(wanted)
          .filter((key) => JSON.stringify(known.get(key)) !== JSON.stringify(wanted[key]))
          .map((key) => `${key} is not as wanted`),
        ...Object.keys(unwanted)
          .filter((key) => known.has(key))
          .map((key) => `still ${key}`),
      ];
      return { facts: {}, drift };
    },
  };
};

/** The same section, whose changes an observer sees. */
function tellingFences(section: SimulatedSection): SimulatedSection {
  const tell = ({ kernel, segment: { vpc } }: SimulatedPlace): void => {
    const fences = kernel.segments.get(vpc)?.elements.get(section.name) ?? new Map<string, unknown>();
    const dropped = fencesIn(Object.fromEntries(fences)).flatMap(({ host, addresses }) =>
      addresses.map((address) => `${host} ${address}`),
    );
    kernel.record({ fact: 'segment.fenced', vpc, dropped });
  };
  return {
    ...section,
    ensure: async (place, elements) => {
      await section.ensure(place, elements);
      tell(place);
    },
    change: async (place, elements) => {
      await section.change(place, elements);
      tell(place);
    },
  };
}

export const simulatedSections: readonly SimulatedSection[] = [
  overlay,
  ownedSection('ranges', (elements) => void rangesIn(elements)),
  networks,
  ownedSection('metadata', (elements) => void metadataIn(elements)),
  routes,
  ownedSection('address-sets', (elements) => void addressSetsIn(elements)),
  ownedSection('security-groups', (elements) => void groupsIn(elements)),
  ownedSection('group-members', (elements) => void membersIn(elements)),
  ownedSection('service-ips', (elements) => void servicesIn(elements)),
  ownedSection('peerings', (elements) => void peeringsIn(elements)),
  ownedSection('static-routes', (elements) => void staticRoutesIn(elements)),
  endingFlows(ownedSection('gateway', (elements) => void gatewayIn(elements))),
  endingFlows(ownedSection('external-addresses', (elements) => void externalAddressesIn(elements))),
  tellingFences(ownedSection('fences', (elements) => void fencesIn(elements))),
];
