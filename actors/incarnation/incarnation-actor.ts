/** The kind `incarnation`: one run of a VM on a host. Its VM starts and stops it; its bindings report to it. */
import { incarnationMachine, type IncarnationContext } from '@photoncloud/machines/incarnation/incarnation-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { IncarnationDataplane } from '../dataplane/contract/incarnation-contract.ts';
import { incarnationEffects } from './incarnation-effects.ts';

export function incarnationDefinition(machines: IncarnationDataplane): ActorDefinition {
  return {
    kind: 'incarnation',
    chartVersion: 1,
    machine: incarnationMachine,
    placement: 'pinned',
    input: (id) => ({ id }),
    commands: {},
    createdBy: ['incarnation.start', 'incarnation.stop'],
    effects: incarnationEffects(machines),
    view: ({ spec, proof, unwired, startedAt, reason, failure }: IncarnationContext) => ({
      spec,
      status: { proof, unwired, startedAt, reason, failure },
    }),
    ignored: ['incarnation.start', 'incarnation.stop', 'binding.ready', 'binding.failed'],
  };
}
