/** What an agent asks of its host. What a host is reached at, and who owns what on it, the composition root knows. */
import type { SweepReport } from '@photoncloud/machines/agent/agent-events';
import type { HostReport } from '@photoncloud/machines/host/host-events';
import type { HostInventory } from '@photoncloud/machines/values/wiring';
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { done } from '@photoncloud/runtime/contract/outcome';
import type { Call } from '../dataplane/contract/call-contract.ts';
import type { ResidueItem, SweepResult } from '../dataplane/contract/host-contract.ts';

export interface AgentPerformer {
  observe(call: Call): Promise<HostReport>;
  /** What the host has, and the names of what has no owner in the store. */
  find(call: Call): Promise<HostInventory & { readonly kept: readonly string[] }>;
  /** @param kept names that are not taken, whoever owns them */
  sweep(kept: readonly string[], call: Call): Promise<SweepResult>;
}

/** Names kept in a report; the counts say how many there were. */
const namesKept = 16;

const nameOf = (item: ResidueItem): string => `${item.what} ${item.name}`;

function reportOf({ removed, failed }: SweepResult): SweepReport {
  return {
    removed: removed.slice(0, namesKept).map(nameOf),
    removedCount: removed.length,
    failed: failed.slice(0, namesKept).map(({ item, reason }) => `${nameOf(item)}: ${reason}`),
    failedCount: failed.length,
  };
}

export function agentEffects(performer: AgentPerformer): Record<string, EffectBinding> {
  return {
    'host.observe': {
      timeoutMs: 30_000,
      perform: async (_: unknown, call: EffectContext) => done({ facts: await performer.observe(call) }),
    },
    'host.find': {
      timeoutMs: 30_000,
      perform: async (_: unknown, call: EffectContext) => done({ ...(await performer.find(call)) }),
    },
    'host.sweep': {
      timeoutMs: 120_000,
      perform: async ({ kept }: { kept: readonly string[] }, call: EffectContext) =>
        done({ ...reportOf(await performer.sweep(kept, call)) }),
    },
  };
}
