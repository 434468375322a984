/**
 * A copy of a disk while it is in use: the process that has it open, a QEMU or the daemon of an export, runs a backup
 * job into a qcow2 file that another daemon serves. The job saves a block before it is overwritten, so the copy has the
 * bytes of the moment at which the job began, and the disk itself stays one file. A QEMU cannot open files, but sockets
 * in its empty folder; so the copy is reached by a socket (docs/decisions/0023-copies-of-volumes.md).
 * Called by snapshot-operations.ts. Promise: `abandon` leaves neither job nor process, whoever began them.
 */
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { SnapshotSpec } from '@photoncloud/machines/values/snapshot-wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { cutExport, exportNode, findDaemon, startDaemon } from '../export/export-daemon.ts';
import { freshName, exportPaths, listExports, type ExportPaths } from '../export/export-folder.ts';
import { thawLeft, whileFrozen, type Done } from '../hypervisor/guest-freeze.ts';
import { linkDoor, unlinkDoors } from '../hypervisor/qemu-doors.ts';
import { listRuns } from '../hypervisor/qemu-folder.ts';
import { findDiskUser } from '../hypervisor/qemu-resize.ts';
import { findIncarnation, qmpAnswerMs } from '../hypervisor/qemu-session.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { QmpClient, sentAt } from '../hypervisor/qmp-client.ts';
import { listFolder } from '../storage-files.ts';
import { snapshotDisturbed, snapshotFailed } from './snapshot-errors.ts';

const lookEveryMs = 250;
const cancelMs = 10_000;
const beginMs = 10_000;

const jobsSchema = z.array(z.object({ id: z.string(), status: z.string(), error: z.string().optional() }));
const nodesSchema = z.array(z.object({ 'node-name': z.string().default('') }));

/** A process that has the disk open. */
export interface BytesUser {
  /** Its disk. */
  readonly node: string;
  readonly ask: <Result>(work: (client: QmpClient) => Promise<Result>) => Promise<Result>;
  /** @returns where it reaches the copy */
  readonly open: (target: ExportPaths) => Promise<string>;
  /** Does something while the file systems of its guest are frozen, if that can be had. */
  readonly freeze: <Result>(work: () => Promise<Result>) => Promise<Done<Result>>;
  /** Asks its guest again, if that has not said that it has thawed. */
  readonly thaw: () => Promise<unknown>;
}

/** Of job and node in the process that has the disk: QEMU takes names of up to 31 characters. */
const nameOf = (snapshotUid: string): string => `snap.${snapshotUid}`.slice(0, 31);

export const targetOf = (site: DataplaneSite, snapshotUid: string): ExportPaths => exportPaths(site, snapshotUid, 0);

/** A daemon serves one connection to its monitor, and a run may have to be cut at any time: each is short. */
const daemonUser = (paths: ExportPaths): BytesUser => ({
  node: exportNode,
  ask: async (work) => {
    const client = await QmpClient.connect(paths.agentSocket, qmpAnswerMs);
    try {
      return await work(client);
    } finally {
      client.close();
    }
  },
  open: async ({ door }) => door,
  // The guest may be on another host.
  freeze: async (work) => ({ result: await work(), isFrozen: false }),
  thaw: async () => {},
});

/** Null when the bytes rest. @throws fault `snapshot_disturbed` while two runs may write */
export async function findBytesUser(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  volumeUid: string,
  file: string,
): Promise<BytesUser | null> {
  const served: ExportPaths[] = [];
  for (const { paths } of await listExports(site))
    if (paths.volumeUid === volumeUid && (await findDaemon(paths)) !== null) served.push(paths);
  if (served.length > 1) throw snapshotDisturbed(volumeUid, 'changed from one run to another');
  if (served[0] !== undefined) return daemonUser(served[0]);
  const user = await findDiskUser(site, sessions, volumeUid, file);
  if (user === null) return null;
  return {
    node: user.node,
    ask: (work) => work(user.client),
    open: async (target) => {
      await linkDoor(user.paths, target);
      return path.join(user.paths.emptyFolder, target.id);
    },
    freeze: (work) => whileFrozen(user.paths, work),
    thaw: () => thawLeft(user.paths),
  };
}

/** Starts the daemon of the copy. @param file empty qcow2 file of that size */
export async function serveCopy(
  site: DataplaneSite,
  { snapshotUid, owner }: SnapshotSpec,
  file: string,
  sizeBytes: number,
): Promise<ExportPaths> {
  const target = targetOf(site, snapshotUid);
  await startDaemon(site, target, { owner, file, format: 'qcow2', sizeBytes, local: true, underlay: '' });
  return target;
}

/** The moment whose bytes a copy has, and whether the file systems of the guest were frozen then. */
export interface CopyMoment {
  readonly takenAt: number;
  readonly isFrozen: boolean;
}

/** @throws fault `qmp_refused`; unknown `qmp_timeout` */
export async function beginCopy(user: BytesUser, target: ExportPaths): Promise<CopyMoment> {
  const name = nameOf(target.volumeUid);
  const node = { driver: 'nbd', 'node-name': name, export: await freshName(target) };
  const server = { type: 'unix', path: await user.open(target) };
  return user.ask(async (client) => {
    await client.execute('blockdev-add', { ...node, server }, beginMs);
    const job = { 'job-id': name, device: user.node, target: name, sync: 'full', 'auto-dismiss': false };
    let takenAt = 0;
    const unlisten = client.onEvent((heard) => {
      const isOwn = heard.event === 'JOB_STATUS_CHANGE' && heard.data['id'] === name;
      if (isOwn && takenAt === 0) takenAt = sentAt(heard) ?? 0;
    });
    try {
      const { isFrozen } = await user.freeze(() => client.execute('blockdev-backup', job, beginMs));
      return { takenAt, isFrozen };
    } finally {
      unlisten();
    }
  });
}

const jobIn = async (client: QmpClient, name: string) =>
  jobsSchema.parse(await client.execute('query-jobs', {}, qmpAnswerMs)).find(({ id }) => id === name);

/** Resolves when the copy is complete. @throws fault `snapshot_failed`; unknown `qmp_timeout`, `qmp_closed` */
export async function awaitCopy(user: BytesUser, snapshotUid: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    // A copy may take hours, and the guest does not write until it has thawed.
    await user.thaw();
    const job = await user.ask((client) => jobIn(client, nameOf(snapshotUid)));
    if (job === undefined) throw snapshotFailed(snapshotUid, 'its job is gone');
    if (job.status === 'concluded' && job.error !== undefined) throw snapshotFailed(snapshotUid, job.error);
    if (job.status === 'concluded') return;
    await pause(lookEveryMs, undefined, { signal });
  }
}

/** Ends the job and its node in one process, if it has them. */
async function forget(client: QmpClient, name: string): Promise<void> {
  const endMs = performance.now() + cancelMs;
  for (;;) {
    const job = await jobIn(client, name);
    if (job === undefined) break;
    if (job.status === 'concluded') {
      await client.execute('job-dismiss', { id: name }, qmpAnswerMs);
      break;
    }
    await tolerant(client.execute('job-cancel', { id: name }, qmpAnswerMs));
    if (performance.now() > endMs) throw snapshotFailed(name, 'its job does not end');
    await pause(20);
  }
  const nodes = nodesSchema.parse(await client.execute('query-named-block-nodes', { flat: true }, qmpAnswerMs));
  if (nodes.some((node) => node['node-name'] === name)) await client.execute('blockdev-del', { 'node-name': name });
}

/** A process that has just ended has no job any more, and a job that has just ended cannot be cancelled. */
async function tolerant(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
  }
}

/**
 * Removes job, node, sockets and daemon of a copy, and thaws a guest that was left frozen. Nothing of it is there
 * without the folder of its daemon, which is made first and removed last.
 * @throws fault `export_uncut`, `snapshot_failed`
 */
export async function abandon(site: DataplaneSite, sessions: IncarnationSessions, snapshotUid: string): Promise<void> {
  const target = targetOf(site, snapshotUid);
  if (!(await listFolder(path.dirname(target.folder))).includes(target.id)) return;
  const name = nameOf(snapshotUid);
  for (const { paths } of await listExports(site))
    if (paths.id !== target.id && (await findDaemon(paths)) !== null)
      await tolerant(daemonUser(paths).ask((client) => forget(client, name)));
  for (const { paths } of await listRuns(site)) {
    if ((await findIncarnation(paths)) === null) continue;
    await thawLeft(paths);
    await tolerant(sessions.client(paths).then((client) => forget(client, name)));
  }
  await unlinkDoors(site, target);
  await cutExport(target);
}
