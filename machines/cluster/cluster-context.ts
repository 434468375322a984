/**
 * Context of the cluster actor: its hosts (at most 254) and where the search for the next VNI starts. The rest is in
 * rows.
 */
import type { HostReport } from '../host/host-report.ts';
import type { Condition } from '../values/conditions.ts';
import type { FoundPort, FoundRun } from '../values/inventory-schema.ts';
import type { HostFacts } from '../values/wiring.ts';

export interface HostRecord {
  readonly facts: HostFacts;
  readonly report: HostReport;
  /** False while it is cordoned or silent: nothing new is placed on it. */
  readonly schedulable: boolean;
  readonly silent: boolean;
  /** Fenced: an operator has confirmed that the host is powered off. */
  readonly fenced: boolean;
  /** It has been silent for so long that its VMs and volumes were told; absent: no. */
  readonly lost?: boolean;
  readonly reservedCpus: number;
  readonly reservedMib: number;
  /** Sizes of the volumes whose bytes are on the host, or will be made there: more than it may hold of them. */
  readonly promisedMib: number;
  readonly vms: number;
  /** Of anti-affinity groups: how many VMs are on the host; absent: none. */
  readonly groups?: Readonly<Record<string, number>>;
}

/** Row `reservation/<vm>`; a migration reserves its target in its own name. */
export interface Reservation {
  readonly host: string;
  readonly cpus: number;
  readonly memoryMib: number;
  /** Its anti-affinity group; absent: it is in none. */
  readonly group?: string;
}

/** Row `promise/<volume>`: room that the volume may fill. */
export interface RoomPromise {
  readonly sizeMib: number;
  /** Null until a VM with the volume is placed. */
  readonly host: string | null;
  /** The host that it is being moved to, and which promises as much, until the move has ended. */
  readonly standby?: string;
}

/**
 * Row `found-run/<vm>`: a run that an inventory found when an era began; the VM's next placement shows whether the VM
 * knows it.
 */
export interface FoundOn extends FoundRun {
  readonly host: string;
  /** Era in which it was found. */
  readonly era: number;
}

/** Row `found-ports/<vpc>`: by host, the ports it had when an era began. */
export type FoundPorts = Readonly<Record<string, readonly FoundPort[]>>;

/** How the cluster has recovered from a store rollback. */
export interface Recovery {
  /** Wall time of its beginning, ms. */
  readonly since: number;
  /** Hosts whose inventory has been received. */
  readonly heard: readonly string[];
  /** Wall time of its end, ms; null while nothing is placed or allocated. */
  readonly liftedAt: number | null;
  /** Hosts whose inventory was missing when an operator released the barrier. */
  readonly missing: readonly string[];
}

/** Memory of the store, as a controller has last told. */
export interface StoreUse {
  readonly usedBytes: number;
  /** 0: without a limit. */
  readonly limitBytes: number;
}

export interface ClusterContext {
  readonly id: string;
  readonly uid: string;
  readonly name: string;
  readonly hosts: Readonly<Record<string, HostRecord>>;
  readonly nextVni: number;
  /** Sizes of the volumes that have no host yet. */
  readonly unplacedMib: number;
  /** The newest era in which hosts and addresses were reconciled. */
  readonly era: number;
  /** The last one; null in a cluster's first era. */
  readonly recovery: Recovery | null;
  /** Null until a controller has told it. */
  readonly store: StoreUse | null;
  /** Actor id of the rollout that is under way; null: none. */
  readonly rollout: string | null;
  readonly conditions: readonly Condition[];
}

/** Rows `vni/<vpc>` hold the number, rows `vni-owner/<vni>` the vpc. */
export const firstVni = 4096;
export const lastVni = 2 ** 24 - 2;
/** VNIs examined in one step; after a full round some of them may be in use. */
const vniWindow = 16;

/** VNIs examined for the next VPC, in order. A freed VNI is reused only after the whole range, hours later at least. */
export function vniCandidates(nextVni: number): readonly number[] {
  return Array.from(
    { length: vniWindow },
    (_, step) => firstVni + ((nextVni - firstVni + step) % (lastVni - firstVni + 1)),
  );
}

/** Lowest free host index, or undefined when all 254 are taken. */
export function freeIndex(hosts: ClusterContext['hosts']): number | undefined {
  const taken = new Set(Object.values(hosts).map((host) => host.facts.index));
  for (let index = 1; index <= 254; index += 1) if (!taken.has(index)) return index;
  return undefined;
}
