/** What a host actor asks of the cluster its controller is part of; how a node is taken over, membership knows. */
import type { hostKind } from '@photoncloud/machines/host/host-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { EffectContext } from '@photoncloud/runtime/contract/effect';

export interface HostPerformer {
  /**
   * Takes over what is pinned to the host, as long as this effect is due.
   * @returns the last boot of its worker; null when that had left in good order
   */
  fence(host: string, call: EffectContext): Promise<{ readonly boot: string | null }>;
}

export const hostPerformers = (hosts: HostPerformer): PerformersOf<typeof hostKind> => ({
  'host.take-over': { timeoutMs: 20_000, perform: ({ host }, call) => hosts.fence(host, call) },
});
