/** The kind `agent`: a worker's eyes on its own host. Started by the worker process at each of its boots. */
import { agentMachine, type AgentContext } from '@photoncloud/machines/agent/agent-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { agentEffects, type AgentPerformer } from './agent-effects.ts';

export function agentDefinition(performer: AgentPerformer): ActorDefinition {
  return {
    kind: 'agent',
    chartVersion: 1,
    machine: agentMachine,
    placement: 'pinned',
    input: (id) => ({ id }),
    commands: {},
    createdBy: ['agent.boot'],
    effects: agentEffects(performer),
    view: ({ host, boot, report, index, sweep, kept, failure }: AgentContext) => ({
      spec: { host },
      status: { boot, index, report, sweep, kept, failure },
    }),
    ignored: ['host.admitted', 'host.heard', 'host.gone'],
  };
}
