/**
 * Another size of a disk while its guest runs. Of a local volume QEMU changes the file and tells the guest: called by
 * volume/replica-store.ts under the volume's lock, as `findDiskUser` is by snapshot/. Of a shared one the file has
 * grown on its storage host; called by qemu-operations.ts.
 *
 * An NBD connection has the size that its server said at its beginning. Seen with QEMU 10.0.13: `block_resize` is
 * refused ("Cannot grow NBD nodes") as long as QEMU has not connected again, and QEMU does that only for a request, so
 * never for a guest that rests. After one read it is accepted, and a Linux guest logs `[vda] new size`. The read is
 * made with the monitor's command qemu-io, because none of QMP reads a block. Rejected: a second NBD node that takes
 * the place of the first (`blockdev-reopen`), whose name everything that speaks of this disk would have to find out.
 */
import net from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { slotted } from '@photoncloud/machines/values/device-slots';
import type { DiskSource, IncarnationDisk } from '@photoncloud/machines/values/wiring';
import { z } from 'zod';
import type { DiskResize } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { doorName } from './qemu-arguments.ts';
import { descriptorSets } from './qemu-descriptors.ts';
import { diskAbsent, sizeUnseen } from './qemu-errors.ts';
import { listRuns, readDevices, type IncarnationPaths } from './qemu-folder.ts';
import { findIncarnation } from './qemu-session.ts';
import type { IncarnationSessions } from './qemu-session.ts';
import type { QmpClient } from './qmp-client.ts';

const nodesSchema = z.array(z.object({ 'node-name': z.string(), file: z.string() }));
const resizeMs = 10_000;

/** A QEMU of this host that has a volume's file open. */
export interface DiskUser {
  readonly paths: IncarnationPaths;
  readonly client: QmpClient;
  /** The disk on the file, in the format that the guest sees (qemu-arguments.ts). */
  readonly node: string;
}

/**
 * A disk that was plugged while the guest ran has no file name in QEMU, which got a descriptor: it is found by the
 * record of its run.
 * @throws unknown `qmp_timeout`
 */
export async function findDiskUser(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  volumeUid: string,
  file: string,
): Promise<DiskUser | null> {
  for (const { paths } of await listRuns(site)) {
    if ((await findIncarnation(paths)) === null) continue;
    const slot = (await readDevices(paths, 'disk')).find(({ uid }) => uid === volumeUid)?.slot;
    const client = await sessions.client(paths);
    const nodes = nodesSchema.parse(await client.execute('query-named-block-nodes', { flat: true }));
    // `f0` is the file, and `d0` the disk on it (qemu-arguments.ts).
    const isOwn = (node: (typeof nodes)[number]): boolean =>
      slot === undefined
        ? node.file === file && /^f\d+$/.test(node['node-name'])
        : node['node-name'] === `f${slot}` && (node.file === file || node.file.startsWith(descriptorSets));
    const own = nodes.find(isOwn);
    if (own !== undefined) return { paths, client, node: own['node-name'].replace('f', 'd') };
  }
  return null;
}

/**
 * @returns false when no QEMU of this host has the file open
 * @throws fault `qmp_refused`; unknown `qmp_timeout`
 */
export async function resizeInGuest(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  volumeUid: string,
  file: string,
  sizeBytes: number,
): Promise<boolean> {
  const user = await findDiskUser(site, sessions, volumeUid, file);
  await user?.client.execute('block_resize', { 'node-name': user.node, size: sizeBytes }, resizeMs);
  return user !== null;
}

/** A QEMU that may be told something. */
export interface QemuRun {
  readonly paths: IncarnationPaths;
  readonly client: QmpClient;
}

/** How long the export may take to be back, with its new size. */
const seenMs = 10_000;
const tryEveryMs = 250;
const knockMs = 2_000;

/**
 * @param attempt runs one change of the run under its lock and fence
 * @throws fault `size_unseen`; defeat `disk_absent`; unknown `qmp_timeout`
 */
export async function resizeShared(
  { incarnation: { owner, disks }, volumeUid, sizeMib }: DiskResize,
  attempt: (work: (run: QemuRun) => Promise<string | null>) => Promise<string | null>,
  signal: AbortSignal,
): Promise<void> {
  const isMeant = (disk: IncarnationDisk): boolean => disk.volumeUid === volumeUid && (disk.source ?? null) !== null;
  const [slot, { volume, source = null }] = slotted(disks).find(([, disk]) => isMeant(disk)) ?? [
    0,
    { volume: volumeUid },
  ];
  const endMs = performance.now() + seenMs;
  for (;;) {
    const refusal = await attempt(async (run) => {
      if (source === null) throw diskAbsent(owner.actor, volume);
      return tellSize(run, `d${slot}`, source, sizeMib * (1 << 20));
    });
    if (refusal === null) return;
    if (performance.now() > endMs) throw sizeUnseen(volume, sizeMib, refusal);
    await pause(tryEveryMs, undefined, { signal });
  }
}

/** @returns why the guest does not see the size, or null */
async function tellSize({ paths, client }: QemuRun, node: string, source: DiskSource, size: number) {
  const resize = () =>
    client.execute('block_resize', { 'node-name': node, size }, resizeMs).then(() => null, refusalOf);
  const refusal = await resize();
  // While it waits for a server, QEMU would do nothing else.
  if (refusal === null || !(await isServed(paths, source))) return refusal;
  const read = { 'command-line': `qemu-io ${node} "read 0 512"` };
  await client.execute('human-monitor-command', read, resizeMs);
  return resize();
}

function refusalOf(error: unknown): string {
  if (error instanceof PhotonError && error.record.code === 'qmp_refused') return error.message;
  throw error;
}

/** Whether the export takes a connection. */
function isServed({ emptyFolder }: IncarnationPaths, source: DiskSource): Promise<boolean> {
  const { address } = source;
  const socket = net.connect(address === null ? { path: path.join(emptyFolder, doorName(source)) } : address);
  return new Promise((resolve) => {
    const end = (served: boolean) => () => {
      socket.destroy();
      resolve(served);
    };
    socket.setTimeout(knockMs, end(false)).once('connect', end(true)).once('error', end(false));
  });
}
