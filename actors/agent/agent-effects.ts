/** What an agent asks of its host. What a host is reached at, and who owns what on it, the composition root knows. */
import type { agentKind, SweepReport } from '@photoncloud/machines/agent/agent-protocol';
import type { HostReport } from '@photoncloud/machines/host/host-report';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { HostInventory } from '@photoncloud/machines/values/wiring';
import type { Call } from '../dataplane/contract/call-contract.ts';
import type { ResidueItem, SweepResult } from '../dataplane/contract/host-contract.ts';

export interface AgentPerformer {
  observe(call: Call): Promise<HostReport>;
  /** What the host has, and the names of what has no owner in the store. */
  readInventory(call: Call): Promise<HostInventory & { readonly kept: readonly string[] }>;
  /** @param kept names that are not taken, whoever owns them */
  sweep(kept: readonly string[], call: Call): Promise<SweepResult>;
}

/** Names kept in a report; the counts say how many there were. */
const namesKept = 16;

const nameOf = (item: ResidueItem): string => `${item.what} ${item.name}`;

const reportOf = ({ removed, failed }: SweepResult): SweepReport => ({
  removed: removed.slice(0, namesKept).map(nameOf),
  removedCount: removed.length,
  failed: failed.slice(0, namesKept).map(({ item, reason }) => `${nameOf(item)}: ${reason}`),
  failedCount: failed.length,
});

export const agentPerformers = (agent: AgentPerformer): PerformersOf<typeof agentKind> => ({
  'host.observe': {
    timeoutMs: 30_000,
    perform: async (_, call) => ({ facts: await agent.observe(call) }),
  },
  'inventory.read': {
    timeoutMs: 30_000,
    perform: (_, call) => agent.readInventory(call),
  },
  'host.sweep': {
    timeoutMs: 120_000,
    perform: async ({ kept }, call) => reportOf(await agent.sweep(kept, call)),
  },
});
