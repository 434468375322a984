/**
 * The kind `binding`: a port on a host. The port actor requests its creation and removal, the incarnation its wiring.
 */
import type { BindingContext } from '@photoncloud/machines/binding/binding-messages';
import { bindingMachine } from '@photoncloud/machines/binding/binding-machine';
import { bindingKind } from '@photoncloud/machines/binding/binding-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { bindingEffects } from './binding-effects.ts';

export function bindingDefinition(network: NetworkDataplane): ActorDefinition {
  return defineActor(bindingKind, {
    chartVersion: 1,
    machine: bindingMachine,
    performers: bindingEffects(network),
    spec: ({ spec }: BindingContext) => spec,
    status: ({ tap, proof, requester, direct, failure, tries }: BindingContext) => ({
      tap,
      proof,
      requester,
      direct,
      failure,
      tries,
    }),
    ignored: ['binding.ensure', 'binding.wire', 'binding.remove'],
  });
}
