/** The kind `agent`: observes its host. The worker process starts it at each boot. */
import { agentMachine, type AgentContext } from '@photoncloud/machines/agent/agent-machine';
import { agentKind } from '@photoncloud/machines/agent/agent-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { defineActor } from '../kind/kind-definition.ts';
import { agentPerformers, type AgentPerformer } from './agent-effects.ts';

export const agentDefinition = (agent: AgentPerformer): ActorDefinition =>
  defineActor(agentKind, {
    chartVersion: 2,
    machine: agentMachine,
    // The next boot of its worker makes it watch bindings.
    upgrades: { 1: ({ state, context }) => ({ state, context: { ...(context as object), released: false } }) },
    performers: agentPerformers(agent),
    spec: ({ host }: AgentContext) => ({ host }),
    status: ({ boot, report, index, sweep, kept, conditions, failure }: AgentContext) => ({
      conditions,
      boot,
      index,
      report,
      sweep,
      kept,
      failure,
    }),
    ignored: ['host.admitted', 'inventory.received', 'host.gone'],
  });
