/**
 * Placement of VMs and imports: pure, deterministic, with a reason for every host that is refused. The host with the
 * most free memory wins, then processors, then name. Memory is never overcommitted; processors may be.
 */
import type { Failure } from '../values/failures.ts';
import type { HostFacts } from '../values/wiring.ts';
import type { ClusterContext, HostRecord, Reservation } from './cluster-context.ts';
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

function whyNot(record: HostRecord, request: PlaceRequest, held: Reservation | undefined): string | undefined {
  const { report, facts } = record;
  if (request.host !== null && request.host !== facts.name) return `is not the requested host ${request.host}`;
  const far = request.volumeHosts.find((host) => host !== null && host !== facts.name);
  if (far !== undefined) return `does not have the volume that is on ${far}`;
  if (record.fenced) return 'was fenced';
  if (record.silent) return 'is silent';
  if (!record.schedulable && held?.host !== facts.name) return 'is cordoned';
  if (report.qemuVersion === null) return 'has no usable QEMU';
  const freeMib = report.memoryMib - hostReserveMib - record.reservedMib;
  if (freeMib < request.memoryMib)
    return `has ${Math.max(0, freeMib)} MiB of memory free, ${request.memoryMib} MiB are needed`;
  const freeCpus = report.cpus * cpuShares - record.reservedCpus;
  if (freeCpus < request.cpus) return `has ${freeCpus} virtual processors free, ${request.cpus} are needed`;
  return undefined;
}

const freeMib = (record: HostRecord): number => record.report.memoryMib - record.reservedMib;

function emptier(a: HostRecord, b: HostRecord): number {
  return freeMib(b) - freeMib(a) || a.reservedCpus - b.reservedCpus || (a.facts.name < b.facts.name ? -1 : 1);
}

/**
 * A VM keeps its host while that host fits. A silent host blocks placement elsewhere, because the VM may still run
 * there; a fenced host does not.
 */
export function placeVm(hosts: ClusterContext['hosts'], request: PlaceRequest, held: Reservation | undefined): Placing {
  const had = held === undefined ? undefined : hosts[held.host];
  if (held !== undefined && had?.silent === true && !had.fenced) {
    const where = `${held.host}, which is silent`;
    const message = `${request.vm} may still run on ${where}; bring that host back, or fence it if it is off`;
    return refusal('host_silent', message, true, [{ host: held.host, reason: 'is silent' }]);
  }
  const records = Object.values(hosts).map((record) => without(record, held));
  const judged = records.map((record) => ({ record, reason: whyNot(record, request, held) }));
  const fitting = judged.filter(({ reason }) => reason === undefined).map(({ record }) => record);
  const best = fitting.find(({ facts }) => facts.name === held?.host) ?? fitting.sort(emptier)[0];
  if (best !== undefined) return { host: best.facts };
  const reasons = judged.map(({ record, reason }) => ({ host: record.facts.name, reason: reason ?? '' }));
  return refusal('no_host', `no host can take ${request.vm}: ${spoken(reasons)}`, true, reasons);
}

/**
 * The requested host, or the first by name, whose allowed roots contain the path. Its worker checks the file itself.
 */
export function placeImport(hosts: ClusterContext['hosts'], request: ImportRequest): Placing {
  if (request.host !== null && hosts[request.host] === undefined) {
    return refusal('host_not_found', `the cluster has no host ${request.host}; see the list of hosts`, false, []);
  }
  const judged = Object.values(hosts)
    .map((record) => ({ record, reason: whyNoImport(record, request) }))
    .sort((a, b) => (a.record.facts.name < b.record.facts.name ? -1 : 1));
  const found = judged.find(({ reason }) => reason === undefined);
  if (found !== undefined) return { host: found.record.facts };
  const reasons = judged.map(({ record, reason }) => ({ host: record.facts.name, reason: reason ?? '' }));
  const passing = reasons.some(({ reason }) => ['is silent', 'is cordoned', 'was fenced'].includes(reason));
  const code = passing || reasons.length === 0 ? 'no_host' : 'path_not_allowed';
  return refusal(code, `no host can import ${request.path}: ${spoken(reasons)}`, passing, reasons);
}

function whyNoImport(record: HostRecord, request: ImportRequest): string | undefined {
  if (request.host !== null && request.host !== record.facts.name) return `is not the requested host ${request.host}`;
  const allowed = record.report.allowedRoots.some((root) => beneath(root, request.path));
  if (!allowed) return `allows images only below ${record.report.allowedRoots.join(', ') || 'no folder'}`;
  if (record.fenced) return 'was fenced';
  if (record.silent) return 'is silent';
  return record.schedulable ? undefined : 'is cordoned';
}

function beneath(root: string, path: string): boolean {
  const folder = root.endsWith('/') ? root : `${root}/`;
  return path.startsWith(folder) && !path.split('/').includes('..');
}

function refusal(code: string, message: string, retryable: boolean, reasons: readonly HostReason[]): Placing {
  return { error: { code, message, retryable }, reasons };
}

/** The first few reasons, because there may be 254. */
function spoken(reasons: readonly HostReason[]): string {
  if (reasons.length === 0) return 'the cluster has no hosts yet; start a worker';
  const few = reasons.slice(0, 4).map(({ host, reason }) => `${host} ${reason}`);
  return few.join('; ') + (reasons.length > few.length ? `; and ${reasons.length - few.length} more` : '');
}
