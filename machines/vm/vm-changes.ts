/** Changes of a VM's context: pure functions of context and event, used as named assigns of the chart. */
import { assertEvent } from 'xstate';
import { withCondition } from '../values/conditions.ts';
import { failureOf } from '../values/failures.ts';
import { managedAfter } from '../values/ownership.ts';
import type { IncarnationDisk, IncarnationNic } from '../values/wiring.ts';
import * as contexts from './vm-context.ts';
import {
  formatOf,
  imageIds,
  nextEpoch,
  portId,
  portIds,
  specIn,
  runSpecIn,
  volumeIds,
  type At,
  type Proposal,
} from './vm-context.ts';
import type { VmContext } from './vm-context.ts';
import { slotOf } from './vm-devices.ts';
import { declaresRun, progressOf, restCondition } from './vm-progress.ts';
import { withNoneAway } from './vm-storage.ts';
import type { VmSpec } from './vm-protocol.ts';

type Change = Partial<VmContext>;

/** A run that lasted so long was healthy: crashes before it do not count any more. */
export const healthyMs = 600_000;
/** Crashes in a row from which on they are a crash loop. */
const loopCrashes = 3;
const without = (list: readonly string[], id: string): string[] => list.filter((each) => each !== id);
const together = (list: readonly string[], more: readonly string[]): string[] => [...new Set([...list, ...more])];

// Declarations

/**
 * The declared `running` applies when it is the first, and when it differs from the last declaration: a VM that a
 * command has stopped stays stopped when another field changes.
 */
const startWanted = (context: VmContext, at: number): Change => ({
  ...withoutCrashes(context, at),
  wanted: 'running',
  paused: false,
  failure: null,
  // Another run follows the one that is being stopped.
  restarting: context.restarting || (context.wanted !== 'running' && context.incarnationUid !== null),
});
const stopWanted = (graceMs: number): Change => ({ wanted: 'stopped', paused: false, failure: null, graceMs });
const defaultGraceMs = 10_000;

export const wantDeclared = ({ context }: At): Change => ({
  wanted: declaresRun(specIn(context)) ? 'running' : 'stopped',
});

function accepted(context: VmContext, proposal: Omit<Proposal, 'awaited'>, at: number): Change {
  const { spec, labels, protect, ...managed } = proposal;
  const isWanted = declaresRun(spec);
  const isChanged = spec.restart !== 'manual' && isWanted !== (context.spec && declaresRun(context.spec));
  const changes: Change = {
    ...(isChanged ? (isWanted ? startWanted(context, at) : stopWanted(defaultGraceMs)) : {}),
    spec,
    labels: labels ?? context.labels,
    protect: protect ?? context.protect,
    ...managed,
    generation: context.generation + 1,
    proposed: null,
  };
  const progress = progressOf({ ...context, ...changes }, at);
  const isAtRest = (changes.wanted ?? context.wanted) === 'stopped' && context.runSpec === null;
  if (!isAtRest) return { ...changes, ...progress };
  return { ...changes, ...progress, conditions: withCondition(progress.conditions, restCondition(spec), at) };
}

export function declarationOf({ context, event }: At): Omit<Proposal, 'awaited'> {
  assertEvent(event, ['vm.update', 'vm.apply']);
  const { spec, labels = null, protect = null, meta } = event;
  return { spec, labels, protect, ...managedAfter(context, meta) };
}

/** Accepts a changed spec that needs no new port. */
export const acceptSpec = (seen: At): Change => accepted(seen.context, declarationOf(seen), seen.event.meta.at);

/** Proposes a changed spec that needs new ports, which are claimed first. */
export function propose(seen: At): Change {
  const { context } = seen;
  const declaration = declarationOf(seen);
  const awaited = contexts.addedNics(context, declaration.spec).map((nic) => portId(context, nic));
  return { proposed: { ...declaration, awaited }, claimed: together(context.claimed, awaited) };
}

/** @throws TypeError without a proposal */
export function acceptProposed({ context, event }: At): Change {
  if (context.proposed === null) throw new TypeError(`${context.id} has no proposed change`);
  const { awaited: _, ...proposal } = context.proposed;
  return accepted(context, proposal, event.meta.at);
}

export const noteProgress = ({ context, event }: At): Change => progressOf(context, event.meta.at);

// Ports

export const awaitPorts = ({ context }: At): Change => {
  const ids = portIds(context, context.spec);
  return {
    awaited: ids.filter((id) => !(id in context.ports)),
    claimed: together(context.claimed, ids),
    refusal: null,
  };
};
export const awaitClaimedPorts = ({ context }: At): Change => ({ awaited: context.claimed });
export const awaitBoundPorts = ({ context }: At): Change => ({
  awaited: portIds(context, context.runSpec).filter((id) => context.claimed.includes(id)),
});

/** Removes a port from those that the present state waits for. */
export function noteAnswered({ context, event }: At): Change {
  assertEvent(event, ['port.ready', 'port.unbound', 'port.gone']);
  return { awaited: without(context.awaited, event.port) };
}

/** Why a port that the VM awaits is not there yet. */
export function noteDelay({ event }: At): Change {
  assertEvent(event, 'port.delayed');
  const { port, error } = event;
  const { code, message } = error;
  return { failure: { code, message: `${port} waits: ${message}`, retryable: true }, delayedBy: port };
}

/** The port waits no longer. */
const undelayed = ({ delayedBy }: VmContext, port: string): Change =>
  delayedBy === port ? { delayedBy: null, failure: null } : {};

export function noteWired({ context, event }: At): Change {
  assertEvent(event, 'port.active');
  const { port, proof } = event;
  return { ...undelayed(context, port), wiring: { ...context.wiring, [port]: proof } };
}

/** Ignores a port that was released in the meantime. */
export function notePort({ context, event }: At): Change {
  assertEvent(event, 'port.ready');
  const { port, facts } = event;
  const { proposed } = context;
  if (!contexts.usedPorts(context).has(port)) return {};
  return {
    ...undelayed(context, port),
    ports: { ...context.ports, [port]: facts },
    claimed: together(context.claimed, [port]),
    proposed: proposed === null ? null : { ...proposed, awaited: without(proposed.awaited, port) },
  };
}

/** Translates the field that the port names, such as `spec.address`, to that of the NIC. */
export function refusalOf({ context, event }: At, spec: VmSpec): NonNullable<VmContext['refusal']> {
  assertEvent(event, 'port.refused');
  const at = portIds(context, spec).indexOf(event.port);
  const path = `spec.nics.${Math.max(0, at)}.${event.path.replace(/^spec\./, '')}`;
  return { error: failureOf(event.error), path };
}

/** A refused port is not held, unless it was held before. */
export function dropRefused({ context, event }: At): Change {
  assertEvent(event, 'port.refused');
  const { port } = event;
  return port in context.ports ? {} : { claimed: without(context.claimed, port) };
}

export function noteRefusal(seen: At): Change {
  const { context, event } = seen;
  assertEvent(event, 'port.refused');
  const awaited = without(context.awaited, event.port);
  const refusal = refusalOf(seen, specIn(context));
  return { refusal, failure: refusal.error, delayedBy: null, awaited, ...dropRefused(seen) };
}

export function noteGone({ context, event }: At): Change {
  assertEvent(event, 'port.gone');
  const { [event.port]: _, ...ports } = context.ports;
  return { ports, claimed: without(context.claimed, event.port) };
}

// A run

export const awaitVolumes = ({ context }: At): Change => ({
  awaited: volumeIds(context, runSpecIn(context)),
  located: [],
  storage: {},
});
export const awaitPreparations = ({ context, event }: At): Change => {
  const spec = runSpecIn(context);
  return {
    awaited: [...portIds(context, spec), ...volumeIds(context, spec), ...imageIds(context, spec)],
    nics: {},
    wiring: {},
    disks: {},
    images: {},
    restarting: false,
    delayedBy: null,
    ...withNoneAway(context, event.meta.at),
  };
};

export function noteTapped({ context, event }: At): Change {
  assertEvent(event, 'port.tapped');
  const { port, binding, bindingUid, mac, mtu } = event;
  const slot = slotOf(context, port) ?? portIds(context, runSpecIn(context)).indexOf(port);
  const nic: IncarnationNic = { port, binding, bindingUid, mac, mtu, slot };
  const nics = { ...context.nics, [port]: nic };
  return { ...undelayed(context, port), nics, awaited: without(context.awaited, port) };
}

export function noteAttached({ context, event }: At): Change {
  assertEvent(event, 'volume.attached');
  const { volume, uid, serial, format, host, source = null } = event;
  const slot = context.plugs[volume]?.slot ?? volumeIds(context, runSpecIn(context)).indexOf(volume);
  const disk: IncarnationDisk = {
    volume,
    volumeUid: uid,
    serial,
    format,
    ...(source === null ? {} : { source }),
    slot,
  };
  const storage = { ...context.storage, [volume]: host };
  return { disks: { ...context.disks, [volume]: disk }, storage, awaited: without(context.awaited, volume) };
}

export function noteImage({ context, event }: At): Change {
  assertEvent(event, 'image.provided');
  return { images: { ...context.images, [event.image]: event.sha256 }, awaited: without(context.awaited, event.image) };
}

/** The control API refuses such a declaration; the image was deleted since, and created again with another format. */
export function noteWrongImage({ context, event }: At): Change {
  assertEvent(event, 'image.provided');
  const wanted = formatOf(context, event.image);
  const message = `${event.image} has the format ${event.format}; name an image of format ${wanted}`;
  return { failure: { code: 'image_wrong_format', message, retryable: false } };
}

export function noteLocated({ context, event }: At): Change {
  assertEvent(event, 'volume.located');
  const { volume, sizeMib, host, shared = false, runEpoch = 0 } = event;
  const others = context.located.filter((each) => each.volume !== volume);
  // Any host can take a VM with a shared volume.
  const located = shared ? others : [...others, { volume, sizeMib, host }];
  const { epochFloor = 0 } = context;
  const floor = runEpoch > Math.max(context.runEpoch, epochFloor) ? { epochFloor: runEpoch } : {};
  return { located, awaited: without(context.awaited, volume), ...floor };
}

export function notePlaced({ context, event }: At): Change {
  assertEvent(event, 'placed');
  const elsewhere = context.lastHost !== event.host.name;
  return {
    host: event.host,
    lastHost: event.host.name,
    runEpoch: elsewhere ? nextEpoch(context) : context.runEpoch,
    // The era of the cluster's answer: its shard may still be in an earlier era than this one.
    era: event.era,
    leaving: null,
    failure: null,
  };
}

/** A new uid for the next run; repeated requests use the same uid. */
export const newIncarnation = ({ context, event }: At): Change => ({
  incarnationUid: event.meta.ulid,
  runs: context.runs + 1,
  lastRun: { host: context.host?.name ?? '', incarnationUid: event.meta.ulid },
});

/** The guest runs; it has run before when it goes on after a stall. */
export function noteRunning({ context, event }: At): Change {
  assertEvent(event, ['incarnation.running', 'incarnation.paused', 'incarnation.stalled']);
  return {
    proof: event.proof,
    machineType: event.proof.machineType,
    runningSince: context.runningSince ?? event.meta.at,
    failure: event.type === 'incarnation.stalled' ? failureOf(event.error) : null,
    delayedBy: null,
  };
}

export function noteEnd({ context, event }: At): Change {
  assertEvent(event, 'incarnation.ended');
  const { at } = event.meta;
  const healthy = context.runningSince !== null && at - context.runningSince >= healthyMs;
  const clean = event.reason === 'guest_shutdown' || event.reason === 'stopped';
  const failure = {
    code: `run_${event.reason}`,
    message: `the run ended: ${event.reason}`,
    retryable: true,
  };
  const crashes = clean ? 0 : healthy ? 1 : context.crashes + 1;
  return {
    lastEnd: { reason: event.reason, at },
    crashes,
    conditions: withCrashes(context, crashes, event.error?.message ?? event.reason, at),
    proof: null,
    runningSince: null,
    // Also a guest that powers itself off as soon as it runs: `restart: always` must not start it without a pause.
    tries: event.reason === 'stopped' ? 0 : healthy ? 1 : context.tries + 1,
    failure: clean ? null : event.error === null ? failure : failureOf(event.error),
  };
}

/** The condition CrashLoop, on a VM that has crashed often enough to have it. */
function withCrashes({ conditions }: VmContext, crashes: number, last: string, at: number): VmContext['conditions'] {
  const type = 'CrashLoop';
  if (crashes >= loopCrashes) {
    const message = `${crashes} runs in a row have crashed within 10 min of their start, the last one: ${last}`;
    return withCondition(conditions, { type, status: 'True', reason: 'Crashes', message }, at);
  }
  const isKnown = conditions.some((condition) => condition.type === type);
  return isKnown ? withCondition(conditions, { type, status: 'False', reason: 'NoCrashes' }, at) : conditions;
}
const withoutCrashes = (context: VmContext, at: number): Change => ({
  tries: 0,
  crashes: 0,
  conditions: withCrashes(context, 0, '', at),
});
export const noteHealthy = ({ context, event }: At): Change => withoutCrashes(context, event.meta.at);

export const letGo = (): Change => ({
  host: null,
  incarnationUid: null,
  runSpec: null,
  runGeneration: 0,
  nics: {},
  disks: {},
  plugs: {},
  images: {},
  located: [],
  restarting: false,
  leaving: null,
});

// Desired state

export const wantRunning = ({ context, event }: At): Change => startWanted(context, event.meta.at);
export const wantStopped = ({ event }: At): Change =>
  stopWanted(event.type === 'vm.stop' ? event.graceMs : defaultGraceMs);
export const wantRestart = ({ event }: At): Change => ({
  restarting: true,
  paused: false,
  graceMs: event.type === 'vm.restart' ? event.graceMs : defaultGraceMs,
});
export const wantDeleted = (): Change => ({
  wanted: 'deleted',
  paused: false,
  graceMs: 2_000,
  failure: null,
  proposed: null,
});
/** The guest has powered itself off, and the restart policy does not start it again. */
export const settle = ({ context }: At): Change => (context.failure === null ? { wanted: 'stopped' } : {});
