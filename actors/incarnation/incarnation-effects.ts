/** Effects of an incarnation on its host's hypervisor. */
import type { incarnationKind } from '@photoncloud/machines/incarnation/incarnation-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { IncarnationSpec } from '@photoncloud/machines/values/wiring';
import type { IncarnationDataplane } from '../dataplane/contract/incarnation-contract.ts';
import type { IncomingRun, MigrationDataplane } from '../dataplane/contract/migration-contract.ts';

/** @throws TypeError for a run that does not move here */
function incomingOf(spec: IncarnationSpec): IncomingRun {
  const { incoming } = spec;
  if (incoming === undefined) throw new TypeError(`${spec.owner.actor} does not move here`);
  return { ...spec, incoming };
}

export function incarnationEffects(
  hypervisor: IncarnationDataplane & MigrationDataplane,
): PerformersOf<typeof incarnationKind> {
  return {
    'qemu.start': { timeoutMs: 45_000, perform: ({ spec }, call) => hypervisor.startIncarnation(spec, call) },
    'qemu.resume': {
      timeoutMs: 10_000,
      perform: async ({ spec, flows = [] }, call) => {
        // Without them the guest goes on all the same, and its connections time out.
        const placed = flows.length === 0 ? 0 : await hypervisor.placeFlows(spec, flows, call).catch(() => 0);
        const { resumedAt } = await hypervisor.resumeIncarnation(spec, call);
        // Nobody waits for it: one that fails is made with the next change of what is admitted, or by the next worker.
        if (placed > 0) void hypervisor.reviewFlows(spec, flows, call).catch(() => undefined);
        return { resumedAt, flows: placed };
      },
    },
    'qemu.receive': {
      timeoutMs: 60_000,
      perform: async ({ spec }, call) => {
        const { host, address, port, mirrorPort, ...proof } = await hypervisor.receiveIncarnation(
          incomingOf(spec),
          call,
        );
        return { ...proof, door: { host, address, port, mirrorPort } };
      },
    },
    'qemu.await-incoming': {
      timeoutMs: null,
      perform: async ({ spec }, call) => {
        await hypervisor.awaitIncoming(spec, call);
        return {};
      },
    },
    'qemu.send': { timeoutMs: null, perform: (ask, call) => hypervisor.sendIncarnation(ask, call) },
    'qemu.measure': {
      timeoutMs: 10_000,
      perform: async ({ spec }, call) => ({ progress: await hypervisor.readOutgoing(spec, call) }),
    },
    'qemu.hold': {
      timeoutMs: 10_000,
      perform: async ({ spec }, call) => {
        await hypervisor.holdIncarnation(spec, call);
        return {};
      },
    },
    'qemu.unsend': {
      timeoutMs: 30_000,
      perform: async ({ spec }, call) => {
        await hypervisor.unsendIncarnation(spec, call);
        return {};
      },
    },
    'qemu.pause': {
      timeoutMs: 10_000,
      perform: async ({ spec }, call) => {
        await hypervisor.pauseIncarnation(spec, call);
        return {};
      },
    },
    'qemu.reset': {
      timeoutMs: 10_000,
      perform: async ({ spec }, call) => {
        await hypervisor.resetIncarnation(spec, call);
        return {};
      },
    },
    'qemu.resize': {
      timeoutMs: 25_000,
      perform: async ({ spec, volumeUid, sizeMib }, call) => {
        await hypervisor.resizeDisk({ incarnation: spec, volumeUid, sizeMib }, call);
        return {};
      },
    },
    'qemu.plug': {
      timeoutMs: 50_000,
      perform: async ({ spec, ...ask }, call) => {
        const { disks, nics } = await hypervisor.plugDevices({ incarnation: spec, ...ask }, call);
        return { disks: [...disks], nics: [...nics] };
      },
    },
    'qemu.watch': { timeoutMs: null, perform: ({ spec }, call) => hypervisor.watchIncarnation(spec, call) },
    'qemu.watch-disks': {
      timeoutMs: null,
      perform: async ({ spec }, call) => ({ stall: await hypervisor.watchDisks(spec, call) }),
    },
    'qemu.await-disks': {
      timeoutMs: null,
      perform: async ({ spec }, call) => {
        await hypervisor.awaitDisks(spec, call);
        return {};
      },
    },
    'qemu.stop': {
      timeoutMs: 150_000,
      perform: async ({ spec, graceMs }, call) => {
        await hypervisor.stopIncarnation({ incarnation: spec, graceMs }, call);
        return {};
      },
    },
    'qemu.clean': {
      timeoutMs: 20_000,
      perform: async ({ spec }, call) => {
        await hypervisor.cleanIncarnation(spec, call);
        return {};
      },
    },
  };
}
