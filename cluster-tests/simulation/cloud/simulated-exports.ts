/**
 * Exports of the simulated dataplane, by the contract in export-contract.ts: a process for each run that may use a
 * volume of this host, and a floor on its disk. Called by simulated-dataplane.ts; the state is in simulated-kernel.ts.
 */
import type { ExportDataplane } from '@photoncloud/actors/dataplane/contract/export-contract';
import { replicaMissing, runIsCut } from '@photoncloud/actors/dataplane/export/export-errors';
import { idOf, partsOfId } from '@photoncloud/machines/values/identifiers';
import type { ExportSpec, OwnerToken, ServedExport } from '@photoncloud/machines/values/wiring';
import type { SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

const exportId = (volumeUid: string, runEpoch: number): string => `${volumeUid}.${runEpoch}`;

export function simulatedExports(site: SimulatedSite): ExportDataplane {
  const { kernel } = site;
  return {
    ensureExports: (spec, call) =>
      site.change('ensureExports', 'export', `volume ${spec.volumeUid}`, spec.owner, call, () => serve(kernel, spec)),
    watchExports: ({ volumeUid, clients }, call) =>
      site.watch(call.signal, () =>
        clients.every(({ runEpoch }) => kernel.exports.has(exportId(volumeUid, runEpoch)))
          ? null
          : { reason: 'export_ended' as const, detail: 'A process has ended.' },
      ),
    removeExports: ({ owner, volumeUid }, call) =>
      site.change('removeExports', 'export', `volume ${volumeUid}`, owner, call, () => {
        const removed = cutOthers(kernel, volumeUid, []);
        tellServed(kernel, owner, []);
        return { removed };
      }),
  };
}

function serve(kernel: SimulatedKernel, { volumeUid, clients, owner }: ExportSpec): readonly ServedExport[] {
  const floor = kernel.exportFloors.get(volumeUid) ?? 0;
  const lowest = Math.min(owner.runEpoch, ...clients.map(({ runEpoch }) => runEpoch));
  if (lowest < floor) throw runIsCut(volumeUid, lowest, floor);
  kernel.exportFloors.set(volumeUid, owner.runEpoch);
  cutOthers(
    kernel,
    volumeUid,
    clients.map(({ runEpoch }) => exportId(volumeUid, runEpoch)),
  );
  tellServed(
    kernel,
    owner,
    clients.map(({ runEpoch }) => runEpoch),
  );
  if (clients.length > 0 && !kernel.replicas.has(volumeUid)) throw replicaMissing(volumeUid);
  return clients.map(({ runEpoch, host }) => {
    const id = exportId(volumeUid, runEpoch);
    const pid = kernel.exports.get(id)?.pid ?? kernel.next();
    kernel.exports.set(id, { owner, pid, volumeUid });
    const address = host === kernel.host ? null : { host: kernel.host, port: pid };
    return { runEpoch, source: { kind: 'nbd', export: `${id}.${kernel.boot}`, address }, pid };
  });
}

/** The exports of a volume have its name. */
function tellServed(kernel: SimulatedKernel, { actor }: OwnerToken, runs: readonly number[]): void {
  const { tenant, name } = partsOfId(actor);
  kernel.record({ fact: 'volume.served', volume: idOf('volume', tenant, name), runs });
}

function cutOthers(kernel: SimulatedKernel, volumeUid: string, kept: readonly string[]): boolean {
  const others = [...kernel.exports].filter(([id, one]) => one.volumeUid === volumeUid && !kept.includes(id));
  for (const [id] of others) kernel.cut(id);
  return others.length > 0;
}
