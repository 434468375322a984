/**
 * A VM whose host is silent. What runs there is unknown, so the VM waits; it says for what. One that declares
 * `hostFailurePolicy: elsewhere` gives up its run after a while, with the permission of the cluster: first every other
 * host drops what comes from there with its addresses, then it is placed on another host, whose storage host lets in
 * only the new run. When the silent host is back it finds the order to end the run. Pure functions, and the state in
 * which they are called. Upholds: of all runs of a VM at most one can write, and at most one can be reached
 * (docs/promises.md#one-run).
 */
import { assertEvent } from 'xstate';
import { lossAsk, placeRelease } from '../cluster/cluster-protocol.ts';
import { lossDelayMs } from '../host/host-protocol.ts';
import { incarnationStop } from '../incarnation/incarnation-protocol.ts';
import { migrationAbandon } from '../migration/migration-protocol.ts';
import { portAbandon } from '../port/port-protocol.ts';
import { withCondition, type ConditionParams } from '../values/conditions.ts';
import { ready } from '../values/declared.ts';
import { failureOf, hostGone } from '../values/failures.ts';
import { clusterId } from '../values/identifiers.ts';
import { act, rejectFor, send, tell, type Acted, type Asked } from '../values/telling.ts';
import { awaitBoundPorts } from './vm-changes.ts';
import { hostIn, incarnationId, nextEpoch, specIn, type At, type VmContext } from './vm-context.ts';
import { hostPresent, presentAgain, type Loss } from './vm-loss-context.ts';
import { placeRequest } from './vm-messages.ts';
import { migrationOf } from './vm-migration.ts';
import { withNoneAway } from './vm-storage.ts';

type Change = Partial<VmContext>;

const type = hostPresent;

/** Why its run cannot go on elsewhere, whatever is declared; null when it can. */
function obstacleOf({ runSpec, located }: VmContext): string | null {
  const [local] = located;
  if (local !== undefined) return `${local.volume} has its bytes on that host; use volumes of class shared`;
  if (runSpec !== null && runSpec.host !== null) return `its run is declared for that host`;
  const isGuarded = runSpec?.nics.every(({ portSecurity }) => portSecurity) ?? true;
  return isGuarded ? null : 'a NIC of its run has no port security';
}

const isElsewhere = ({ spec }: VmContext): boolean => spec?.hostFailurePolicy === 'elsewhere';

/** It is to start on another host, unless its own is back before. */
function goesElsewhere(context: VmContext): boolean {
  const { loss, host, wanted, migration } = context;
  if (loss === null || host?.name !== loss.host || wanted !== 'running' || migration?.ended === true) return false;
  return isElsewhere(context) && obstacleOf(context) === null;
}

/** What a VM says whose host is silent. */
function said(context: VmContext): ConditionParams {
  const { loss } = context;
  const unknown = 'its host is silent, and whether its guest runs is unknown';
  const says = (reason: string, message: string) => ({ type, status: 'False', reason, message }) as const;
  if (!isElsewhere(context)) {
    const waits = 'it waits until the host is back, or an operator has fenced it (photon host fence) because it is';
    return says('HostSilent', `${unknown}: ${waits} powered off`);
  }
  const obstacle = obstacleOf(context);
  if (obstacle !== null)
    return says('HostSilent', `${unknown}: it waits, though declared elsewhere, because ${obstacle}`);
  if (loss?.absent)
    return says('HostGivenUp', 'its run is given up on its host, which is silent; it starts on another one');
  if (loss?.refusal) return says('HostSilent', `${unknown}: it is not given up yet; ${loss.refusal.message}`);
  const after = `${specIn(context).hostFailureSeconds} s after that was noticed`;
  return says('HostSilent', `${unknown}: it starts on another host ${after}, unless its own is back before`);
}

const saying = (context: VmContext, at: number): Change => ({
  conditions: withCondition(context.conditions, said(context), at),
});

export const sayLoss = ({ context, event }: At): Change =>
  context.loss === null ? {} : saying(context, event.meta.at);

/** The message is of the host that it is on. */
export const isItsHost = ({ context, event }: At): boolean =>
  (event.type === 'vm.host-lost' || event.type === 'vm.host-found') && context.host?.name === event.host;

export function noteHostLost({ context, event }: At): Change {
  assertEvent(event, 'vm.host-lost');
  const { host, meta } = event;
  const isKnown = context.loss?.host === host;
  const fresh: Loss = { host, toldAt: meta.at, idle: false, absent: null, refusal: null };
  const loss = isKnown ? context.loss : fresh;
  return { loss, ...saying({ ...context, loss }, meta.at) };
}

/** A run that was given up does not go on, whoever is back. */
export const noteHostFound = ({ context, event }: At): Change =>
  context.loss?.absent ? {} : { loss: null, conditions: presentAgain(context.conditions, event.meta.at) };

/** Nothing of a run is left: what was said of its hosts is over. */
export function forgetHosts(seen: At): Change {
  const present = withNoneAway(seen.context, seen.event.meta.at);
  return { ...present, ...noteHostFound({ ...seen, context: { ...seen.context, ...present } }) };
}

/** An operator has fenced the host: nobody waits for it. */
export const noteFenced = ({ event }: At): Change =>
  event.type === 'incarnation.ended' && event.reason === hostGone ? { loss: null } : {};

const noted =
  (idle: boolean) =>
  ({ context: { loss } }: At): Change =>
    loss === null ? {} : { loss: { ...loss, idle } };
export const noteIdle = noted(true);
export const noteInRun = noted(false);

// Permission

export const askLoss = ({ context }: At): readonly Asked[] => {
  const storage = [...new Set(Object.values(context.storage))].toSorted();
  return [send(clusterId, lossAsk({ host: hostIn(context).name, request: placeRequest(context), storage }))];
};

const isAnswer = ({ context, event }: At): boolean =>
  (event.type === 'loss.granted' || event.type === 'loss.refused') && event.host === context.loss?.host;

export function noteGranted(seen: At): Change {
  const { context, event } = seen;
  assertEvent(event, 'loss.granted');
  const { loss } = context;
  if (loss === null) return {};
  const awaited = loss.absent === null ? awaitBoundPorts(seen) : {};
  const granted: Loss = { ...loss, absent: event.silent, refusal: null };
  return { ...awaited, loss: granted, ...saying({ ...context, loss: granted }, event.meta.at) };
}

export function noteLossRefused({ context, event }: At): Change {
  assertEvent(event, 'loss.refused');
  const { loss } = context;
  if (loss === null) return {};
  const refused: Loss = { ...loss, refusal: failureOf(event.error) };
  return { loss: refused, failure: refused.refusal, ...saying({ ...context, loss: refused }, event.meta.at) };
}

// The run is given up

/** Ports are fenced off; the host finds the order to end the run when it is back. */
export const askGiveUp = ({ context }: At): readonly Asked[] => {
  const { id: holder, awaited, loss, incarnationUid, migration } = context;
  const { name: host } = hostIn(context);
  const absent = [...(loss?.absent ?? [])];
  return [
    ...awaited.map((to) => send(to, portAbandon({ holder, host, absent }))),
    ...(incarnationUid === null ? [] : [send(incarnationId(context), incarnationStop({ graceMs: 0, incarnationUid }))]),
    ...(migration === null ? [] : [send(migrationOf(context), migrationAbandon({ host }))]),
  ];
};

/** No host can reach the run any more: the VM is on no host. */
export function leaveHost({ context, event }: At): Acted<VmContext> {
  const { id, loss, migration, runEpoch } = context;
  const { at } = event.meta;
  const commandId = migration?.commandId ?? null;
  const message = `${id} was not moved: its host is silent, and its run there was given up`;
  const error = { code: 'host_silent', message, retryable: true };
  // What a migration has prepared for the next epoch may still be there.
  const isPrepared = migration !== null && !migration.committed;
  const changes: Change = {
    host: null,
    lastHost: null,
    runEpoch: isPrepared ? nextEpoch(context) : runEpoch,
    incarnationUid: null,
    proof: null,
    runningSince: null,
    nics: {},
    wiring: {},
    disks: {},
    migration: null,
    restarting: false,
    failure: null,
    delayedBy: null,
    tries: 0,
    ...(loss === null || loss.idle ? {} : { lastEnd: { reason: hostGone, at } }),
    ...(loss === null ? {} : { lastLoss: { host: loss.host, toldAt: loss.toldAt, leftAt: at } }),
    loss: null,
    conditions: presentAgain(context.conditions, at),
  };
  const rejected = commandId === null ? [] : [rejectFor(commandId, error, 'to')];
  return { changes, asks: [...rejected, send(clusterId, placeRelease({ vm: id }))] };
}

// Guards

const isKept = ({ context }: At): boolean => (context.loss?.absent ? false : !goesElsewhere(context));
const isIdle = ({ context }: At): boolean => context.loss?.idle === true;

/** By the names of the chart. */
export const lossGuards = {
  isItsHost,
  isLost: ({ context }: At): boolean => goesElsewhere(context),
  isLostUnfailed: ({ context }: At): boolean => goesElsewhere(context) && context.failure === null,
  isFoundIdle: (seen: At): boolean => isItsHost(seen) && isIdle(seen),
  isKeptIdle: (seen: At): boolean => isKept(seen) && isIdle(seen),
  isKeptMoving: (seen: At): boolean => isKept(seen) && seen.context.migration !== null,
  isKeptEnding: (seen: At): boolean => isKept(seen) && (seen.context.wanted !== 'running' || seen.context.restarting),
  isKept,
  isAnswer,
  isGivenUp: ({ context }: At): boolean => context.loss?.absent !== null,
};
export const lossActions = {
  leaveHost: act(leaveHost),
  askLoss: tell(askLoss),
  askGiveUp: tell(askGiveUp),
};
export const lossDelays = {
  /** Since the silence was noticed, of which the VM was told later. */
  lossWait: ({ context, event }: At): number => {
    const { toldAt = 0 } = context.loss ?? {};
    return Math.max(0, toldAt + specIn(context).hostFailureSeconds * 1_000 - lossDelayMs - event.meta.at);
  },
  lossDeadline: 5_000,
  lossRetry: 5_000,
};

/** In states in which its host may have a run. */
export const lostInRun = { guard: 'isLost', target: '#vm.lost', actions: 'noteInRun' } as const;
/** In states in which nothing runs. */
export const lostIdle = { guard: 'isLost', target: '#vm.lost', actions: 'noteIdle' } as const;
export const lostReleasing = { guard: 'isLostUnfailed', target: '#vm.lost', actions: 'noteIdle' } as const;

const refused = { guard: 'isAnswer', target: '.backoff', actions: 'noteLossRefused' } as const;

export const lost = {
  description: 'Its host is silent, and the VM is declared to start on another one.',
  entry: [ready('False', 'HostSilent'), 'sayLoss'],
  initial: 'waiting',
  always: [
    // Its host is back, or it is to end, or not to go elsewhere any more.
    { guard: 'isKeptIdle', target: 'releasing', actions: ['sayLoss', 'forgetFailure'] },
    { guard: 'isKeptMoving', target: 'migrating', actions: ['sayLoss', 'forgetFailure'] },
    { guard: 'isKeptEnding', target: 'stopping', actions: ['sayLoss', 'forgetFailure'] },
    { guard: 'isKept', target: 'starting', actions: ['sayLoss', 'forgetFailure'] },
  ],
  on: {
    'incarnation.ended': [
      { guard: 'isGivenUp' },
      { guard: 'endsMoving', actions: 'noteEndMeanwhile' },
      { guard: 'isNextRun', actions: 'noteLost' },
      { guard: 'isThisIncarnation', target: 'ended', actions: ['noteEnd', 'noteFenced'] },
    ],
    'vm.host-found': [
      { guard: 'isGivenUp' },
      { guard: 'isFoundIdle', target: 'releasing', actions: ['noteHostFound', 'forgetFailure'] },
      { guard: 'isItsHost', actions: 'noteHostFound' },
    ],
    'migration.begun': { actions: 'noteBegun' },
    'migration.commit': [
      { guard: 'hasCommitted', actions: 'tellCommitted' },
      { guard: 'mayCommit', target: 'migrating', actions: 'commit' },
      { actions: 'refuseCommit' },
    ],
    'migration.ended': { guard: 'isOfMigration', actions: 'noteMigrated' },
    'loss.refused': refused,
    'port.gone': { actions: ['noteGone', 'noteAnswered'] },
  },
  states: {
    waiting: {
      description: 'The host may be back soon.',
      after: { lossWait: { target: 'asking' } },
    },
    asking: {
      description: 'The cluster is asked whether the run may be given up.',
      entry: 'askLoss',
      on: { 'loss.granted': { guard: 'isAnswer', target: 'fencing', actions: 'noteGranted' } },
      after: { lossDeadline: { target: 'asking', reenter: true } },
    },
    backoff: {
      description: 'The run may not be given up now; the failure says why. It is asked again shortly.',
      entry: ready('False', 'HostSilent'),
      after: { lossRetry: { target: 'asking' } },
    },
    fencing: {
      description: 'The run is given up: every host that is not silent is to drop what it still sends.',
      entry: ['askGiveUp', 'askLoss'],
      always: { guard: 'nothingAwaited', target: '#vm.locating', actions: 'leaveHost' },
      on: {
        'port.unbound': { actions: 'noteAnswered' },
        'port.delayed': [{ guard: 'isNotOfRun' }, { actions: ['noteDelay', ready('False', 'HostSilent')] }],
        // Other hosts may be silent by now.
        'loss.granted': { guard: 'isAnswer', actions: ['noteGranted', 'askGiveUp'] },
        'loss.refused': {},
        'migration.commit': { actions: 'refuseCommit' },
      },
      after: { lossDeadline: { target: 'fencing', reenter: true } },
    },
  },
} as const;

/** For the status: what its tenant sees of the last run that was given up. */
export const shownLoss = ({ lastLoss }: Pick<VmContext, 'lastLoss'>) =>
  lastLoss === null ? null : { toldAt: lastLoss.toldAt, leftAt: lastLoss.leftAt };
