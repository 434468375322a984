/**
 * Disks that are declared, or declared no more, while the VM runs: they are plugged into its present run and taken from
 * it. A volume is attached before QEMU is told of it, and detached only after QEMU has closed it, which its guest
 * decides: until then it stays with the VM. Pure functions, called by the chart. Upholds: what the run may have open is
 * held by the VM.
 *
 * Each request to the host says all disks that the run is to have, with a number; only the answer to the newest one
 * counts, so what is asked meanwhile is never taken for done.
 */
import { assertEvent } from 'xstate';
import { place } from '../cluster/cluster-protocol.ts';
import { incarnationPlug } from '../incarnation/incarnation-protocol.ts';
import { failureOf, type Failure } from '../values/failures.ts';
import { clusterId } from '../values/identifiers.ts';
import { act, send, tell, type Acted, type Asked } from '../values/telling.ts';
import { volumeAttach, volumeLocate } from '../volume/volume-protocol.ts';
import { noteAttached, noteLocated } from './vm-changes.ts';
import * as contexts from './vm-context.ts';
import { diskSlots, hostIn, runSpecIn, type At, type VmContext, type VmPlug } from './vm-context.ts';
import { detach, placeRequest } from './vm-messages.ts';
import type { VmSpec } from './vm-protocol.ts';

type Changes = Partial<VmContext>;
type Disks = VmSpec['disks'];
type Phase = VmPlug['phase'];

const idOf = (context: VmContext, { volume }: Disks[number]): string => contexts.volumeId(context, volume);
const includes = (disks: Disks, { volume }: Disks[number]): boolean => disks.some((one) => one.volume === volume);
const without = (disks: Disks, others: Disks): Disks => disks.filter((disk) => !includes(others, disk));

/** Its guest runs, or stands still, with ports for disks; and it is to stay as it is otherwise. */
const canPlug = ({ proof, migration, wanted, restarting, spec, runSpec }: VmContext): boolean =>
  proof?.diskSlots !== undefined &&
  migration === null &&
  wanted === 'running' &&
  !restarting &&
  spec !== null &&
  runSpec !== null;

interface Plan {
  /** They come, each into its slot. */
  readonly coming: readonly (readonly [disk: Disks[number], slot: number])[];
  /** They were to come, and are not wanted any more. */
  readonly dropped: Disks;
  readonly going: Disks;
  /** Their guest was asked to release them, and they are wanted again. */
  readonly returning: Disks;
}

/** Null: nothing is to be begun. */
function planOf(context: VmContext): Plan | null {
  if (!canPlug(context)) return null;
  const [wanted, had] = [contexts.wantedDisks(context), runSpecIn(context).disks];
  const isIn = (disk: Disks[number], ...phases: readonly (Phase | undefined)[]): boolean =>
    phases.includes(context.plugs[idOf(context, disk)]?.phase);
  const surplus = without(had, wanted);
  const dropped = surplus.filter((disk) => isIn(disk, 'locating', 'placing', 'attaching'));
  const going = surplus.filter((disk) => isIn(disk, 'plugging', undefined));
  const returning = without(had, surplus).filter((disk) => isIn(disk, 'removing'));
  const taken = without(had, dropped).map((disk) => slotOf(context, idOf(context, disk)));
  const free = Array.from({ length: diskSlots }, (_, slot) => slot).filter((slot) => !taken.includes(slot));
  const missing = without(wanted, had).slice(0, free.length);
  const coming = missing.map((disk, index) => [disk, free[index] ?? 0] as const);
  const isEmpty = [coming, dropped, going, returning].every(({ length }) => length === 0);
  return isEmpty ? null : { coming, dropped, going, returning };
}

const slotOf = ({ plugs, disks }: VmContext, volume: string): number | undefined =>
  plugs[volume]?.slot ?? disks[volume]?.slot;

/** The disks of the run are not those that it is to have, and nothing is done about that yet. */
const mustPlug = ({ context }: At): boolean => planOf(context) !== null;

const isLasting = ({ error }: VmPlug): boolean => error !== null && !error.retryable;

/** Something was asked for, and is to be asked for again. */
const isPlugging = ({ context }: At): boolean =>
  canPlug(context) && Object.values(context.plugs).some((plug) => !isLasting(plug));

/** In the order of the declaration, but for the disk that it boots from. */
function ordered(context: VmContext, disks: Disks): Disks {
  const known = contexts.wantedDisks(context).filter((disk) => includes(disks, disk));
  return [...known, ...without(disks, known)];
}

/** @returns the changes with what follows from them for the status */
function changed(context: VmContext, changes: Changes, at: number, asks: readonly Asked[] = []): Acted<VmContext> {
  return { changes: { ...changes, ...contexts.progressOf({ ...context, ...changes }, at) }, asks };
}

/** Notes what comes and goes, for which the entry of the state asks. What was to come is given back if not wanted. */
function beginPlugs({ context, event }: At): Acted<VmContext> {
  const plan = planOf(context);
  if (plan === null) return { changes: {}, asks: [] };
  const runSpec = runSpecIn(context);
  const dropped = plan.dropped.map((disk) => idOf(context, disk));
  const phased = (disks: Disks, phase: Phase): VmContext['plugs'] =>
    Object.fromEntries(
      disks.map((disk) => {
        const id = idOf(context, disk);
        return [id, { phase, slot: slotOf(context, id) ?? 0, error: null }] as const;
      }),
    );
  const plugs: VmContext['plugs'] = {
    ...Object.fromEntries(Object.entries(context.plugs).filter(([volume]) => !dropped.includes(volume))),
    ...Object.fromEntries(
      plan.coming.map(([disk, slot]) => [idOf(context, disk), { phase: 'locating', slot, error: null }] as const),
    ),
    ...phased(plan.going, 'removing'),
    ...phased(plan.returning, 'plugging'),
  };
  const coming = plan.coming.map(([disk]) => disk);
  const disks = ordered(context, [...without(runSpec.disks, plan.dropped), ...coming]);
  const isTold = plan.going.length + plan.returning.length > 0;
  const plugRevision = context.plugRevision + (isTold ? 1 : 0);
  const changes = { runSpec: { ...runSpec, disks }, plugs, plugRevision };
  return changed(context, changes, event.meta.at, detach(context, dropped));
}

/** Tells the host all disks that the run is to have. */
function askRun(context: VmContext): readonly Asked[] {
  const { plugs, plugRevision: revision, incarnationUid } = context;
  const disks = contexts.runDisks(context).filter(({ volume }) => plugs[volume]?.phase !== 'removing');
  const plug = incarnationPlug({ incarnationUid: incarnationUid ?? '', revision, disks: [...disks] });
  return [send(contexts.incarnationId(context), plug)];
}

const inPhase = ({ plugs }: VmContext, ...phases: readonly Phase[]): readonly string[] =>
  Object.entries(plugs).flatMap(([volume, plug]) => (phases.includes(plug.phase) && !isLasting(plug) ? [volume] : []));

const askAttach = (context: VmContext, volumes: readonly string[]): readonly Asked[] => {
  const { id: vm, runEpoch } = context;
  return volumes.map((to) => send(to, volumeAttach({ vm, host: hostIn(context), runEpoch })));
};

/** For room on the host that it is on. */
const askRoom = (context: VmContext): Asked =>
  send(clusterId, place({ ...placeRequest(context), host: hostIn(context).name, avoid: [] }));

/** Asks for what is not done, also again. */
function askPlugs({ context }: At): readonly Asked[] {
  if (!canPlug(context)) return [];
  return [
    ...inPhase(context, 'locating').map((to) => send(to, volumeLocate({ vm: context.id }))),
    ...(inPhase(context, 'placing').length > 0 ? [askRoom(context)] : []),
    ...askAttach(context, inPhase(context, 'attaching')),
    ...(inPhase(context, 'plugging', 'removing').length > 0 ? askRun(context) : []),
  ];
}

const withPlugs = (context: VmContext, volumes: readonly string[], change: Partial<VmPlug>): VmContext['plugs'] =>
  Object.fromEntries(
    Object.entries(context.plugs).map(([volume, plug]) => [
      volume,
      volumes.includes(volume) ? { ...plug, ...change } : plug,
    ]),
  );

/** The answer of a volume that is to come, in this phase. */
const answers =
  (...phases: readonly Phase[]) =>
  ({ context, event }: At): boolean => {
    const plug = 'volume' in event ? context.plugs[event.volume] : undefined;
    return plug !== undefined && phases.includes(plug.phase);
  };

/** A VM that starts is placed where its local volumes are, if that is one host; one that moves takes them along. */
function toMeet(context: VmContext): string {
  const own = contexts.runDisks(context).find(({ source = null }) => source === null);
  return own === undefined
    ? 'stop and start the VM'
    : `${own.volume} is on that of the VM: take one of the two from its disks, or migrate it to the other host first`;
}

function noteComingLocated(seen: At): Acted<VmContext> {
  const { context, event } = seen;
  assertEvent(event, 'volume.located');
  const { volume, host, shared = false } = event;
  const { located } = noteLocated(seen);
  const here = hostIn(context).name;
  if (!shared && host !== null && host !== here) {
    const message = `${volume} has its bytes on another host than ${context.id}; ${toMeet(context)}`;
    const error = { code: 'volume_elsewhere', message, retryable: false };
    return changed(context, { plugs: withPlugs(context, [volume], { error }) }, event.meta.at);
  }
  const isMade = shared || host !== null;
  const plugs = withPlugs(context, [volume], { phase: isMade ? 'attaching' : 'placing', error: null });
  const next = { ...context, located: located ?? context.located, plugs };
  const asks = isMade ? askAttach(next, [volume]) : [askRoom(next)];
  return changed(context, { located: next.located, plugs }, event.meta.at, asks);
}

/** There is room for the bytes of those that have none yet. */
function noteRoom({ context, event }: At): Acted<VmContext> {
  assertEvent(event, 'placed');
  const volumes = inPhase(context, 'placing');
  if (event.host.name !== context.host?.name || volumes.length === 0) return { changes: {}, asks: [] };
  const plugs = withPlugs(context, volumes, { phase: 'attaching', error: null });
  return changed(context, { plugs }, event.meta.at, askAttach(context, volumes));
}

function noteNoRoom({ context, event }: At): Acted<VmContext> {
  assertEvent(event, 'place.refused');
  const plugs = withPlugs(context, inPhase(context, 'placing'), { error: failureOf(event.error) });
  return changed(context, { plugs }, event.meta.at);
}

function noteComingAttached(seen: At): Acted<VmContext> {
  const { context, event } = seen;
  assertEvent(event, 'volume.attached');
  const { disks = {}, storage = {} } = noteAttached(seen);
  const plugs = withPlugs(context, [event.volume], { phase: 'plugging', error: null });
  const changes = { disks, storage, plugs, plugRevision: context.plugRevision + 1 };
  return changed(context, changes, event.meta.at, askRun({ ...context, ...changes }));
}

/** It is asked again, if that may help, also where it is. */
function noteComingRefused({ context, event }: At): Acted<VmContext> {
  assertEvent(event, 'volume.refused');
  const change = { phase: 'locating', error: failureOf(event.error) } as const;
  return changed(context, { plugs: withPlugs(context, [event.volume], change) }, event.meta.at);
}

const answersPlug = ({ context, event }: At): boolean =>
  event.type === 'incarnation.plugged' &&
  event.incarnationUid === context.incarnationUid &&
  event.revision === context.plugRevision;

/** What is closed is detached. */
function notePlugged({ context, event }: At): Acted<VmContext> {
  assertEvent(event, 'incarnation.plugged');
  const { error, disks: standings, meta } = event;
  const asked = inPhase(context, 'plugging', 'removing');
  if (error !== null)
    return changed(context, { plugs: withPlugs(context, asked, { error: failureOf(error) }) }, meta.at);
  const of = new Map(standings.map((one) => [one.volume, one]));
  const isOver = (volume: string, { phase }: VmPlug): boolean =>
    (phase === 'plugging' && of.get(volume)?.standing === 'plugged') || (phase === 'removing' && !of.has(volume));
  const plugs = Object.fromEntries(
    Object.entries(context.plugs).flatMap(([volume, plug]): readonly (readonly [string, VmPlug])[] =>
      isOver(volume, plug)
        ? []
        : [[volume, asked.includes(volume) ? { ...plug, error: errorOf(of.get(volume)) } : plug]],
    ),
  );
  const gone = asked.filter((volume) => context.plugs[volume]?.phase === 'removing' && !of.has(volume));
  const kept = <Value>(of_: Readonly<Record<string, Value>>): Readonly<Record<string, Value>> =>
    Object.fromEntries(Object.entries(of_).filter(([volume]) => !gone.includes(volume)));
  const runSpec = runSpecIn(context);
  const left = runSpec.disks.filter((disk) => !gone.includes(idOf(context, disk)));
  const changes: Changes = {
    plugs,
    runSpec: { ...runSpec, disks: ordered(context, left) },
    disks: kept(context.disks),
    storage: kept(context.storage),
    located: context.located.filter(({ volume }) => !gone.includes(volume)),
  };
  return changed(context, changes, meta.at, detach(context, gone));
}

const errorOf = (standing: { readonly error: Failure | null } | undefined): Failure | null =>
  standing?.error ? failureOf(standing.error) : null;

/** By the names of the chart. */
export const plugActions = {
  beginPlugs: act(beginPlugs),
  askPlugs: tell(askPlugs),
  noteComingLocated: act(noteComingLocated),
  noteRoom: act(noteRoom),
  noteNoRoom: act(noteNoRoom),
  noteComingAttached: act(noteComingAttached),
  noteComingRefused: act(noteComingRefused),
  notePlugged: act(notePlugged),
};
export const plugGuards = {
  mustPlug,
  isPlugging,
  isLocating: answers('locating'),
  isAttaching: answers('attaching'),
  isComing: answers('locating', 'attaching'),
  answersPlug,
};

/** In the states in which its guest runs or stands still. */
export const plugging = {
  'volume.located': { guard: 'isLocating', actions: 'noteComingLocated' },
  'volume.attached': { guard: 'isAttaching', actions: 'noteComingAttached' },
  'volume.refused': { guard: 'isComing', actions: 'noteComingRefused' },
  placed: { actions: 'noteRoom' },
  'place.refused': { actions: 'noteNoRoom' },
  'incarnation.plugged': { guard: 'answersPlug', actions: 'notePlugged' },
} as const;
