/**
 * Moves of simulated guests between hosts, by the contract in migration-contract.ts: the guest is stopped here before
 * it has arrived there, and runs on neither until one of the two is resumed. Called by simulated-dataplane.ts.
 */
import type { IncarnationRef } from '@photoncloud/actors/dataplane/contract/incarnation-contract';
import type { MigrationDataplane } from '@photoncloud/actors/dataplane/contract/migration-contract';
import { incarnationMissing, qmpTimeout } from '@photoncloud/actors/dataplane/hypervisor/qemu-errors';
import { migrationFailed } from '@photoncloud/actors/dataplane/migration/migration-errors';
import type { IncarnationSpec } from '@photoncloud/machines/values/wiring';
import { thawLeft } from './simulated-agents.ts';
import { incarnationId, start } from './simulated-incarnations.ts';
import { isAlive, type QemuProcess, type SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

/** Time that the memory of a guest takes, at most. */
const longestMs = 5_000;

export function simulatedMigrations(site: SimulatedSite): MigrationDataplane {
  const { kernel, options } = site;
  const lockOf = ({ owner }: IncarnationRef): string => `incarnation ${incarnationId(owner)}`;
  const answering = ({ owner }: IncarnationRef): QemuProcess => {
    const found = kernel.incarnations.get(incarnationId(owner));
    if (!isAlive(found)) throw incarnationMissing(owner.actor);
    if (found.hung) throw qmpTimeout(`asking ${owner.actor}`, 2_000);
    return found;
  };
  return {
    receiveIncarnation: (spec, call) =>
      site.change('receiveIncarnation', 'incarnation', lockOf(spec), spec.owner, call, () => {
        const started = start(kernel, spec);
        const { listen: address, mirrors } = spec.incoming;
        const mirrorPort = mirrors.length === 0 ? null : started.pid;
        return { ...started, host: kernel.host, address, port: started.pid, mirrorPort };
      }),
    awaitIncoming: async ({ owner }, call) => {
      await site.watch(call.signal, () => kernel.incarnations.get(incarnationId(owner))?.status === 'paused' || null);
    },
    sendIncarnation: async ({ spec, outgoing }, call) => {
      const step = <Result>(work: () => Result): Promise<Result> =>
        site.change('sendIncarnation', 'incarnation', lockOf(spec), spec.owner, call, work);
      await step(() => {
        const source = answering(spec);
        if (!source.sending && !thawLeft([source])) throw migrationFailed(spec.owner.actor, 'its guest is frozen');
        source.sending = true;
      });
      await site.pause(options.random.fraction() * longestMs);
      return step(() => {
        const source = answering(spec);
        const there = options.peer(outgoing.door.host);
        const target = [...(there?.incarnations.values() ?? [])].find(({ pid }) => pid === outgoing.door.port);
        if (!options.echoes(outgoing.door.host) || !isAlive(target) || target.hung)
          throw migrationFailed(spec.owner.actor, 'its target does not answer');
        kernel.pause(source);
        kernel.noteDisks(source);
        mirror(kernel, there, spec, outgoing.mirrors);
        if (target.status === 'incoming') target.status = 'paused';
        there?.noteDisks(target);
        there?.changed();
        return { method: 'live', pausedAt: kernel.nowMs(), sentBytes: spec.memoryMib << 20, flows: [] } as const;
      });
    },
    readOutgoing: (incarnation) => {
      const { sending, spec } = answering(incarnation);
      const totalBytes = spec.memoryMib * 2 ** 20;
      const progress = { phase: 'copying', method: 'live', totalBytes, remainingBytes: totalBytes / 2 } as const;
      return Promise.resolve(sending ? { ...progress, sentBytes: totalBytes / 2, dirtyRate: 0, rate: 0 } : null);
    },
    holdIncarnation: (incarnation, call) =>
      site.change('holdIncarnation', 'incarnation', lockOf(incarnation), incarnation.owner, call, () =>
        kernel.pause(answering(incarnation)),
      ),
    placeFlows: (_, flows) => Promise.resolve(flows.length),
    reviewFlows: () => Promise.resolve(),
    unsendIncarnation: (incarnation, call) =>
      site.change('unsendIncarnation', 'incarnation', lockOf(incarnation), incarnation.owner, call, () => {
        const source = answering(incarnation);
        if (!source.sending) return;
        source.sending = false;
        kernel.noteDisks(source);
        kernel.run(source);
      }),
  };
}

/** The guest stands still: what it has written to these volumes is there, too. */
function mirror(
  from: SimulatedKernel,
  to: SimulatedKernel | undefined,
  { disks }: IncarnationSpec,
  volumes: readonly string[],
): void {
  for (const { volume, volumeUid } of disks) {
    const [source, target] = [from.replicas.get(volumeUid), to?.replicas.get(volumeUid)];
    if (volumes.includes(volume) && source !== undefined && target !== undefined) target.rows = source.rows;
  }
}
