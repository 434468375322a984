/**
 * Disks and NICs of a run that come and go while its guest runs: what the VM has said, what came of it, and the states
 * in which that is done. The others are in incarnation-machine.ts. Upholds: the guest gets no NIC whose tap is not
 * wired, its rules included.
 */
import { assertEvent } from 'xstate';
import type { NicStanding } from '../values/device-slots.ts';
import { failureOf, type Failure } from '../values/failures.ts';
import { act, send, tell, type Acted, type Asked } from '../values/telling.ts';
import type { IncarnationDisk, IncarnationNic } from '../values/wiring.ts';
import { hostOf, specIn, wire, type At, type IncarnationContext } from './incarnation-messages.ts';
import { incarnationPlugged, type PlugParams } from './incarnation-protocol.ts';

/** All disks and NICs that a run is to have. */
export interface Plug {
  readonly revision: number;
  readonly disks: readonly IncarnationDisk[];
  /** Absent: its NICs stay what they are. */
  readonly nics?: readonly IncarnationNic[];
  /** Bindings whose taps QEMU has open, and of which the guest has no NIC yet. */
  readonly opened: readonly string[];
  /** Of these, those whose taps are wired. */
  readonly wired: readonly string[];
  /** NICs that the guest does not get this time, because their taps are not wired. */
  readonly failed: readonly NicStanding[];
}

function notePlug({ event }: At): Partial<IncarnationContext> {
  assertEvent(event, 'incarnation.plug');
  const { revision, disks, nics } = event;
  return { plug: { revision, disks, ...(nics === undefined ? {} : { nics }), opened: [], wired: [], failed: [] } };
}

/** @throws TypeError when nothing is to be plugged */
function plugIn({ id, plug }: IncarnationContext): Plug {
  if (plug === null) throw new TypeError(`${id} has nothing to plug`);
  return plug;
}

function plugOf({ context }: At): PlugParams {
  const { disks, nics, wired, failed } = plugIn(context);
  const isFailed = ({ port }: IncarnationNic): boolean => failed.some((one) => one.port === port);
  const of = nics === undefined ? {} : { nics: nics.filter((nic) => !isFailed(nic)), wired };
  return { spec: specIn(context), disks, ...of };
}

/** Bindings of taps that QEMU has opened, and that are to be wired before the guest gets the NICs. */
function unwiredOf({ nics = [], opened, wired, failed }: Plug): readonly string[] {
  const isFailed = (binding: string): boolean =>
    nics.some((nic) => nic.binding === binding && failed.some(({ port }) => port === nic.port));
  return opened.filter((binding) => !wired.includes(binding) && !isFailed(binding));
}

/** What QEMU has opened, as it says; `from` itself when that is of no NIC. */
function openedIn(from: Plug, event: At['event']): Plug {
  const standings = event.type === 'qemu.plug.done' ? (event.nics ?? []) : [];
  const isOpened = ({ port }: IncarnationNic): boolean =>
    standings.some((one) => one.port === port && one.standing === 'opened');
  return { ...from, opened: (from.nics ?? []).filter(isOpened).map(({ binding }) => binding) };
}

const mustConnect = ({ context, event }: At): boolean => unwiredOf(openedIn(plugIn(context), event)).length > 0;
const noteOpened = ({ context, event }: At): Partial<IncarnationContext> => ({
  plug: openedIn(plugIn(context), event),
});
const isConnected = ({ context }: At): boolean => unwiredOf(plugIn(context)).length === 0;

const askConnecting = ({ context }: At): readonly Asked[] => wire(context, unwiredOf(plugIn(context)));

function noteConnected({ context, event }: At): Partial<IncarnationContext> {
  assertEvent(event, 'binding.wired');
  const plug = plugIn(context);
  return { plug: { ...plug, wired: [...plug.wired, event.binding] } };
}

/** The guest does not get these NICs. */
function without(plug: Plug, bindings: readonly string[], error: Failure): Plug {
  const left = (plug.nics ?? []).filter(({ binding }) => bindings.includes(binding));
  return {
    ...plug,
    failed: [...plug.failed, ...left.map(({ port }) => ({ port, standing: 'failed', error }) as const)],
  };
}

function noteUnconnected({ context, event }: At): Partial<IncarnationContext> {
  assertEvent(event, 'binding.unwired');
  return { plug: without(plugIn(context), [event.binding], failureOf(event.error)) };
}

/** They are asked for again with the next list. */
function noteUnanswered({ context }: At): Partial<IncarnationContext> {
  const plug = plugIn(context);
  const message = `its tap is not wired on ${hostOf(context)} yet, so its guest does not have it`;
  return { plug: without(plug, unwiredOf(plug), { code: 'nic_unwired', message, retryable: true }) };
}

/** A port that was bound again under a NIC of the guest has the tap that QEMU has open, which is to be wired again. */
const rewired = ({ nics = [], wired }: Plug, standings: readonly NicStanding[]): readonly string[] =>
  nics
    .filter(({ port }) => standings.some((one) => one.port === port && one.standing === 'plugged'))
    .map(({ binding }) => binding)
    .filter((binding) => !wired.includes(binding));

/** The VM is told, and asks again for what is not done. What the guest has not released is still one of the run. */
function endPlug({ context, event }: At): Acted<IncarnationContext> {
  const { plug, vm } = context;
  if (plug === null) return { changes: {}, asks: [] };
  const { revision, disks, nics } = plug;
  const spec = specIn(context);
  const standings = event.type === 'qemu.plug.done' ? event.disks : [];
  const ofNics = event.type === 'qemu.plug.done' ? [...(event.nics ?? []), ...plug.failed] : [];
  const error = 'error' in event && event.error !== null ? failureOf(event.error) : null;
  const isLeft = ({ volume }: IncarnationDisk): boolean =>
    standings.some((one) => one.volume === volume) && !disks.some((one) => one.volume === volume);
  const isThere = ({ port }: IncarnationNic): boolean =>
    ofNics.some((one) => one.port === port && one.standing !== 'failed');
  const had = spec.nics.filter(({ port }) => !nics?.some((one) => one.port === port));
  const changed = {
    ...spec,
    disks: [...disks, ...spec.disks.filter(isLeft)],
    nics: nics === undefined ? spec.nics : [...nics, ...had].filter(isThere),
  };
  const told = incarnationPlugged({
    incarnationUid: spec.owner.uid,
    revision,
    disks: [...standings],
    ...(nics === undefined ? {} : { nics: ofNics }),
    error,
  });
  return {
    changes: { ...(error === null ? { spec: changed } : {}), plug: null },
    asks: [send(vm, told), ...wire(context, rewired(plug, ofNics))],
  };
}

const note = (change: (seen: At) => Partial<IncarnationContext>) =>
  act((seen: At) => ({ changes: change(seen), asks: [] }));

/** By the names of the chart. */
export const plugActions = {
  notePlug: note(notePlug),
  noteOpened: note(noteOpened),
  askConnecting: tell(askConnecting),
  noteConnected: note(noteConnected),
  noteUnconnected: note(noteUnconnected),
  noteUnanswered: note(noteUnanswered),
  endPlug: act(endPlug),
};
export const plugGuards = {
  hasPlug: ({ context }: At): boolean => context.plug !== null,
  mustConnect,
  isConnected,
};

/** The VM has said which disks and NICs it is to have. */
export const toPlug = {
  guard: 'isThis',
  target: '#incarnation.alive.plugging',
  actions: 'notePlug',
  reenter: true,
} as const;

const gone = { guard: 'isHostGone', target: '#incarnation.ended', actions: 'noteGone' } as const;
const plugged = [
  { guard: 'hasGrown', target: 'resizing', actions: 'endPlug' },
  { guard: 'isPaused', target: 'pausing', actions: 'endPlug' },
  { target: 'running', actions: 'endPlug' },
] as const;
const meanwhile = {
  'incarnation.plug': toPlug,
  'incarnation.reset': { guard: 'isThis', target: 'resetting' },
} as const;

/** States of a run that is alive. */
export const pluggingStates = {
  plugging: {
    description: 'Disks and NICs are plugged into QEMU, and its guest is asked to release others.',
    entry: { type: 'qemu.plug', params: plugOf },
    on: {
      'qemu.plug.done': [{ guard: 'mustConnect', target: 'connecting', actions: 'noteOpened' }, ...plugged],
      'qemu.plug.failed': [gone, ...plugged],
      'qemu.plug.unknown': { target: 'plugging', reenter: true },
      ...meanwhile,
    },
    after: { plugDeadline: { target: 'plugging', reenter: true } },
  },
  connecting: {
    description: 'QEMU has opened the taps of NICs. Once they are wired, the guest gets the NICs.',
    entry: 'askConnecting',
    always: { guard: 'isConnected', target: 'plugging' },
    on: {
      'binding.wired': { actions: 'noteConnected' },
      'binding.unwired': { actions: 'noteUnconnected' },
      ...meanwhile,
    },
    after: { connectDeadline: { target: 'plugging', actions: 'noteUnanswered' } },
  },
} as const;
