/** What a network changes and tells whom: pure functions of its context and the event. */
import { assertEvent } from 'xstate';
import { macOf, macProblem, addressOf } from '../values/addresses.ts';
import { canonicalJson, differences, type Failure } from '../values/failures.ts';
import { idOf, partsOfId, tenantId } from '../values/identifiers.ts';
import { eraOf } from '../values/requests.ts';
import { defer, putRow, reject, rejectFor, removeRow, reply, row, rows, send } from '../values/telling.ts';
import type { Acted, Asked, Seen } from '../values/telling.ts';
import type { NetworkSpec } from '../values/wiring.ts';
import * as ipam from './network-addresses.ts';
import type { Block, Held, Owner, SubnetUse, Taken } from './network-addresses.ts';
import type { NetworkEvent } from './network-events.ts';
import { declarationOf, problemsOf, type NetworkDeclaration } from './network-spec.ts';

export interface NetworkContext {
  readonly id: string;
  readonly uid: string;
  readonly spec: NetworkDeclaration | null;
  readonly subnets: readonly SubnetUse[];
  /** Addresses held, one per port. */
  readonly ports: number;
  /** So many ports at most, as its tenant says. */
  readonly portQuota: number;
  /** Commands that wait for the network to be ready, or to be gone. */
  readonly waiters: readonly string[];
  /** Retryable refusals in a row. */
  readonly tries: number;
  readonly failure: Failure | null;
  /** The era its rows were last agreed in with what hosts have. */
  readonly era: number;
  /** Addresses that another port has on its host than here: told, not mended. */
  readonly disputed: readonly string[];
}

export type At = Seen<NetworkContext, NetworkEvent>;
type Done = Acted<NetworkContext>;

const requestOf = (event: NetworkEvent): NetworkDeclaration => {
  assertEvent(event, 'network.create');
  return declarationOf(event);
};

// Life

export const isInvalid = ({ event }: At): boolean => problemsOf(requestOf(event)).length > 0;
export const isSame = ({ context, event }: At): boolean =>
  canonicalJson(requestOf(event)) === canonicalJson(context.spec);

export function rejectInvalid({ event }: At): readonly Asked[] {
  const problems = problemsOf(requestOf(event));
  const [first] = problems;
  if (first === undefined) return [];
  return [
    reject({
      code: first.code,
      message: first.message,
      issues: problems.map(({ path, message }) => ({ path, message })),
    }),
  ];
}

export function takeSpec({ event }: At): Partial<NetworkContext> {
  const spec = requestOf(event);
  // One that is made in a later era may have been there before, under the same name: it asks first.
  const era = eraOf(event) > 1 ? 0 : 1;
  return { uid: event.meta.ulid, spec, subnets: spec.subnets.map(ipam.freshUse), era };
}

export function rejectDifferent({ context, event }: At): readonly Asked[] {
  const issues = differences(context.spec ?? {}, requestOf(event)).map((issue) => ({
    ...issue,
    path: `spec.${issue.path}`,
  }));
  const message = `${context.id} exists with another spec; delete it first, or give the new one another name`;
  return [reject({ code: 'exists_differently', message, issues })];
}

export const rejectBusy = ({ context }: At): readonly Asked[] => [
  reject({ code: 'name_busy', message: `${context.id} is being deleted; try again once it is gone` }),
];

export function rejectInUse({ context, event }: At): readonly Asked[] {
  const holders = Object.keys(rows<Held>(event, 'port'));
  const few = holders.slice(0, 5).join(', ') + (holders.length > 5 ? ` and ${holders.length - 5} more` : '');
  return [
    reject({
      code: 'in_use',
      message: `${context.id} still has ${few || `${context.ports} ports`}; delete those first`,
    }),
  ];
}

export const deferAnswer = ({ event }: At): readonly Asked[] => (event.meta.commandId === undefined ? [] : [defer]);
/** Answered like the first time. An action stands here because a transition without one counts as not handled. */
export const answerSame = ({ context, event }: At): readonly Asked[] =>
  event.meta.commandId === undefined ? [] : [reply(event.meta.commandId, { uid: context.uid })];

export const answerAll = ({ context }: At): readonly Asked[] =>
  context.waiters.map((commandId) => reply(commandId, { uid: context.uid }));

export function rejectAll({ context, event }: At): readonly Asked[] {
  assertEvent(event, ['quota.refused', 'cidr.refused']);
  const path = event.type === 'cidr.refused' ? event.path : 'name';
  return context.waiters.map((commandId) => rejectFor(commandId, event.error, path));
}

/** Who wanted it while it was still being made is told that it will not be. */
export const rejectDeleted = ({ context }: At): readonly Asked[] =>
  context.waiters.map((commandId) =>
    reject({ commandId, code: 'deleted', message: `${context.id} was deleted before it was ready` }),
  );

/** The VPC has not answered for a minute: there is none, the claim may be in its dead messages. */
export const rejectLost = ({ context }: At): readonly Asked[] =>
  context.waiters.map((commandId) =>
    rejectFor(
      commandId,
      { code: 'vpc_not_found', message: `${vpcOf(context)} does not answer`, retryable: true },
      'spec.vpc',
    ),
  );

const tenant = (context: NetworkContext): string => tenantId(partsOfId(context.id).tenant);
export const vpcOf = (context: NetworkContext): string =>
  idOf('vpc', partsOfId(context.id).tenant, context.spec?.vpc ?? 'main');

export const claimQuota = ({ context }: At): readonly Asked[] => [
  send(tenant(context), { type: 'quota.claim', kind: 'network', claimant: context.id }),
];
export const releaseQuota = ({ context }: At): readonly Asked[] => [
  send(tenant(context), { type: 'quota.release', kind: 'network', claimant: context.id }),
];
export const claimCidrs = ({ context }: At): readonly Asked[] => [
  send(vpcOf(context), {
    type: 'cidr.claim',
    network: context.id,
    subnets: (context.spec?.subnets ?? []).map(({ cidr }) => ({ cidr })),
  }),
];
export const releaseCidrs = ({ context }: At): readonly Asked[] => [
  send(vpcOf(context), { type: 'cidr.release', network: context.id }),
];

export function takeQuota({ event }: At): Partial<NetworkContext> {
  assertEvent(event, 'quota.granted');
  return event.ports === undefined ? {} : { portQuota: event.ports };
}

// Addresses

export function specOf(context: NetworkContext): NetworkSpec {
  const subnets = context.subnets.map(({ name, cidr, gateway }) => ({ name, cidr, gateway }));
  const dhcp = context.spec?.dhcp ?? { leaseSeconds: 0, dns: [], domain: null, ntp: [] };
  return { network: context.id, uid: context.uid, subnets, mtu: context.spec?.mtu ?? 0, dhcp };
}

function allocated(context: NetworkContext, port: string, held: Held): Asked {
  const subnet = ipam.subnetWith(context.subnets, addressOf(held.address));
  return send(port, {
    type: 'address.allocated',
    ...held,
    prefixLength: subnet === undefined ? 32 : ipam.prefixOf(subnet),
    gateway: subnet?.gateway ?? '',
    vpc: vpcOf(context),
    network: specOf(context),
  });
}

const refused = (port: string, error: Failure, path: string): Asked =>
  send(port, { type: 'address.refused', error, path });

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
    message: `${event.mac} is ${holder}'s in this network; choose another, or none`,
    retryable: false,
  };
}

const overQuota = ({ id, ports, portQuota }: NetworkContext): Failure => ({
  code: 'quota_exceeded',
  message: `${id} has ${ports} of ${portQuota} ports; delete one, or use another network`,
  retryable: false,
});

/** Never rewrites more than one block and two small rows; a third only for a declared MAC. */
export function allocate(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'address.allocate');
  const { port, address, mac, meta } = event;
  const had = row<Held>(event, 'port', port);
  if (had !== undefined) return { changes: {}, asks: [allocated(context, port, had)] };
  const trouble = macTrouble(seen);
  if (trouble !== undefined) return { changes: {}, asks: [refused(port, trouble, 'spec.mac')] };
  if (context.ports >= context.portQuota)
    return { changes: {}, asks: [refused(port, overQuota(context), 'spec.network')] };
  const loaded = (key: string): Block | undefined => row<Block>(event, 'block', key);
  const taken: Taken | { error: Failure; full?: SubnetUse } =
    address === null
      ? ipam.takeNext(context.subnets, port, meta.at, loaded)
      : ipam.takeThis(context.subnets, address, port, meta.at, loaded, row<Owner>(event, 'owner', address));
  if ('error' in taken) {
    const subnets = taken.full === undefined ? context.subnets : replaced(context, taken.full);
    return { changes: { subnets }, asks: [refused(port, taken.error, 'spec.address')] };
  }
  const held: Held = { address: taken.address, mac: mac ?? macOf(addressOf(taken.address)) };
  const after = { ...context, subnets: replaced(context, taken.subnet), ports: context.ports + 1 };
  const asks = [
    putRow('block', taken.block.key, taken.block.value),
    putRow('owner', held.address, { port, mac: held.mac } satisfies Owner),
    putRow('port', port, held),
    ...(mac === null ? [] : [putRow('mac', mac, port)]),
    allocated(after, port, held),
  ];
  return { changes: { subnets: after.subnets, ports: after.ports }, asks };
}

export function release({ context, event }: At): Done {
  assertEvent(event, 'address.release');
  const { port, meta } = event;
  const held = row<Held>(event, 'port', port);
  const subnet = held === undefined ? undefined : ipam.subnetWith(context.subnets, addressOf(held.address));
  if (held === undefined || subnet === undefined) return { changes: {}, asks: [] };
  // A port that gave up before it heard its address cannot name it, and the address's block is known only from here on.
  if (event.address === null)
    return { changes: {}, asks: [send(context.id, { type: 'address.release', port, address: held.address })] };
  if (event.address !== held.address) return { changes: {}, asks: [] };
  const given = ipam.giveBack(subnet, held.address, port, meta.at, (key) => row<Block>(event, 'block', key));
  const isDeclared = held.mac !== macOf(addressOf(held.address));
  const asks = [
    putRow('block', given.block.key, given.block.value),
    removeRow('owner', held.address),
    removeRow('port', port),
    ...(isDeclared ? [removeRow('mac', held.mac)] : []),
  ];
  return { changes: { subnets: replaced(context, given.subnet), ports: context.ports - 1 }, asks };
}

export function refuseEarly({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'address.allocate');
  const error = { code: 'network_not_ready', message: `${context.id} is still being made`, retryable: true };
  return [refused(event.port, error, 'spec.network')];
}

export function refuseLate({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'address.allocate');
  const error = { code: 'network_not_found', message: `${context.id} is being deleted`, retryable: false };
  return [refused(event.port, error, 'spec.network')];
}

/** Rests outlive their network only as rows; a later network of the same name starts without them. */
export const forgetBlocks = ({ event }: At): readonly Asked[] =>
  Object.keys(rows<Block>(event, 'block')).map((key) => removeRow('block', key));
