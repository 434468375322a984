/** The kind `gateway`: an external network on a gateway host. Only its external network sends messages to it. */
import { gatewayMachine, type GatewayContext } from '@photoncloud/machines/gateway/gateway-machine';
import { gatewayKind } from '@photoncloud/machines/gateway/gateway-protocol';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { GatewayDataplane } from '../dataplane/contract/gateway-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { gatewayPerformers } from './gateway-effects.ts';

export const gatewayDefinition = (host: GatewayDataplane): ActorDefinition =>
  defineActor(gatewayKind, {
    chartVersion: 1,
    machine: gatewayMachine,
    performers: gatewayPerformers(host),
    spec: ({ task }: GatewayContext) => task,
    status: ({ uplink, heard, failure, tries }: GatewayContext) => ({ uplink, heard, failure, tries }),
    ignored: ['gateway.ensure', 'gateway.drop', 'host.gone'],
  });
