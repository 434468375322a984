/**
 * Which addresses of a CIDR an allocation may give, and which of them it may choose by itself. Pure functions on the
 * declaration; network-addresses.ts keeps what is allocated. Subnets of networks and external networks use it.
 */
import * as addresses from '../values/addresses.ts';
import type { Issue } from '../values/telling.ts';

/** First and last address, both included. */
export interface Pool {
  readonly from: string;
  readonly to: string;
}

/** A CIDR with an allocation of its own. */
export interface AddressSpace {
  /** Unique among the spaces of one allocation. */
  readonly name: string;
  readonly cidr: string;
  readonly gateway: string | null;
  /** So many addresses at the beginning of the CIDR are nobody's; the last address never is anybody's. */
  readonly reservedHead: number;
  /** Where an address is chosen; null: everywhere. A requested address may be outside of them. */
  readonly pools: readonly Pool[] | null;
}

/** Addresses as numbers, both ends included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

const headEnd = ({ cidr, reservedHead }: AddressSpace): number => addresses.cidrOf(cidr).base + reservedHead;

/** Nobody gets it: the network and broadcast addresses, the rest of the reserved head, the gateway. */
export function isKept(space: AddressSpace, at: number): boolean {
  const isGateway = space.gateway !== null && at === addresses.addressOf(space.gateway);
  return isGateway || at < headEnd(space) || at === addresses.lastOf(addresses.cidrOf(space.cidr));
}

/** Where an address is chosen, in order; the gateway may be in one of them. */
export function rangesOf(space: AddressSpace): readonly Range[] {
  const whole = { from: headEnd(space), to: addresses.lastOf(addresses.cidrOf(space.cidr)) - 1 };
  if (space.pools === null) return [whole];
  return space.pools
    .map(({ from, to }) => ({ from: addresses.addressOf(from), to: addresses.addressOf(to) }))
    .map(({ from, to }) => ({ from: Math.max(from, whole.from), to: Math.min(to, whole.to) }))
    .filter(({ from, to }) => from <= to)
    .sort((one, other) => one.from - other.from);
}

const isWithin = (ranges: readonly Range[], at: number): boolean =>
  ranges.some(({ from, to }) => at >= from && at <= to);

/** Tells of many addresses of the space whether they are in its pools. */
export function chooser(space: AddressSpace): (at: number) => boolean {
  const ranges = rangesOf(space);
  return (at) => isWithin(ranges, at);
}

export const isChosen = (space: AddressSpace, at: number): boolean => isWithin(rangesOf(space), at);

/** Number of addresses that may be chosen. */
export function chosenCount(space: AddressSpace): number {
  const all = rangesOf(space).reduce((sum, { from, to }) => sum + to - from + 1, 0);
  const gateway = space.gateway === null ? undefined : addresses.addressOf(space.gateway);
  return gateway !== undefined && isChosen(space, gateway) ? all - 1 : all;
}

/** Blocks of 256 addresses in which an address may be chosen, each once: those from `start` on, then the others. */
export function* blocksFrom(space: AddressSpace, start: number): Generator<number> {
  const ranges = rangesOf(space).map(({ from, to }) => ({
    from: Math.floor(from / 256),
    to: Math.floor(to / 256),
  }));
  const among = function* (low: number, high: number): Generator<number> {
    let next = low;
    for (const { from, to } of ranges)
      for (next = Math.max(next, from); next <= Math.min(to, high); next += 1) yield next;
  };
  yield* among(start, Number.POSITIVE_INFINITY);
  yield* among(0, start - 1);
}

export type PoolProblem = Issue & { readonly code: string };

/** @param path of the list, such as `spec.subnets.0.pools` @returns a problem for each pool that cannot be used */
export function poolProblems(space: AddressSpace, path: string): readonly PoolProblem[] {
  const cidr = addresses.cidrOf(space.cidr);
  const [first, last] = [headEnd(space), addresses.lastOf(cidr) - 1];
  const usable = `${addresses.formatAddress(first)} to ${addresses.formatAddress(last)}`;
  const pools = (space.pools ?? []).map(({ from, to }) => ({
    text: `${from} to ${to}`,
    from: addresses.addressOf(from),
    to: addresses.addressOf(to),
  }));
  return pools.flatMap(({ text, from, to }, index): readonly PoolProblem[] => {
    const at = `${path}.${index}`;
    if (from > to)
      return [
        { code: 'pool_reversed', path: at, message: `${text} ends before it begins; exchange the two addresses` },
      ];
    if (!addresses.contains(cidr, from) || !addresses.contains(cidr, to))
      return [{ code: 'pool_outside', path: at, message: `${text} is not within ${space.cidr}; use ${usable}` }];
    if (from < first || to > last) {
      const message = `${text} has reserved addresses of ${space.cidr}; use ${usable}`;
      return [{ code: 'pool_reserved', path: at, message }];
    }
    const other = pools.slice(0, index).findIndex((one) => one.from <= to && from <= one.to);
    if (other === -1) return [];
    return [{ code: 'pool_overlap', path: at, message: `${text} overlaps pool ${other}; merge the two` }];
  });
}
