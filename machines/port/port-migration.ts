/**
 * What a migration asks of a port: a second binding for the run that is to come, the change to it, and the end of the
 * one that is left over. The same as the commands of operators do (port-standby.ts), but by messages, and decided by
 * the VM. Pure functions, called by the chart.
 */
import { assertEvent } from 'xstate';
import { act, send, tell, type Asked } from '../values/telling.ts';
import { segmentNeed } from '../vpc/vpc-protocol.ts';
import * as contexts from './port-context.ts';
import type { At } from './port-context.ts';
import * as says from './port-protocol.ts';
import { answer, changed, standbyActions, standbyGuards, tapped, type Done, type Standby } from './port-standby.ts';

/** It cannot be prepared for this run: another has it, it runs elsewhere by now, or there is another standby. */
const isUnfit = ({ context, event }: At): boolean => {
  if (event.type !== 'port.stand-by') return false;
  const { standby, holder, host, runEpoch } = context;
  const isBusy = standby !== null && (standby.host !== event.host.name || standby.runEpoch !== event.runEpoch);
  return holder !== event.holder || host?.name === event.host.name || event.runEpoch <= runEpoch || isBusy;
};

const refuseStandBy = ({ context, event }: At): readonly Asked[] => {
  const { id, standby } = context;
  const why = standby === null ? 'is not active for this run' : `stands by on another host (${standby.phase})`;
  const error = { code: 'standby_conflict', message: `${id} ${why}; migrate again shortly`, retryable: true };
  return [send(event.meta.from ?? '', says.portStandbyFailed({ port: id, error }))];
};

/** Begins it, goes on with it, or says again what it has said. */
function standBy({ context, event }: At): Done {
  assertEvent(event, 'port.stand-by');
  const { host, runEpoch, meta } = event;
  const asker = meta.from ?? '';
  const before = context.standby;
  const { vpc, network } = contexts.grantOf(context);
  const need = send(vpc, segmentNeed({ port: context.id, host, network: network.network }));
  if (before === null || before.phase === 'failed') {
    const fresh = { host: host.name, facts: host, runEpoch, proof: null, failure: null, waiters: [] };
    return changed({ ...fresh, phase: 'segment', asker }, [need]);
  }
  const next: Standby = { ...before, asker };
  if (before.phase === 'segment') return changed(next, [need]);
  return changed(next, [...tapped(context, next), ...(before.phase === 'standing' ? answer(context, next) : [])]);
}

/** The VM has decided, so it is done whatever the standby says of itself. */
const mayTakeOver = ({ context: { standby, runEpoch }, event }: At): boolean =>
  event.type === 'port.take-over' &&
  standby !== null &&
  standby.facts !== null &&
  standby.host === event.host.name &&
  standby.runEpoch === event.runEpoch &&
  event.runEpoch > runEpoch;

const hasTakenOver = ({ context, event }: At): boolean =>
  event.type === 'port.take-over' && event.host.name === context.host?.name && event.runEpoch === context.runEpoch;

const tellTakenOver = ({ context, event }: At): readonly Asked[] => {
  const { id, runEpoch } = context;
  return [send(event.meta.from ?? '', says.portTakenOver({ port: id, runEpoch }))];
};

/** The VM has decided for a host where nothing stands any more, as one that was fenced meanwhile. */
const cannotTakeOver = ({ context, event }: At): boolean =>
  event.type === 'port.take-over' && event.runEpoch > context.runEpoch && !mayTakeOver({ context, event });

const refuseTakeOver = ({ context: { id }, event }: At): readonly Asked[] => {
  assertEvent(event, 'port.take-over');
  const message = `${id} stands by on ${event.host.name} no more`;
  const error = { code: 'standby_dropped', message, retryable: false };
  return [send(event.meta.from ?? '', says.portStandbyFailed({ port: id, error }))];
};

/** To the VM, which runs on with a NIC that nothing reaches. */
const tellTapLost = ({ context: { id, holder, failure } }: At): readonly Asked[] => {
  const message = `${id} has lost its tap while its VM moved, so nothing reaches the guest; send vm.restart`;
  const error = failure ?? { code: 'tap_lost', message, retryable: true };
  return holder === null ? [] : [send(holder, says.portFailed({ port: id, error }))];
};

const isRetiring = ({ context }: At): boolean => context.standby?.phase === 'retiring';

const tellStoodDown = ({ context, event }: At): readonly Asked[] => [
  send(event.meta.from ?? '', says.portStoodDown({ port: context.id })),
];

/** By the names of the chart: of operators, and of migrations. */
export const secondActions = {
  ...standbyActions,
  refuseStandBy: tell(refuseStandBy),
  standBy: act(standBy),
  tellTakenOver: tell(tellTakenOver),
  refuseTakeOver: tell(refuseTakeOver),
  tellStoodDown: tell(tellStoodDown),
  tellTapLost: tell(tellTapLost),
};
export const secondGuards = { ...standbyGuards, isUnfit, mayTakeOver, hasTakenOver, cannotTakeOver, isRetiring };
