/**
 * The QEMU that has a volume's file open, and another size of the disk while its guest runs: QEMU changes the file and
 * tells the guest. Called by volume/replica-store.ts under the volume's lock, and by snapshot/.
 */
import { z } from 'zod';
import type { DataplaneSite } from '../dataplane-site.ts';
import { listRuns, type IncarnationPaths } from './qemu-folder.ts';
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

/** @throws unknown `qmp_timeout` */
export async function findDiskUser(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  file: string,
): Promise<DiskUser | null> {
  for (const { paths } of await listRuns(site)) {
    if ((await findIncarnation(paths)) === null) continue;
    const client = await sessions.client(paths);
    const nodes = nodesSchema.parse(await client.execute('query-named-block-nodes', { flat: true }));
    // `f0` is the file, and `d0` the disk on it (qemu-arguments.ts).
    const own = nodes.find((node) => node.file === file && /^f\d+$/.test(node['node-name']));
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
  file: string,
  sizeBytes: number,
): Promise<boolean> {
  const user = await findDiskUser(site, sessions, file);
  await user?.client.execute('block_resize', { 'node-name': user.node, size: sizeBytes }, resizeMs);
  return user !== null;
}
