/** What a run asks of its host's hypervisor. */
import type { MachineSpec } from '@photoncloud/machines/values/wiring';
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { done } from '@photoncloud/runtime/contract/outcome';
import type { MachineDataplane } from '../dataplane/contract/machine-contract.ts';

interface Spec {
  readonly spec: MachineSpec;
}

export function incarnationEffects(machines: MachineDataplane): Record<string, EffectBinding> {
  return {
    'qemu.start': {
      timeoutMs: 45_000,
      perform: async ({ spec }: Spec, call: EffectContext) => done({ ...(await machines.startMachine(spec, call)) }),
    },
    'qemu.resume': {
      timeoutMs: 10_000,
      perform: async ({ spec }: Spec, call: EffectContext) => done({ ...(await machines.resumeMachine(spec, call)) }),
    },
    'qemu.watch': {
      timeoutMs: null,
      perform: async ({ spec }: Spec, call: EffectContext) => done({ ...(await machines.watchMachine(spec, call)) }),
    },
    'qemu.stop': {
      timeoutMs: 150_000,
      perform: async ({ spec, graceMs }: Spec & { graceMs: number }, call: EffectContext) =>
        done({ ...(await machines.stopMachine({ machine: spec, graceMs }, call)) }),
    },
    'qemu.clean': {
      timeoutMs: 20_000,
      perform: async ({ spec }: Spec, call: EffectContext) => done({ ...(await machines.cleanMachine(spec, call)) }),
    },
  };
}
