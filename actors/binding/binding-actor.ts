/**
 * The kind `binding`: a port on a host. Its port makes and removes it, the incarnation that takes its tap has it
 * wired.
 */
import type { BindingContext } from '@photoncloud/machines/binding/binding-messages';
import { bindingMachine } from '@photoncloud/machines/binding/binding-machine';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';
import { bindingEffects } from './binding-effects.ts';

export function bindingDefinition(network: NetworkDataplane): ActorDefinition {
  return {
    kind: 'binding',
    chartVersion: 1,
    machine: bindingMachine,
    placement: 'pinned',
    input: (id) => ({ id }),
    commands: {},
    createdBy: ['binding.ensure', 'binding.remove', 'binding.wire'],
    effects: bindingEffects(network),
    view: ({ spec, tap, proof, requester, direct, failure, tries }: BindingContext) => ({
      spec,
      status: { tap, proof, requester, direct, failure, tries },
    }),
    ignored: ['binding.ensure', 'binding.wire', 'binding.remove'],
  };
}
