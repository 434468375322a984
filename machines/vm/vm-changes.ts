/** How events change what a VM remembers: pure functions of (context, event) used as named assigns of the chart. */
import { assertEvent } from 'xstate';
import { failureOf } from '../values/failures.ts';
import type { IncarnationDisk, IncarnationNic } from '../values/wiring.ts';
import { imageIds, portIds, volumeIds, type VmContext } from './vm-context.ts';
import type { VmEvent } from './vm-events.ts';
import { specOf } from './vm-replies.ts';

interface Seen {
  readonly context: VmContext;
  readonly event: VmEvent;
}
type Change = Partial<VmContext>;

const healthyMs = 600_000;
const without = (list: readonly string[], id: string): string[] => list.filter((each) => each !== id);

export function take({ event }: Seen): Change {
  const spec = specOf(event);
  return {
    uid: event.meta.ulid,
    spec,
    wanted: spec.running ? 'running' : 'stopped',
    machineType: spec.machineType,
    createCommand: event.meta.commandId ?? null,
  };
}

export const awaitPorts = ({ context }: Seen): Change => ({
  awaited: portIds(context).filter((id) => !(id in context.ports)),
});
export const awaitHeldPorts = ({ context }: Seen): Change => ({ awaited: Object.keys(context.ports) });
export const awaitVolumes = ({ context }: Seen): Change => ({ awaited: volumeIds(context), volumeHosts: [] });
export const awaitPreparations = ({ context }: Seen): Change => ({
  awaited: [...portIds(context), ...volumeIds(context), ...imageIds(context)],
  nics: {},
  disks: {},
  images: {},
  restarting: false,
});

export function notePort({ context, event }: Seen): Change {
  assertEvent(event, 'port.ready');
  const { port, address, mac } = event;
  return { ports: { ...context.ports, [port]: { address, mac } }, awaited: without(context.awaited, port) };
}

export function noteRefusal({ context, event }: Seen): Change {
  assertEvent(event, 'port.refused');
  const at = portIds(context).indexOf(event.port);
  // The port names its own field, `spec.address`; here it is one of the NIC.
  const path = `spec.nics.${Math.max(0, at)}.${(event.path ?? 'network').replace(/^spec\./, '')}`;
  return { refusal: { error: failureOf(event.error), path }, awaited: without(context.awaited, event.port) };
}

export function noteTapped({ context, event }: Seen): Change {
  assertEvent(event, 'port.tapped');
  const { port, binding, bindingUid, mac, mtu } = event;
  const nic: IncarnationNic = { port, binding, bindingUid, mac, mtu };
  return { nics: { ...context.nics, [port]: nic }, awaited: without(context.awaited, port) };
}

export function noteAttached({ context, event }: Seen): Change {
  assertEvent(event, 'volume.attached');
  const { volume, uid, serial, format } = event;
  const disk: IncarnationDisk = { volume, volumeUid: uid, serial, format };
  return { disks: { ...context.disks, [volume]: disk }, awaited: without(context.awaited, volume) };
}

export function noteImage({ context, event }: Seen): Change {
  assertEvent(event, 'image.provided');
  return { images: { ...context.images, [event.image]: event.sha256 }, awaited: without(context.awaited, event.image) };
}

export function noteLocated({ context, event }: Seen): Change {
  assertEvent(event, 'volume.located');
  const hosts = event.host === null ? context.volumeHosts : [...new Set([...context.volumeHosts, event.host])];
  return { volumeHosts: hosts, awaited: without(context.awaited, event.volume) };
}

export function noteUnbound({ context, event }: Seen): Change {
  assertEvent(event, 'port.unbound');
  return { awaited: without(context.awaited, event.port) };
}

export function noteGone({ context, event }: Seen): Change {
  assertEvent(event, 'port.gone');
  const ports = { ...context.ports };
  delete ports[event.port];
  return { ports, awaited: without(context.awaited, event.port) };
}

export function notePlaced({ context, event }: Seen): Change {
  assertEvent(event, 'placed');
  const elsewhere = context.lastHost !== event.host.name;
  return {
    host: event.host,
    lastHost: event.host.name,
    runEpoch: context.runEpoch + (elsewhere ? 1 : 0),
    // The cluster's, not ours: its shard may not have come to the new era yet.
    era: event.era,
    failure: null,
  };
}

export function noteFailure({ context, event }: Seen): Change {
  if (!('error' in event) || event.error === null) return {};
  return { failure: failureOf(event.error), tries: context.tries + 1 };
}

/** A new uid for the run that is about to start; kept when the request is repeated. */
export const newIncarnation = ({ context, event }: Seen): Change => ({
  incarnationUid: event.meta.ulid,
  runs: context.runs + 1,
  lastRun: { host: context.host?.name ?? '', incarnationUid: event.meta.ulid },
});

export function noteRunning({ context, event }: Seen): Change {
  assertEvent(event, 'incarnation.running');
  return {
    proof: event.proof,
    machineType: context.machineType ?? event.proof.machineType,
    runningSince: event.meta.at,
    failure: null,
  };
}

export function noteEnd({ context, event }: Seen): Change {
  assertEvent(event, 'incarnation.ended');
  const healthy = context.runningSince !== null && event.meta.at - context.runningSince >= healthyMs;
  const clean = event.reason === 'guest_shutdown' || event.reason === 'stopped';
  const failure = {
    code: `run_${event.reason}`,
    message: `the run on ${event.host} ended: ${event.reason}`,
    retryable: true,
  };
  return {
    proof: null,
    runningSince: null,
    tries: clean ? 0 : healthy ? 1 : context.tries + 1,
    failure: clean ? null : event.error === null ? failure : failureOf(event.error),
  };
}

export const wantRunning = (): Change => ({ wanted: 'running', tries: 0, failure: null });
export const wantStopped = ({ event }: Seen): Change => ({
  wanted: 'stopped',
  failure: null,
  graceMs: event.type === 'vm.stop' ? (event.graceMs ?? 10_000) : 10_000,
});
export const wantRestart = ({ event }: Seen): Change => ({
  restarting: true,
  graceMs: event.type === 'vm.restart' ? (event.graceMs ?? 10_000) : 10_000,
});
export const wantDeleted = ({ event }: Seen): Change => ({
  wanted: 'deleted',
  graceMs: 2_000,
  failure: null,
  deleteCommand: event.meta.commandId ?? null,
});
/** The guest powered itself off and the policy leaves it so. */
export const settle = ({ context }: Seen): Change => (context.failure === null ? { wanted: 'stopped' } : {});
export const letGo = (): Change => ({
  host: null,
  incarnationUid: null,
  nics: {},
  disks: {},
  images: {},
  volumeHosts: [],
  restarting: false,
});
