/**
 * Allocation of a network's addresses (IPAM), as functions on rows.
 *
 * A subnet of a million addresses is kept as blocks of 256: row `block/<a.b.c>` has a bit per allocated address and,
 * per released address, until when it rests and which port had it. The context keeps a few numbers per subnet and the
 * list of full blocks. So one allocation reads one block and writes one block and two small rows, whatever the size of
 * the network. Rejected: a list of free addresses (grows with the subnet), a counter (never reuses), rows per free
 * address.
 */
import * as addresses from '../values/addresses.ts';
import type { Failure } from '../values/failures.ts';
import { blocksFrom, chosenCount, chooser, isChosen, isKept, rangesOf, type AddressSpace } from './address-pools.ts';

/**
 * A released address rests for this long: only its last port may get it, because peers may still have it in their
 * tables.
 */
export const restMs = 600_000;

/** What the context keeps per subnet. */
export interface SubnetUse extends AddressSpace {
  /** Where the next search starts: after the last address that was chosen. */
  readonly cursor: string;
  /** Number of free addresses of the pools, resting ones included. */
  readonly free: number;
  /** Number of allocated addresses outside the pools: they were requested, or the pools were changed. */
  readonly outside: number;
  /** Block without an available address -> when its first rest ends; null when no address of it rests. */
  readonly full: Readonly<Record<string, number | null>>;
}

/** Row `block/<a.b.c>`. */
export interface Block {
  readonly used: string;
  readonly rest: Readonly<Record<string, { readonly until: number; readonly port: string }>>;
}

/** Row `owner/<address>`. */
export interface Owner {
  readonly port: string;
  readonly mac: string;
  /** The address is not the port's own, but of one of its allowed address pairs. */
  readonly pair?: true;
}

/** Row `beside/<port id>`: what a port has beside its address; there is none when it has nothing. */
export interface Beside {
  /** Address -> MAC, of its allowed address pairs. */
  readonly pairs: Readonly<Record<string, string>>;
  readonly dnsName: string | null;
}

/** Row `port/<port id>`. */
export interface Held {
  readonly address: string;
  readonly mac: string;
  /** Of the port that has asked for it last; absent in rows of an older release. */
  readonly portUid?: string;
}

const emptyBlock: Block = { used: addresses.emptyBits, rest: {} };

export function freshUse(space: AddressSpace): SubnetUse {
  const first = addresses.formatAddress(addresses.cidrOf(space.cidr).base + space.reservedHead);
  return { ...space, cursor: first, free: chosenCount(space), outside: 0, full: {} };
}

export const subnetWith = <S extends { readonly cidr: string }>(
  subnets: readonly S[],
  address: number,
): S | undefined => subnets.find((subnet) => addresses.contains(addresses.cidrOf(subnet.cidr), address));

/**
 * The first block that is not full, searched from the cursor around the pools; otherwise the block whose first rest
 * ends soonest.
 */
function blockToSearch(subnet: SubnetUse): string | undefined {
  for (const number of blocksFrom(subnet, Math.floor(addresses.addressOf(subnet.cursor) / 256))) {
    const block = addresses.blockOf(number * 256);
    if (!(block in subnet.full)) return block;
  }
  return undefined;
}

function restingShortest(subnet: SubnetUse): string | undefined {
  const resting = Object.entries(subnet.full).filter((entry): entry is [string, number] => entry[1] !== null);
  return resting.sort(([, a], [, b]) => a - b)[0]?.[0];
}

/** The block of the next allocation; the definition loads its row before the step. */
export function nextBlock(
  subnets: readonly SubnetUse[],
): { readonly subnet: SubnetUse; readonly block: string } | undefined {
  for (const choose of [blockToSearch, restingShortest]) {
    for (const subnet of subnets) {
      const block = choose(subnet);
      if (block !== undefined) return { subnet, block };
    }
  }
  return undefined;
}

const offsetOf = (at: number): number => at & 255;

/** Whether this port may get the address now; a rest does not apply to the address's last port. */
function isFree(subnet: SubnetUse, block: Block, at: number, port: string, now: number): boolean {
  if (!addresses.contains(addresses.cidrOf(subnet.cidr), at) || isKept(subnet, at)) return false;
  if (addresses.hasBit(block.used, offsetOf(at))) return false;
  const rest = block.rest[String(offsetOf(at))];
  return rest === undefined || rest.until <= now || rest.port === port;
}

function search(subnet: SubnetUse, block: string, stored: Block, port: string, now: number): number | undefined {
  const base = addresses.blockBase(block);
  const isPooled = chooser(subnet);
  const cursor = addresses.addressOf(subnet.cursor);
  const start = addresses.blockOf(cursor) === block ? offsetOf(cursor) : 0;
  for (let step = 0; step < 256; step += 1) {
    const at = base + ((start + step) % 256);
    if (isPooled(at) && isFree(subnet, stored, at, port, now)) return at;
  }
  return undefined;
}

/** When the first rest of an address of the pools in a block ends, or null when none rests. */
function firstRested(subnet: SubnetUse, block: string, stored: Block): number | null {
  const base = addresses.blockBase(block);
  const isPooled = chooser(subnet);
  const untils = Object.entries(stored.rest)
    .filter(([offset]) => isPooled(base + Number(offset)))
    .map(([, rest]) => rest.until);
  return untils.length === 0 ? null : Math.min(...untils);
}

/** A block with no address of the pools is never searched, full or not. */
function isSearched(subnet: SubnetUse, block: string): boolean {
  const base = addresses.blockBase(block);
  return rangesOf(subnet).some(({ from, to }) => from < base + 256 && base <= to);
}

function withFullness(subnet: SubnetUse, block: string, stored: Block, now: number): SubnetUse {
  const rest: Record<string, number | null> = { ...subnet.full };
  delete rest[block];
  const isFull = isSearched(subnet, block) && search(subnet, block, stored, '', now) === undefined;
  return { ...subnet, full: isFull ? { ...rest, [block]: firstRested(subnet, block, stored) } : rest };
}

/** The block without rests that are over. */
function rested(block: Block, now: number): Block {
  return {
    used: block.used,
    rest: Object.fromEntries(Object.entries(block.rest).filter(([, rest]) => rest.until > now)),
  };
}

export interface Taken {
  readonly address: string;
  readonly subnet: SubnetUse;
  readonly block: { readonly key: string; readonly value: Block };
}

/** The numbers of the subnet after one address was allocated (1) or released (-1). */
const counted = (subnet: SubnetUse, at: number, taken: 1 | -1): SubnetUse =>
  isChosen(subnet, at) ? { ...subnet, free: subnet.free - taken } : { ...subnet, outside: subnet.outside + taken };

/** @param isChoice the search goes on behind it; a requested address has no influence on what is chosen next */
function take(subnet: SubnetUse, key: string, stored: Block, at: number, now: number, isChoice: boolean): Taken {
  const clean = rested(stored, now);
  const rest = Object.fromEntries(Object.entries(clean.rest).filter(([offset]) => Number(offset) !== offsetOf(at)));
  const value: Block = { used: addresses.withBit(clean.used, offsetOf(at), true), rest };
  const cidr = addresses.cidrOf(subnet.cidr);
  const next = at + 1 < addresses.lastOf(cidr) ? at + 1 : cidr.base + subnet.reservedHead;
  const use = counted(subnet, at, 1);
  const moved = isChoice ? { ...use, cursor: addresses.formatAddress(next) } : use;
  return { address: addresses.formatAddress(at), subnet: withFullness(moved, key, value, now), block: { key, value } };
}

const failure = (code: string, message: string, retryable = false): { error: Failure } => ({
  error: { code, message, retryable },
});

export type Loaded = (block: string) => Block | undefined;

/** The next free address of the network, next-fit, so that a released address is reused as late as possible. */
export function takeNext(
  subnets: readonly SubnetUse[],
  port: string,
  now: number,
  loaded: Loaded,
): Taken | { readonly error: Failure; readonly full?: SubnetUse } {
  const found = nextBlock(subnets);
  if (found === undefined)
    return failure(
      'addresses_exhausted',
      'every address of the pools is in use; delete a port, widen a pool or add a subnet',
    );
  const { subnet, block } = found;
  const stored = loaded(block) ?? emptyBlock;
  const at = search(subnet, block, stored, port, now);
  if (at !== undefined) return take(subnet, block, stored, at, now, true);
  const full = withFullness(subnet, block, stored, now);
  const until = full.full[block] ?? null;
  const again =
    until === null ? 'try again' : `the first of them is available in ${Math.ceil((until - now) / 1_000)} s`;
  return {
    ...failure('addresses_resting', `the free addresses of the pools were released recently; ${again}`, true),
    full,
  };
}

/** Allocates exactly this address, or says why not. */
export function takeThis(
  subnets: readonly SubnetUse[],
  address: string,
  port: string,
  now: number,
  loaded: Loaded,
  owner: Owner | undefined,
): Taken | { readonly error: Failure } {
  const at = addresses.parseAddress(address);
  const subnet = at === undefined ? undefined : subnetWith(subnets, at);
  if (at === undefined || subnet === undefined) {
    const cidrs = subnets.map(({ cidr }) => cidr).join(', ');
    return failure('address_outside_subnet', `${address} is in no subnet of the network; choose one in ${cidrs}`);
  }
  if (isKept(subnet, at)) {
    const why = address === subnet.gateway ? 'is the gateway' : 'is reserved';
    const head = subnet.reservedHead === 1 ? 'first address' : `first ${subnet.reservedHead} addresses`;
    return failure(
      'address_reserved',
      `${address} ${why} of ${subnet.cidr}; the ${head} and the last one are reserved`,
    );
  }
  if (owner !== undefined)
    return failure('address_taken', `${address} is held by ${owner.port}; choose another, or none`);
  const key = addresses.blockOf(at);
  const stored = loaded(key) ?? emptyBlock;
  if (isFree(subnet, stored, at, port, now)) return take(subnet, key, stored, at, now, false);
  const rest = stored.rest[String(offsetOf(at))];
  const seconds = Math.ceil(((rest?.until ?? now) - now) / 1_000);
  return failure(
    'address_taken',
    `${address} was released by ${rest?.port ?? 'a port'} and rests for another ${seconds} s; choose another, or none`,
  );
}

/**
 * Marks an address as allocated because a host uses it, resting or not. @returns undefined when it is already
 * allocated, or is in no subnet
 */
export function hold(subnets: readonly SubnetUse[], address: string, now: number, loaded: Loaded): Taken | undefined {
  const at = addresses.parseAddress(address);
  const subnet = at === undefined ? undefined : subnetWith(subnets, at);
  if (at === undefined || subnet === undefined || isKept(subnet, at)) return undefined;
  const key = addresses.blockOf(at);
  const stored = loaded(key) ?? emptyBlock;
  return addresses.hasBit(stored.used, offsetOf(at)) ? undefined : take(subnet, key, stored, at, now, false);
}

/** Releases the address; its rest begins. */
export function giveBack(subnet: SubnetUse, address: string, port: string, now: number, loaded: Loaded): Taken {
  const at = addresses.addressOf(address);
  const key = addresses.blockOf(at);
  const stored = rested(loaded(key) ?? emptyBlock, now);
  const rest = { ...stored.rest, [String(offsetOf(at))]: { until: now + restMs, port } };
  const value: Block = { used: addresses.withBit(stored.used, offsetOf(at), false), rest };
  return {
    address,
    subnet: withFullness(counted(subnet, at, -1), key, value, now),
    block: { key, value },
  };
}

export const prefixOf = (subnet: AddressSpace): number => addresses.cidrOf(subnet.cidr).prefix;

/**
 * The subnet with other pools. What is allocated stays, inside them or not.
 * @param blocks all of the allocation, of other subnets too
 */
export function repooled(
  subnet: SubnetUse,
  pools: AddressSpace['pools'],
  blocks: Readonly<Record<string, Block>>,
  now: number,
): SubnetUse {
  const cidr = addresses.cidrOf(subnet.cidr);
  let use: SubnetUse = { ...freshUse({ ...subnet, pools }), cursor: subnet.cursor };
  for (const [key, block] of Object.entries(blocks)) {
    const base = addresses.blockBase(key);
    for (let offset = 0; offset < 256; offset += 1)
      if (addresses.hasBit(block.used, offset) && addresses.contains(cidr, base + offset))
        use = counted(use, base + offset, 1);
    use = withFullness(use, key, block, now);
  }
  return use;
}
