/**
 * What the volumes of this host have and do: bytes allocated, of the files here; bytes and operations, of the guests
 * here, since their QEMU began. Read when somebody asks, from the file system and with one question to each QEMU; kept
 * nowhere. Called by storage-operations.ts. A QEMU that does not answer has no figures, and is no error.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { idOf, partsOfId } from '@photoncloud/machines/values/identifiers';
import { z } from 'zod';
import type { VolumeFigures } from '../contract/storage-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { listRuns, readDevices, type IncarnationPaths } from '../hypervisor/qemu-folder.ts';
import { findIncarnation, qmpAnswerMs, type IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { inBatches } from '../process-lookup.ts';
import { listFolder } from '../storage-files.ts';
import { readReplicaOwner } from './replica-owner.ts';
import { findReplica } from './replica-store.ts';

const statsSchema = z.array(
  z.object({
    qdev: z.string().default(''),
    stats: z.object({
      rd_bytes: z.number(),
      wr_bytes: z.number(),
      rd_operations: z.number(),
      wr_operations: z.number(),
      flush_operations: z.number(),
    }),
  }),
);

/** @param only uid of the volume that is meant; null for all */
export async function readVolumeFigures(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  only: string | null,
): Promise<readonly VolumeFigures[]> {
  const runs = await listRuns(site);
  const [kept, used] = [
    await keptHere(site, only),
    await inBatches(runs, ({ paths }) => usedBy(sessions, paths, only)),
  ];
  const found = new Map<string, VolumeFigures>();
  for (const one of [...kept, ...used.flat()])
    found.set(one.uid, { ...one, figures: { ...found.get(one.uid)?.figures, ...one.figures } });
  return [...found.values()];
}

async function keptHere(site: DataplaneSite, only: string | null): Promise<readonly VolumeFigures[]> {
  const suffix = '.owner';
  const names = only === null ? await listFolder(site.folders.volumes) : [`${only}${suffix}`];
  const uids = names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length));
  const kept = await inBatches(uids, async (uid): Promise<VolumeFigures | null> => {
    const actor = (await readReplicaOwner(site, uid))?.actor ?? '';
    // Copies of snapshots are beside the volumes.
    const replica = actor.startsWith('replica/') ? await findReplica(site, uid) : null;
    if (replica === null) return null;
    const { tenant, name } = partsOfId(actor);
    const figures = { sizeBytes: replica.virtualBytes, allocatedBytes: replica.allocatedBytes };
    return { volume: idOf('volume', tenant, name), uid, figures };
  });
  return kept.filter((one) => one !== null);
}

async function usedBy(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  only: string | null,
): Promise<readonly VolumeFigures[]> {
  const disks = await readDevices(paths, 'disk');
  const wanted = disks.some(({ uid }) => only === null || uid === only);
  if (!wanted || (await findIncarnation(paths)) === null) return [];
  try {
    const client = await sessions.client(paths);
    const devices = statsSchema.parse(await client.execute('query-blockstats', {}, qmpAnswerMs));
    return devices.flatMap(({ qdev, stats }) => {
      const slot = Number(/\/disk(\d+)\//.exec(qdev)?.[1]);
      const disk = disks.find((one) => one.slot === slot);
      if (disk === undefined || (only !== null && disk.uid !== only)) return [];
      const figures = {
        readBytes: stats.rd_bytes,
        writtenBytes: stats.wr_bytes,
        readOperations: stats.rd_operations,
        writeOperations: stats.wr_operations,
        flushOperations: stats.flush_operations,
      };
      return [{ volume: disk.name, uid: disk.uid, figures }];
    });
  } catch (error) {
    if (error instanceof PhotonError) return [];
    throw error;
  }
}
