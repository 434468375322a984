/**
 * Exports of volumes whose bytes are on this host: what is asked for is made true, beginning with what must end.
 * Called by linux-dataplane.ts only. Promise: the floor is durable before a run is cut, and all that is to be cut is
 * cut before another run is served.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ExportClient, ExportSpec, ServedExport } from '@photoncloud/machines/values/wiring';
import type { ExportDataplane } from '../contract/export-contract.ts';
import { dropEmptyRunFolders, type DataplaneSite } from '../dataplane-site.ts';
import { requireDescriptors } from '../descriptor-reserve.ts';
import { observeUnderlay } from '../host/host-observation.ts';
import { linkDoors } from '../hypervisor/qemu-doors.ts';
import { fencedChange } from '../network-operations.ts';
import { readTextFile } from '../storage-files.ts';
import { findReplica } from '../volume/replica-store.ts';
import { checkCount, checkOwner, checkUid } from '../wiring-checks.ts';
import {
  awaitDaemonEnd,
  cutExport,
  endDaemon,
  findDaemon,
  sourceOf,
  startDaemon,
  type DaemonAsk,
} from './export-daemon.ts';
import { exportFailed, replicaMissing, runIsCut } from './export-errors.ts';
import { exportPaths, listExports, raiseFloor, readFloor } from './export-folder.ts';
import { keepRecords } from './export-record.ts';

export function exportOperations(site: DataplaneSite): ExportDataplane {
  const change = fencedChange(site);
  const lockOf = (volumeUid: string): string => `volume ${volumeUid}`;
  return {
    ensureExports: (spec, call) =>
      change('export', lockOf(spec.volumeUid), spec.owner, call, async () => {
        await requireDescriptors(`Serving ${spec.owner.actor}`);
        return serve(site, spec);
      }),
    watchExports: async (spec, call) => {
      const ends = spec.clients.map(({ runEpoch }) =>
        awaitDaemonEnd(exportPaths(site, spec.volumeUid, runEpoch), call.signal),
      );
      if (ends.length === 0) await pause(2 ** 31 - 1, undefined, { signal: call.signal });
      await Promise.race(ends);
      return { reason: 'export_ended', detail: `A process that served volume ${spec.volumeUid} has ended.` };
    },
    removeExports: (exports, call) =>
      change('export', lockOf(exports.volumeUid), exports.owner, call, async () => {
        checkOwner(exports.owner);
        checkUid('volumeUid', exports.volumeUid);
        const removed = await cutOthers(site, exports.volumeUid, []);
        await dropEmptyRunFolders(site);
        return { removed };
      }),
  };
}

function checkExports(spec: ExportSpec): void {
  checkOwner(spec.owner);
  checkUid('volumeUid', spec.volumeUid);
  spec.clients.forEach(({ runEpoch }, index) =>
    checkCount(`clients.${index}.runEpoch`, runEpoch, 0, Number.MAX_SAFE_INTEGER),
  );
}

async function serve(site: DataplaneSite, spec: ExportSpec): Promise<readonly ServedExport[]> {
  checkExports(spec);
  const { volumeUid, clients, owner } = spec;
  const floor = await readFloor(site, volumeUid);
  const lowest = Math.min(owner.runEpoch, ...clients.map(({ runEpoch }) => runEpoch));
  if (lowest < floor) throw runIsCut(volumeUid, lowest, floor);
  if (owner.runEpoch > floor) await raiseFloor(site, volumeUid, owner.runEpoch);
  await cutOthers(site, volumeUid, clients);
  const replica = clients.length === 0 ? null : await findReplica(site, volumeUid);
  if (clients.length > 0 && replica?.format !== 'raw') throw replicaMissing(volumeUid);
  const underlay = clients.length === 0 ? '' : (await observeUnderlay(site)).address;
  const served: ServedExport[] = [];
  for (const client of clients) {
    const local = client.host === site.options.host;
    served.push(
      await serveClient(site, spec, client, {
        owner,
        file: replica?.file ?? '',
        format: 'raw',
        sizeBytes: replica?.virtualBytes ?? 0,
        local,
        underlay,
      }),
    );
  }
  return served;
}

/** Ends every export of the volume that no client has. @returns whether there was one */
async function cutOthers(site: DataplaneSite, volumeUid: string, clients: readonly ExportClient[]): Promise<boolean> {
  const own = (await listExports(site)).filter(({ paths }) => paths.volumeUid === volumeUid);
  const others = own.filter(({ paths }) => !clients.some(({ runEpoch }) => runEpoch === paths.runEpoch));
  for (const { paths } of others) await cutExport(paths);
  await keepRecords(
    site,
    volumeUid,
    clients.map(({ runEpoch }) => runEpoch),
  );
  return others.length > 0;
}

async function serveClient(
  site: DataplaneSite,
  { volumeUid }: ExportSpec,
  { runEpoch }: ExportClient,
  ask: DaemonAsk,
): Promise<ServedExport> {
  const paths = exportPaths(site, volumeUid, runEpoch);
  const hasGrown = Number((await readTextFile(paths.sizeFile)) ?? ask.sizeBytes) !== ask.sizeBytes;
  // A daemon does not notice that its file has grown; and what has started one and ended has told nobody of it.
  if (hasGrown || (await sourceOf(site, paths, ask)) === null) await endDaemon(paths);
  const present = await findDaemon(paths);
  if (present === null) await startDaemon(site, paths, ask);
  const daemon = present ?? (await findDaemon(paths));
  const source = await sourceOf(site, paths, ask);
  if (daemon === null || source === null) throw exportFailed(paths.id, 'its process ended right after its start');
  if (ask.local && present === null) await linkDoors(site, paths);
  return { runEpoch, source, pid: daemon.pid };
}
