/**
 * What becomes of a packet of a TCP flow that comes from outside to an external address, and of the answer: gateway
 * host, translation, routes from host to host, tap, and back by the way that the guest's host knows. Follows the state
 * of the simulated kernels only. Rules of security groups are not looked at. Used by flow-watch.ts.
 */
import type { SimulatedKernel, Segment, Tap } from './simulated-kernel.ts';
import { routeTo, tapAt } from './simulated-routes.ts';
import { answersFor, forwards, inwards, outwards, wayOut } from './simulated-translation.ts';

export interface Underlay {
  readonly kernels: readonly SimulatedKernel[];
  /** Packets of one host reach the other. */
  readonly carries: (from: string, to: string) => boolean;
}

interface Place {
  readonly kernel: SimulatedKernel;
  readonly segment: Segment;
}

/** Both directions passed, or where a packet was lost. */
export type Passage =
  | { readonly lost: string }
  | { readonly gateway: string; readonly host: string; readonly port: string; readonly source: string };

const placesOf = ({ kernels }: Underlay, vpc?: string): readonly Place[] =>
  kernels.flatMap((kernel) =>
    [...kernel.segments.values()].flatMap((segment) =>
      vpc === undefined || segment.vpc === vpc ? [{ kernel, segment }] : [],
    ),
  );

/** The host with this index in the VPC, if packets from `from` get there and are admitted. */
function next(underlay: Underlay, from: Place, index: number): Place | undefined {
  const to = placesOf(underlay, from.segment.vpc).find(({ segment }) => segment.self === index);
  if (to === undefined || from.segment.vxlanIfindex === null || to.segment.vxlanIfindex === null) return undefined;
  const isKnown = from.segment.peers.has(index) && to.segment.peers.has(from.segment.self);
  return isKnown && underlay.carries(from.kernel.host, to.kernel.host) ? to : undefined;
}

/** As many hosts as a packet is forwarded by at most. */
const hops = 8;

/** Follows the routes to an address of the VPC. */
function reach(underlay: Underlay, from: Place, address: string): { place: Place; tap: Tap } | { lost: string } {
  let place = from;
  for (let hop = 0; hop < hops; hop += 1) {
    const route = routeTo(place.segment, address);
    const { host } = place.kernel;
    if (route === undefined) return { lost: `${host} has no route to ${address}` };
    if ('bridge' in route) {
      const tap = tapAt(place.kernel, route.bridge, address);
      return tap === undefined ? { lost: `nobody has ${address} on ${host}` } : { place, tap };
    }
    const to = next(underlay, place, route.host);
    if (to === undefined) return { lost: `${address} leads from ${host} to host ${route.host}, which is not reached` };
    place = to;
  }
  return { lost: `${address} leads in a circle` };
}

/** Sends a packet of the flow to the external address and its answer back. */
export function roundTrip(underlay: Underlay, flow: string, external: string): Passage {
  const answering = placesOf(underlay).filter(({ kernel, segment }) => answersFor(kernel, segment, external));
  const [gateway] = answering;
  if (gateway === undefined) return { lost: `no gateway host answers for ${external}` };
  const inside = inwards(gateway.segment, flow, external);
  if (inside === undefined) return { lost: `${external} leads nowhere on ${gateway.kernel.host}` };
  const reached = reach(underlay, gateway, inside);
  if ('lost' in reached) return reached;
  const { place, tap } = reached;
  const active = wayOut(place.segment)?.active ?? null;
  const back = active === place.segment.self ? place : active === null ? undefined : next(underlay, place, active);
  if (back === undefined || !forwards(back.kernel, back.segment))
    return { lost: `the answer leaves ${place.kernel.host} by host ${active}, which does not forward` };
  const source = outwards(back.segment, flow, inside);
  if (source === undefined) return { lost: `${inside} has no external address on ${back.kernel.host}` };
  return { gateway: back.kernel.host, host: place.kernel.host, port: tap.wiring?.port ?? '', source };
}
