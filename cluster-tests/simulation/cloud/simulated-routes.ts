/**
 * Routes of a segment on a simulated host, and the taps that they lead to: what a packet meets. As in
 * actors/dataplane/tap/tap-routes.ts and overlay/routes-section.ts. Pure.
 */
import { bridgeOf, type Route, type Segment, type SimulatedKernel, type Tap } from './simulated-kernel.ts';

/** A route to a port here hides one to another host. A route over a bridge goes with the bridge. */
export function routeTo({ routes, remotes, bridges }: Segment, address: string): Route | undefined {
  const bridge = routes.get(address);
  if (bridge !== undefined && [...bridges.values()].some(({ ifindex }) => ifindex === bridge)) return { bridge };
  const host = remotes.get(address);
  return host === undefined ? undefined : { host };
}

/** Index of the host that packets to the address go to; undefined when they go to none. */
export function remoteOf(segment: Segment, address: string): number | undefined {
  const route = routeTo(segment, address);
  return route !== undefined && 'host' in route ? route.host : undefined;
}

/** All addresses whose packets go to other hosts: address -> index of the host. */
export const remotesOf = (segment: Segment): ReadonlyMap<string, number> =>
  new Map([...segment.remotes].filter(([address]) => remoteOf(segment, address) !== undefined));

/** Own addresses and those of pairs, by what the DHCP hosts say of the taps. */
export function holdingsOf({
  dhcpHosts,
}: Segment): readonly { readonly address: string; readonly tap: string; readonly standby: boolean }[] {
  return [...dhcpHosts].flatMap(([address, { tap, standby, pairs }]) =>
    [address, ...pairs.map((pair) => pair.address)].map((one) => ({ address: one, tap, standby })),
  );
}

export const heldByOthers = (segment: Segment, taps: readonly string[]): ReadonlySet<string> =>
  new Set(holdingsOf(segment).flatMap(({ address, tap }) => (taps.includes(tap) ? [] : [address])));

/** The tap that gets packets to the address from this bridge. */
export const tapAt = (kernel: SimulatedKernel, bridge: number, address: string): Tap | undefined =>
  [...kernel.taps.values()].find(
    (tap) =>
      bridgeOf(kernel, tap)?.ifindex === bridge &&
      (tap.wiring?.address === address || tap.wiring?.pairs.some((pair) => pair.address === address) === true),
  );
