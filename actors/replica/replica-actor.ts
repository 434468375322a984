/** The kind `replica`: a volume on a host. Only its volume speaks to it. */
import { replicaMachine, type ReplicaContext } from '@photoncloud/machines/replica/replica-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { StorageDataplane } from '../dataplane/contract/storage-contract.ts';
import { replicaEffects } from './replica-effects.ts';

export function replicaDefinition(storage: StorageDataplane): ActorDefinition {
  return {
    kind: 'replica',
    chartVersion: 1,
    machine: replicaMachine,
    placement: 'pinned',
    input: (id) => ({ id }),
    commands: {},
    createdBy: ['replica.ensure', 'replica.remove'],
    effects: replicaEffects(storage),
    view: ({ spec, failure, tries }: ReplicaContext) => ({ spec, status: { failure, tries } }),
    ignored: ['replica.ensure', 'replica.remove', 'host.gone'],
  };
}
