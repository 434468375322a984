/**
 * Disks and NICs that are declared, or declared no more, while the VM runs: they are plugged into its present run and
 * taken from it. A volume is attached, and a port bound, before QEMU is told of it; it is detached, or unbound, only
 * after QEMU has closed it, which its guest decides: until then it stays with the VM. Pure functions, called by the
 * chart. Upholds: what the run may have open is held by the VM.
 *
 * Each request to the host says all devices that the run is to have, with a number; only the answer to the newest one
 * counts, so what is asked meanwhile is never taken for done.
 */
import { assertEvent } from 'xstate';
import { place } from '../cluster/cluster-protocol.ts';
import { incarnationPlug } from '../incarnation/incarnation-protocol.ts';
import { portBind, portRelease, portRest } from '../port/port-protocol.ts';
import type { DiskStanding } from '../values/device-slots.ts';
import { failureOf, type Failure } from '../values/failures.ts';
import { clusterId } from '../values/identifiers.ts';
import { act, send, tell, type Acted, type Asked } from '../values/telling.ts';
import { volumeAttach, volumeLocate } from '../volume/volume-protocol.ts';
import { noteAttached, noteLocated, noteTapped } from './vm-changes.ts';
import { hostIn, incarnationId, runSpecIn, usedPorts, type At, type VmContext, type VmPlug } from './vm-context.ts';
import * as devices from './vm-devices.ts';
import { deviceFields, fieldOf, without, type DeviceField } from './vm-devices.ts';
import { detach, placeRequest } from './vm-messages.ts';
import { progressOf } from './vm-progress.ts';
import { withoutAway } from './vm-storage.ts';

type Changes = Partial<VmContext>;
type Ids = readonly string[];
type Phase = VmPlug['phase'];

/** Its guest runs, or stands still, and it is to stay as it is otherwise. */
const canPlug = ({ proof, migration, wanted, restarting, spec, runSpec }: VmContext): boolean =>
  proof !== null && migration === null && wanted === 'running' && !restarting && spec !== null && runSpec !== null;

interface Plan {
  /** They come, each into its slot. */
  readonly coming: readonly (readonly [id: string, slot: number])[];
  /** They were to come, and are not wanted any more. */
  readonly dropped: Ids;
  readonly going: Ids;
  /** Their guest was asked to release them, and they are wanted again. */
  readonly returning: Ids;
}

const onItsWay: readonly (Phase | undefined)[] = ['locating', 'placing', 'attaching', 'binding'];

function planOf(context: VmContext, field: DeviceField): Plan {
  const [wanted, had] = [devices.wantedDevices(context, field), devices.runDevices(context, field)];
  const isIn = (id: string, phases: readonly (Phase | undefined)[]): boolean =>
    phases.includes(context.plugs[id]?.phase);
  const surplus = without(had, wanted);
  const dropped = surplus.filter((id) => isIn(id, onItsWay));
  const going = surplus.filter((id) => isIn(id, ['plugging', undefined]));
  const returning = without(had, surplus).filter((id) => isIn(id, ['removing']));
  const taken = without(had, dropped).map((id) => devices.slotOf(context, id));
  const slots = Array.from({ length: devices.deviceSlots[field] }, (_, slot) => slot);
  const free = slots.filter((slot) => !taken.includes(slot));
  const missing = without(wanted, had).slice(0, free.length);
  return { coming: missing.map((id, index) => [id, free[index] ?? 0] as const), dropped, going, returning };
}

/** What is to be begun, of the kinds for which the run has ports. */
function plansOf(context: VmContext): readonly Plan[] {
  if (!canPlug(context)) return [];
  const plans = deviceFields
    .filter((field) => devices.takesDevices(context, field))
    .map((field) => planOf(context, field));
  return plans.filter(({ coming, ...rest }) => [coming, ...Object.values(rest)].some(({ length }) => length > 0));
}

/** The devices of the run are not those that it is to have, and nothing is done about that yet. */
const mustPlug = ({ context }: At): boolean => plansOf(context).length > 0;

const isLasting = ({ error }: VmPlug): boolean => error !== null && !error.retryable;

/** Something was asked for, and is to be asked for again. */
const isPlugging = ({ context }: At): boolean =>
  canPlug(context) && Object.values(context.plugs).some((plug) => !isLasting(plug));

/** @returns the changes with what follows from them for the status */
function changed(context: VmContext, changes: Changes, at: number, asks: readonly Asked[] = []): Acted<VmContext> {
  return { changes: { ...changes, ...progressOf({ ...context, ...changes }, at) }, asks };
}

/** Volumes are detached, and ports leave the host; one that is declared no more ends. */
function giveBack(context: VmContext, ids: Ids): readonly Asked[] {
  const used = usedPorts(context);
  const ports = ids.filter((id) => fieldOf(id) === 'nics');
  return [
    ...detach(context, without(ids, ports)),
    ...ports.map((to) => send(to, (used.has(to) ? portRest : portRelease)({ holder: context.id }))),
  ];
}

const allDevices = (context: VmContext): Ids => deviceFields.flatMap((field) => devices.runDevices(context, field));

/** Notes what comes and goes, for which the entry of the state asks. What was to come is given back if not wanted. */
function beginPlugs({ context, event }: At): Acted<VmContext> {
  const plans = plansOf(context);
  if (plans.length === 0) return { changes: {}, asks: [] };
  const all = (of: 'dropped' | 'going' | 'returning'): Ids => plans.flatMap((plan) => plan[of]);
  const [dropped, going, returning] = [all('dropped'), all('going'), all('returning')];
  const coming = plans.flatMap((plan) => plan.coming);
  const phased = (phase: Phase) => (id: string) =>
    [id, { phase, slot: devices.slotOf(context, id) ?? 0, error: null }] as const;
  const plugs: VmContext['plugs'] = {
    ...Object.fromEntries(Object.entries(context.plugs).filter(([id]) => !dropped.includes(id))),
    ...Object.fromEntries(
      coming.map(([id, slot]) => {
        const phase = fieldOf(id) === 'disks' ? ('locating' as const) : ('binding' as const);
        return [id, { phase, slot, error: null }] as const;
      }),
    ),
    ...Object.fromEntries(going.map(phased('removing'))),
    ...Object.fromEntries(returning.map(phased('plugging'))),
  };
  const ids = [...without(allDevices(context), dropped), ...coming.map(([id]) => id)];
  const runSpec = devices.withDevices(context, runSpecIn(context), ids);
  const plugRevision = context.plugRevision + (going.length + returning.length > 0 ? 1 : 0);
  const changes = { runSpec, plugs, plugRevision };
  return changed(context, changes, event.meta.at, giveBack({ ...context, ...changes }, dropped));
}

/** Tells the host all devices that the run is to have. */
function askRun(context: VmContext): readonly Asked[] {
  const { plugRevision: revision, incarnationUid } = context;
  const plug = incarnationPlug({
    incarnationUid: incarnationUid ?? '',
    revision,
    disks: [...devices.keptDisks(context)],
    ...(context.proof?.nicSlots === undefined ? {} : { nics: [...devices.keptNics(context)] }),
  });
  return [send(incarnationId(context), plug)];
}

const inPhase = ({ plugs }: VmContext, ...phases: readonly Phase[]): readonly string[] =>
  Object.entries(plugs).flatMap(([volume, plug]) => (phases.includes(plug.phase) && !isLasting(plug) ? [volume] : []));

const askAttach = (context: VmContext, volumes: readonly string[]): readonly Asked[] => {
  const { id: vm, runEpoch } = context;
  return volumes.map((to) => send(to, volumeAttach({ vm, host: hostIn(context), runEpoch })));
};

const bindHere = (context: VmContext) => {
  const { id: holder, runEpoch } = context;
  return portBind({ holder, host: hostIn(context), runEpoch });
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
    ...inPhase(context, 'binding').map((to) => send(to, bindHere(context))),
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

/** The answer of a volume or port that is to come, in this phase. */
const answers =
  (...phases: readonly Phase[]) =>
  ({ context, event }: At): boolean => {
    const id = 'volume' in event ? event.volume : 'port' in event ? event.port : '';
    const plug = context.plugs[id];
    return plug !== undefined && phases.includes(plug.phase);
  };

/** A VM that starts is placed where its local volumes are, if that is one host; one that moves takes them along. */
function toMeet(context: VmContext): string {
  const own = devices.runDisks(context).find(({ source = null }) => source === null);
  return own === undefined
    ? 'stop and start the VM'
    : `${own.volume} is on that of the VM: take one of the two from its disks, or migrate it to the other host first`;
}

function noteComingLocated(seen: At): Acted<VmContext> {
  const { context, event } = seen;
  assertEvent(event, 'volume.located');
  const { volume, host, shared = false } = event;
  const { located = context.located, awaited: _, ...floor } = noteLocated(seen);
  const here = hostIn(context).name;
  if (!shared && host !== null && host !== here) {
    const message = `${volume} has its bytes on another host than ${context.id}; ${toMeet(context)}`;
    const error = { code: 'volume_elsewhere', message, retryable: false };
    return changed(context, { plugs: withPlugs(context, [volume], { error }) }, event.meta.at);
  }
  const isMade = shared || host !== null;
  const plugs = withPlugs(context, [volume], { phase: isMade ? 'attaching' : 'placing', error: null });
  const changes = { located, ...floor, plugs };
  const next = { ...context, ...changes };
  const asks = isMade ? askAttach(next, [volume]) : [askRoom(next)];
  return changed(context, changes, event.meta.at, asks);
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

/** Of a NIC that comes, or of one that the run has: a port that was asked twice says so twice. */
const isTapped = ({ context, event }: At): boolean => {
  if (event.type !== 'port.tapped' || !canPlug(context) || !devices.takesDevices(context, 'nics')) return false;
  const phase = context.plugs[event.port]?.phase;
  return phase !== 'removing' && devices.runDevices(context, 'nics').includes(event.port);
};

/** Its tap is there for QEMU to open, or QEMU has it open; it is to be wired, also if it was before. */
function noteComingTapped(seen: At): Acted<VmContext> {
  const { context, event } = seen;
  assertEvent(event, 'port.tapped');
  const { nics = {} } = noteTapped(seen);
  const slot = nics[event.port]?.slot ?? 0;
  const plugs: VmContext['plugs'] = { ...context.plugs, [event.port]: { phase: 'plugging', slot, error: null } };
  const changes = { nics, plugs, plugRevision: context.plugRevision + 1 };
  return changed(context, changes, event.meta.at, askRun({ ...context, ...changes }));
}

/** Its port says why it is not bound or not wired; it goes on by itself, or is asked again if that may help. */
function noteComingDelayed({ context, event }: At): Acted<VmContext> {
  assertEvent(event, ['port.failed', 'port.delayed']);
  const change = { error: failureOf(event.error) };
  return changed(context, { plugs: withPlugs(context, [event.port], change) }, event.meta.at);
}

const answersPlug = ({ context, event }: At): boolean =>
  event.type === 'incarnation.plugged' &&
  event.incarnationUid === context.incarnationUid &&
  event.revision === context.plugRevision;

/** What is closed is given back. A NIC that could not be plugged needs another tap. */
function notePlugged({ context, event }: At): Acted<VmContext> {
  assertEvent(event, 'incarnation.plugged');
  const { error, disks: ofDisks, nics: ofNics, meta } = event;
  const asked = inPhase(context, 'plugging', 'removing').filter(
    (id) => fieldOf(id) === 'disks' || ofNics !== undefined,
  );
  if (error !== null)
    return changed(context, { plugs: withPlugs(context, asked, { error: failureOf(error) }) }, meta.at);
  const of = new Map<string, Pick<DiskStanding, 'standing' | 'error'>>([
    ...ofDisks.map((one) => [one.volume, one] as const),
    ...(ofNics ?? []).map((one) => [one.port, one] as const),
  ]);
  const isOver = (id: string, { phase }: VmPlug): boolean =>
    (phase === 'plugging' && of.get(id)?.standing === 'plugged') || (phase === 'removing' && !of.has(id));
  const after = (id: string, plug: VmPlug): VmPlug => {
    const standing = of.get(id);
    const phase = standing?.standing === 'failed' && fieldOf(id) === 'nics' ? 'binding' : plug.phase;
    return { ...plug, phase, error: errorOf(standing) };
  };
  const plugs = Object.fromEntries(
    Object.entries(context.plugs).flatMap(([id, plug]): readonly (readonly [string, VmPlug])[] => {
      if (!asked.includes(id)) return [[id, plug]];
      return isOver(id, plug) ? [] : [[id, after(id, plug)]];
    }),
  );
  const gone = asked.filter((id) => context.plugs[id]?.phase === 'removing' && !of.has(id));
  const kept = <Value>(of_: Readonly<Record<string, Value>>): Readonly<Record<string, Value>> =>
    Object.fromEntries(Object.entries(of_).filter(([id]) => !gone.includes(id)));
  const changes: Changes = {
    plugs,
    runSpec: devices.withDevices(context, runSpecIn(context), without(allDevices(context), gone)),
    disks: kept(context.disks),
    storage: kept(context.storage),
    located: context.located.filter(({ volume }) => !gone.includes(volume)),
    nics: kept(context.nics),
    wiring: kept(context.wiring),
    ...withoutAway(context, gone, meta.at),
  };
  return changed(context, changes, meta.at, giveBack({ ...context, ...changes }, gone));
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
  noteComingTapped: act(noteComingTapped),
  noteComingDelayed: act(noteComingDelayed),
  notePlugged: act(notePlugged),
};
export const plugGuards = {
  mustPlug,
  isPlugging,
  isLocating: answers('locating'),
  isAttaching: answers('attaching'),
  isComing: answers('locating', 'attaching'),
  isComingPort: answers('binding', 'plugging'),
  isTapped,
  answersPlug,
};

/** Of a port that comes, in the states in which the guest runs or stands still. */
export const comingDelayed = { guard: 'isComingPort', actions: 'noteComingDelayed' } as const;

/** In the states in which its guest runs or stands still. */
export const plugging = {
  'volume.located': { guard: 'isLocating', actions: 'noteComingLocated' },
  'volume.attached': { guard: 'isAttaching', actions: 'noteComingAttached' },
  'volume.refused': { guard: 'isComing', actions: 'noteComingRefused' },
  'port.tapped': { guard: 'isTapped', actions: 'noteComingTapped' },
  placed: { actions: 'noteRoom' },
  'place.refused': { actions: 'noteNoRoom' },
  'incarnation.plugged': { guard: 'answersPlug', actions: 'notePlugged' },
} as const;
