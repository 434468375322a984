/** The kind `incarnation`: one run of a VM on a host. Its VM starts and stops it; its bindings report to it. */
import { incarnationMachine, type IncarnationContext } from '@photoncloud/machines/incarnation/incarnation-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { MachineDataplane } from '../dataplane/contract/machine-contract.ts';
import { incarnationEffects } from './incarnation-effects.ts';

export function incarnationDefinition(machines: MachineDataplane): ActorDefinition {
  return {
    kind: 'incarnation',
    chartVersion: 2,
    // Version 2 answers a stop of a run that is not there.
    upgrades: { 1: (stored) => stored },
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
