/** Context of a migration and its changes: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { failureOf, type Failure } from '../values/failures.ts';
import { counterpartOf, idOf, partsOfId } from '../values/identifiers.ts';
import type { Seen } from '../values/telling.ts';
import type { TrackedFlow } from '../values/tracked-flows.ts';
import type {
  HostFacts,
  IncarnationDisk,
  IncarnationNic,
  IncarnationSpec,
  IncomingDoor,
  MigrationMethod,
  MigrationProgress,
} from '../values/wiring.ts';
import type { MigrationEvent, MigrationStart, MigrationSummary } from './migration-protocol.ts';

export interface MigrationContext {
  readonly id: string;
  readonly uid: string;
  /** What the VM has asked for. Null only before. */
  readonly ask: MigrationStart | null;
  /** Wall time of its beginning, ms. */
  readonly startedAt: number;
  /** The host it moves to; null until one is reserved. */
  readonly host: HostFacts | null;
  /** Uid of the run on the new host. */
  readonly newUid: string;
  /** Actor ids whose answers the present state waits for. */
  readonly awaited: readonly string[];
  readonly nics: Readonly<Record<string, IncarnationNic>>;
  /** Ports that are wired on the new host. */
  readonly standing: readonly string[];
  /** Volumes on the new host; those with `copies` are mirrored. */
  readonly disks: Readonly<Record<string, { readonly disk: IncarnationDisk; readonly copies: boolean }>>;
  readonly door: IncomingDoor | null;
  readonly progress: MigrationProgress | null;
  /** The least that was left to be sent, and when it was first so little. */
  readonly lowest: { readonly bytes: number; readonly at: number } | null;
  /** The guest was stopped because the sending had stalled. */
  readonly held: boolean;
  readonly arrived: boolean;
  readonly sent: {
    readonly method: MigrationMethod;
    readonly pausedAt: number | null;
    readonly sentBytes: number;
    readonly flows: readonly TrackedFlow[];
  } | null;
  readonly resumedAt: number | null;
  /** How many connections of the guest its new host knows. */
  readonly keptFlows: number;
  /** Names of hosts on which the VM has given up its run. */
  readonly lost: readonly string[];
  /** Why it does not go on. */
  readonly failure: Failure | null;
  readonly result: MigrationSummary['result'] | null;
}

export type At = Seen<MigrationContext, MigrationEvent>;
type Change = Partial<MigrationContext>;

export const newMigration = (id: string): MigrationContext => ({
  id,
  uid: '',
  ask: null,
  startedAt: 0,
  host: null,
  newUid: '',
  awaited: [],
  nics: {},
  standing: [],
  disks: {},
  door: null,
  progress: null,
  lowest: null,
  held: false,
  arrived: false,
  sent: null,
  resumedAt: null,
  keptFlows: 0,
  lost: [],
  failure: null,
  result: null,
});

/** @throws TypeError before the VM has asked */
export function askOf({ id, ask }: MigrationContext): MigrationStart {
  if (ask === null) throw new TypeError(`${id} was not asked for`);
  return ask;
}

/** @throws TypeError before a host is reserved */
export function hostOf({ id, host }: MigrationContext): HostFacts {
  if (host === null) throw new TypeError(`${id} has no host`);
  return host;
}

export const vmOf = ({ id }: MigrationContext): string => {
  const { tenant, name } = partsOfId(id);
  return idOf('vm', tenant, name);
};
export const sourceOf = (context: MigrationContext): string =>
  counterpartOf(context.id, 'incarnation', askOf(context).from.name);
export const targetOf = (context: MigrationContext): string =>
  counterpartOf(context.id, 'incarnation', hostOf(context).name);
export function nextEpoch(context: MigrationContext): number {
  const { nextEpoch: next, run } = askOf(context);
  return next ?? run.owner.runEpoch + 1;
}
export const portsOf = (context: MigrationContext): readonly string[] =>
  askOf(context).run.nics.map(({ port }) => port);
export const imagesOf = (context: MigrationContext): readonly string[] =>
  askOf(context).images.map(({ image }) => image);
export const volumesOf = (context: MigrationContext): readonly string[] =>
  askOf(context).volumes.map(({ volume }) => volume);
/** Those that need room on the new host. */
export const roomyOf = (context: MigrationContext): readonly string[] =>
  askOf(context).volumes.flatMap(({ volume, sizeMib }) => (sizeMib > 0 ? [volume] : []));
export const mirrored = (context: MigrationContext): readonly string[] =>
  volumesOf(context).filter((volume) => context.disks[volume]?.copies === true);
export const handedOver = (context: MigrationContext): readonly string[] =>
  volumesOf(context).filter((volume) => context.disks[volume]?.copies !== true);

/** The guest keeps a device where it has it. */
const inSlotOf = <Device extends { readonly slot?: number | undefined }>({ slot }: Device, device: Device): Device => ({
  ...device,
  ...(slot === undefined ? {} : { slot }),
});

export const newNics = (context: MigrationContext): readonly IncarnationNic[] =>
  askOf(context).run.nics.flatMap((nic) => {
    const made = context.nics[nic.port];
    return made === undefined ? [] : [inSlotOf(nic, made)];
  });
export const newDisks = (context: MigrationContext): readonly IncarnationDisk[] =>
  askOf(context).run.disks.map((disk) => inSlotOf(disk, context.disks[disk.volume]?.disk ?? disk));

/** The run on the new host. */
export function newRun(context: MigrationContext): IncarnationSpec {
  const { run } = askOf(context);
  return {
    ...run,
    owner: { actor: targetOf(context), uid: context.newUid, runEpoch: nextEpoch(context) },
    nics: newNics(context),
    disks: newDisks(context),
    incoming: { migration: context.uid, listen: hostOf(context).underlay, mirrors: mirrored(context) },
  };
}

// Changes

export function take({ event }: At): Change {
  assertEvent(event, 'migration.start');
  const { type: _, meta, ...ask } = event;
  return { ask, uid: meta.ulid, newUid: meta.ulid, startedAt: meta.at };
}

export function noteHost({ context, event }: At): Change {
  assertEvent(event, 'placed');
  return { host: event.host, ask: { ...askOf(context), run: { ...askOf(context).run, era: event.era } } };
}

export const isTargetLost = ({ context: { lost, host } }: Pick<At, 'context'>): boolean =>
  host !== null && lost.includes(host.name);

/** Of the runs on both hosts, those that may still answer. */
export const awaitSource = ({ context }: Pick<At, 'context'>): Change => ({
  awaited: context.lost.includes(askOf(context).from.name) ? [] : [sourceOf(context)],
});
export const awaitTarget = (seen: Pick<At, 'context'>): Change => ({
  awaited: isTargetLost(seen) ? [] : [targetOf(seen.context)],
});

/** The VM has given up its run on this host: nobody there is awaited. */
export function noteLost({ context, event }: At): Change {
  assertEvent(event, 'migration.abandon');
  const lost = [...new Set([...context.lost, event.host])];
  return { lost, awaited: context.awaited.filter((id) => !lost.includes(partsOfId(id).host ?? '')) };
}

export const noteAbandoned = ({ context }: At): Change => ({
  failure: context.failure ?? lasting('migration_host_lost', `the host of ${vmOf(context)} is silent: it is given up`),
});

export const awaitParts = ({ context }: At): Change => ({
  awaited: [...portsOf(context), ...volumesOf(context), ...imagesOf(context)],
});

const without = ({ awaited }: MigrationContext, id: string): Change => ({
  awaited: awaited.filter((each) => each !== id),
});

export function noteTapped({ context, event }: At): Change {
  assertEvent(event, 'port.standby-tapped');
  const { port, binding, bindingUid, mac, mtu } = event;
  return { ...without(context, port), nics: { ...context.nics, [port]: { port, binding, bindingUid, mac, mtu } } };
}

export function noteStands({ context, event }: At): Change {
  assertEvent(event, 'port.stands');
  return { standing: [...new Set([...context.standing, event.port])] };
}

export function noteStood({ context, event }: At): Change {
  assertEvent(event, 'volume.stood');
  const { volume, uid, serial, format, source, copies } = event;
  const disk = { volume, volumeUid: uid, serial, format, source };
  return { ...without(context, volume), disks: { ...context.disks, [volume]: { disk, copies } } };
}

/** Whatever was awaited has answered. */
export function noteAnswered({ context, event }: At): Change {
  if ('port' in event) return without(context, event.port);
  if ('volume' in event) return without(context, event.volume);
  if ('image' in event) return without(context, event.image);
  const of = event.meta.from;
  return of === undefined ? {} : without(context, of);
}

export function noteReceiving({ event }: At): Change {
  assertEvent(event, 'incarnation.receiving');
  return { door: event.door };
}

export function noteProgress({ context, event }: At): Change {
  assertEvent(event, 'incarnation.progress');
  const { progress, meta } = event;
  const { lowest } = context;
  const isSamePhase = context.progress?.phase === progress.phase;
  const isLess = lowest === null || !isSamePhase || progress.remainingBytes < lowest.bytes;
  return { progress, lowest: isLess ? { bytes: progress.remainingBytes, at: meta.at } : lowest };
}

export const noteHeld = ({ event }: At): Change => ({
  held: true,
  lowest: { bytes: Number.MAX_SAFE_INTEGER, at: event.meta.at },
});
export const noteArrived = (): Change => ({ arrived: true });

export function noteSent({ event }: At): Change {
  assertEvent(event, 'incarnation.sent');
  const { method, pausedAt, sentBytes, flows } = event;
  return { sent: { method, pausedAt, sentBytes, flows } };
}

export function noteResumed({ context, event }: At): Change {
  assertEvent(event, 'incarnation.resumed');
  return {
    ...noteAnswered({ context, event }),
    resumedAt: context.resumedAt ?? event.resumedAt,
    keptFlows: Math.max(context.keptFlows, event.flows),
  };
}

const lasting = (code: string, message: string): Failure => ({ code, message, retryable: true });

export function noteFailure({ context, event }: At): Change {
  if (context.failure !== null) return {};
  if (event.type === 'incarnation.ended') {
    const message = `a run of ${vmOf(context)} ended meanwhile: ${event.error?.message ?? event.reason}`;
    return { failure: lasting('migration_run_ended', message) };
  }
  return 'error' in event && event.error !== null ? { failure: failureOf(event.error) } : {};
}

export const noteCancelled = ({ context }: At): Change =>
  context.failure === null
    ? { failure: lasting('migration_cancelled', `the move of ${vmOf(context)} was ended before it changed its host`) }
    : {};

export const noteStalled = ({ context }: At): Change => {
  const { stallSeconds } = askOf(context).limits;
  const left = `${context.progress?.remainingBytes ?? 0} bytes are left`;
  const message = `for ${stallSeconds} s no less was left to send (${left}); try onStall pause or throttle`;
  return { failure: lasting('migration_stalled', message) };
};

export const noteOverdue = ({ context }: At): Change => ({
  failure: context.failure ?? lasting('migration_deadline', `the move did not end within its deadline`),
});

export const summaryOf = (context: MigrationContext, at: number): MigrationSummary => {
  const { sent, resumedAt, result, host, failure, startedAt, progress } = context;
  const pausedAt = sent?.pausedAt ?? null;
  const isMeasured = pausedAt !== null && resumedAt !== null && result === 'moved';
  const pauseMs = isMeasured ? Math.max(0, resumedAt - pausedAt) : null;
  return {
    result: result ?? 'rolled-back',
    from: askOf(context).from.name,
    to: host?.name ?? askOf(context).to,
    method: sent?.method ?? progress?.method ?? null,
    startedAt,
    endedAt: at,
    pauseMs,
    gapMs: pauseMs === null || pausedAt === null ? null : Math.max(pauseMs, at - pausedAt),
    sentBytes: sent?.sentBytes ?? progress?.sentBytes ?? 0,
    keptFlows: context.keptFlows,
    failure: result === 'moved' ? null : failure,
  };
};
