/** Effects of an agent. The composition root supplies the host's addresses and the owners of its objects. */
import type { FoundBinding } from '@photoncloud/machines/binding/binding-protocol';
import type { agentKind, SweepReport } from '@photoncloud/machines/agent/agent-protocol';
import type { DiskUse, HostReport } from '@photoncloud/machines/host/host-report';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { HostInventory } from '@photoncloud/machines/values/inventory-schema';
import type { Call } from '../dataplane/contract/call-contract.ts';
import type { Descriptors, ResidueItem, SweepResult } from '../dataplane/contract/host-contract.ts';

export interface AgentPerformer {
  observe(call: Call): Promise<HostReport>;
  readDisk(call: Call): Promise<DiskUse>;
  /** The inventory of the host, and the names of objects without an owner in the store. */
  readInventory(call: Call): Promise<HostInventory & { readonly kept: readonly string[] }>;
  /** Of these names of objects without an owner, the taps that no port of the store and no run on this host has. */
  freeOf(kept: readonly string[], call: Call): Promise<readonly string[]>;
  /** @param kept names that are not removed, with or without an owner */
  sweep(kept: readonly string[], call: Call): Promise<SweepResult>;
  readDescriptors(): Promise<Descriptors>;
  /** Bindings of the host that their ports do not have, as the store shows it now. */
  readStrayBindings(call: Call): Promise<readonly FoundBinding[]>;
  /** @throws the signal's reason when aborted */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

/** A binding without its port is to be gone in 10 s; the rest of that time is for its removal. */
const lookEveryMs = 4_000;

/** The pause comes first, so that a host whose store cannot be read does not ask without end. */
async function watchBindings(agent: AgentPerformer, call: Call): Promise<readonly FoundBinding[]> {
  for (;;) {
    await agent.pause(lookEveryMs, call.signal);
    const found = await agent.readStrayBindings(call);
    if (found.length > 0) return found;
  }
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
    perform: async ({ kept, released }, call) => {
      const freed = released && kept.length > 0 ? await agent.freeOf(kept, call) : [];
      const left = kept.filter((name) => !freed.includes(name));
      const swept = reportOf(await agent.sweep(left, call));
      return { ...swept, ...(await agent.readDisk(call)), descriptors: await agent.readDescriptors(), freed };
    },
  },
  'bindings.watch': {
    timeoutMs: null,
    perform: async (_, call) => ({ found: await watchBindings(agent, call) }),
  },
});
