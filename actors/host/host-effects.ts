/** What a host actor asks of the cluster its controller is part of; how a node is taken over, membership knows. */
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { done } from '@photoncloud/runtime/contract/outcome';

export interface HostPerformer {
  /**
   * Takes over what is pinned to the host, as long as this effect is due.
   * @returns the last boot of its worker; null when that had left in good order
   */
  fence(host: string, call: EffectContext): Promise<{ readonly boot: string | null }>;
}

export function hostEffects(performer: HostPerformer): Record<string, EffectBinding> {
  return {
    'host.fence': {
      timeoutMs: 20_000,
      perform: async ({ host }: { host: string }, call: EffectContext) =>
        done({ ...(await performer.fence(host, call)) }),
    },
  };
}
