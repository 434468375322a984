/**
 * Hosts that are silent: the VMs and volumes there are told when a host is lost, and when it is back, and a condition
 * of the cluster says how many hosts are silent. A VM asks here before it gives up its run on such a host. Pure
 * functions of context and event, computed before the context changes. Upholds: no VM gives up its run while so many
 * hosts are silent that the network may be at fault.
 */
import { assertEvent } from 'xstate';
import { withCondition, type ConditionParams } from '../values/conditions.ts';
import type { Failure } from '../values/failures.ts';
import { entryOf, partsOfId } from '../values/identifiers.ts';
import { row, rows, send, type Asked, type Seen } from '../values/telling.ts';
import type { ClusterContext, HostRecord, Reservation, RoomPromise } from './cluster-context.ts';
import { placeVm } from './cluster-placement.ts';
import {
  lossGranted,
  lossRefused,
  vmHostFound,
  vmHostLost,
  volumeHostFound,
  volumeHostLost,
  type ClusterEvent,
} from './cluster-protocol.ts';

type At = Seen<ClusterContext, ClusterEvent>;

/** More than this share of the hosts is not lost one by one: the network is, or a site. */
const mostLost = 1 / 3;

/** Names of the hosts that are silent, of those that no operator has fenced. */
function silentOf(hosts: ClusterContext['hosts']): { readonly silent: readonly string[]; readonly all: number } {
  const counted = Object.values(hosts).filter(({ fenced }) => !fenced);
  return { silent: counted.filter(({ silent }) => silent).map(({ facts }) => facts.name), all: counted.length };
}

/** So many hosts are silent at once that none of them is taken for dead. */
export function isBroken(hosts: ClusterContext['hosts']): boolean {
  const { silent, all } = silentOf(hosts);
  return silent.length > all * mostLost;
}

export function presence(hosts: ClusterContext['hosts']): ConditionParams {
  const type = 'HostsPresent';
  const { silent, all } = silentOf(hosts);
  if (silent.length === 0) return { type, status: 'True', reason: 'AllPresent' };
  const names = silent.toSorted().slice(0, 5).join(', ');
  const which = `${silent.length} of ${all} hosts ${silent.length === 1 ? 'is' : 'are'} silent (${names})`;
  const next = 'bring them back, or fence those that are powered off';
  if (!isBroken(hosts)) return { type, status: 'False', reason: 'SomeSilent', message: `${which}; ${next}` };
  const message = `${which}, more than a third: the network may be at fault, and nothing is moved by itself; ${next}`;
  return { type, status: 'False', reason: 'TooManySilent', message };
}

export const withPresence = (context: ClusterContext, at: number): ClusterContext['conditions'] =>
  withCondition(context.conditions, presence(context.hosts), at);

const vmsOn = (event: ClusterEvent, host: string): readonly string[] =>
  Object.entries(rows<Reservation>(event, 'reservation'))
    .filter(([id, one]) => one.host === host && partsOfId(id).kind === 'vm')
    .map(([id]) => id)
    .toSorted();

const volumesOn = (event: ClusterEvent, host: string): readonly string[] =>
  Object.entries(rows<RoomPromise>(event, 'promise'))
    .filter(([, one]) => one.host === host)
    .map(([id]) => id)
    .toSorted();

const isLost = (record: HostRecord | undefined): boolean => record?.silent === true && !record.fenced;

/** Repeated with each message of the host that it is lost, for those that did not know. */
export function tellLost({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'host.lost');
  const { host } = event;
  if (!isLost(entryOf(context.hosts, host))) return [];
  return [
    ...vmsOn(event, host).map((vm) => send(vm, vmHostLost({ host }))),
    ...volumesOn(event, host).map((volume) => send(volume, volumeHostLost({ host }))),
  ];
}

/** A VM that has moved to a host which was lost meanwhile: what was told of that host was told before. */
export function tellMovedToLost({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'place.transfer');
  const { vm, migration } = event;
  const host = row<Reservation>(event, 'reservation', migration)?.host ?? '';
  const record = entryOf(context.hosts, host);
  return isLost(record) && record?.lost === true ? [send(vm, vmHostLost({ host }))] : [];
}

export function noteLost({ context, event }: At): Partial<ClusterContext> {
  assertEvent(event, 'host.lost');
  const record = entryOf(context.hosts, event.host);
  if (record === undefined || !isLost(record)) return {};
  return { hosts: { ...context.hosts, [event.host]: { ...record, lost: true } } };
}

/** Whether the event says that a host is back of which it was told that it is lost, or that an operator had fenced. */
export const isFound = ({ hosts }: Pick<ClusterContext, 'hosts'>, event: { readonly type: string }): boolean => {
  const { type, host, silent } = event as ClusterEvent & { readonly host: string; readonly silent: boolean };
  const record = entryOf(hosts, host);
  return type === 'host.register' && !silent && (record?.lost === true || record?.fenced === true);
};

export function tellFound({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'host.register');
  const { host } = event;
  if (!isFound(context, event)) return [];
  return [
    ...vmsOn(event, host).map((vm) => send(vm, vmHostFound({ host }))),
    ...volumesOn(event, host).map((volume) => send(volume, volumeHostFound({ host }))),
  ];
}

const passing = (code: string, message: string): Failure => ({ code, message, retryable: true });

/** Why the VM is to keep its run; undefined when it may give it up. */
function whyKept({ hosts }: ClusterContext, event: ClusterEvent & { readonly type: 'loss.ask' }): Failure | undefined {
  const { host, request, storage } = event;
  const record = entryOf(hosts, host);
  if (record?.fenced === true) return undefined;
  if (record?.silent !== true) return passing('host_present', `${request.vm} keeps its run: its host is back`);
  if (isBroken(hosts)) {
    const message = 'more than a third of all hosts are silent, so the network may be at fault: nothing is moved';
    return passing('many_hosts_silent', message);
  }
  const isAway = (name: string): boolean => entryOf(hosts, name)?.silent !== false;
  if (storage.some(isAway))
    return passing(
      'storage_silent',
      `the host of a volume of ${request.vm} is silent, too: no other host could use it`,
    );
  const placing = placeVm(hosts, request, undefined, {});
  return 'error' in placing ? placing.error : undefined;
}

export function tellLoss({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'loss.ask');
  const { host, meta } = event;
  const to = meta.from ?? '';
  const error = whyKept(context, event);
  if (error !== undefined) return [send(to, lossRefused({ host, error }))];
  const silent = Object.values(context.hosts).filter((record) => record.silent || record.facts.name === host);
  return [send(to, lossGranted({ host, silent: silent.map(({ facts }) => facts.name).toSorted() }))];
}
