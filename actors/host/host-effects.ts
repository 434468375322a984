/** Effects of a host actor on the membership of its controller. */
import type { hostKind } from '@photoncloud/machines/host/host-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { EffectContext } from '@photoncloud/runtime/contract/effect';

export interface HostPerformer {
  /**
   * Takes over the shard of the host, until the effect is cancelled. @returns the last boot of its worker; null after
   * an orderly shutdown
   */
  fence(host: string, call: EffectContext): Promise<{ readonly boot: string | null }>;
}

export const hostPerformers = (hosts: HostPerformer): PerformersOf<typeof hostKind> => ({
  'host.take-over': { timeoutMs: 20_000, perform: ({ host }, call) => hosts.fence(host, call) },
});
