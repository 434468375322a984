/**
 * Placement of VMs and imports: pure, deterministic, with a reason for every host that is refused. The host with the
 * most free memory wins, then processors, then name. Memory is never overcommitted; processors and disks may be.
 *
 * The reasons name hosts, what is free on them and where images may lie: they are for operators, who read them in the
 * history. The message of the refusal is for the tenant, too, and says only what kinds of reason there were.
 */
import { entryOf } from '../values/identifiers.ts';
import type { Failure } from '../values/failures.ts';
import type { HostFacts } from '../values/wiring.ts';
import { isDiskLow } from '../host/host-report.ts';
import type { ClusterContext, HostRecord, Reservation, RoomPromise } from './cluster-context.ts';
import type { ImportRequest, PlaceRequest } from './cluster-protocol.ts';

export interface HostReason {
  readonly host: string;
  readonly reason: string;
}

export type Placing =
  { readonly host: HostFacts } | { readonly error: Failure; readonly reasons: readonly HostReason[] };

/** Virtual processors per physical one, at most. */
const cpuShares = 8;
/** Memory of a host that is never reserved for VMs. */
const hostReserveMib = 256;
/**
 * Sizes of the volumes of a host, at most, as a multiple of its disk. Volumes are sparse: most hold much less than
 * their size, and a guest whose host is full stands still until there is space (incarnation-machine.ts `stalled`).
 */
export const diskShares = 2;

/** What may still be promised to new volumes. */
export const freeRoomMib = ({ report, promisedMib }: HostRecord): number => report.diskMib * diskShares - promisedMib;

/** By volume; a volume of an earlier store, or of none, has none. */
export type RoomPromises = Readonly<Record<string, RoomPromise | undefined>>;

/** Sizes of the volumes whose bytes would be made on this host and that are not promised there yet. */
function neededRoomMib(record: HostRecord, { volumes }: PlaceRequest, promises: RoomPromises): number {
  const missing = volumes.filter(({ volume, host }) => host === null && promises[volume]?.host !== record.facts.name);
  return missing.reduce((sum, { sizeMib }) => sum + sizeMib, 0);
}

function whyNoRoom(record: HostRecord, request: PlaceRequest, promises: RoomPromises): string | undefined {
  if (request.volumes.some(({ host }) => host === null) && isDiskLow(record.report)) return lowDisk;
  const needed = neededRoomMib(record, request, promises);
  return needed === 0 || freeRoomMib(record) >= needed ? undefined : `does not have ${needed} MiB left for new volumes`;
}

const lowDisk = 'has too little space on its disk';

/** The hosts with one reservation added (sign 1) or removed (-1). */
export function counted(
  hosts: ClusterContext['hosts'],
  held: Reservation | undefined,
  sign: 1 | -1,
): ClusterContext['hosts'] {
  const record = held === undefined ? undefined : hosts[held.host];
  if (held === undefined || record === undefined) return hosts;
  const changed: HostRecord = {
    ...record,
    reservedCpus: record.reservedCpus + sign * held.cpus,
    reservedMib: record.reservedMib + sign * held.memoryMib,
    vms: record.vms + sign,
  };
  return { ...hosts, [held.host]: changed };
}

function without(record: HostRecord, held: Reservation | undefined): HostRecord {
  if (held === undefined || held.host !== record.facts.name) return record;
  return { ...record, reservedCpus: record.reservedCpus - held.cpus, reservedMib: record.reservedMib - held.memoryMib };
}

interface Why {
  /** For operators, after the name of the host. */
  readonly reason: string;
  /** For tenants: no name, and no number that they did not send. */
  readonly kind: string;
}

const plain = (reason: string): Why => ({ reason, kind: reason });

function whyNot(
  record: HostRecord,
  request: PlaceRequest,
  held: Reservation | undefined,
  promises: RoomPromises,
): Why | undefined {
  const { report, facts } = record;
  if (request.host !== null && request.host !== facts.name) return plain(`is not the requested host ${request.host}`);
  const far = request.volumes.find(({ host }) => host !== null && host !== facts.name);
  if (far !== undefined)
    return { reason: `does not have the volume that is on ${far.host}`, kind: 'does not have all volumes of the VM' };
  if (record.fenced) return plain('was fenced');
  if (record.silent) return plain('is silent');
  if (!record.schedulable && held?.host !== facts.name) return plain('is cordoned');
  if (report.qemuVersion === null) return plain('has no usable QEMU');
  const freeMib = report.memoryMib - hostReserveMib - record.reservedMib;
  const { memoryMib, cpus } = request;
  if (freeMib < memoryMib) {
    const reason = `has ${Math.max(0, freeMib)} MiB of memory free, ${memoryMib} MiB are needed`;
    return { reason, kind: `has less than ${memoryMib} MiB of memory free` };
  }
  const freeCpus = report.cpus * cpuShares - record.reservedCpus;
  if (freeCpus < cpus) {
    const reason = `has ${freeCpus} virtual processors free, ${cpus} are needed`;
    return { reason, kind: `has less than ${cpus} virtual processors free` };
  }
  const room = whyNoRoom(record, request, promises);
  return room === undefined ? undefined : plain(room);
}

const freeMib = (record: HostRecord): number => record.report.memoryMib - record.reservedMib;

function emptier(a: HostRecord, b: HostRecord): number {
  return freeMib(b) - freeMib(a) || a.reservedCpus - b.reservedCpus || (a.facts.name < b.facts.name ? -1 : 1);
}

/**
 * A VM keeps its host while that host fits. A silent host blocks placement elsewhere, because the VM may still run
 * there; a fenced host does not.
 */
export function placeVm(
  hosts: ClusterContext['hosts'],
  request: PlaceRequest,
  held: Reservation | undefined,
  promises: RoomPromises,
): Placing {
  const had = held === undefined ? undefined : hosts[held.host];
  if (held !== undefined && had?.silent === true && !had.fenced) {
    const message = `${request.vm} may still run on its host, which is silent; an operator brings it back or fences it`;
    return refusal('host_silent', message, true, [{ host: held.host, reason: 'is silent' }]);
  }
  const records = Object.values(hosts).map((record) => without(record, held));
  const judged = records.map((record) => ({ record, why: whyNot(record, request, held, promises) }));
  const fitting = judged.filter(({ why }) => why === undefined).map(({ record }) => record);
  const best = fitting.find(({ facts }) => facts.name === held?.host) ?? fitting.sort(emptier)[0];
  if (best !== undefined) return { host: best.facts };
  return refusal('no_host', `no host can take ${request.vm}: ${spoken(judged)}`, true, reasonsOf(judged));
}

/**
 * The requested host, or the first by name, whose allowed roots contain the path. Its worker checks the file itself.
 */
export function placeImport(hosts: ClusterContext['hosts'], request: ImportRequest): Placing {
  if (request.host !== null && entryOf(hosts, request.host) === undefined) {
    return refusal('host_not_found', `the cluster has no host ${request.host}; see the list of hosts`, false, []);
  }
  const judged = Object.values(hosts)
    .map((record) => ({ record, why: whyNoImport(record, request) }))
    .sort((a, b) => (a.record.facts.name < b.record.facts.name ? -1 : 1));
  const found = judged.find(({ why }) => why === undefined);
  if (found !== undefined) return { host: found.record.facts };
  const reasons = reasonsOf(judged);
  const passing = reasons.some(({ reason }) => ['is silent', 'is cordoned', 'was fenced', lowDisk].includes(reason));
  const code = passing || reasons.length === 0 ? 'no_host' : 'path_not_allowed';
  return refusal(code, `no host can import ${request.path}: ${spoken(judged)}`, passing, reasons);
}

function whyNoImport(record: HostRecord, request: ImportRequest): Why | undefined {
  const { name } = record.facts;
  if (request.host !== null && request.host !== name) return plain(`is not the requested host ${request.host}`);
  const allowed = record.report.allowedRoots.some((root) => beneath(root, request.path));
  const roots = record.report.allowedRoots.join(', ') || 'no folder';
  if (!allowed) return { reason: `allows images only below ${roots}`, kind: 'allows no images from that folder' };
  if (record.fenced) return plain('was fenced');
  if (record.silent) return plain('is silent');
  if (!record.schedulable) return plain('is cordoned');
  return isDiskLow(record.report) ? plain(lowDisk) : undefined;
}

function beneath(root: string, path: string): boolean {
  const folder = root.endsWith('/') ? root : `${root}/`;
  return path.startsWith(folder) && !path.split('/').includes('..');
}

function refusal(code: string, message: string, retryable: boolean, reasons: readonly HostReason[]): Placing {
  return { error: { code, message, retryable }, reasons };
}

interface Judged {
  readonly record: HostRecord;
  readonly why: Why | undefined;
}

const reasonsOf = (judged: readonly Judged[]): readonly HostReason[] =>
  judged.map(({ record, why }) => ({ host: record.facts.name, reason: why?.reason ?? '' }));

/** The kinds of reason, each once, without saying of how many hosts. */
function spoken(judged: readonly Judged[]): string {
  if (judged.length === 0) return 'the cluster has no hosts yet; ask an operator to start a worker';
  const kinds = [...new Set(judged.map(({ why }) => why?.kind ?? ''))].toSorted();
  return `each of them ${kinds.join(', or ')}`;
}
