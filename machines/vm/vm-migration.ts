/**
 * The part of a VM in its move to another host. The VM alone decides: it takes the new run for its own when the
 * migration asks, in one step, by comparing run epochs; whatever it was told before that ends the move. Pure functions,
 * and the state in which they are called. Upholds: one run of a VM at a time.
 */
import { assertEvent } from 'xstate';
import { methodFor } from '../values/migration-limits.ts';
import {
  migrationCommitted,
  migrationRecall,
  migrationRefused,
  migrationStart,
} from '../migration/migration-protocol.ts';
import { vmEvacuation } from '../drain/drain-protocol.ts';
import { ready } from '../values/declared.ts';
import type { Failure } from '../values/failures.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import { act, defer, reject, rejectFor, reply, send, tell } from '../values/telling.ts';
import type { Acted, Asked, Issue } from '../values/telling.ts';
import { noteEnd } from './vm-changes.ts';
import { hostIn, imageIds, nextEpoch, runSpecIn, type At, type VmContext, type VmMigration } from './vm-context.ts';
import { fieldOf, type DeviceField } from './vm-devices.ts';
import { devicesUnderway } from './vm-progress.ts';
import { presentAgain } from './vm-loss-context.ts';
import { incarnationSpec } from './vm-messages.ts';

type Done = Acted<VmContext>;

export const migrationOf = ({ id }: VmContext): string => {
  const { tenant, name } = partsOfId(id);
  return idOf('migration', tenant, name);
};

interface Hindrance {
  readonly code: string;
  readonly message: string;
  readonly path?: string;
}

/** Why it cannot be moved now, with the next step; empty when it can. */
export function hindrances(context: VmContext): readonly Hindrance[] {
  const { id, migration, runningSince, wanted, runSpec, failure, restarting, paused, loss, plugs } = context;
  if (migration !== null)
    return [{ code: 'migration_active', message: `${id} is being moved already; wait, or send migration.cancel` }];
  if (runningSince === null || wanted !== 'running' || restarting)
    return [{ code: 'not_running', message: `${id} does not run; a VM that is stopped is placed anew when it starts` }];
  if (loss !== null && loss.host === context.host?.name)
    return [{ code: 'host_silent', message: `${id} is on a host that is silent; it is sent from a host that answers` }];
  const stands = failure?.code === 'disk_full' || failure?.code === 'disk_error';
  const pinned = runSpec?.host ?? null;
  const underway = (field: DeviceField): string => devicesUnderway(context, field).join('; ');
  const changing = (field: DeviceField): boolean =>
    Object.entries(plugs).some(
      ([of, { phase }]) => fieldOf(of) === field && phase !== 'locating' && phase !== 'placing',
    );
  return [
    ...(paused ? [{ code: 'guest_paused', message: `${id} is paused; send vm.resume first` }] : []),
    ...(stands ? [{ code: 'guest_stalled', message: `${id} stands still: ${failure.message}` }] : []),
    ...(changing('disks')
      ? [{ code: 'disks_change', message: `the disks of ${id} change: ${underway('disks')}; migrate it then` }]
      : []),
    ...(changing('nics')
      ? [{ code: 'nics_change', message: `the NICs of ${id} change: ${underway('nics')}; migrate it then` }]
      : []),
    ...(pinned === null
      ? []
      : [{ code: 'host_declared', message: `${id} is declared to run on ${pinned}; change spec.host to null first` }]),
  ];
}

/** For the status: whether it can be moved, why not, and whether its guest runs meanwhile. */
export const canMigrate = (context: VmContext) => {
  const reasons = hindrances(context);
  const { proof, disks } = context;
  const method = proof === null ? null : methodFor(proof.qemuVersion, Object.keys(disks).length);
  return { value: reasons.length === 0, reasons, method };
};

const hindrancesTo = ({ context, event }: At): readonly Hindrance[] => {
  assertEvent(event, 'vm.migrate');
  const all = hindrances(context);
  if (all.length > 0 || event.to === null || event.to !== context.host?.name) return all;
  return [{ code: 'same_host', message: `${context.id} is on ${event.to}; name another host, or none`, path: 'to' }];
};

export const mayMigrate = (seen: At): boolean => seen.event.type === 'vm.migrate' && hindrancesTo(seen).length === 0;

export function rejectMigrate(seen: At): readonly Asked[] {
  const all = hindrancesTo(seen);
  const code = all[0]?.code ?? 'not_running';
  const message = all.map((one) => one.message).join('; ') || `${seen.context.id} does not run; wait until it does`;
  const issues = all.flatMap((one): Issue[] =>
    one.path === undefined ? [] : [{ path: one.path, message: one.message }],
  );
  return [reject({ code, message, ...(issues.length === 0 ? {} : { issues }) })];
}

export function takeMigrate({ event }: At): Done {
  assertEvent(event, 'vm.migrate');
  const { type: _, meta, to, ...limits } = event;
  const migration: VmMigration = {
    to,
    limits,
    host: null,
    commandId: meta.commandId ?? null,
    committed: false,
    ended: false,
  };
  return { changes: { migration }, asks: meta.commandId === undefined ? [] : [defer] };
}

/** Requests the move; asked again when no host was reserved yet. */
export function askMigration({ context }: At): readonly Asked[] {
  const { id, migration, located, disks } = context;
  if (migration === null || migration.host !== null) return [];
  const { to, limits } = migration;
  const spec = runSpecIn(context);
  const sizes = new Map(located.map(({ volume, sizeMib }) => [volume, sizeMib]));
  const volumes = Object.keys(disks).map((volume) => ({ volume, sizeMib: sizes.get(volume) ?? 0 }));
  const images = imageIds(context, spec).map((image) => ({ image }));
  const from = hostIn(context);
  const run = incarnationSpec(context);
  const next = nextEpoch(context);
  const epoch = next === context.runEpoch + 1 ? {} : { nextEpoch: next };
  return [send(migrationOf(context), migrationStart({ vm: id, to, from, run, ...epoch, volumes, images, limits }))];
}

const isOfMigration = ({ context, event }: At): boolean => event.meta.from === migrationOf(context);

export function noteBegun(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'migration.begun');
  const { migration } = context;
  if (migration === null || !isOfMigration(seen)) return { changes: {}, asks: [] };
  const { commandId } = migration;
  return {
    changes: { migration: { ...migration, host: event.host, commandId: null } },
    asks: commandId === null ? [] : [reply(commandId, { migration: migrationOf(context) })],
  };
}

export type Reason = Pick<Failure, 'code' | 'message'>;

/** What a drain is told. @param reason why it stays on the host, if it does */
export const evacuation = (context: VmContext, drain: string, host: string, reason: Reason | null): Asked => {
  const { id: vm, migration, leaving } = context;
  const standing =
    context.host?.name !== host
      ? 'left'
      : migration !== null || (leaving === host && reason === null)
        ? 'moving'
        : 'stays';
  return send(drain, vmEvacuation({ vm, host, standing, reason: standing === 'stays' ? reason : null }));
};

/** To the drain that waits for this move, if one does, when it has ended. */
function tellDrain(context: VmContext, error: Reason): readonly Asked[] {
  const drain = context.migration?.drain;
  if (drain === undefined) return [];
  const { code, message } = error;
  return [evacuation({ ...context, migration: null }, drain, partsOfId(drain).name, { code, message })];
}

/** The earlier move has not ended on all hosts. */
export function noteBusy({ context, event }: At): Done {
  assertEvent(event, 'migration.busy');
  const { migration } = context;
  const commandId = migration?.commandId ?? null;
  const rejected = commandId === null ? [] : [rejectFor(commandId, event.error, 'to')];
  return { changes: { migration: null }, asks: [...rejected, ...tellDrain(context, event.error)] };
}

export const isUnbegun = ({ context }: At): boolean => context.migration?.host === null;

/** The present run goes on, nobody wants it to end, and the new run is there: that one may take its place. */
export const mayCommit = (seen: At): boolean => {
  const { context, event } = seen;
  if (event.type !== 'migration.commit' || !isOfMigration(seen)) return false;
  const { migration, wanted, restarting } = context;
  const isMoving = migration !== null && !migration.committed && !migration.ended;
  const isLost = migration?.lost === event.incarnationUid;
  return isMoving && !isLost && wanted === 'running' && !restarting && event.runEpoch === nextEpoch(context);
};

export const hasCommitted = ({ context, event }: At): boolean =>
  event.type === 'migration.commit' &&
  event.incarnationUid === context.incarnationUid &&
  event.runEpoch === context.runEpoch;

/** From this step on the new run is the VM's. */
export function commit(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'migration.commit');
  const { host, runEpoch, incarnationUid } = event;
  const { migration, located } = context;
  const changes: Partial<VmContext> = {
    host,
    lastHost: host.name,
    runEpoch,
    incarnationUid,
    lastRun: { host: host.name, incarnationUid },
    nics: Object.fromEntries(event.nics.map((nic) => [nic.port, nic])),
    disks: Object.fromEntries(event.disks.map((disk) => [disk.volume, disk])),
    located: located.map((one) => (one.host === null ? one : { ...one, host: host.name })),
    migration: migration === null ? null : { ...migration, committed: true },
    // The host that it has left may be silent.
    loss: null,
    conditions: presentAgain(context.conditions, event.meta.at),
    runs: context.runs + 1,
  };
  return { changes, asks: tellCommitted(seen) };
}

export const tellCommitted = ({ event }: At): readonly Asked[] => {
  assertEvent(event, 'migration.commit');
  return [send(event.meta.from ?? '', migrationCommitted({ runEpoch: event.runEpoch }))];
};

export const refuseCommit = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'migration.commit');
  const { runEpoch, meta } = event;
  const isLost = context.migration?.lost === event.incarnationUid;
  const why = isLost ? 'its next one has ended already' : 'it is to stop or restart, or has ended';
  const message = `${context.id} keeps its run ${context.runEpoch}: ${why}`;
  const error = { code: 'commit_refused', message, retryable: true };
  return [send(meta.from ?? '', migrationRefused({ runEpoch, error }))];
};

export const recall = ({ context }: At): readonly Asked[] => [send(migrationOf(context), migrationRecall({}))];

/** A run that would be the next one of the VM, which has not taken it for its own. */
export const isNextRun = ({ context, event }: At): boolean =>
  event.type === 'incarnation.ended' && context.migration !== null && event.runEpoch === nextEpoch(context);

export function noteLost({ context, event }: At): Done {
  assertEvent(event, 'incarnation.ended');
  const { migration } = context;
  if (migration === null || event.incarnationUid === null) return { changes: {}, asks: [] };
  return { changes: { migration: { ...migration, lost: event.incarnationUid } }, asks: [] };
}

/** The run has ended during its move, and that may be told again; what follows is decided once the move has ended. */
export function noteEndMeanwhile(seen: At): Done {
  const { migration } = seen.context;
  if (migration?.ended === true) return { changes: {}, asks: [] };
  const noted = migration === null ? null : { ...migration, ended: true };
  return { changes: { ...noteEnd(seen), migration: noted }, asks: [] };
}

export const wantsBack = ({ context }: At): boolean =>
  context.wanted !== 'running' || context.restarting || context.migration?.ended === true;

export const hasEndedMeanwhile = (seen: At): boolean => isOfMigration(seen) && seen.context.migration?.ended === true;
/** Of its present run, which is being moved. */
export const endsMoving = ({ context, event }: At): boolean =>
  event.type === 'incarnation.ended' && context.migration !== null && event.incarnationUid === context.incarnationUid;
export const endsForRestart = (seen: At): boolean => isOfMigration(seen) && seen.context.restarting;

export function noteMigrated({ context, event }: At): Done {
  assertEvent(event, 'migration.ended');
  const { summary } = event;
  const commandId = context.migration?.commandId ?? null;
  const error = summary.failure ?? { code: 'migration_failed', message: 'the move ended', retryable: true };
  const rejected = commandId === null ? [] : [rejectFor(commandId, error, 'to')];
  return {
    changes: { migration: null, lastMigration: summary },
    asks: [...rejected, ...tellDrain(context, error)],
  };
}

const done = ['noteMigrated'] as const;

export const migrating = {
  description:
    'It moves to another host: the guest runs on its present one until the VM takes the new run for its own.',
  entry: ready('True', 'Migrating'),
  initial: 'moving',
  always: { guard: 'isLost', target: 'lost', actions: 'noteInRun' },
  on: {
    'incarnation.ended': [
      { guard: 'isThisIncarnation', actions: 'noteEndMeanwhile' },
      { guard: 'isNextRun', actions: 'noteLost' },
    ],
    'incarnation.running': { guard: 'isThisIncarnation', actions: 'noteRunning' },
    'port.failed': [{ guard: 'isNotOfRun' }, { actions: 'noteFailure' }],
    'port.delayed': [{ guard: 'isNotOfRun' }, { actions: 'noteDelay' }],
    'vm.restart': { actions: 'wantRestart' },
    'migration.begun': { actions: 'noteBegun' },
    'migration.busy': { target: 'running', actions: 'noteBusy' },
    'migration.commit': [
      { guard: 'hasCommitted', actions: 'tellCommitted' },
      { guard: 'mayCommit', actions: 'commit' },
      { actions: 'refuseCommit' },
    ],
    'migration.ended': [
      { guard: 'hasEndedMeanwhile', target: 'ended', actions: done },
      { guard: 'endsForRestart', target: 'stopping', actions: done },
      { guard: 'isOfMigration', target: 'running', actions: done },
    ],
  },
  states: {
    moving: {
      description: 'The migration is asked for, and goes on by itself.',
      entry: 'askMigration',
      always: { guard: 'wantsBack', target: 'recalled' },
      after: { migrationReview: { guard: 'isUnbegun', target: 'moving', reenter: true } },
    },
    recalled: {
      description:
        'The run is to end, or has ended: the migration is told to end, unless the VM has a new host already.',
      entry: 'recall',
      after: { migrationReview: { target: 'recalled', reenter: true } },
    },
  },
} as const;

/** By the names of the chart. */
export const migrationActions = {
  takeMigrate: act(takeMigrate),
  noteBegun: act(noteBegun),
  noteBusy: act(noteBusy),
  commit: act(commit),
  noteMigrated: act(noteMigrated),
  noteEndMeanwhile: act(noteEndMeanwhile),
  noteLost: act(noteLost),
  askMigration: tell(askMigration),
  rejectMigrate: tell(rejectMigrate),
  tellCommitted: tell(tellCommitted),
  refuseCommit: tell(refuseCommit),
  recall: tell(recall),
};
export const migrationGuards = {
  mayMigrate,
  mayCommit,
  hasCommitted,
  isNextRun,
  isUnbegun,
  wantsBack,
  hasEndedMeanwhile,
  endsMoving,
  endsForRestart,
  isOfMigration,
};
