/**
 * The state of one simulated host: kernel objects, process table and disks, that is segments, taps, QEMU processes,
 * image copies and replicas. The dataplane (simulated-dataplane.ts) reads and changes it; it outlives the worker
 * process and has no notion of actors. Every change that a guest or another host could notice is recorded as a fact for
 * checkers. As on a real host there is one holder per tap and one writer per disk, and a reset clears all that is not
 * on disk.
 */
import type { KernelFact } from '../../checkers/kernel-facts.ts';
import type { IncarnationEnd } from '@photoncloud/actors/dataplane/contract/incarnation-contract';
import type {
  CopyProof,
  DiskFormat,
  ImageFormat,
  IncarnationSpec,
  OwnerToken,
  AddressPair,
} from '@photoncloud/machines/values/wiring';

export interface DhcpHost {
  readonly tap: string;
  readonly mac: string;
  readonly hostname: string;
  /** Of a tap that stands by; another host has the address. */
  readonly standby: boolean;
  readonly pairs: readonly AddressPair[];
}

/** Where a /32 route leads: to a bridge of this host, or to another host; by index. */
export type Route = { readonly bridge: number } | { readonly host: number };

export interface DhcpServer {
  readonly configuration: string;
  /** Null when the process has ended. */
  pid: number | null;
}

export interface Bridge {
  readonly ifindex: number;
  readonly mtu: number;
}

export interface Segment {
  readonly vpc: string;
  readonly namespace: string;
  owner: OwnerToken;
  /** Index of this host among those of the cluster. */
  self: number;
  vni: number;
  /** Of vx0. */
  mtu: number;
  /** Null when an operator has taken it away. */
  vxlanIfindex: number | null;
  nftGeneration: number;
  /** Indexes of hosts. */
  peers: Set<number>;
  readonly bridges: Map<string, Bridge>;
  /** Network -> its dnsmasq, whose configuration stays when bridge or server vanish. */
  readonly served: Map<string, DhcpServer>;
  /** Address of a port here -> index of its bridge; read by `routeTo` of simulated-routes.ts, as the next. */
  readonly routes: Map<string, number>;
  /** Address -> index of the host that has its port. */
  readonly remotes: Map<string, number>;
  readonly dhcpHosts: Map<string, DhcpHost>;
  /** Section -> key -> element, of sections whose elements are put by their owners. */
  readonly elements: Map<string, Map<string, unknown>>;
  /** What conntrack of the gateway knows: flow -> its translation; kept by simulated-translation.ts. */
  readonly flows: Map<string, { readonly external: string; readonly inside: string }>;
}

/** How a tap is connected to its network. */
export interface TapWiring {
  readonly vpc: string;
  readonly network: string;
  readonly port: string;
  /** The bridge that the tap is a slave of; a bridge that was created anew has another index. */
  readonly bridgeIfindex: number;
  readonly mac: string;
  readonly address: string;
  /** Security groups whose rules apply to the addresses. */
  readonly groups: readonly string[];
  readonly pairs: readonly AddressPair[];
  readonly portSecurity: boolean;
}

export interface Tap {
  readonly name: string;
  readonly ifindex: number;
  readonly owner: OwnerToken;
  readonly mtu: number;
  /** The VPC whose namespace it is in, or null in the host's own. */
  vpc: string | null;
  heldBy: number | null;
  wiring: TapWiring | null;
}

export interface QemuProcess {
  readonly id: string;
  readonly owner: OwnerToken;
  /** With the disks and NICs that it has now. */
  spec: IncarnationSpec;
  /** Of the disks and NICs that its guest is to release: uid of volume or binding -> when it does, ms, or Infinity. */
  readonly leaving: Map<string, number>;
  readonly pid: number;
  readonly startTime: string;
  readonly taps: readonly string[];
  /**
   * `dead`: the process has ended and only its folder is left. `incoming`: nothing has arrived yet. `paused`: it has
   * arrived, or was sent.
   */
  status: 'prelaunch' | 'incoming' | 'paused' | 'running' | 'shutdown' | 'dead';
  /** The guest is being sent to another host, or was. */
  sending: boolean;
  end: IncarnationEnd | null;
  /** The process does not answer on its QMP socket. */
  hung: boolean;
  /** The process runs, and the guest stands still: the disk was full when it wrote. */
  stalled: boolean;
  /** Its file systems are frozen for a snapshot, and nobody has thawed them yet. */
  frozen: boolean;
  /** Of shared volumes that have grown, by uid: what the guest was told, MiB. */
  readonly sizes: Map<string, number>;
}

export const isAlive = (incarnation: QemuProcess | undefined): incarnation is QemuProcess =>
  incarnation !== undefined && incarnation.status !== 'dead';

/** Serves a volume to a run. */
export interface ServingProcess {
  readonly owner: OwnerToken;
  readonly pid: number;
  readonly volumeUid: string;
}

export interface Copy {
  readonly proof: CopyProof;
  readonly format: ImageFormat;
  owners: readonly OwnerToken[];
}

export interface Replica {
  owner: OwnerToken;
  readonly format: DiskFormat;
  readonly sizeBytes: number;
  /** That guests have written, one after the other. */
  rows: number;
  /** Of the copy that a snapshot has: when it was taken, ms. */
  readonly takenAt?: number;
  readonly isFrozen?: boolean;
  /** Of a volume that was made from the copy of a snapshot, or whose bytes were replaced by one. */
  readonly origin?: Origin;
  /** Uid of the restoration that was made last. */
  readonly restored?: string | null;
}

export interface Origin {
  /** Actor id of the copy. */
  readonly copy: string;
  /** That the copy has. */
  readonly rows: number;
  /** Uid of the restoration; null when the volume was made so. */
  readonly restore: string | null;
}

export interface SourceFile {
  readonly format: ImageFormat;
  readonly proof: CopyProof;
}

export interface Floor {
  readonly era: number;
  readonly ownerEpoch: number;
  readonly runEpoch: number;
}

/** A fact without the host and time, which the kernel adds. */
type Bare<Fact> = Fact extends unknown ? Omit<Fact, 'atMs' | 'host'> : never;

export class SimulatedKernel {
  readonly host: string;
  readonly index: number;
  readonly segments = new Map<string, Segment>();
  readonly taps = new Map<string, Tap>();
  readonly incarnations = new Map<string, QemuProcess>();
  /** By `<volume uid>.<run epoch>`. */
  readonly exports = new Map<string, ServingProcess>();
  /** Counts the starts of the host. */
  boot = 1;
  /** External network -> when the permit of this host's gateways runs out. */
  readonly permits = new Map<string, number>();
  /** The disk is full: guests that write stand still. */
  diskFull = false;
  // On disk; survives a reset.
  readonly copies = new Map<string, Copy>();
  /** How many bytes have come of what an image copy gathers. */
  readonly incoming = new Map<string, { readonly owner: OwnerToken; readonly receivedBytes: number }>();
  readonly replicas = new Map<string, Replica>();
  /** Volume uid -> lowest run epoch that may use it. */
  readonly exportFloors = new Map<string, number>();
  readonly floors = new Map<string, Floor>();
  /** Files tenants may import, by path. */
  readonly files = new Map<string, SourceFile>();
  private readonly note: (fact: KernelFact) => void;
  readonly nowMs: () => number;
  private readonly listeners = new Set<() => void>();
  private numbers = 0;

  constructor(host: string, index: number, nowMs: () => number, note: (fact: KernelFact) => void) {
    this.host = host;
    this.index = index;
    this.nowMs = nowMs;
    this.note = note;
  }

  /** A number that was not used on this host before: interface index, pid, generation. */
  next(): number {
    this.numbers += 1;
    return this.numbers;
  }

  /** This host may forward for the external network until then. */
  permit(network: string, untilMs: number): void {
    const before = this.permits.get(network);
    if (before === undefined && untilMs <= this.nowMs()) return;
    this.permits.set(network, untilMs);
    this.record({ fact: 'gateway.permitted', network, untilMs });
  }

  record(fact: Bare<KernelFact>): void {
    this.note({ atMs: this.nowMs(), host: this.host, ...fact } as KernelFact);
  }

  /** Called after every change: watches read the state again. */
  changed(): void {
    for (const listener of this.listeners) listener();
  }

  /** @returns a function that ends it */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  findTap(name: string): Tap | undefined {
    return this.taps.get(name);
  }

  /** Deletes the tap and everything keyed by it. */
  deleteTap(name: string): void {
    const tap = this.taps.get(name);
    if (tap === undefined) return;
    this.taps.delete(name);
    if (tap.wiring !== null) this.record({ fact: 'tap.gone', tap: name });
    this.changed();
  }

  /** Deletes the segment and its taps, because deleting a namespace deletes everything in it. */
  deleteSegment(vpc: string): void {
    if (!this.segments.has(vpc)) return;
    for (const tap of this.taps.values()) if (tap.vpc === vpc) this.deleteTap(tap.name);
    this.segments.delete(vpc);
    this.record({ fact: 'segment.gone', vpc });
    this.changed();
  }

  /** The guest stands still, and may go on. */
  pause(incarnation: QemuProcess): void {
    if (incarnation.status !== 'running') return;
    incarnation.status = 'paused';
    this.record({ fact: 'incarnation.rests', vm: incarnation.spec.vm, pid: incarnation.pid, reason: 'paused' });
    this.changed();
  }

  /** The guest stops running; with status `shutdown` the QEMU process is still there. */
  rest(incarnation: QemuProcess, status: 'shutdown' | 'dead', end: IncarnationEnd): void {
    const ran = incarnation.status === 'running';
    if (incarnation.status === 'dead') return;
    incarnation.status = status;
    incarnation.end ??= end;
    if (ran)
      this.record({ fact: 'incarnation.rests', vm: incarnation.spec.vm, pid: incarnation.pid, reason: end.reason });
    if (status === 'dead') {
      this.noteDisks(incarnation);
      for (const tap of this.taps.values()) if (tap.heldBy === incarnation.pid) tap.heldBy = null;
    }
    this.changed();
  }

  /**
   * Called after every change of what a process has open. One that nothing has arrived at uses nothing, and one whose
   * guest was sent does not any more.
   */
  noteDisks({ spec, owner, pid, status, sending }: QemuProcess): void {
    const isUnused = status === 'dead' || status === 'incoming' || (sending && status === 'paused');
    const volumes = isUnused ? [] : spec.disks.map(({ volume, volumeUid }) => ({ volume, uid: volumeUid }));
    this.record({ fact: 'incarnation.disks', vm: spec.vm, pid, runEpoch: owner.runEpoch, volumes });
  }

  run(incarnation: QemuProcess): void {
    if (incarnation.status !== 'prelaunch' && incarnation.status !== 'paused') return;
    incarnation.status = 'running';
    this.record({
      fact: 'incarnation.runs',
      vm: incarnation.spec.vm,
      incarnationUid: incarnation.owner.uid,
      pid: incarnation.pid,
      runEpoch: incarnation.owner.runEpoch,
      volumes: incarnation.spec.disks.map(({ volume }) => volume),
    });
    this.changed();
  }

  /** Ends an export. */
  cut(id: string): void {
    if (this.exports.delete(id)) this.changed();
  }

  /** The host is powered off and on: disks stay, everything else is gone. */
  reset(): void {
    for (const incarnation of this.incarnations.values())
      this.rest(incarnation, 'dead', { reason: 'gone', detail: 'The host was reset.' });
    this.incarnations.clear();
    this.exports.clear();
    this.boot += 1;
    for (const network of this.permits.keys()) this.permit(network, this.nowMs());
    for (const vpc of this.segments.keys()) this.deleteSegment(vpc);
    for (const name of this.taps.keys()) this.deleteTap(name);
    this.changed();
  }
}

/** The bridge that a tap is a slave of; undefined when that bridge is gone. */
export function bridgeOf(kernel: SimulatedKernel, tap: Tap): Bridge | undefined {
  const { wiring } = tap;
  if (wiring === null) return undefined;
  const bridge = kernel.segments.get(wiring.vpc)?.bridges.get(wiring.network);
  return bridge?.ifindex === wiring.bridgeIfindex ? bridge : undefined;
}
