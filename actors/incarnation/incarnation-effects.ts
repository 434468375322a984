/** What a run asks of its host's hypervisor. */
import type { IncarnationSpec } from '@photoncloud/machines/values/wiring';
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { done } from '@photoncloud/runtime/contract/outcome';
import type { IncarnationDataplane } from '../dataplane/contract/incarnation-contract.ts';

interface Spec {
  readonly spec: IncarnationSpec;
}

export function incarnationEffects(incarnations: IncarnationDataplane): Record<string, EffectBinding> {
  return {
    'qemu.start': {
      timeoutMs: 45_000,
      perform: async ({ spec }: Spec, call: EffectContext) =>
        done({ ...(await incarnations.startIncarnation(spec, call)) }),
    },
    'qemu.resume': {
      timeoutMs: 10_000,
      perform: async ({ spec }: Spec, call: EffectContext) =>
        done({ ...(await incarnations.resumeIncarnation(spec, call)) }),
    },
    'qemu.watch': {
      timeoutMs: null,
      perform: async ({ spec }: Spec, call: EffectContext) =>
        done({ ...(await incarnations.watchIncarnation(spec, call)) }),
    },
    'qemu.stop': {
      timeoutMs: 150_000,
      perform: async ({ spec, graceMs }: Spec & { graceMs: number }, call: EffectContext) =>
        done({ ...(await incarnations.stopIncarnation({ incarnation: spec, graceMs }, call)) }),
    },
    'qemu.clean': {
      timeoutMs: 20_000,
      perform: async ({ spec }: Spec, call: EffectContext) =>
        done({ ...(await incarnations.cleanIncarnation(spec, call)) }),
    },
  };
}
