/** The kind `agent`: a worker's eyes on its own host. Started by the worker process at each of its boots. */
import { agentMachine, type AgentContext } from '@photoncloud/machines/agent/agent-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { agentEffects, type AgentDoings } from './agent-effects.ts';

export function agentDefinition(doings: AgentDoings): ActorDefinition {
  return {
    kind: 'agent',
    chartVersion: 2,
    // Version 2 knows one more state.
    upgrades: { 1: (stored) => stored },
    machine: agentMachine,
    placement: 'pinned',
    input: (id) => ({ id }),
    commands: {},
    createdBy: ['agent.boot'],
    effects: agentEffects(doings),
    view: ({ host, boot, report, index, sweep, kept, failure }: AgentContext) => ({
      spec: { host },
      status: { boot, index, report, sweep, kept, failure },
    }),
    ignored: ['host.admitted', 'host.heard', 'host.gone'],
  };
}
