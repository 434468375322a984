/**
 * Placement of VMs and imports: pure, deterministic, with a reason for every host that is refused. Filters refuse
 * hosts; weights choose among the rest: the fewest VMs of the anti-affinity group, then the most free memory, then
 * processors, then the name. Memory is never overcommitted; processors and disks may be.
 *
 * The reasons name hosts, what is free on them and where images may lie: they are for operators, who read them in the
 * history. The message of the refusal is for the tenant, too, and says only what kinds of reason there were.
 */
import { entryOf, idOf, partsOfId } from '../values/identifiers.ts';
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
  const { name } = record.facts;
  const isThere = (promise: RoomPromise | undefined): boolean => promise?.host === name || promise?.standby === name;
  const missing = volumes.filter(({ volume, host }) => host === null && !isThere(promises[volume]));
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
    ...countedGroup(record, held.group, sign),
  };
  return { ...hosts, [held.host]: changed };
}

/** The groups of a host with one VM more or less; those without a VM are left out. */
function countedGroup(
  { groups = {} }: HostRecord,
  group: string | undefined,
  sign: 1 | -1,
): Pick<HostRecord, 'groups'> {
  if (group === undefined) return {};
  const count = (entryOf(groups, group) ?? 0) + sign;
  const others = Object.entries(groups).filter(([name]) => name !== group);
  return { groups: Object.fromEntries(count > 0 ? [...others, [group, count] as const] : others) };
}

/** The hosts as they are without what the asker has already. */
const without = (hosts: ClusterContext['hosts'], held: Reservation | undefined): readonly HostRecord[] =>
  Object.values(counted(hosts, held, -1));

interface Why {
  /** For operators, after the name of the host. */
  readonly reason: string;
  /** For tenants: no name, and no number that they did not send. */
  readonly kind: string;
}

const plain = (reason: string): Why => ({ reason, kind: reason });

/** What is asked for, and what the asker has already. */
interface Search {
  readonly request: PlaceRequest;
  readonly held: Reservation | undefined;
  readonly promises: RoomPromises;
}

/** A host that no filter refuses fits. The first reason counts. */
type Filter = (record: HostRecord, search: Search) => Why | undefined;

const filters: readonly Filter[] = [
  ({ facts }, { request: { host } }) =>
    host === null || host === facts.name ? undefined : plain(`is not the requested host ${host}`),
  ({ facts }, { request: { avoid = [] } }) => (avoid.includes(facts.name) ? plain('is the host to leave') : undefined),
  ({ facts }, { request: { volumes } }) => {
    const far = volumes.find(({ host }) => host !== null && host !== facts.name);
    if (far === undefined) return undefined;
    return { reason: `does not have the volume that is on ${far.host}`, kind: 'does not have all volumes of the VM' };
  },
  ({ fenced }) => (fenced ? plain('was fenced') : undefined),
  ({ silent }) => (silent ? plain('is silent') : undefined),
  ({ schedulable, facts }, { held }) => (schedulable || held?.host === facts.name ? undefined : plain('is cordoned')),
  ({ report }) => (report.qemuVersion === null ? plain('has no usable QEMU') : undefined),
  (record, { request: { antiAffinity } }) => {
    const neighbours = neighboursOn(record, antiAffinity?.group);
    if (antiAffinity?.isHard !== true || neighbours === 0) return undefined;
    const kind = 'has another VM of the anti-affinity group';
    return { reason: `has ${neighbours} of the anti-affinity group ${antiAffinity.group}`, kind };
  },
  ({ report, reservedMib }, { request: { memoryMib } }) => {
    const free = report.memoryMib - hostReserveMib - reservedMib;
    if (free >= memoryMib) return undefined;
    const reason = `has ${Math.max(0, free)} MiB of memory free, ${memoryMib} MiB are needed`;
    return { reason, kind: `has less than ${memoryMib} MiB of memory free` };
  },
  ({ report, reservedCpus }, { request: { cpus } }) => {
    const free = report.cpus * cpuShares - reservedCpus;
    if (free >= cpus) return undefined;
    const reason = `has ${free} virtual processors free, ${cpus} are needed`;
    return { reason, kind: `has less than ${cpus} virtual processors free` };
  },
  (record, { request, promises }) => {
    const room = whyNoRoom(record, request, promises);
    return room === undefined ? undefined : plain(room);
  },
];

function whyNot(record: HostRecord, search: Search): Why | undefined {
  for (const refuses of filters) {
    const why = refuses(record, search);
    if (why !== undefined) return why;
  }
  return undefined;
}

const neighboursOn = ({ groups = {} }: HostRecord, group: string | undefined): number =>
  group === undefined ? 0 : (entryOf(groups, group) ?? 0);

/** Of two hosts that fit the one with the lower weight is taken; a later weight decides when the earlier are equal. */
type Weight = (record: HostRecord, search: Search) => number;

const weights: readonly Weight[] = [
  (record, { request: { antiAffinity } }) => neighboursOn(record, antiAffinity?.group),
  ({ report, reservedMib }) => reservedMib - report.memoryMib,
  ({ reservedCpus }) => reservedCpus,
];

const better =
  (search: Search) =>
  (a: HostRecord, b: HostRecord): number => {
    for (const weigh of weights) {
      const difference = weigh(a, search) - weigh(b, search);
      if (difference !== 0) return difference;
    }
    return a.facts.name < b.facts.name ? -1 : 1;
  };

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
  const unmeetable = whyNoneCan(hosts, request);
  if (unmeetable !== undefined) return unmeetable;
  const search: Search = { request, held, promises };
  const judged = without(hosts, held).map((record) => ({ record, why: whyNot(record, search) }));
  const fitting = judged.filter(({ why }) => why === undefined).map(({ record }) => record);
  const best = fitting.find(({ facts }) => facts.name === held?.host) ?? fitting.sort(better(search))[0];
  if (best !== undefined) return { host: best.facts };
  const requested = judged.find(({ record }) => record.facts.name === request.host);
  const why =
    requested === undefined
      ? `no host can take ${vmOf(request)}: ${spoken(judged)}`
      : `the requested host ${request.host} cannot take ${vmOf(request)}: it ${requested.why?.kind}`;
  return refusal('no_host', why, true, reasonsOf(judged));
}

/** The VM itself, or that of the migration that asks. */
function vmOf({ vm }: PlaceRequest): string {
  const { tenant, name } = partsOfId(vm);
  return idOf('vm', tenant, name);
}

/** What no change of the hosts that there are can satisfy: their reasons would hide it. */
function whyNoneCan(hosts: ClusterContext['hosts'], request: PlaceRequest): Placing | undefined {
  const { host } = request;
  if (host !== null && entryOf(hosts, host) === undefined)
    return refusal('no_host', `the cluster has no host ${host}; name another for ${vmOf(request)}, or none`, true, []);
  const [first, ...others] = request.volumes.filter((volume) => volume.host !== null);
  const far = others.find((other) => other.host !== first?.host);
  if (first === undefined || far === undefined) return undefined;
  const message =
    `${first.volume} and ${far.volume} are on different hosts, and a VM has its local volumes on one: ` +
    `take one of them from the disks of ${vmOf(request)}`;
  return refusal(
    'volumes_apart',
    message,
    true,
    [first, far].map(({ host: on, volume }) => ({
      host: on ?? '',
      reason: `has ${volume}`,
    })),
  );
}

/**
 * The requested host, or the first by name, whose allowed roots contain the path; its worker checks the file itself.
 * For bytes that come over a network: the requested host, or the one with the most free disk.
 */
export function placeImport(hosts: ClusterContext['hosts'], request: ImportRequest): Placing {
  if (request.host !== null && entryOf(hosts, request.host) === undefined) {
    return refusal('host_not_found', `the cluster has no host ${request.host}; see the list of hosts`, false, []);
  }
  const judged = Object.values(hosts)
    .map((record) => ({ record, why: whyNoImport(record, request) }))
    .sort((a, b) => {
      const more = request.path === null ? b.record.report.diskFreeMib - a.record.report.diskFreeMib : 0;
      return more || (a.record.facts.name < b.record.facts.name ? -1 : 1);
    });
  const found = judged.find(({ why }) => why === undefined);
  if (found !== undefined) return { host: found.record.facts };
  const reasons = reasonsOf(judged);
  const passing = reasons.some(({ reason }) => ['is silent', 'is cordoned', 'was fenced', lowDisk].includes(reason));
  const code = passing || reasons.length === 0 ? 'no_host' : 'path_not_allowed';
  return refusal(code, `no host can import ${request.path ?? request.image}: ${spoken(judged)}`, passing, reasons);
}

function whyNoImport(record: HostRecord, request: ImportRequest): Why | undefined {
  const { name } = record.facts;
  if (request.host !== null && request.host !== name) return plain(`is not the requested host ${request.host}`);
  const { path } = request;
  const allowed = path === null || record.report.allowedRoots.some((root) => beneath(root, path));
  const roots = record.report.allowedRoots.join(', ') || 'no folder';
  if (!allowed) return { reason: `allows images only below ${roots}`, kind: 'allows no images from that folder' };
  return whyNoBytes(record);
}

/** Why a host takes no images and volumes at all now. */
export function whyNoBytes({ fenced, silent, schedulable, report }: HostRecord): Why | undefined {
  if (fenced) return plain('was fenced');
  if (silent) return plain('is silent');
  if (!schedulable) return plain('is cordoned');
  return isDiskLow(report) ? plain(lowDisk) : undefined;
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
export function spoken(judged: readonly Judged[]): string {
  if (judged.length === 0) return 'the cluster has no hosts yet; ask an operator to start a worker';
  const kinds = [...new Set(judged.map(({ why }) => why?.kind ?? ''))].toSorted();
  return `each of them ${kinds.join(', or ')}`;
}

/** What is reserved on a host for a request. */
export const reservationOf = ({ cpus, memoryMib, antiAffinity }: PlaceRequest, host: string): Reservation => ({
  host,
  cpus,
  memoryMib,
  ...(antiAffinity ? { group: antiAffinity.group } : {}),
});
