/**
 * The second place of a volume: prepared on another host while its holder runs, for the run that is to come, and made
 * the only one by that run's epoch. Of a local volume the second host gets an empty disk, which the migration fills; of
 * a shared one it is let in beside the first, which is cut at the change. Pure functions, called by the chart. Upholds:
 * the run epoch never falls; what was prepared for a run is gone before something is prepared for the next; the change
 * is answered when only the new run can write.
 */
import { assertEvent } from 'xstate';
import { replicaDrop, replicaEnsure } from '../replica/replica-protocol.ts';
import { hostGone, type Failure } from '../values/failures.ts';
import { serialOf } from '../values/serials.ts';
import { act, send, tell, type Acted, type Asked } from '../values/telling.ts';
import type { DiskSource, HostFacts } from '../values/wiring.ts';
import {
  accessIn,
  isShared,
  ownClient,
  replicaOn,
  replicaSpec,
  serveTo,
  specOf,
  type At,
  type VolumeContext,
} from './volume-context.ts';
import { volumeActivated, volumeDropped, volumeRefused, volumeStood } from './volume-protocol.ts';

export interface VolumeStandby {
  readonly host: HostFacts;
  readonly runEpoch: number;
  /** `cutting`: the volume is of the new run, and the former one of a shared volume may still write. */
  readonly phase: 'making' | 'standing' | 'cutting' | 'dropping';
  /** Who is told when the phase is over; null: nobody waits for it. */
  readonly asker: string | null;
  /** Of a shared volume that stands: where that run finds the bytes. */
  readonly source?: DiskSource;
}

type Done = Acted<VolumeContext>;

const nothing: Done = { changes: {}, asks: [] };
const changed = (standby: VolumeStandby | null, asks: readonly Asked[] = []): Done => ({ changes: { standby }, asks });

/** The actor that sent the message; a message of the node has no sender, and nobody is told. */
const senderOf = ({ event }: At): string | null => event.meta.from ?? null;
const toAsker = (asker: string | null, event: Parameters<typeof send>[1]): readonly Asked[] =>
  asker === null ? [] : [send(asker, event)];

// Prepared

const isFor = ({ context: { standby }, event }: At): boolean =>
  event.type === 'volume.standby' &&
  standby !== null &&
  standby.host.name === event.host.name &&
  standby.runEpoch === event.runEpoch;

export const isStanding = (seen: At): boolean => isFor(seen) && seen.context.standby?.phase === 'standing';

/** By its holder, for the next run, on another host, while nothing else is prepared. */
export const mayStandBy = (seen: At): boolean => {
  const { context, event } = seen;
  if (event.type !== 'volume.standby') return false;
  const { holder, runEpoch, standby, client, captures, growth, resizing } = context;
  if (captures.length > 0 || growth !== null || resizing !== null) return false;
  const isFree = standby === null || (isFor(seen) && standby.phase === 'making');
  return isFree && holder === event.vm && event.runEpoch > runEpoch && client?.name !== event.host.name;
};

export function prepareStandby(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'volume.standby');
  const { host, runEpoch } = event;
  const standby: VolumeStandby = { host, runEpoch, phase: 'making', asker: senderOf(seen) };
  if (isShared(context))
    return changed(standby, [serveTo(context, [ownClient(context), { runEpoch, host: host.name }])]);
  const spec = { ...replicaSpec(context, host, runEpoch), image: null };
  return changed(standby, [send(replicaOn(context, host), replicaEnsure({ volume: context.id, spec }))]);
}

const stood = (context: VolumeContext, { host, runEpoch, asker, source }: VolumeStandby): readonly Asked[] => {
  const { id: volume, uid } = context;
  const { format } = specOf(context);
  const facts = { volume, uid, serial: serialOf(uid), format, host: host.name, runEpoch };
  return toAsker(asker, volumeStood({ ...facts, copies: !isShared(context), source: source ?? null }));
};

export const tellStood = (seen: At): readonly Asked[] =>
  seen.context.standby === null ? [] : stood(seen.context, { ...seen.context.standby, asker: senderOf(seen) });

const refusedTo = ({ id }: VolumeContext, asker: string | null, error: Failure): readonly Asked[] =>
  toAsker(asker, volumeRefused({ volume: id, error }));

export function refuseStandby(seen: At): readonly Asked[] {
  const { standby, holder, client, id, captures, growth, resizing, runEpoch } = seen.context;
  const { event } = seen;
  if (event.type === 'volume.standby' && holder === event.vm && event.runEpoch <= runEpoch) {
    const later = `${id} was used in a later run than ${holder} knows of; restart ${holder}, then migrate it`;
    return refusedTo(seen.context, senderOf(seen), { code: 'volume_run_later', message: later, retryable: true });
  }
  const why =
    holder === null
      ? 'no VM holds it'
      : captures.length > 0
        ? `it is being copied by ${captures.join(', ')}`
        : growth !== null || resizing !== null
          ? 'it is growing'
          : standby === null
            ? `${holder} has it on ${client?.name ?? 'no host'}, where it may not be ready`
            : `it is ${standby.phase} on ${standby.host.name} for run ${standby.runEpoch}`;
  const message = `${id} was not prepared on a second host: ${why}; migrate again once this has ended`;
  return refusedTo(seen.context, senderOf(seen), { code: 'volume_standby_conflict', message, retryable: true });
}

// What the second host says

/** An answer of the host that stands by, and not of the one that has the bytes; or of the export that lets both in. */
export function isOfStandby({ context, event }: At): boolean {
  const { standby, host } = context;
  if (standby === null || !('host' in event)) return false;
  if (isShared(context)) return event.type.startsWith('export.') && event.host === host?.name;
  return event.type.startsWith('replica.') && event.host === standby.host.name && standby.host.name !== host?.name;
}

export function heedStandby(seen: At): Done {
  const { context, event } = seen;
  const { standby } = context;
  if (standby === null) return nothing;
  switch (event.type) {
    case 'export.serving':
      return heedServing(seen, standby);
    case 'export.failed': {
      // The change is decided; it is asked for until the former run is cut, unless the host is no more.
      if (standby.phase === 'cutting' && event.error.code !== hostGone)
        return changed(standby, [serveTo(context, [ownClient(context)])]);
      const told = standby.phase === 'dropping' ? dropped(context, standby) : [];
      return changed(null, [
        ...told,
        ...refusedTo(context, standby.phase === 'dropping' ? null : standby.asker, event.error),
      ]);
    }
    case 'replica.ready': {
      if (standby.phase !== 'making') return nothing;
      return changed({ ...standby, phase: 'standing' }, stood(context, standby));
    }
    case 'replica.failed': {
      if (standby.phase === 'dropping') return nothing;
      // Its holder may have changed to it already: then the newest bytes are there, and come back with the host.
      if (standby.phase === 'standing' && event.error.code === hostGone)
        return { changes: {}, asks: refusedTo(context, standby.asker, event.error) };
      const next: VolumeStandby = { ...standby, phase: 'dropping', asker: null };
      return changed(next, [...refusedTo(context, standby.asker, event.error), removal(context, standby)]);
    }
    case 'replica.removed':
      return standby.phase === 'dropping' ? changed(null, dropped(context, standby)) : nothing;
    default:
      return nothing;
  }
}

function heedServing(seen: At, standby: VolumeStandby): Done {
  const { context, event } = seen;
  if (event.type !== 'export.serving') return nothing;
  const { phase, runEpoch, asker } = standby;
  const source = accessIn(seen, runEpoch);
  if (phase === 'making' && source !== null)
    return changed({ ...standby, phase: 'standing', source }, stood(context, { ...standby, source }));
  if (phase === 'dropping' && source === null) return changed(null, dropped(context, standby));
  if (phase !== 'cutting' || event.floor !== runEpoch || source === null) return nothing;
  const told = toAsker(asker, volumeActivated({ volume: context.id, runEpoch }));
  return { changes: { standby: null, access: source }, asks: told };
}

// Made the only one, or dropped

export const mayActivate = ({ context: { standby, holder }, event }: At): boolean =>
  event.type === 'volume.activate' &&
  standby?.phase === 'standing' &&
  standby.runEpoch === event.runEpoch &&
  holder === event.vm;

/** The holder has changed to the run that a local volume was prepared for: its newest bytes are there. */
const isOfRun = ({ standby, spec }: VolumeContext, host: string | undefined, runEpoch = 0): boolean =>
  !isShared({ spec }) && standby?.phase === 'standing' && standby.host.name === host && standby.runEpoch <= runEpoch;

/** Its holder runs there already, and asks before the migration does. */
export const isCommitted = ({ context, event }: At): boolean =>
  event.type === 'volume.attach' && context.holder === event.vm && isOfRun(context, event.host.name, event.runEpoch);

/** Its holder has run there, and leaves before the migration has cleared up. */
export const holderLeavesMoved = ({ context, event }: At): boolean =>
  event.type === 'volume.detach' && context.holder === event.vm && isOfRun(context, event.host, event.runEpoch);

/** A repeated request. */
export const isActive = ({ context: { holder, runEpoch, standby }, event }: At): boolean =>
  event.type === 'volume.activate' &&
  holder === event.vm &&
  runEpoch === event.runEpoch &&
  standby?.phase !== 'cutting';

/** A repeated request, while the former run is being cut. */
export const isCutting = ({ context: { holder, standby }, event }: At): boolean =>
  event.type === 'volume.activate' &&
  holder === event.vm &&
  standby?.phase === 'cutting' &&
  standby.runEpoch === event.runEpoch;

export const askCut = (seen: At): Done => {
  const { context } = seen;
  const { standby } = context;
  if (standby === null) return nothing;
  return changed({ ...standby, asker: senderOf(seen) }, [serveTo(context, [ownClient(context)])]);
};

export const tellActivated = (seen: At): readonly Asked[] =>
  toAsker(senderOf(seen), volumeActivated({ volume: seen.context.id, runEpoch: seen.context.runEpoch }));

/** The bytes of the former host are removed; of a shared volume, the former run is cut. */
export function activate(seen: At): Done {
  const { context } = seen;
  const { standby, host, id } = context;
  if (standby === null || host === null) return nothing;
  const { runEpoch } = standby;
  if (isShared(context)) {
    const changes = { client: standby.host, runEpoch };
    const asks = [serveTo({ ...context, ...changes }, [ownClient({ ...context, ...changes })])];
    return { changes: { ...changes, standby: { ...standby, phase: 'cutting', asker: senderOf(seen) } }, asks };
  }
  const former: VolumeStandby = { host, runEpoch: context.runEpoch, phase: 'dropping', asker: null };
  return {
    changes: { host: standby.host, client: standby.host, runEpoch, standby: former },
    asks: [
      removal(context, former),
      // A migration is told.
      ...(seen.event.type === 'volume.activate'
        ? toAsker(senderOf(seen), volumeActivated({ volume: id, runEpoch }))
        : []),
    ],
  };
}

export function refuseActivation(seen: At): readonly Asked[] {
  const { standby, runEpoch, id } = seen.context;
  const state =
    standby === null ? 'nothing is prepared' : `it is ${standby.phase} on ${standby.host.name} for ${standby.runEpoch}`;
  const message = `${id} keeps its host: the present run is ${runEpoch}, ${state}`;
  return refusedTo(seen.context, senderOf(seen), { code: 'volume_standby_conflict', message, retryable: false });
}

const removal = (context: VolumeContext, standby: VolumeStandby): Asked =>
  send(replicaOn(context, standby.host), replicaDrop({}));

const dropped = ({ id }: VolumeContext, { asker, runEpoch }: Pick<VolumeStandby, 'asker' | 'runEpoch'>) =>
  toAsker(asker, volumeDropped({ volume: id, runEpoch }));

/** What was prepared is not needed any more, whoever says so; a migration is told when it is gone. */
export function dropStandby(seen: At): Done {
  const { context, event } = seen;
  const { standby } = context;
  const asker = event.type === 'volume.drop-standby' ? senderOf(seen) : null;
  if (event.type === 'volume.drop-standby' && standby?.runEpoch !== event.runEpoch)
    return { changes: {}, asks: dropped(context, { asker, runEpoch: event.runEpoch }) };
  // The holder leaves, or attaches again: the export is told all anew.
  if (standby === null || (isShared(context) && event.type !== 'volume.drop-standby')) return changed(null);
  // The VM has changed its run: nothing is dropped any more.
  if (standby.phase === 'cutting') return { changes: {}, asks: refuseActivation(seen) };
  const next: VolumeStandby = { ...standby, phase: 'dropping', asker };
  if (standby.phase === 'dropping') return changed(next);
  return changed(next, [isShared(context) ? serveTo(context, [ownClient(context)]) : removal(context, standby)]);
}

/** By the names of the chart. */
export const standbyActions = {
  prepareStandby: act(prepareStandby),
  heedStandby: act(heedStandby),
  activate: act(activate),
  askCut: act(askCut),
  dropStandby: act(dropStandby),
  tellStood: tell(tellStood),
  tellActivated: tell(tellActivated),
  refuseStandby: tell(refuseStandby),
  refuseActivation: tell(refuseActivation),
};
export const standbyGuards = {
  isStanding,
  mayStandBy,
  isOfStandby,
  mayActivate,
  isCommitted,
  holderLeavesMoved,
  isActive,
  isCutting,
};

/** For the status. */
export const shownStandby = (standby: VolumeStandby | null) =>
  standby === null ? null : { host: standby.host.name, runEpoch: standby.runEpoch, phase: standby.phase };
