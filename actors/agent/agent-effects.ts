/** Effects of an agent. The composition root supplies the host's addresses and the owners of its objects. */
import type { agentKind, SweepReport } from '@photoncloud/machines/agent/agent-protocol';
import type { DiskUse, HostReport } from '@photoncloud/machines/host/host-report';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { HostInventory } from '@photoncloud/machines/values/wiring';
import type { Call } from '../dataplane/contract/call-contract.ts';
import type { Descriptors, ResidueItem, SweepResult } from '../dataplane/contract/host-contract.ts';

export interface AgentPerformer {
  observe(call: Call): Promise<HostReport>;
  readDisk(call: Call): Promise<DiskUse>;
  /** The inventory of the host, and the names of objects without an owner in the store. */
  readInventory(call: Call): Promise<HostInventory & { readonly kept: readonly string[] }>;
  /** @param kept names that are not removed, with or without an owner */
  sweep(kept: readonly string[], call: Call): Promise<SweepResult>;
  readDescriptors(): Promise<Descriptors>;
}

/** Number of names in a report, which also has the counts of all. */
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
    perform: async ({ kept }, call) => {
      const swept = reportOf(await agent.sweep(kept, call));
      return { ...swept, ...(await agent.readDisk(call)), descriptors: await agent.readDescriptors() };
    },
  },
});
