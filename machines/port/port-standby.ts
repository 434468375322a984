/**
 * The second binding of a port: prepared on another host while the port is active, wired there except for the route,
 * and made the active one by a compare-and-set on the run epoch. The former binding then stands by in its place, and
 * forwards what still comes to it, until it is dropped. Pure functions, called by the chart. Upholds: at most one
 * binding is the active one; the former gives up the address only once the other has it, with a proof.
 */
import { assertEvent } from 'xstate';
import { bindingEnsure, bindingRemove } from '../binding/binding-protocol.ts';
import { hostResolve } from '../cluster/cluster-protocol.ts';
import { failureOf, type Failure } from '../values/failures.ts';
import { clusterId, counterpartOf } from '../values/identifiers.ts';
import { act, defer, reject, rejectFor, reply, send, tell, type Acted, type Asked } from '../values/telling.ts';
import type { HostFacts, TapProof } from '../values/wiring.ts';
import { portLeft, portLocated, segmentNeed } from '../vpc/vpc-protocol.ts';
import * as contexts from './port-context.ts';
import type { At, PortContext } from './port-context.ts';
import * as says from './port-protocol.ts';

export interface Standby {
  readonly host: string;
  /** Null until the cluster has told them. */
  readonly facts: HostFacts | null;
  readonly runEpoch: number;
  /** `retiring`: it was the active one, and is until the other is proven. */
  readonly phase: 'resolving' | 'segment' | 'tap' | 'standing' | 'failed' | 'retiring' | 'dropping';
  /** Read back from the kernel of its host; null unless it stands. */
  readonly proof: TapProof | null;
  readonly failure: Failure | null;
  /** Deferred commands that are answered once it stands, or is gone. */
  readonly waiters: readonly string[];
  /** The migration that has asked for it, and is told the same; absent: a command has. */
  readonly asker?: string;
  /** Of the binding whose tap waits for QEMU; only of a port with a VM. */
  readonly bindingUid?: string;
}

export type Done = Acted<PortContext>;

const nothing: Done = { changes: {}, asks: [] };
export const changed = (standby: Standby | null, asks: readonly Asked[] = []): Done => ({ changes: { standby }, asks });
const commandOf = ({ event }: At): readonly string[] =>
  event.meta.commandId === undefined ? [] : [event.meta.commandId];

const bindingOf = ({ id }: PortContext, { host }: Standby): string => counterpartOf(id, 'binding', host);

function ensure(context: PortContext, standby: Standby): readonly Asked[] {
  const { runEpoch, facts } = standby;
  if (facts === null) return [];
  const spec = contexts.tapSpec({ ...context, host: facts, runEpoch });
  const activeHost = contexts.hostOf(context).index;
  const ask = bindingEnsure({ spec: { ...spec, activeHost }, port: context.id, direct: contexts.isDirect(context) });
  return [send(bindingOf(context, standby), ask)];
}

const removal = (context: PortContext, standby: Standby): Asked =>
  send(bindingOf(context, standby), bindingRemove({ runEpoch: standby.runEpoch }));

const toAsker = ({ asker }: Standby, event: Parameters<typeof send>[1]): readonly Asked[] =>
  asker === undefined ? [] : [send(asker, event)];

/** It stands, or, without a proof, is gone. */
export const answer = ({ id }: PortContext, standby: Standby): readonly Asked[] => {
  const { host, runEpoch, proof, waiters } = standby;
  const told = proof === null ? says.portStoodDown({ port: id }) : says.portStands({ port: id, runEpoch });
  return [
    ...waiters.map((commandId) => reply(commandId, { port: id, host, runEpoch, proof })),
    ...toAsker(standby, told),
  ];
};

const refuse = ({ id }: PortContext, standby: Standby, error: Failure): readonly Asked[] => [
  ...standby.waiters.map((commandId) => rejectFor(commandId, error, 'host')),
  ...toAsker(standby, says.portStandbyFailed({ port: id, error })),
];

export const tapped = (context: PortContext, standby: Standby): readonly Asked[] => {
  const { bindingUid } = standby;
  if (bindingUid === undefined) return [];
  const { mac, network } = contexts.grantOf(context);
  const binding = bindingOf(context, standby);
  return toAsker(standby, says.portStandbyTapped({ port: context.id, binding, bindingUid, mac, mtu: network.mtu }));
};

// Commands

/** The host of a request to stand by is the active one, or another than the one that stands by. */
export const isElsewhere = ({ context, event }: At): boolean =>
  event.type === 'port.standby' &&
  (event.host === context.host?.name || (context.standby !== null && context.standby.host !== event.host));

/** The one that is asked for stands already, for a run that is to come. */
export const isStanding = ({ context, event }: At): boolean =>
  event.type === 'port.standby' && context.standby?.phase === 'standing' && context.standby.runEpoch > context.runEpoch;

/** The one to be activated stands, for the run that is named, which is later than the present one. */
export const mayActivate = ({ context: { standby, runEpoch }, event }: At): boolean =>
  event.type === 'port.activate' &&
  standby?.phase === 'standing' &&
  standby.host === event.host &&
  standby.runEpoch === event.runEpoch &&
  event.runEpoch > runEpoch;

/** A repeated request: it has been activated. */
export const isActivated = ({ context, event }: At): boolean =>
  event.type === 'port.activate' && event.host === context.host?.name && event.runEpoch === context.runEpoch;

export const hasStandby = ({ context }: At): boolean => context.standby !== null;

export const tellStanding = ({ context, event }: At): readonly Asked[] =>
  context.standby === null ? [] : answer(context, { ...context.standby, waiters: commandOf({ context, event }) });

const busy = ({ id }: PortContext, { host, phase }: Standby): Done => ({
  changes: {},
  asks: [reject({ code: 'standby_busy', message: `${id} on ${host} is ${phase}; try again shortly` })],
});

/** Begins, or tries again: the facts of the host may have changed. */
export function prepareStandby(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'port.standby');
  const before = context.standby;
  const waiters = [...(before?.waiters ?? []), ...commandOf(seen)];
  if (before?.phase === 'dropping' || before?.phase === 'retiring') return busy(context, before);
  // The run that it is prepared for: that of an earlier request, unless the port has run there since.
  const runEpoch = Math.max(before?.runEpoch ?? 0, context.runEpoch + 1);
  const { host } = event;
  const standby: Standby = { host, facts: null, runEpoch, phase: 'resolving', proof: null, failure: null, waiters };
  return changed(standby, [defer, send(clusterId, hostResolve({ host }))]);
}

export const rejectElsewhere = ({ context }: At): readonly Asked[] => {
  const { standby, host, id } = context;
  const message =
    standby === null
      ? `${id} is active on ${host?.name}; name another host`
      : `${id} stands by on ${standby.host}; send port.drop-standby first, or name this host`;
  return [reject({ code: 'standby_exists', message, issues: [{ path: 'host', message }] })];
};

export const rejectActivation = ({ context }: At): readonly Asked[] => {
  const { standby, id, runEpoch } = context;
  const state =
    standby === null
      ? 'it stands by on no host; send port.standby first'
      : `it is ${standby.phase} on ${standby.host} for run ${standby.runEpoch}`;
  const message = `${id} was not moved: the present run is ${runEpoch}; ${state}`;
  return [reject({ code: 'standby_conflict', message })];
};

export const rejectNotActive = ({ context }: At): readonly Asked[] => [
  reject({ code: 'not_active', message: `${context.id} is not active on a host; wait until it is` }),
];

/** The standby becomes the active one, and the former takes its place. */
export function activate(seen: At): Done {
  const { context } = seen;
  const { standby, host, runEpoch, proof } = context;
  if (standby === null || standby.facts === null || host === null) return nothing;
  const former: Standby = {
    host: host.name,
    facts: host,
    runEpoch,
    phase: 'retiring',
    proof,
    failure: null,
    waiters: [],
    ...(standby.asker === undefined ? {} : { asker: standby.asker }),
  };
  const bindingUid = standby.bindingUid ?? null;
  const changes = { host: standby.facts, runEpoch: standby.runEpoch, proof: null, bindingUid, failure: null };
  return { changes: { ...changes, tries: 0, standby: former }, asks: [] };
}

/** The binding that was activated is proven: the former gives up the address. */
export function retireFormer({ context }: At): Done {
  const { standby, id, runEpoch } = context;
  if (standby?.phase !== 'retiring') return nothing;
  const { asker, ...former } = standby;
  const next: Standby = { ...former, phase: 'tap', proof: null };
  return changed(next, [
    ...ensure(context, next),
    ...(asker === undefined ? [] : [send(asker, says.portTakenOver({ port: id, runEpoch }))]),
  ]);
}

const dropped = ({ id }: PortContext): Failure => ({
  code: 'standby_dropped',
  message: `${id} stands by no more`,
  retryable: false,
});

/** Of the former, while the VPC still knows the port there. */
function leaving(context: PortContext, { phase, facts }: Standby): readonly Asked[] {
  if (phase !== 'retiring' || facts === null) return [];
  const { vpc, address } = contexts.grantOf(context);
  const left = (one: string) => send(vpc, portLeft({ port: context.id, address: one, host: facts.index }));
  return [address, ...context.located].map(left);
}

/**
 * The one that was activated will not be proven. The former host leads to it already, so it is the place that the VPC
 * has to know, and to forget when the port is taken off there.
 */
export function leaveFormer({ context }: At): readonly Asked[] {
  const { standby, host, id: port, labels } = context;
  if (standby?.phase !== 'retiring' || host === null) return [];
  const { vpc, address } = contexts.grantOf(context);
  const at = { port, host: host.index, groups: [] };
  return [
    send(vpc, portLocated({ ...at, address, labels })),
    ...context.located.map((one) => send(vpc, portLocated({ ...at, address: one, pair: true }))),
  ];
}

/** Removes it, if there is one; a command waits for that. */
export function dropStandby(seen: At): Done {
  const { context, event } = seen;
  const standby = withAsker(context.standby, seen);
  if (standby === null) return nothing;
  const { phase } = standby;
  const own = event.type === 'port.drop-standby' ? commandOf(seen) : [];
  // The other is not proven yet: the former still has the address.
  if (event.type === 'port.drop-standby' && phase === 'retiring') return busy(context, standby);
  // The migration that gives it up has no need to be told that it failed.
  const isGivenUp = phase === 'dropping' || event.type === 'port.stand-down';
  const refused = isGivenUp ? [] : refuse(context, standby, dropped(context));
  if (standby.facts === null)
    return changed(null, [...refused, ...answer(context, { ...standby, proof: null, waiters: own })]);
  const waiters = [...(phase === 'dropping' ? standby.waiters : []), ...own];
  const asks = [...refused, ...own.map(() => defer), ...leaving(context, standby), removal(context, standby)];
  return changed({ ...standby, phase: 'dropping', proof: null, waiters }, asks);
}

const withAsker = (standby: Standby | null, { event }: At): Standby | null =>
  standby !== null && event.type === 'port.stand-down' && event.meta.from !== undefined
    ? { ...standby, asker: event.meta.from }
    : standby;

/** A new run makes a new tap: what was prepared for another is dropped. */
export function takeBind(seen: At): Done {
  const { changes, asks } = dropStandby(seen);
  return { changes: { ...changes, ...contexts.takeBind(seen) }, asks };
}

// What the host, the VPC and the binding say of it

/** An event of the host that stands by, of its newest request. */
export function isOfStandby({ context: { standby }, event }: At): boolean {
  if (standby === null) return false;
  if (event.type === 'host.resolved') return standby.phase === 'resolving' && event.host.name === standby.host;
  if (!('host' in event) || event.host !== standby.host) return false;
  return !('runEpoch' in event) || event.runEpoch === standby.runEpoch;
}

/** The next step, or what is wrong, as the event says. */
export function heedStandby({ context, event }: At): Done {
  const { standby } = context;
  if (standby === null) return nothing;
  const { phase } = standby;
  switch (event.type) {
    case 'host.resolved': {
      const need = segmentNeed({
        port: context.id,
        host: event.host,
        network: contexts.grantOf(context).network.network,
      });
      return changed({ ...standby, facts: event.host, phase: 'segment' }, [send(contexts.grantOf(context).vpc, need)]);
    }
    case 'host.missing': {
      if (phase !== 'resolving') return nothing;
      const message = `the cluster has no host ${event.host}; see the list of hosts`;
      return changed(null, refuse(context, standby, { code: 'host_not_found', message, retryable: false }));
    }
    case 'segment.provided': {
      if (phase !== 'segment') return nothing;
      const next: Standby = { ...standby, phase: 'tap', failure: null };
      return changed(next, ensure(context, next));
    }
    case 'binding.tapped': {
      const next: Standby = { ...standby, bindingUid: event.uid };
      return changed(next, tapped(context, next));
    }
    case 'binding.ready': {
      if (event.proof.standby !== true || phase === 'dropping' || phase === 'retiring') return nothing;
      const next: Standby = { ...standby, phase: 'standing', proof: event.proof, failure: null };
      return changed({ ...next, waiters: [] }, answer(context, next));
    }
    case 'binding.removed':
      return changed(
        null,
        phase === 'dropping'
          ? answer(context, { ...standby, proof: null })
          : refuse(context, standby, dropped(context)),
      );
    default:
      return 'error' in event ? broken(context, standby, event.type, failureOf(event.error as Failure)) : nothing;
  }
}

/** QEMU has opened the tap that is gone: no other can be wired for that run. */
const isLost = ({ asker }: Standby, { code }: Failure): boolean => asker !== undefined && code === 'tap_missing';

/** A fault of the host passes by itself; anything else lasts until it is asked for again. */
function broken(context: PortContext, standby: Standby, type: string, failure: Failure): Done {
  const { phase } = standby;
  if (phase === 'dropping' || phase === 'retiring' || phase === 'resolving') return nothing;
  if (failure.retryable && type !== 'segment.refused' && !isLost(standby, failure)) {
    const back = phase === 'standing' ? 'tap' : phase;
    return changed({ ...standby, phase: back, proof: null, failure });
  }
  return changed({ ...standby, phase: 'failed', proof: null, failure, waiters: [] }, refuse(context, standby, failure));
}

/** The present wiring changes, and so does that of the one that stands by. */
export const askStandby = ({ context }: Pick<At, 'context'>): readonly Asked[] => {
  const { standby } = context;
  return standby !== null && (standby.phase === 'tap' || standby.phase === 'standing') ? ensure(context, standby) : [];
};

/** The active one is removed, and the one that stood by is still to be: the port waits for that one. */
export function awaitStandby({ context }: At): Done {
  const { standby } = context;
  if (standby === null || standby.facts === null) return changed(null);
  const asks = answer(context, { ...standby, proof: null });
  return { changes: { host: standby.facts, runEpoch: standby.runEpoch, standby: null }, asks };
}

/** By the names of the chart; port-migration.ts adds those of a migration. */
export const standbyActions = {
  takeBind: act(takeBind),
  prepareStandby: act(prepareStandby),
  heedStandby: act(heedStandby),
  activate: act(activate),
  leaveFormer: tell(leaveFormer),
  retireFormer: act(retireFormer),
  dropStandby: act(dropStandby),
  awaitStandby: act(awaitStandby),
  tellStanding: tell(tellStanding),
  rejectElsewhere: tell(rejectElsewhere),
  rejectActivation: tell(rejectActivation),
  rejectNotActive: tell(rejectNotActive),
};
export const standbyGuards = {
  isElsewhere,
  isStanding,
  mayActivate,
  isActivated,
  hasStandby,
  isOfStandby,
};

/** For the status. */
export const shownStandby = (standby: Standby | null) =>
  standby === null
    ? null
    : {
        host: standby.host,
        runEpoch: standby.runEpoch,
        phase: standby.phase,
        proof: standby.proof,
        failure: standby.failure,
      };
