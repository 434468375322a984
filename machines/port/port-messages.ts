/** What a port tells whom: pure functions of its context and the event. */
import { assertEvent } from 'xstate';
import { canonicalJson, differences, failureOf, type Failure } from '../values/failures.ts';
import { clusterId } from '../values/identifiers.ts';
import { defer, reject, rejectFor, reply, send, type Asked, type Seen } from '../values/telling.ts';
import * as contexts from './port-context.ts';
import type { PortContext, PortSpec } from './port-context.ts';
import type { PortEvent } from './port-events.ts';

export type At = Seen<PortContext, PortEvent>;

export function specOf(event: PortEvent): PortSpec {
  assertEvent(event, 'port.create');
  const { network, address = null, mac = null, host = null, holder = null } = event;
  return { network, address, mac, host, holder };
}

export const isSame = ({ context, event }: At): boolean => canonicalJson(specOf(event)) === canonicalJson(context.spec);

/** A VM hears nothing from a port that is not its own. */
const toHolder = ({ context }: At, event: { type: string; [field: string]: unknown }): readonly Asked[] => {
  const holder = context.spec?.holder ?? null;
  return holder === null ? [] : [send(holder, { ...event, port: context.id })];
};

// Creation

export const deferAnswer = ({ event }: At): readonly Asked[] => (event.meta.commandId === undefined ? [] : [defer]);

const result = ({ uid, grant }: PortContext) => ({ uid, address: grant?.address ?? null, mac: grant?.mac ?? null });

export const answerSame = ({ context, event }: At): readonly Asked[] =>
  event.meta.commandId === undefined ? [] : [reply(event.meta.commandId, result(context))];

export const answerAll = ({ context }: At): readonly Asked[] =>
  context.waiters.map((commandId) => reply(commandId, result(context)));

export const tellReady = (seen: At): readonly Asked[] => {
  const { grant } = seen.context;
  return grant === null ? [] : toHolder(seen, { type: 'port.ready', address: grant.address, mac: grant.mac });
};

function refuseWith(seen: At, error: Failure, path: string): readonly Asked[] {
  const rejections = seen.context.waiters.map((commandId) => rejectFor(commandId, error, path));
  return [...rejections, ...toHolder(seen, { type: 'port.refused', error, path })];
}

export const tellRefused = (seen: At): readonly Asked[] => {
  assertEvent(seen.event, 'address.refused');
  return refuseWith(seen, failureOf(seen.event.error), seen.event.path);
};

export const tellNoHost = (seen: At): readonly Asked[] => {
  assertEvent(seen.event, 'host.missing');
  const message = `the cluster has no host ${seen.event.host}; see the list of hosts`;
  return refuseWith(seen, { code: 'host_not_found', message, retryable: false }, 'spec.host');
};

export const tellLost = (seen: At): readonly Asked[] => {
  const message = `${contexts.networkId(seen.context)} does not answer; it may have been deleted`;
  return refuseWith(seen, { code: 'network_not_found', message, retryable: false }, 'spec.network');
};

/** Who wanted it while it was still being made is told that it will not be. */
export const rejectDeleted = ({ context }: At): readonly Asked[] =>
  context.waiters.map((commandId) =>
    reject({ commandId, code: 'deleted', message: `${context.id} was deleted before it was ready` }),
  );

/** For an actor that exists with another spec; the asker is a client or a VM. */
export const refuseDifferent = ({ context, event }: At): readonly Asked[] => {
  const issues = differences(context.spec ?? {}, specOf(event)).map((issue) => ({
    ...issue,
    path: `spec.${issue.path}`,
  }));
  const message = `${context.id} exists with another spec; delete it first, or give the new one another name`;
  if (event.meta.commandId !== undefined) return [reject({ code: 'exists_differently', message, issues })];
  const error = { code: 'exists_differently', message, retryable: false };
  return [
    send(event.meta.from ?? '', { type: 'port.refused', port: context.id, error, path: issues[0]?.path ?? 'name' }),
  ];
};

export const refuseBusy = ({ context, event }: At): readonly Asked[] => {
  const message = `${context.id} is being deleted; try again once it is gone`;
  if (event.meta.commandId !== undefined) return [reject({ code: 'name_busy', message })];
  const error = { code: 'name_busy', message, retryable: true };
  return [send(event.meta.from ?? '', { type: 'port.refused', port: context.id, error, path: 'name' })];
};

// Asking others

export const findHost = ({ context }: At): readonly Asked[] => [
  send(clusterId, { type: 'host.find', host: context.spec?.host ?? '' }),
];

export const askAddress = ({ context }: At): readonly Asked[] => [
  send(contexts.networkId(context), {
    type: 'address.allocate',
    port: context.id,
    address: context.spec?.address ?? null,
    mac: context.spec?.mac ?? null,
  }),
];

export const releaseAddress = ({ context }: At): readonly Asked[] => [
  send(contexts.networkId(context), {
    type: 'address.release',
    port: context.id,
    address: context.grant?.address ?? null,
  }),
];

export const askSegment = ({ context }: At): readonly Asked[] => [
  send(context.grant?.vpc ?? '', {
    type: 'segment.need',
    port: context.id,
    host: context.host,
    network: context.grant?.network,
  }),
];

export const askTap = ({ context }: At): readonly Asked[] => [
  send(contexts.bindingId(context), {
    type: 'binding.ensure',
    spec: contexts.tapSpec(context),
    port: context.id,
    direct: contexts.isDirect(context),
  }),
];

const whereabouts = ({ context }: At, type: string): readonly Asked[] => [
  send(context.grant?.vpc ?? '', {
    type,
    port: context.id,
    address: context.grant?.address,
    host: context.host?.index,
  }),
];

export const locate = (seen: At): readonly Asked[] => whereabouts(seen, 'port.located');

/** Routes to it go first, then its tap. */
export const takeOff = (seen: At): readonly Asked[] => [
  ...whereabouts(seen, 'port.left'),
  send(contexts.bindingId(seen.context), { type: 'binding.remove', runEpoch: seen.context.runEpoch }),
];

// Telling the holder

export const tellTapped = (seen: At): readonly Asked[] => {
  const { context } = seen;
  return toHolder(seen, {
    type: 'port.tapped',
    binding: contexts.bindingId(context),
    bindingUid: context.bindingUid,
    mac: context.grant?.mac,
    mtu: context.grant?.network.mtu,
    address: context.grant?.address,
    runEpoch: context.runEpoch,
  });
};

export const tellActive = (seen: At): readonly Asked[] =>
  toHolder(seen, { type: 'port.active', proof: seen.context.proof });

export const tellFailed = (seen: At): readonly Asked[] => {
  const { event } = seen;
  assertEvent(event, ['segment.failed', 'binding.failed']);
  return toHolder(seen, { type: 'port.failed', error: failureOf(event.error) });
};

export const tellUnbound = (seen: At): readonly Asked[] => toHolder(seen, { type: 'port.unbound' });

/** Also to a VM that asks about a port which is not there (any more). */
export const tellGone = (seen: At): readonly Asked[] => {
  const { context, event } = seen;
  if (context.spec !== null) return toHolder(seen, { type: 'port.gone' });
  return event.meta.from === undefined ? [] : [send(event.meta.from, { type: 'port.gone', port: context.id })];
};

export const refuseForeign = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, ['port.bind', 'port.release', 'port.unbind']);
  const holder = context.spec?.holder ?? 'no VM; it was declared by itself';
  const message = `${context.id} is held by ${holder}`;
  if (event.type === 'port.release') return [send(event.holder, { type: 'port.gone', port: context.id })];
  if (event.type === 'port.unbind') return [send(event.meta.from ?? '', { type: 'port.unbound', port: context.id })];
  return [
    send(event.holder, {
      type: 'port.failed',
      port: context.id,
      error: { code: 'port_held', message, retryable: false },
    }),
  ];
};

export const refuseLate = (seen: At): readonly Asked[] => {
  const error = { code: 'port_leaving', message: `${seen.context.id} is being deleted`, retryable: false };
  return toHolder(seen, { type: 'port.failed', error });
};

export const rejectInUse = ({ context }: At): readonly Asked[] => [
  reject({
    code: 'in_use',
    message: `${context.id} is held by ${context.spec?.holder}; stop or delete that VM instead`,
  }),
];
