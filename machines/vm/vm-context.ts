/** Context of a VM and pure functions on it: what it has, and the ports of its NICs. */
import type { LastRun, PlaceRequest } from '../cluster/cluster-protocol.ts';
import type { EndReason } from '../incarnation/incarnation-protocol.ts';
import { newDeclared, type DeclaredContext } from '../values/declared.ts';
import { sameJson, type Failure } from '../values/failures.ts';
import { idOf, partsOfId, counterpartOf } from '../values/identifiers.ts';
import type { Managed } from '../values/ownership.ts';
import type { ValueOf } from '../values/kind.ts';
import type { migrateLimits } from '../values/migration-limits.ts';
import type { MigrationSummary } from '../migration/migration-protocol.ts';
import { noLoss, type LossContext } from './vm-loss-context.ts';
import type { PortFacts } from '../port/port-protocol.ts';
import type { Seen } from '../values/telling.ts';
import type { HostFacts, IncarnationDisk, IncarnationNic, IncarnationProof, TapProof } from '../values/wiring.ts';
import type { VmEvent, VmNic, VmSpec } from './vm-protocol.ts';

/** A change that is accepted once the ports of its added NICs have addresses. */
export interface Proposal extends Managed {
  readonly spec: VmSpec;
  /** Null: unchanged. */
  readonly labels: Readonly<Record<string, string>> | null;
  readonly protect: boolean | null;
  /** Ports that have not answered yet: actor ids. */
  readonly awaited: readonly string[];
}

/** A move of the VM to another host. */
export interface VmMigration {
  /** Name of the host that was asked for, or null for any. */
  readonly to: string | null;
  readonly limits: ValueOf<typeof migrateLimits>;
  /** Name of the host that is reserved; null until then. */
  readonly host: string | null;
  /** The deferred command; null once it is answered. */
  readonly commandId: string | null;
  /** The VM has changed its host. */
  readonly committed: boolean;
  /** The run that is the VM's has ended meanwhile. */
  readonly ended: boolean;
  /** Uid of the run that was to take its place and has ended before; absent: none has. */
  readonly lost?: string;
  /** The drain that is told how it ends; absent: none. */
  readonly drain?: string;
}

/** A volume or port that comes to the present run, or goes from it. */
export interface VmPlug {
  /**
   * Of a volume first `locating`, `placing`, `attaching`, of a port `binding`; then `plugging`: its host was told, or
   * `removing`: its guest is to release it.
   */
  readonly phase: 'locating' | 'placing' | 'attaching' | 'binding' | 'plugging' | 'removing';
  readonly slot: number;
  /** Why the last attempt did not succeed. */
  readonly error: Failure | null;
}

export interface VmContext extends DeclaredContext<VmSpec>, LossContext {
  /** Whether the VM should run, as the last create, update, start or stop requested. */
  readonly wanted: 'running' | 'stopped' | 'deleted';
  /** Its guest is to stand still, as a command demands until another one does not. */
  readonly paused: boolean;
  /** A restart is in progress: the end of the present run does not count as a stop. */
  readonly restarting: boolean;
  readonly graceMs: number;
  /** Actor ids whose answers the present state waits for. Set on entry; answers remove ids. */
  readonly awaited: readonly string[];
  /** Actor ids of ports that were claimed and have not ended; each is released before the VM ends. */
  readonly claimed: readonly string[];
  /** Ports with an address: id -> what the port said of itself; address and MAC are kept across restarts. */
  readonly ports: Readonly<Record<string, PortFacts>>;
  /** Wiring of the ports of the present run, as last read back from the kernel. */
  readonly wiring: Readonly<Record<string, TapProof>>;
  readonly proposed: Proposal | null;
  /** Spec of the present run, from its placement until its resources are released; null between runs. */
  readonly runSpec: VmSpec | null;
  /** The newest generation of which the run has everything: that of `runSpec`, or one that needed no new run. */
  readonly runGeneration: number;
  /** Sizes of its volumes, and where their bytes are: the VM must run there. */
  readonly located: PlaceRequest['volumes'];
  /** Set by placement, cleared when the run's resources are released. */
  readonly host: HostFacts | null;
  /** +1 at each start on another host than the last. */
  readonly runEpoch: number;
  /**
   * The highest run epoch in which one of its volumes was used, by another VM, when that was above its own. Volumes
   * never go back to a lower epoch, so its next one is higher. Absent: none was.
   */
  readonly epochFloor?: number;
  readonly lastHost: string | null;
  /** Era of the placement; after a change of era the VM must be placed again before it runs. */
  readonly era: number;
  /** The last run; after a store rollback the cluster compares it with the inventories. */
  readonly lastRun: LastRun | null;
  /** Resources of the next run, collected while preparing. */
  readonly nics: Readonly<Record<string, IncarnationNic>>;
  readonly disks: Readonly<Record<string, IncarnationDisk>>;
  readonly images: Readonly<Record<string, string>>;
  /** Volumes and ports that come to the present run or go from it: actor ids. */
  readonly plugs: Readonly<Record<string, VmPlug>>;
  /** Number of the newest list of disks and NICs that the host was told; only the answer to it counts. */
  readonly plugRevision: number;
  /** Of the newest run that came up: the next one has it too, unless another is declared. */
  readonly machineType: string | null;
  /** Uid of the present run, to recognize late messages of an earlier run. */
  readonly incarnationUid: string | null;
  readonly proof: IncarnationProof | null;
  /** Wall time of the guest's start, ms since the epoch; null while it does not run. */
  readonly runningSince: number | null;
  /** Number of runs so far. */
  readonly runs: number;
  /** Why the last run ended; null before its first end. */
  readonly lastEnd: { readonly reason: EndReason; readonly at: number } | null;
  /** Runs in a row that crashed within ten minutes. */
  readonly crashes: number;
  /** Port that has told the present failure as the reason why it waits; its answer ends that failure. */
  readonly delayedBy: string | null;
  /** Name of the host that it is to leave at its next start; null: it may stay. */
  readonly leaving: string | null;
  /** Its move to another host; null while none is under way. */
  readonly migration: VmMigration | null;
  /** How the last one ended. */
  readonly lastMigration: MigrationSummary | null;
  /** Why a port was refused during creation. */
  readonly refusal: { readonly error: Failure; readonly path: string } | null;
}

export const newVm = (id: string): VmContext => ({
  ...newDeclared(id),
  ...noLoss,
  wanted: 'stopped',
  paused: false,
  restarting: false,
  graceMs: 0,
  awaited: [],
  claimed: [],
  ports: {},
  wiring: {},
  proposed: null,
  runSpec: null,
  runGeneration: 0,
  located: [],
  host: null,
  runEpoch: 0,
  lastHost: null,
  era: 0,
  lastRun: null,
  nics: {},
  disks: {},
  images: {},
  plugs: {},
  plugRevision: 0,
  machineType: null,
  incarnationUid: null,
  proof: null,
  runningSince: null,
  runs: 0,
  lastEnd: null,
  crashes: 0,
  delayedBy: null,
  leaving: null,
  migration: null,
  lastMigration: null,
  refusal: null,
});

export type At = Seen<VmContext, VmEvent>;

/** @throws TypeError before the first declaration */
export function specIn({ id, spec }: VmContext): VmSpec {
  if (spec === null) throw new TypeError(`${id} has no spec`);
  return spec;
}

/** @throws TypeError between runs */
export function runSpecIn({ id, runSpec }: VmContext): VmSpec {
  if (runSpec === null) throw new TypeError(`${id} has no run`);
  return runSpec;
}

/** @throws TypeError before it is placed */
export function hostIn({ id, host }: VmContext): HostFacts {
  if (host === null) throw new TypeError(`${id} is on no host`);
  return host;
}

/** Of the next run that is not on the same host. */
export const nextEpoch = ({ runEpoch, epochFloor = 0 }: VmContext): number => Math.max(runEpoch, epochFloor) + 1;

type Named = Pick<VmContext, 'id'>;

export function portId({ id }: Named, nic: VmNic): string {
  const { tenant, name } = partsOfId(id);
  return idOf('port', tenant, `${name}.${nic.name}`);
}

const ofTenant = ({ id }: Named, kind: string, name: string): string => idOf(kind, partsOfId(id).tenant, name);

/** What the cluster is told of the run's anti-affinity group: groups are of a tenant. */
export function antiAffinityOf({ id, runSpec }: VmContext): PlaceRequest['antiAffinity'] {
  const declared = runSpec?.placement.antiAffinity ?? null;
  if (declared === null) return null;
  return { group: `${partsOfId(id).tenant}/${declared.group}`, isHard: declared.policy === 'hard' };
}

export const portIds = (vm: Named, spec: VmSpec | null): string[] => (spec?.nics ?? []).map((nic) => portId(vm, nic));

export const volumeId = (vm: Named, volume: string): string => ofTenant(vm, 'volume', volume);
export const volumeIds = (vm: Named, spec: VmSpec | null): string[] =>
  (spec?.disks ?? []).map(({ volume }) => volumeId(vm, volume));

export function imageIds(vm: Named, spec: VmSpec | null): string[] {
  const boot = spec?.boot ?? null;
  return boot === null ? [] : [ofTenant(vm, 'image', boot.kernel), ofTenant(vm, 'image', boot.initrd)];
}

/** The format that the run needs of an image that it names. */
export const formatOf = (context: VmContext, image: string): 'kernel' | 'initrd' =>
  imageIds(context, context.runSpec)[0] === image ? 'kernel' : 'initrd';

export const incarnationId = (context: VmContext): string =>
  counterpartOf(context.id, 'incarnation', hostIn(context).name);

// Ports

/** Ports of the newest spec, of the present run, and of a proposed change. */
export function usedPorts(context: VmContext): ReadonlySet<string> {
  const { spec, runSpec, proposed } = context;
  return new Set([spec, runSpec, proposed?.spec ?? null].flatMap((of) => portIds(context, of)));
}

/** Ports that neither specs nor the present run use any more. */
export function strayPorts(context: VmContext): readonly string[] {
  const used = usedPorts(context);
  return context.claimed.filter((id) => !used.has(id));
}

const nicNamed = (spec: VmSpec | null, name: string) => spec?.nics.find((nic) => nic.name === name);

/** What the port of a NIC must have from its network before the change is accepted. */
export const asksPort = (before: VmNic, after: VmNic): boolean =>
  !sameJson([before.addressPairs, before.dnsName], [after.addressPairs, after.dnsName]);

/**
 * NICs that a changed spec has beside those of the last, and for which a port is still to be had: the present run, or a
 * change that is not decided, may have one already. And those whose ports are to have other address pairs or names.
 */
export function addedNics(context: VmContext, spec: VmSpec): readonly VmNic[] {
  const { runSpec, proposed } = context;
  return spec.nics.filter((nic) => {
    const had = nicNamed(context.spec, nic.name);
    if (had !== undefined) return asksPort(had, nic);
    const known = [runSpec, proposed?.spec ?? null].some((of) => sameJson(nicNamed(of, nic.name), nic));
    return !known || !(portId(context, nic) in context.ports);
  });
}

/** The port of this NIC is being released, or is being claimed for a NIC of the same name and another spec. */
export function isNameBusy(context: VmContext, nic: VmNic): boolean {
  const proposed = nicNamed(context.proposed?.spec ?? null, nic.name);
  return strayPorts(context).includes(portId(context, nic)) || (proposed !== undefined && !sameJson(proposed, nic));
}
