/** The kind `incarnation`: one run of a VM on a host. Its VM starts and stops it; its bindings report to it. */
import { incarnationMachine, type IncarnationContext } from '@photoncloud/machines/incarnation/incarnation-machine';
import { incarnationKind } from '@photoncloud/machines/incarnation/incarnation-protocol';
import { reasonOf } from '@photoncloud/machines/values/declared';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { IncarnationDataplane } from '../dataplane/contract/incarnation-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { incarnationEffects } from './incarnation-effects.ts';

export function incarnationDefinition(hypervisor: IncarnationDataplane): ActorDefinition {
  return defineActor(incarnationKind, {
    chartVersion: 1,
    machine: incarnationMachine,
    performers: incarnationEffects(hypervisor),
    spec: ({ spec }: IncarnationContext) => spec,
    status: ({ proof, unwired, startedAt, reason, stall, failure }: IncarnationContext) => ({
      proof,
      unwired,
      startedAt,
      reason,
      failure: failure ?? stall,
    }),
    reason: ({ failure, stall }: IncarnationContext) => reasonOf({ failure: failure ?? stall }),
    ignored: ['incarnation.start', 'incarnation.stop', 'binding.wired', 'binding.unwired'],
  });
}
