/** What a VM remembers, and the messages it builds from that. */
import type { Failure } from '../values/failures.ts';
import { clusterId, idOf, partsOfId, tenantId, counterpartOf } from '../values/identifiers.ts';
import type { SentEvent } from '../values/requests.ts';
import type {
  HostFacts,
  IncarnationDisk,
  IncarnationNic,
  IncarnationProof,
  IncarnationSpec,
} from '../values/wiring.ts';
import type { LastRun } from '../cluster/cluster-events.ts';
import type { VmNic, VmSpec } from './vm-events.ts';

export interface VmContext {
  readonly id: string;
  readonly uid: string;
  readonly spec: VmSpec | null;
  /** What the last of create, start and stop asked for. */
  readonly wanted: 'running' | 'stopped' | 'deleted';
  /** A restart is under way: the end of the run that is being stopped is not an end. */
  readonly restarting: boolean;
  readonly graceMs: number;
  /** Whose answer the present state waits for: actor ids. Set on entry, emptied by answers. */
  readonly awaited: readonly string[];
  /**
   * Ports that hold an address for us: id -> address and MAC. Kept until deletion, so that both outlive every
   * restart.
   */
  readonly ports: Readonly<Record<string, { readonly address: string; readonly mac: string }>>;
  /** Where our volumes have their bytes; a VM runs where they are. */
  readonly volumeHosts: readonly string[];
  /** Set by placement, cleared when everything is let go. */
  readonly host: HostFacts | null;
  /** +1 at each start on another host than the last. */
  readonly runEpoch: number;
  readonly lastHost: string | null;
  /** Era of the placement: what was placed in an earlier one asks the cluster again before it runs. */
  readonly era: number;
  /** The last run that was begun; the cluster compares it with what it found when the store had gone back. */
  readonly lastRun: LastRun | null;
  /** What the next run is made of, gathered while preparing. */
  readonly nics: Readonly<Record<string, IncarnationNic>>;
  readonly disks: Readonly<Record<string, IncarnationDisk>>;
  readonly images: Readonly<Record<string, string>>;
  readonly machineType: string | null;
  /** Uid of the present run: a late word of an earlier run is told apart by it. */
  readonly incarnationUid: string | null;
  readonly proof: IncarnationProof | null;
  readonly runningSince: number | null;
  /** Failures in a row, for the backoff; cleared by ten healthy minutes or by a command. */
  readonly tries: number;
  /** Runs so far. */
  readonly runs: number;
  readonly failure: Failure | null;
  readonly refusal: { readonly error: Failure; readonly path: string } | null;
  readonly createCommand: string | null;
  readonly deleteCommand: string | null;
}

export interface OutgoingMessage {
  readonly to: string;
  readonly event: SentEvent;
}

interface Seen {
  readonly context: VmContext;
}

const tenantOf = (context: VmContext): string => partsOfId(context.id).tenant;
export const specIn = (context: VmContext): VmSpec => context.spec as VmSpec;

export function portId(context: VmContext, nic: VmNic): string {
  const { tenant, name } = partsOfId(context.id);
  return idOf('port', tenant, `${name}.${nic.name}`);
}

export const portIds = (context: VmContext): string[] => specIn(context).nics.map((nic) => portId(context, nic));
export const volumeIds = (context: VmContext): string[] =>
  specIn(context).disks.map((disk) => idOf('volume', tenantOf(context), disk.volume));

export function imageIds(context: VmContext): string[] {
  const { boot } = specIn(context);
  return boot === null
    ? []
    : [idOf('image', tenantOf(context), boot.kernel), idOf('image', tenantOf(context), boot.initrd)];
}

export const incarnationId = (context: VmContext): string =>
  counterpartOf(context.id, 'incarnation', context.host?.name ?? '');

export const claimQuota = ({ context }: Seen): OutgoingMessage => ({
  to: tenantId(tenantOf(context)),
  event: { type: 'quota.claim', kind: 'vm', claimant: context.id },
});

export const releaseQuota = ({ context }: Seen): OutgoingMessage => ({
  to: tenantId(tenantOf(context)),
  event: { type: 'quota.release', kind: 'vm', claimant: context.id },
});

export function askPort(context: VmContext, nic: VmNic): OutgoingMessage {
  const event = {
    type: 'port.create',
    network: nic.network,
    address: nic.address,
    mac: nic.mac,
    host: null,
    holder: context.id,
  };
  return { to: portId(context, nic), event };
}

export const askPlace = ({ context }: Seen): OutgoingMessage => ({
  to: clusterId,
  event: {
    type: 'place',
    vm: context.id,
    cpus: specIn(context).cpus,
    memoryMib: specIn(context).memoryMib,
    host: specIn(context).host,
    volumeHosts: context.volumeHosts,
    lastRun: context.lastRun,
  },
});

export const releasePlace = ({ context }: Seen): OutgoingMessage => ({
  to: clusterId,
  event: { type: 'place.release', vm: context.id },
});

/** Everything a run needs on its host, asked for at once; whoever has answered already is not asked again. */
export function preparations(context: VmContext): OutgoingMessage[] {
  const { host, runEpoch } = context;
  const messages: OutgoingMessage[] = [
    ...portIds(context).map((to) => ({ to, event: { type: 'port.bind', holder: context.id, host, runEpoch } })),
    ...volumeIds(context).map((to) => ({ to, event: { type: 'volume.attach', vm: context.id, host, runEpoch } })),
    ...imageIds(context).map((to) => ({ to, event: { type: 'image.need', holder: context.id, host } })),
  ];
  return messages.filter((message) => context.awaited.includes(message.to));
}

export function releases(context: VmContext): OutgoingMessage[] {
  return [
    ...portIds(context).map((to) => ({ to, event: { type: 'port.unbind', holder: context.id } })),
    ...volumeIds(context).map((to) => ({ to, event: { type: 'volume.detach', vm: context.id } })),
    ...imageIds(context).map((to) => ({ to, event: { type: 'image.free', holder: context.id } })),
    releasePlace({ context }),
  ];
}

function incarnationSpec(context: VmContext): IncarnationSpec {
  const spec = specIn(context);
  const [kernel, initrd] = imageIds(context).map((id) => context.images[id] ?? '');
  return {
    owner: { actor: incarnationId(context), uid: context.incarnationUid ?? '', runEpoch: context.runEpoch },
    vm: context.id,
    era: context.era,
    cpus: spec.cpus,
    memoryMib: spec.memoryMib,
    machineType: context.machineType,
    nics: portIds(context).map((id) => context.nics[id] as IncarnationNic),
    disks: volumeIds(context).map((id) => context.disks[id] as IncarnationDisk),
    boot:
      spec.boot === null
        ? null
        : { kernelSha256: kernel ?? '', initrdSha256: initrd ?? '', commandLine: spec.boot.commandLine },
  };
}

export const askRun = ({ context }: Seen): OutgoingMessage => ({
  to: incarnationId(context),
  event: { type: 'incarnation.start', vm: context.id, spec: incarnationSpec(context) },
});

export const askStop = ({ context }: Seen): OutgoingMessage => ({
  to: incarnationId(context),
  event: { type: 'incarnation.stop', graceMs: context.graceMs, incarnationUid: context.incarnationUid },
});
