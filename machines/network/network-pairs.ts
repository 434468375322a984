/**
 * What a port has beside its address: allowed address pairs and a DNS name. Each address of a pair is allocated like an
 * own address, so nobody else gets it, and a pair is refused when an address of it is somebody else's. Everything that
 * a port requests is allocated at once, or nothing. Pure functions of context and event.
 */
import { assertEvent } from 'xstate';
import { expandedPairs, type DeclaredPairs } from '../values/address-pairs.ts';
import type { Failure } from '../values/failures.ts';
import { putRow, removeRow, row, send, type Acted, type Asked, type Heard } from '../values/telling.ts';
import * as ipam from './network-addresses.ts';
import type { Beside, Block, Held, Owner, SubnetUse } from './network-addresses.ts';
import { noteUtilisation } from './network-audit.ts';
import type { At, NetworkContext } from './network-messages.ts';
import { addressRevise, addressRevised, addressUnrevised } from './network-protocol.ts';
import { addressOf } from '../values/addresses.ts';

type Done = Acted<NetworkContext>;

const nothing: Beside = { pairs: {}, dnsName: null };

/** Allocations of one step: each builds on those before it, and rows are written once all have succeeded. */
export interface Books {
  readonly subnets: readonly SubnetUse[];
  readonly blocks: ReadonlyMap<string, Block>;
}

export const blockIn =
  (event: Heard, { blocks }: Books) =>
  (key: string): Block | undefined =>
    blocks.get(key) ?? row<Block>(event, 'block', key);

export const booked = ({ subnets, blocks }: Books, { subnet, block }: Omit<ipam.Taken, 'address'>): Books => ({
  subnets: subnets.map((each) => (each.name === subnet.name ? subnet : each)),
  blocks: new Map([...blocks, [block.key, block.value]]),
});

export const blockRows = ({ blocks }: Books): readonly Asked[] =>
  [...blocks].map(([key, value]) => putRow('block', key, value));

export interface Requested {
  readonly port: string;
  readonly own: Held;
  readonly pairs: DeclaredPairs;
  readonly dnsName: string | null;
}

interface Refusal {
  readonly error: Failure;
  readonly path: string;
}

const refusal = (code: string, path: string, message: string): Refusal => ({
  error: { code, message, retryable: false },
  path,
});

/** @returns why the MACs or the name are somebody else's */
function taken(event: Heard, { port, pairs, dnsName }: Requested): Refusal | undefined {
  for (const [at, { mac }] of pairs.entries()) {
    const holder = mac === null ? undefined : row<string>(event, 'mac', mac);
    if (holder !== undefined && holder !== port)
      return refusal(
        'mac_taken',
        `spec.addressPairs.${at}.mac`,
        `${mac} is in use by ${holder} in this network; choose another, or none`,
      );
  }
  const named = dnsName === null ? undefined : row<string>(event, 'name', dnsName);
  if (named === undefined || named === port) return undefined;
  return refusal(
    'dns_name_taken',
    'spec.dnsName',
    `${dnsName} is the name of ${named} in this network; choose another`,
  );
}

/** Rows of MACs and names; the MAC of an address needs none, nor does that of the port. */
function sideRows({ port, own }: Requested, had: Beside, { pairs, dnsName }: Beside): readonly Asked[] {
  const macsIn = (of: Beside): readonly string[] =>
    [...new Set(Object.values(of.pairs))].filter((mac) => mac !== own.mac);
  const [macs, hadMacs] = [macsIn({ pairs, dnsName }), macsIn(had)];
  return [
    ...hadMacs.filter((mac) => !macs.includes(mac)).map((mac) => removeRow('mac', mac)),
    ...macs.filter((mac) => !hadMacs.includes(mac)).map((mac) => putRow('mac', mac, port)),
    ...(had.dnsName === null || had.dnsName === dnsName ? [] : [removeRow('name', had.dnsName)]),
    ...(dnsName === null || dnsName === had.dnsName ? [] : [putRow('name', dnsName, port)]),
  ];
}

const besideRow = (port: string, { pairs, dnsName }: Beside, had: Beside | undefined): readonly Asked[] => {
  const isEmpty = Object.keys(pairs).length === 0 && dnsName === null;
  if (!isEmpty) return [putRow('beside', port, { pairs, dnsName } satisfies Beside)];
  return had === undefined ? [] : [removeRow('beside', port)];
};

/**
 * Replaces what the port has beside its address by what it requests.
 * Rows of the addresses that it has and requests, of the MACs and of the name must be loaded.
 */
export function besides(
  event: Heard,
  books: Books,
  requested: Requested,
): { books: Books; asks: readonly Asked[] } | Refusal {
  const { port, own, dnsName } = requested;
  const stored = row<Beside>(event, 'beside', port);
  const had = stored ?? nothing;
  const trouble = taken(event, requested);
  if (trouble !== undefined) return trouble;
  const wanted = expandedPairs(requested.pairs, own);
  const kept = new Set(wanted.map(({ address }) => address));
  const gone = Object.keys(had.pairs).filter((address) => !kept.has(address));
  let now = books;
  const asks: Asked[] = [];
  for (const { address, mac, at } of wanted) {
    if (had.pairs[address] === undefined) {
      const owner = row<Owner>(event, 'owner', address);
      const got = ipam.takeThis(now.subnets, address, port, event.meta.at, blockIn(event, now), owner);
      if ('error' in got) return { error: got.error, path: `spec.addressPairs.${at}.cidr` };
      now = booked(now, got);
    }
    if (had.pairs[address] !== mac) asks.push(putRow('owner', address, { port, mac, pair: true } satisfies Owner));
  }
  for (const address of gone) {
    const subnet = ipam.subnetWith(now.subnets, addressOf(address));
    if (subnet === undefined) continue;
    now = booked(now, ipam.giveBack(subnet, address, port, event.meta.at, blockIn(event, now)));
    asks.push(removeRow('owner', address));
  }
  const pairs = Object.fromEntries(wanted.map(({ address, mac }) => [address, mac]));
  const has = { pairs, dnsName };
  return { books: now, asks: [...asks, ...sideRows(requested, had, has), ...besideRow(port, has, stored)] };
}

/** Addresses of pairs that are recorded and that the message does not name: their blocks were not loaded. */
export const unnamed = (event: Heard, port: string, had: readonly string[]): readonly string[] =>
  Object.keys(row<Beside>(event, 'beside', port)?.pairs ?? {}).filter((address) => !had.includes(address));

export function revise({ context, event }: At): Done {
  assertEvent(event, 'address.revise');
  const { port, pairs, dnsName, had } = event;
  const own = row<Held>(event, 'port', port);
  const network = context.id;
  if (own === undefined) {
    const message = `${network} has no address for ${port}; create the port again`;
    const error = { code: 'address_missing', message, retryable: false };
    return { changes: {}, asks: [send(port, addressUnrevised({ network, error, path: 'spec.network' }))] };
  }
  const missing = unnamed(event, port, had);
  if (missing.length > 0) {
    const whole = addressRevise({ port, pairs, dnsName, had: [...had, ...missing] });
    return { changes: {}, asks: [send(context.id, whole)] };
  }
  const done = besides(event, { subnets: context.subnets, blocks: new Map() }, { port, own, pairs, dnsName });
  if ('error' in done) return { changes: {}, asks: [send(port, addressUnrevised({ network, ...done }))] };
  const { subnets } = done.books;
  const conditions = noteUtilisation(context, subnets, event.meta.at);
  return {
    changes: { subnets, conditions },
    asks: [...blockRows(done.books), ...done.asks, send(port, addressRevised({ network, pairs, dnsName }))],
  };
}
