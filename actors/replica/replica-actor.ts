/** The kind `replica`: a volume on a host. Only its volume sends messages to it. */
import { replicaMachine, type ReplicaContext } from '@photoncloud/machines/replica/replica-machine';
import { replicaKind } from '@photoncloud/machines/replica/replica-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { StorageDataplane } from '../dataplane/contract/storage-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { replicaPerformers } from './replica-effects.ts';

export const replicaDefinition = (storage: StorageDataplane): ActorDefinition =>
  defineActor(replicaKind, {
    chartVersion: 1,
    machine: replicaMachine,
    performers: replicaPerformers(storage),
    spec: ({ spec }: ReplicaContext) => spec,
    status: ({ failure, tries }: ReplicaContext) => ({ failure, tries }),
    ignored: ['replica.ensure', 'replica.drop', 'host.gone'],
  });
