/**
 * Who uses an external network, and with which of its addresses: rows `router/<actor id>` and the rows of an allocation
 * (machines/network/network-addresses.ts), of which it has one space. Pure functions of context and event. Upholds: an
 * address has one holder; who does not use the network holds no address of it.
 */
import { assertEvent } from 'xstate';
import * as ipam from '../network/network-addresses.ts';
import type { AddressSpace } from '../network/address-pools.ts';
import type { Block, Held, Owner, SubnetUse, Taken } from '../network/network-addresses.ts';
import { addressPage, noteUtilisation, problemsOf, utilisation } from '../network/network-audit.ts';
import { addressOf, macOf } from '../values/addresses.ts';
import type { Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { putRow, reject, removeRow, reply, row, rows, send, type Acted, type Asked } from '../values/telling.ts';
import { routerRows, wayOf, type At, type ExternalNetworkContext } from './external-network-messages.ts';
import {
  externalConfirm,
  externalGranted,
  externalRefused,
  externalRelease,
  servesTenant,
  type ExternalNetworkSpec,
} from './external-network-protocol.ts';

type Done = Acted<ExternalNetworkContext>;

const nothing: Done = { changes: {}, asks: [] };

/** Network, broadcast and the gateway are nobody's. */
export const spaceOf = ({ cidr, gateway, pools }: ExternalNetworkSpec): AddressSpace => ({
  name: 'external',
  cidr,
  gateway,
  reservedHead: 1,
  pools,
});

/** @throws TypeError before the first declaration */
function useOf({ id, space }: ExternalNetworkContext): SubnetUse {
  if (space === null) throw new TypeError(`${id} has no addresses`);
  return space;
}

/** The pools of the newest declaration; what is allocated stays. */
export function resolveSpace({ context, event }: At): Partial<ExternalNetworkContext> {
  const { space, spec } = context;
  if (spec === null) return {};
  const use =
    space === null
      ? ipam.freshUse(spaceOf(spec))
      : ipam.repooled(space, spec.pools, rows<Block>(event, 'block'), event.meta.at);
  return { space: use, conditions: noteUtilisation(context, [use], event.meta.at, 'widen a pool') };
}

// Claims

/** The same for an external network that does not exist, so that nobody learns which there are. */
function refuseAbsence({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'external.claim');
  const to = event.meta.from ?? event.by;
  const message = `there is no ${context.id} that ${partsOfId(to).tenant} may use; ask an operator, or name another`;
  const error: Failure = { code: 'external_network_missing', message, retryable: false };
  return [send(to, externalRefused({ network: context.id, error, field: 'network' }))];
}

export const answerMissing = refuseAbsence;

/** The claimant speaks for itself, and its tenant has a grant. */
const isServed = ({ context, event }: At): boolean => {
  assertEvent(event, 'external.claim');
  const { by, meta } = event;
  return meta.from === by && context.spec !== null && servesTenant(context.spec, partsOfId(by).tenant);
};

function granted(
  context: ExternalNetworkContext,
  by: string,
  use: 'router' | 'address',
  address: string | null,
): Asked {
  const way = use === 'router' ? wayOf(context) : null;
  return send(by, externalGranted({ network: context.id, address, way }));
}

/** Allocates the address that a claim needs beside those that its claimant has. */
function allocation({ context, event }: At): Taken | { readonly error: Failure; readonly full?: SubnetUse } {
  assertEvent(event, 'external.claim');
  const { by, address, meta } = event;
  const loaded = (key: string): Block | undefined => row<Block>(event, 'block', key);
  const spaces = [useOf(context)];
  return address === null
    ? ipam.takeNext(spaces, by, meta.at, loaded)
    : ipam.takeThis(spaces, address, by, meta.at, loaded, row<Owner>(event, 'owner', address));
}

/** A claim again, with another address or without one, gives back the address of the claim before. */
export function claim(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'external.claim');
  if (!isServed(seen)) return { changes: {}, asks: refuseAbsence(seen) };
  const { by, use, wantsAddress, address, meta } = event;
  const had = row<Held>(event, 'port', by);
  const isRouter = row<object>(event, routerRows, by) !== undefined;
  const holders = context.holders + (had === undefined && !isRouter ? 1 : 0);
  const listed = use === 'router' && !isRouter ? [putRow(routerRows, by, {})] : [];
  const left = (keeps: string | null): readonly Asked[] =>
    had === undefined || had.address === keeps ? [] : [giveBackLater(context, by, had.address)];
  if (!wantsAddress) {
    const unheld = had === undefined ? [] : [removeRow('port', by)];
    return { changes: { holders }, asks: [...listed, ...unheld, granted(context, by, use, null), ...left(null)] };
  }
  if (had !== undefined && (address === null || address === had.address))
    return { changes: { holders }, asks: [...listed, granted(context, by, use, had.address)] };
  const taken = allocation(seen);
  if ('error' in taken) {
    const changes = taken.full === undefined ? {} : { space: taken.full };
    return {
      changes,
      asks: [send(by, externalRefused({ network: context.id, error: taken.error, field: 'address' }))],
    };
  }
  const mac = macOf(addressOf(taken.address));
  const asks = [
    putRow('block', taken.block.key, taken.block.value),
    putRow('owner', taken.address, { port: by, mac } satisfies Owner),
    putRow('port', by, { address: taken.address, mac } satisfies Held),
    ...listed,
    granted(context, by, use, taken.address),
    ...left(taken.address),
  ];
  const conditions = noteUtilisation(context, [taken.subnet], meta.at, 'widen a pool');
  return { changes: { holders, space: taken.subnet, conditions }, asks };
}

/** The row changes and the space after an address was given back; nothing when another has it. */
function givenBack({ context, event }: At, by: string, address: string): Done {
  if (row<Owner>(event, 'owner', address)?.port !== by) return nothing;
  const { at } = event.meta;
  const given = ipam.giveBack(useOf(context), address, by, at, (key) => row<Block>(event, 'block', key));
  const conditions = noteUtilisation(context, [given.subnet], at, 'widen a pool');
  const asks = [putRow('block', given.block.key, given.block.value), removeRow('owner', address)];
  return { changes: { space: given.subnet, conditions }, asks };
}

/** Gives back one address, or ends the use. */
export function release(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'external.release');
  const { by, address, ends, meta } = event;
  if (meta.from !== by && meta.from !== context.id) return nothing;
  if (!ends) return address === null ? nothing : givenBack(seen, by, address);
  const held = row<Held>(event, 'port', by);
  const isRouter = row<object>(event, routerRows, by) !== undefined;
  if (held === undefined && !isRouter) return nothing;
  const { changes, asks } = held === undefined || held.address !== address ? nothing : givenBack(seen, by, address);
  const unlisted = [
    ...(isRouter ? [removeRow(routerRows, by)] : []),
    ...(held === undefined ? [] : [removeRow('port', by)]),
    // Who gave up before the answer does not know its address, whose block is not loaded now.
    ...(held === undefined || held.address === address ? [] : [giveBackLater(context, by, held.address)]),
  ];
  return { changes: { ...changes, holders: context.holders - 1 }, asks: [...asks, ...unlisted] };
}

const giveBackLater = ({ id }: ExternalNetworkContext, by: string, address: string): Asked =>
  send(id, externalRelease({ by, address, ends: false }));

// Holders

const holdersIn = (event: At['event']): readonly string[] =>
  [...new Set([...Object.keys(rows(event, 'port')), ...Object.keys(rows(event, routerRows))])].sort();

const few = (all: readonly string[]): string =>
  all.slice(0, 5).join(', ') + (all.length > 5 ? ` and ${all.length - 5} more` : '');

export function rejectInUse({ context, event }: At): readonly Asked[] {
  const message = `${context.id} is in use by ${few(holdersIn(event))}; delete those first`;
  return [reject({ code: 'in_use', message: `${message}. If they are gone, delete it again in a few seconds` })];
}

/** Holders of tenants that the declaration in the event serves no more. */
const unservedBy = ({ event }: At): readonly string[] => {
  assertEvent(event, ['external-network.update', 'external-network.apply']);
  return holdersIn(event).filter((holder) => !servesTenant(event.spec, partsOfId(holder).tenant));
};

export const revokesUsed = (seen: At): boolean => unservedBy(seen).length > 0;

export function rejectRevoked(seen: At): readonly Asked[] {
  const message = `${seen.context.id} is still used by ${few(unservedBy(seen))}; delete those, or keep the grant`;
  return [reject({ code: 'in_use', message, issues: [{ path: 'spec.tenants', message }] })];
}

const confirmedAtOnce = 256;

/** A holder that does not exist any more, as after a rollback of the store, gives its address back. */
export const confirmHolders = ({ event }: At): readonly Asked[] =>
  holdersIn(event)
    .slice(0, confirmedAtOnce)
    .map((holder) => send(holder, externalConfirm({})));

/** Removes the rows with the rests: a later external network of the same name starts without them. */
export const forgetBlocks = ({ event }: At): readonly Asked[] =>
  Object.keys(rows<Block>(event, 'block')).map((key) => removeRow('block', key));

// Commands

export function listAddresses({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'external-network.addresses');
  const page = addressPage([useOf(context)], rows<Owner>(event, 'owner'), event.after);
  // Their MAC is that of a gateway, and none of theirs.
  const addresses = page.addresses.map(({ address, owner }) => ({ address, owner }));
  return [reply(event.meta.commandId ?? '', { ...page, addresses })];
}

export function verifyAddresses({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'external-network.verify');
  const ports = rows<Held>(event, 'port');
  const owners = rows<Owner>(event, 'owner');
  const users = holdersIn(event).length;
  const miscounted = users === context.holders ? [] : [`${context.holders} users are counted, and there are ${users}`];
  const problems = problemsOf(
    { subnets: [useOf(context)], ports: Object.keys(ports).length },
    { owners, ports, macs: {}, blocks: rows<Block>(event, 'block'), besides: {}, names: {} },
  );
  const counted = { ...utilisation({ subnets: [useOf(context)] }), ports: Object.keys(ports).length };
  return [reply(event.meta.commandId ?? '', { ...counted, problems: [...problems, ...miscounted] })];
}
