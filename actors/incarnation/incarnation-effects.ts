/** Effects of an incarnation on its host's hypervisor. */
import type { incarnationKind } from '@photoncloud/machines/incarnation/incarnation-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { IncarnationDataplane } from '../dataplane/contract/incarnation-contract.ts';

export function incarnationEffects(hypervisor: IncarnationDataplane): PerformersOf<typeof incarnationKind> {
  return {
    'qemu.start': { timeoutMs: 45_000, perform: ({ spec }, call) => hypervisor.startIncarnation(spec, call) },
    'qemu.resume': {
      timeoutMs: 10_000,
      perform: async ({ spec }, call) => {
        await hypervisor.resumeIncarnation(spec, call);
        return {};
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
