/** Messages of a port: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { bindingEnsure, bindingRemove } from '../binding/binding-protocol.ts';
import { hostResolve } from '../cluster/cluster-protocol.ts';
import { addressAllocate, addressRelease, addressRevise } from '../network/network-protocol.ts';
import { failureOf, type Failure } from '../values/failures.ts';
import { clusterId, counterpartOf } from '../values/identifiers.ts';
import type { SentEvent } from '../values/kind.ts';
import { reject, rejectFor, reply, send, type Acted, type Asked } from '../values/telling.ts';
import { referenceAdd, referenceDrop } from '../values/references.ts';
import { portLeft, portLocated, segmentNeed } from '../vpc/vpc-protocol.ts';
import * as contexts from './port-context.ts';
import type { At, PortContext } from './port-context.ts';
import * as says from './port-protocol.ts';
import { askStandby } from './port-standby.ts';

/** Sends a message to the VM that holds the port, if one does. */
const toHolder = ({ context }: At, event: SentEvent): readonly Asked[] =>
  context.holder === null ? [] : [send(context.holder, event)];

/** Gives an address back that the network holds for this port without reason. */
export function disownAddress({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'address.confirm');
  return [send(event.network, addressRelease({ port: context.id, address: event.address }))];
}

/** Removes a binding that this port does not have; of a port whose record was lost, also what is known elsewhere. */
export function disownBinding({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'binding.confirm');
  const { id: port, spec } = context;
  const { host, hostIndex, found } = event;
  const { runEpoch, vpc, network, address, pairs } = found;
  const removal = send(counterpartOf(port, 'binding', host), bindingRemove({ runEpoch }));
  if (spec !== null) return [removal];
  const left = [address, ...pairs].map((one) => send(vpc, portLeft({ port, address: one, host: hostIndex })));
  return [...left, removal, send(network, addressRelease({ port, address, had: pairs }))];
}

// Creation

export const tellReady = ({ context }: At): readonly Asked[] => tellReadyOf(context);

function tellReadyOf(context: PortContext): readonly Asked[] {
  const { id, grant, spec, holder } = context;
  if (grant === null || holder === null) return [];
  const { address, prefixLength, gateway, mac, network } = grant;
  const groups = contexts.groupIds(context, spec);
  const facts = { network: network.network, address, prefixLength, gateway, mac, mtu: network.mtu, groups };
  return [send(holder, says.portReady({ port: id, facts }))];
}

export const tellRefused = (seen: At): readonly Asked[] => {
  const { context, event } = seen;
  assertEvent(event, 'address.refused');
  return toHolder(seen, says.portRefused({ port: context.id, error: failureOf(event.error), path: event.path }));
};

/** The network or host does not answer: the client or VM that requested the port is refused. */
function giveUp(seen: At, error: Failure, path: string): Acted<PortContext> {
  const { id, waiters } = seen.context;
  const rejections = waiters.map(({ commandId }) => rejectFor(commandId, error, path));
  return {
    changes: { waiters: [], failure: error },
    asks: [...rejections, ...toHolder(seen, says.portRefused({ port: id, error, path }))],
  };
}

export const rejectNoHost = (seen: At): Acted<PortContext> => {
  assertEvent(seen.event, 'host.missing');
  const message = `the cluster has no host ${seen.event.host}; see the list of hosts`;
  return giveUp(seen, { code: 'host_not_found', message, retryable: false }, 'spec.host');
};

export const rejectLost = (seen: At): Acted<PortContext> => {
  const message = `${contexts.networkId(seen.context)} does not answer; it may have been deleted`;
  return giveUp(seen, { code: 'network_not_found', message, retryable: false }, 'spec.network');
};

function refusal({ context, event }: At, error: Failure, path: string): readonly Asked[] {
  assertEvent(event, 'port.claim');
  return [send(event.holder, says.portRefused({ port: context.id, error, path }))];
}

/** Refuses a claim: another VM holds the port, a client declared it, or its spec differs. */
export const refuseClaim = (seen: At): readonly Asked[] => {
  const { id } = seen.context;
  const [first] = contexts.claimChanges(seen);
  const message = contexts.isForeign(seen)
    ? `${id} is held by ${holderOf(seen.context)}; give the NIC another name`
    : `${id} exists with another spec; give the NIC another name, or try again once it is gone`;
  const path = first === undefined || contexts.isForeign(seen) ? 'name' : `spec.${first.path}`;
  return refusal(seen, { code: 'exists_differently', message, retryable: false }, path);
};

export const refuseBusy = (seen: At): readonly Asked[] => {
  const message = `${seen.context.id} is being deleted; try again once it is gone`;
  return refusal(seen, { code: 'name_busy', message, retryable: true }, 'name');
};

// Requests to other actors

export const askHost = ({ context }: At): readonly Asked[] => [
  send(clusterId, hostResolve({ host: context.spec?.host ?? '' })),
];

export const askAddress = ({ context }: At): readonly Asked[] => {
  const { address = null, mac = null, addressPairs: pairs = [], dnsName = null } = context.spec ?? {};
  const asked = addressAllocate({ port: context.id, portUid: context.uid, address, mac, pairs, dnsName });
  return [send(contexts.networkId(context), asked)];
};

/** Asks for what the proposal, or else the spec, has beside the address. */
export const askRevision = ({ context }: At): readonly Asked[] => {
  const { addressPairs: pairs = [], dnsName = null } = context.proposed?.spec ?? context.spec ?? {};
  const had = contexts.pairsOf(context).map(({ address }) => address);
  return [send(contexts.networkId(context), addressRevise({ port: context.id, pairs, dnsName, had }))];
};

/** The network has agreed: the proposed spec is accepted. */
export function acceptProposed({ context }: At): Acted<PortContext> {
  const { id, uid, proposed, grant } = context;
  if (proposed === null) return { changes: {}, asks: [] };
  const { spec, labels, protect, commandId } = proposed;
  const changes = { spec, labels, protect, generation: context.generation + 1, proposed: null };
  const { address = null, mac = null } = grant ?? {};
  const result = { uid, generation: changes.generation, result: 'updated', address, mac };
  if (commandId !== null) return { changes, asks: [reply(commandId, result)] };
  return { changes, asks: tellReadyOf({ ...context, ...changes, id }) };
}

/** The network has refused: client or VM are told, and the port stays what it was. */
export function rejectProposed({ context, event }: At): Acted<PortContext> {
  assertEvent(event, 'address.unrevised');
  const { id, proposed, holder } = context;
  if (proposed === null) return { changes: {}, asks: [] };
  const { error, path } = event;
  const toVm = holder === null ? [] : [send(holder, says.portRefused({ port: id, error: failureOf(error), path }))];
  return {
    changes: { proposed: null },
    asks: proposed.commandId === null ? toVm : [rejectFor(proposed.commandId, failureOf(error), path)],
  };
}

/** The port ends before the network has answered. */
export function dropProposed({ context }: At): Acted<PortContext> {
  const commandId = context.proposed?.commandId ?? null;
  const message = `${context.id} was deleted before the change was decided`;
  const error = { code: 'deleted', message, retryable: false };
  return { changes: { proposed: null }, asks: commandId === null ? [] : [rejectFor(commandId, error, 'name')] };
}

export const releaseAddress = ({ context }: At): readonly Asked[] => {
  const address = context.grant?.address ?? null;
  const had = context.grant === null ? [] : contexts.pairsOf(context).map((pair) => pair.address);
  const left = addressRelease({ port: context.id, portUid: context.uid, address, had });
  return [send(contexts.networkId(context), left)];
};

export const askSegment = ({ context }: At): readonly Asked[] => {
  const { vpc, network } = contexts.grantOf(context);
  return [send(vpc, segmentNeed({ port: context.id, host: contexts.hostOf(context), network: network.network }))];
};

/** Of the active binding, and what stands by for it is to have the same. */
export const askTap = ({ context }: At): readonly Asked[] => [
  send(
    contexts.bindingId(context),
    bindingEnsure({ spec: contexts.tapSpec(context), port: context.id, direct: contexts.isDirect(context) }),
  ),
  ...askStandby({ context }),
];

/** The address and its host, for the VPC's routes. */
const whereabouts = (context: PortContext) => ({
  port: context.id,
  address: contexts.grantOf(context).address,
  host: contexts.hostOf(context).index,
});

/** Tells the VPC where its addresses are, and that those of pairs it has lost are nowhere. */
export const locate = ({ context }: At): Acted<PortContext> => {
  const groups = context.proof?.groups ?? [];
  const pairs = (context.proof?.pairs ?? []).map(({ address }) => address);
  const { vpc } = contexts.grantOf(context);
  const at = (address: string) => ({ ...whereabouts(context), address });
  const lost = context.located.filter((address) => !pairs.includes(address));
  return {
    changes: { located: pairs },
    asks: [
      ...located(context, context.labels),
      ...pairs.map((address) => send(vpc, portLocated({ ...at(address), groups, pair: true }))),
      ...lost.map((address) => send(vpc, portLeft(at(address)))),
    ],
  };
};

function located(context: PortContext, labels: PortContext['labels']): readonly Asked[] {
  const groups = context.proof?.groups ?? [];
  return [send(contexts.grantOf(context).vpc, portLocated({ ...whereabouts(context), groups, labels }))];
}

/** Tells the VPC the labels that a declaration or claim brings, if it knows the place of the port. */
export const relocate = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, ['port.update', 'port.apply', 'port.claim']);
  return context.proof === null ? [] : located(context, event.labels ?? context.labels);
};

// Followers

const addressOf = ({ id, grant, followers }: PortContext): readonly Asked[] => {
  if (grant === null) return [];
  const { vpc, network, address } = grant;
  const told = says.portAddress({ port: id, vpc, network: network.network, address });
  return followers.map((to) => send(to, told));
};

export const tellFollowers = ({ context }: At): readonly Asked[] => addressOf(context);

/** The answer to a follower, if the port has an address by now. */
export const tellFollower = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'port.follow');
  return addressOf({ ...context, followers: [event.meta.from ?? ''] });
};

/** The port has ended, or does not exist. */
export const tellLost = ({ context, event }: At): readonly Asked[] => {
  const followers = event.type === 'port.follow' ? [...context.followers, event.meta.from ?? ''] : context.followers;
  return [...new Set(followers)].map((to) => send(to, says.portLost({ port: context.id })));
};

// Security groups

/** Counts the port among the holders of its groups; those that it had before are left once the new ones are wired. */
export function joinGroups({ context }: At): Acted<PortContext> {
  const { id, spec, joined } = context;
  const wanted = contexts.groupIds(context, spec);
  const asks = wanted.map((to) => send(to, referenceAdd({ by: id, vpc: contexts.grantOf(context).vpc })));
  // One that does not exist says so again.
  const conditions = context.conditions.filter(({ type }) => type !== contexts.groupCondition);
  return { changes: { joined: [...new Set([...joined, ...wanted])].sort(), conditions }, asks };
}

/** Leaves the groups that the newest spec does not have. */
export function leaveOldGroups({ context }: At): Acted<PortContext> {
  const wanted = contexts.groupIds(context, context.spec);
  const left = context.joined.filter((group) => !wanted.includes(group));
  return { changes: { joined: wanted }, asks: left.map((to) => send(to, referenceDrop({ by: context.id }))) };
}

/** The wiring with the groups of the newest spec is proven: the others are left. */
export const settleGroups = (seen: At): Acted<PortContext> => {
  const { context } = seen;
  if (!contexts.isRegrouped(context)) return { changes: {}, asks: [] };
  const { changes, asks } = leaveOldGroups(seen);
  return { changes: { ...changes, observedGeneration: context.generation }, asks };
};

export const leaveGroups = ({ context }: At): readonly Asked[] =>
  context.joined.map((to) => send(to, referenceDrop({ by: context.id })));

/** Withdraws the routes to the port first, then removes its tap. */
export const takeOff = ({ context }: At): readonly Asked[] => [
  ...[contexts.grantOf(context).address, ...context.located].map((address) =>
    send(contexts.grantOf(context).vpc, portLeft({ ...whereabouts(context), address })),
  ),
  send(contexts.bindingId(context), bindingRemove({ runEpoch: context.runEpoch })),
];

// Messages to the holder

/** @throws TypeError before its binding has reported a tap */
export const tellTapped = (seen: At): readonly Asked[] => {
  const { context } = seen;
  const { id, bindingUid, runEpoch } = context;
  const { mac, address, network } = contexts.grantOf(context);
  if (bindingUid === null) throw new TypeError(`${id} has no tap`);
  const binding = contexts.bindingId(context);
  return toHolder(seen, says.portTapped({ port: id, binding, bindingUid, mac, mtu: network.mtu, address, runEpoch }));
};

/** @throws TypeError without a proof */
export const tellActive = (seen: At): readonly Asked[] => {
  const { id, proof } = seen.context;
  if (proof === null) throw new TypeError(`${id} has no proof of its wiring`);
  return toHolder(seen, says.portActive({ port: id, proof }));
};

export const tellFailed = (seen: At): readonly Asked[] => {
  const { context, event } = seen;
  assertEvent(event, ['segment.refused', 'binding.failed']);
  return toHolder(seen, says.portFailed({ port: context.id, error: failureOf(event.error) }));
};

/** Tells the VM why it waits, as soon as that is known and whenever it changes. */
export const tellDelayed = (seen: At): readonly Asked[] => {
  const { id, failure } = seen.context;
  return failure === null ? [] : toHolder(seen, says.portDelayed({ port: id, error: failure }));
};

export const tellUnbound = (seen: At): readonly Asked[] => toHolder(seen, says.portUnbound({ port: seen.context.id }));

/** Also the answer to a VM about a port that does not exist. */
export const tellGone = (seen: At): readonly Asked[] => {
  const { context, event } = seen;
  const gone = says.portGone({ port: context.id });
  if (context.spec !== null) return toHolder(seen, gone);
  // The network is answered by the release of the address, a group by the drop of the reference, an agent by the
  // removal of the binding, a follower apart.
  const own = ['port.stand-down', 'address.confirm', 'reference.confirm', 'binding.confirm', 'port.follow'];
  if (own.includes(event.type) || event.meta.from === undefined) return [];
  return [send(event.meta.from, gone)];
};

const holderOf = ({ holder }: PortContext): string => holder ?? 'no VM; a client declared it';

/** Refuses a request of a VM that does not hold the port. */
export const refuseForeign = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, ['port.bind', 'port.release', 'port.rest', 'port.abandon']);
  const { id } = context;
  if (event.type === 'port.release') return [send(event.holder, says.portGone({ port: id }))];
  if (event.type !== 'port.bind') return [send(event.holder, says.portUnbound({ port: id }))];
  const error = { code: 'port_held', message: `${id} is held by ${holderOf(context)}`, retryable: false };
  return [send(event.holder, says.portFailed({ port: id, error }))];
};

export const refuseLate = (seen: At): readonly Asked[] => {
  const { id } = seen.context;
  const error = { code: 'port_leaving', message: `${id} is being deleted`, retryable: false };
  return toHolder(seen, says.portFailed({ port: id, error }));
};

export const rejectHeld = ({ context }: At): readonly Asked[] => [
  reject({
    code: 'port_held',
    message: `${context.id} is held by ${context.holder}; change the NIC of that VM instead`,
  }),
];

export const rejectInUse = ({ context }: At): readonly Asked[] => [
  reject({ code: 'in_use', message: `${context.id} is held by ${context.holder}; stop or delete that VM instead` }),
];
