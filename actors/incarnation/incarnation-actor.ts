/** The kind `incarnation`: one run of a VM on a host. Its VM starts and stops it; its bindings report to it. */
import { incarnationMachine } from '@photoncloud/machines/incarnation/incarnation-machine';
import type { IncarnationContext } from '@photoncloud/machines/incarnation/incarnation-messages';
import { incarnationKind } from '@photoncloud/machines/incarnation/incarnation-protocol';
import { reasonOf } from '@photoncloud/machines/values/conditions';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { IncarnationDataplane } from '../dataplane/contract/incarnation-contract.ts';
import type { MigrationDataplane } from '../dataplane/contract/migration-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { incarnationEffects } from './incarnation-effects.ts';

type Stored = { readonly state: unknown; readonly context: unknown };

/** From version 2 on guests can be paused, and move to other hosts. */
const withMoves = ({ state, context }: Stored): Stored => ({
  state,
  context: {
    ...(context as IncarnationContext),
    paused: false,
    migration: null,
    outgoing: null,
    door: null,
    sent: null,
    flows: [],
    plug: null,
    resizes: [],
  },
});

export function incarnationDefinition(hypervisor: IncarnationDataplane & MigrationDataplane): ActorDefinition {
  return defineActor(incarnationKind, {
    chartVersion: 2,
    machine: incarnationMachine,
    upgrades: { 1: withMoves },
    performers: incarnationEffects(hypervisor),
    spec: ({ spec }: IncarnationContext) => spec,
    status: ({ proof, unwired, startedAt, reason, stall, failure, migration, sent, resizes }: IncarnationContext) => ({
      proof,
      unwired,
      migration,
      sent: sent && { ...sent, flows: sent.flows.length },
      startedAt,
      reason,
      resizes,
      failure: failure ?? stall,
    }),
    reason: ({ failure, stall }: IncarnationContext) => reasonOf({ failure: failure ?? stall }),
    ignored: [
      'incarnation.start',
      'incarnation.stop',
      'incarnation.pause',
      'incarnation.resume',
      'incarnation.reset',
      'incarnation.plug',
      'incarnation.receive',
      'incarnation.go-on',
      'incarnation.send',
      'incarnation.hold',
      'incarnation.unsend',
      'binding.wired',
      'binding.unwired',
    ],
  });
}
