/** Context changes and messages of a network: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { macOf, macProblem, addressOf } from '../values/addresses.ts';
import { lossIn, lost, madeAgain, realized, withCondition } from '../values/conditions.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { sameJson, type Failure } from '../values/failures.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import { eraOf } from '../values/requests.ts';
import { putRow, reject, rejectFor, removeRow, row, rows, send } from '../values/telling.ts';
import type { Acted, Asked, Seen } from '../values/telling.ts';
import type { NetworkSpec } from '../values/wiring.ts';
import { networkClaim, networkRelease } from '../vpc/vpc-protocol.ts';
import * as ipam from './network-addresses.ts';
import { noteUtilisation } from './network-audit.ts';
import type { Block, Held, Owner, SubnetUse, Taken } from './network-addresses.ts';
import { besides, blockIn, blockRows, booked, unnamed } from './network-pairs.ts';
import {
  addressAllocate,
  addressAllocated,
  addressConfirm,
  addressRefused,
  addressRelease,
} from './network-protocol.ts';
import type { NetworkDeclaration, NetworkEvent } from './network-protocol.ts';
import { resolvedSubnet, spaceOf } from './network-spec.ts';

export interface NetworkContext extends DeclaredContext<NetworkDeclaration> {
  /** A declaration that adds subnets, while their CIDRs are being claimed; null otherwise. */
  readonly proposed: NetworkDeclaration | null;
  readonly subnets: readonly SubnetUse[];
  /** Number of allocated addresses, one per port. */
  readonly ports: number;
  /** Maximum number of ports, set by the tenant. */
  readonly portQuota: number;
  /** The era in which its rows were last reconciled with the inventories of hosts. */
  readonly era: number;
  /** Addresses that a host reports for another port than the rows do: reported, not repaired. */
  readonly disputed: readonly string[];
}

export type At = Seen<NetworkContext, NetworkEvent>;
type Done = Acted<NetworkContext>;

// Life

/** Whether a declaration has other pools for a subnet that there is: then all blocks are counted anew. */
export const changesPools = (
  subnets: readonly SubnetUse[],
  declared: Pick<NetworkDeclaration, 'subnets'> | null,
): boolean =>
  (declared?.subnets ?? []).some((subnet) => {
    const known = subnets.find(({ cidr }) => cidr === subnet.cidr);
    return known !== undefined && !sameJson(known.pools, subnet.pools);
  });

/** Existing subnets keep their allocations; a new one starts empty. */
export function resolveSubnets({ context, event }: At): Partial<NetworkContext> {
  const known = new Map(context.subnets.map((subnet) => [subnet.cidr, subnet]));
  const blocks = changesPools(context.subnets, context.spec) ? rows<Block>(event, 'block') : {};
  const used = (context.spec?.subnets ?? []).map(spaceOf).map((space) => {
    const had = known.get(space.cidr);
    if (had === undefined) return ipam.freshUse(space);
    return sameJson(had.pools, space.pools) ? had : ipam.repooled(had, space.pools, blocks, event.meta.at);
  });
  if (context.generation > 1) return { subnets: used, conditions: noteUtilisation(context, used, event.meta.at) };
  // After the first era a network of this name may have existed before a rollback: it must reconcile first.
  return { subnets: used, era: eraOf(event) > 1 ? 0 : 1 };
}

export function addsSubnets({ context, event }: At): boolean {
  assertEvent(event, ['network.update', 'network.apply']);
  return event.spec.subnets.length > (context.spec?.subnets.length ?? 0);
}

export function propose({ event }: At): Partial<NetworkContext> {
  assertEvent(event, ['network.update', 'network.apply']);
  return { proposed: event.spec, tries: 0 };
}

/** The CIDRs are claimed, so the proposed declaration is accepted. */
export const acceptProposed = ({ context }: At): Partial<NetworkContext> =>
  context.proposed === null
    ? {}
    : { spec: context.proposed, generation: context.generation + 1, proposed: null, tries: 0, failure: null };

/** True for an answer about the generation last claimed: the proposed one, otherwise the accepted one. */
export const isAnswer = ({ context, event }: At): boolean =>
  'generation' in event && event.generation === context.generation + (context.proposed === null ? 0 : 1);

export const isNewest = ({ context, event }: At): boolean =>
  'generation' in event && event.generation === context.generation;

/** Every host has it. One that had lost it has made it again. */
export function noteProven({ context: { conditions }, event }: At): Partial<NetworkContext> {
  const text = lossIn(conditions)?.message;
  const known = text === undefined ? { reason: 'Proven' } : { reason: madeAgain, message: `Made again after: ${text}` };
  return { conditions: withCondition(conditions, { type: realized, status: 'True', ...known }, event.meta.at) };
}

/** A host cannot make it yet, or has lost it: the loss is told until all of it is there again. */
export function noteDelayed({ context: { conditions }, event }: At): Partial<NetworkContext> {
  assertEvent(event, 'network.delayed');
  if (event.lost !== true && lossIn(conditions) !== undefined) return {};
  const { message } = event.error;
  const reason = event.lost === true ? lost : 'HostDelayed';
  return { conditions: withCondition(conditions, { type: realized, status: 'False', reason, message }, event.meta.at) };
}

export function rejectInUse({ context, event }: At): readonly Asked[] {
  const holders = Object.keys(rows<Held>(event, 'port'));
  const few = holders.slice(0, 5).join(', ') + (holders.length > 5 ? ` and ${holders.length - 5} more` : '');
  const message =
    `${context.id} still has ${few || `${context.ports} ports`}; delete those first. ` +
    'If some of them do not exist any more, it notices that now: delete it again in a few seconds';
  return [reject({ code: 'in_use', message })];
}

/** Holders asked in one step; the next refused deletion asks those that are left. */
const confirmedAtOnce = 256;

/**
 * Asks the holders whether they have their addresses. After a rollback of the store an address may be held for a port
 * that was found on a host, but whose record was lost: nobody else could release it.
 */
export function confirmHolders({ context, event }: At): readonly Asked[] {
  const holders = Object.entries(rows<Held>(event, 'port')).slice(0, confirmedAtOnce);
  return holders.map(([port, { address }]) => send(port, addressConfirm({ network: context.id, address })));
}

/** The VPC has not answered for a minute: it does not exist, or the claim is in its dead letters. */
export const rejectLost = ({ context }: At): Done => {
  const error = { code: 'vpc_not_found', message: `${vpcOf(context)} does not answer`, retryable: true };
  return {
    // A network that was realized before goes on with its earlier spec.
    changes: { waiters: [], ...(context.observedGeneration === 0 ? { failure: error } : {}) },
    asks: context.waiters.map(({ commandId }) => rejectFor(commandId, error, 'spec.vpc')),
  };
};

export const vpcOf = (context: NetworkContext): string =>
  idOf('vpc', partsOfId(context.id).tenant, context.spec?.vpc ?? 'main');

/** Claims the CIDRs of the newest declaration, which the VPC then publishes to hosts. */
export function claimCidrs({ context }: At): readonly Asked[] {
  const { proposed, generation } = context;
  const declared = proposed ?? context.spec;
  if (declared === null) return [];
  const network = specFor(context, declared);
  return [send(vpcOf(context), networkClaim({ network, generation: generation + (proposed === null ? 0 : 1) }))];
}

export const releaseCidrs = ({ context }: At): readonly Asked[] => [
  send(vpcOf(context), networkRelease({ network: context.id })),
];

/** Releases the CIDRs of a declaration that was replaced before its first answer: they may have been claimed. */
export const releaseEarlier = (seen: At): readonly Asked[] => (seen.context.generation > 1 ? releaseCidrs(seen) : []);

export function takeQuota({ event }: At): Partial<NetworkContext> {
  assertEvent(event, 'quota.granted');
  return event.ports === undefined ? {} : { portQuota: event.ports };
}

// Addresses

const specFor = (context: NetworkContext, { subnets, mtu, dhcp, metadata }: NetworkDeclaration): NetworkSpec => ({
  network: context.id,
  uid: context.uid,
  subnets: subnets.map(resolvedSubnet),
  mtu,
  dhcp,
  metadata,
});

function allocated(
  context: NetworkContext,
  port: string,
  held: Held,
  { pairs = [], dnsName = null }: Pick<ReturnType<typeof addressAllocate>, 'pairs' | 'dnsName'>,
): Asked {
  const subnet = ipam.subnetWith(context.subnets, addressOf(held.address));
  return send(
    port,
    addressAllocated({
      ...held,
      prefixLength: subnet === undefined ? 32 : ipam.prefixOf(subnet),
      gateway: subnet?.gateway ?? '',
      vpc: vpcOf(context),
      network: specFor(context, context.spec as NetworkDeclaration),
      pairs,
      dnsName,
    }),
  );
}

type Asking = Pick<ReturnType<typeof addressAllocate>, 'port' | 'portUid'>;

/** What identifies the life of a port that asks, if it says so. */
const lifeOf = ({ portUid }: Pick<Asking, 'portUid'>) => (portUid === undefined ? {} : { portUid });

export const refused = (asking: Asking, error: Failure, path: string): Asked =>
  send(asking.port, addressRefused({ ...lifeOf(asking), error, path }));

const replaced = (context: NetworkContext, subnet: SubnetUse): readonly SubnetUse[] =>
  context.subnets.map((each) => (each.name === subnet.name ? subnet : each));

function macTrouble({ event }: At): Failure | undefined {
  assertEvent(event, 'address.allocate');
  if (event.mac === null) return undefined;
  const wrong = macProblem(event.mac);
  if (wrong !== undefined) return { code: 'mac_invalid', message: wrong, retryable: false };
  const holder = row<string>(event, 'mac', event.mac);
  if (holder === undefined) return undefined;
  return {
    code: 'mac_taken',
    message: `${event.mac} is in use by ${holder} in this network; choose another, or none`,
    retryable: false,
  };
}

const overQuota = ({ id, ports, portQuota }: NetworkContext): Failure => ({
  code: 'quota_exceeded',
  message: `${id} has ${ports} of ${portQuota} ports; delete one, or use another network`,
  retryable: false,
});

/** A port that has its address asks again, perhaps for other pairs or another name. */
function allocateAgain({ context, event }: At, own: Held): Done {
  assertEvent(event, 'address.allocate');
  const { port, address, mac, pairs = [], dnsName = null, had = [] } = event;
  const missing = unnamed(event, port, had);
  if (missing.length > 0) {
    const whole = addressAllocate({ port, ...lifeOf(event), address, mac, pairs, dnsName, had: [...had, ...missing] });
    return { changes: {}, asks: [send(context.id, whole)] };
  }
  const beside = besides(event, { subnets: context.subnets, blocks: new Map() }, { port, own, pairs, dnsName });
  if ('error' in beside) return { changes: {}, asks: [refused(event, beside.error, beside.path)] };
  const after = { ...context, subnets: beside.books.subnets };
  const held: Held = { ...own, ...lifeOf(event) };
  const asks = [
    ...blockRows(beside.books),
    ...beside.asks,
    // A release of the former port of this name is still on its way: it must not take the address from this one.
    ...(held.portUid === own.portUid ? [] : [putRow('port', port, held)]),
    allocated(after, port, held, event),
  ];
  return { changes: { subnets: after.subnets }, asks };
}

/** Writes at most one block and two small rows; a third row only for a declared MAC. */
export function allocate(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'address.allocate');
  const { port, address, mac, meta } = event;
  const had = row<Held>(event, 'port', port);
  if (had !== undefined) return allocateAgain(seen, had);
  const trouble = macTrouble(seen);
  if (trouble !== undefined) return { changes: {}, asks: [refused(event, trouble, 'spec.mac')] };
  if (context.ports >= context.portQuota)
    return { changes: {}, asks: [refused(event, overQuota(context), 'spec.network')] };
  const loaded = (key: string): Block | undefined => row<Block>(event, 'block', key);
  const taken: Taken | { error: Failure; full?: SubnetUse } =
    address === null
      ? ipam.takeNext(context.subnets, port, meta.at, loaded)
      : ipam.takeThis(context.subnets, address, port, meta.at, loaded, row<Owner>(event, 'owner', address));
  if ('error' in taken) {
    const subnets = taken.full === undefined ? context.subnets : replaced(context, taken.full);
    return { changes: { subnets }, asks: [refused(event, taken.error, 'spec.address')] };
  }
  const held: Held = { address: taken.address, mac: mac ?? macOf(addressOf(taken.address)), ...lifeOf(event) };
  const books = booked({ subnets: context.subnets, blocks: new Map() }, taken);
  const { pairs = [], dnsName = null } = event;
  const isPlain = pairs.length === 0 && dnsName === null;
  const beside = isPlain ? { books, asks: [] } : besides(event, books, { port, own: held, pairs, dnsName });
  if ('error' in beside) return { changes: {}, asks: [refused(event, beside.error, beside.path)] };
  const after = { ...context, subnets: beside.books.subnets, ports: context.ports + 1 };
  const asks = [
    ...blockRows(beside.books),
    putRow('owner', held.address, { port, mac: held.mac } satisfies Owner),
    putRow('port', port, held),
    ...(mac === null ? [] : [putRow('mac', mac, port)]),
    ...beside.asks,
    allocated(after, port, held, event),
  ];
  const conditions = noteUtilisation(context, after.subnets, meta.at);
  return { changes: { subnets: after.subnets, ports: after.ports, conditions }, asks };
}

const leaving = (port: string, own: Held) => ({ port, own, pairs: [], dnsName: null });

/** Another port of the same name has asked for the address meanwhile. */
const isOfFormer = ({ portUid }: Pick<Asking, 'portUid'>, held: Held): boolean =>
  portUid !== undefined && held.portUid !== undefined && held.portUid !== portUid;

export function release({ context, event }: At): Done {
  assertEvent(event, 'address.release');
  const { port, meta } = event;
  const held = row<Held>(event, 'port', port);
  const subnet = held === undefined ? undefined : ipam.subnetWith(context.subnets, addressOf(held.address));
  if (held === undefined || subnet === undefined || isOfFormer(event, held)) return { changes: {}, asks: [] };
  // A port that gave up before the answer does not know its address, so the network releases it by a message to itself.
  const { had = [] } = event;
  const missing = unnamed(event, port, had);
  if (event.address === null || (event.address === held.address && missing.length > 0)) {
    const whole = addressRelease({ port, ...lifeOf(event), address: held.address, had: [...had, ...missing] });
    return { changes: {}, asks: [send(context.id, whole)] };
  }
  if (event.address !== held.address) return { changes: {}, asks: [] };
  const beside = besides(event, { subnets: context.subnets, blocks: new Map() }, leaving(port, held));
  if ('error' in beside) return { changes: {}, asks: [] };
  const left = ipam.subnetWith(beside.books.subnets, addressOf(held.address)) ?? subnet;
  const given = ipam.giveBack(left, held.address, port, meta.at, blockIn(event, beside.books));
  const books = booked(beside.books, given);
  const isDeclared = held.mac !== macOf(addressOf(held.address));
  const asks = [
    ...blockRows(books),
    ...beside.asks,
    removeRow('owner', held.address),
    removeRow('port', port),
    ...(isDeclared ? [removeRow('mac', held.mac)] : []),
  ];
  const { subnets } = books;
  const conditions = noteUtilisation(context, subnets, meta.at);
  return { changes: { subnets, ports: context.ports - 1, conditions }, asks };
}

export function refuseEarly({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'address.allocate');
  const error = { code: 'network_not_ready', message: `${context.id} is still being created`, retryable: true };
  return [refused(event, error, 'spec.network')];
}

export function refuseLate({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'address.allocate');
  const error = { code: 'network_not_found', message: `${context.id} is being deleted`, retryable: false };
  return [refused(event, error, 'spec.network')];
}

/** Removes the rows with the rests: a later network of the same name starts without them. */
export const forgetBlocks = ({ event }: At): readonly Asked[] =>
  Object.keys(rows<Block>(event, 'block')).map((key) => removeRow('block', key));
