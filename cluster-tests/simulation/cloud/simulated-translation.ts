/**
 * The translation of external addresses on a simulated gateway host, with the flows that its conntrack knows: as in
 * actors/dataplane/router/external-mapping.ts and gateway-rules.ts. Conntrack is not synchronised between gateway
 * hosts: a flow goes on because another host that forwards takes its next packet for the first one of a flow, and
 * translates it as it is declared (docs/decisions/0017-leading-gateway.md). An address that changes ends its flows.
 * Called by simulated-sections.ts and simulated-flows.ts.
 */
import {
  gatewayKey,
  type ExternalAddressElement,
  type GatewayElement,
} from '@photoncloud/machines/values/router-elements';
import type { Segment, SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSection } from './simulated-sections.ts';

/** The way out of a VPC, as the host was told last. */
export const wayOut = ({ elements }: Segment): GatewayElement | undefined =>
  elements.get('gateway')?.get(gatewayKey) as GatewayElement | undefined;

const insideOf = ({ elements }: Segment, external: string): string | undefined =>
  (elements.get('external-addresses')?.get(external) as ExternalAddressElement | undefined)?.inside;

/** Of several external addresses with one target the lowest is the source of what it sends. */
function sourceOf({ elements }: Segment, inside: string): string | undefined {
  const all = [...(elements.get('external-addresses') ?? [])];
  const sources = all.filter(([, element]) => (element as ExternalAddressElement).inside === inside);
  return sources.map(([external]) => external).toSorted()[0];
}

const isGateway = (segment: Segment): boolean =>
  wayOut(segment)?.gateways.some(({ index }) => index === segment.self) === true;

/** The host forwards for the VPC: it is the active gateway, and has the permit, which one of two needs. */
export function forwards(kernel: SimulatedKernel, segment: Segment): boolean {
  const way = wayOut(segment);
  if (way?.active !== segment.self) return false;
  return way.gateways.length === 1 || (kernel.permits.get(way.network) ?? 0) > kernel.nowMs();
}

/** It forwards, and answers ARP for the external address. */
export const answersFor = (kernel: SimulatedKernel, segment: Segment, external: string): boolean =>
  forwards(kernel, segment) && insideOf(segment, external) !== undefined;

/** @returns the address of the VPC that a packet of the flow to the external address is led to */
export function inwards(segment: Segment, flow: string, external: string): string | undefined {
  const known = segment.flows.get(flow);
  if (known !== undefined) return known.inside;
  const inside = insideOf(segment, external);
  if (inside !== undefined) segment.flows.set(flow, { external, inside });
  return inside;
}

/** @returns the source that an answer of the flow has outside */
export function outwards(segment: Segment, flow: string, inside: string): string | undefined {
  const known = segment.flows.get(flow);
  if (known !== undefined) return known.external;
  const external = sourceOf(segment, inside);
  if (external !== undefined) segment.flows.set(flow, { external, inside });
  return external;
}

/** Flows of addresses that lead elsewhere by now end; without the gateway there are none. */
function review(segment: Segment | undefined): void {
  for (const [flow, { external, inside }] of segment?.flows ?? [])
    if (segment !== undefined && (!isGateway(segment) || insideOf(segment, external) !== inside))
      segment.flows.delete(flow);
}

/** The section, with the flows that a change of it ends. */
export const endingFlows = (section: SimulatedSection): SimulatedSection => ({
  ...section,
  ensure: async (place, elements) => {
    await section.ensure(place, elements);
    review(place.kernel.segments.get(place.segment.vpc));
  },
  change: async (place, change) => {
    await section.change(place, change);
    review(place.kernel.segments.get(place.segment.vpc));
  },
});
