/**
 * The list of actor kinds; nothing else. Pinned kinds get the dataplane of their host, controllers get `noDataplane`.
 */
import type { ActorDefinition, ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { addressSetDefinition } from './address-set/address-set-actor.ts';
import { agentDefinition } from './agent/agent-actor.ts';
import type { AgentPerformer } from './agent/agent-effects.ts';
import { bindingDefinition } from './binding/binding-actor.ts';
import { clusterDefinition } from './cluster/cluster-actor.ts';
import type { Dataplane } from './dataplane/contract/dataplane-contract.ts';
import { hostDefinition } from './host/host-actor.ts';
import type { HostPerformer } from './host/host-effects.ts';
import { imageCopyDefinition } from './image-copy/image-copy-actor.ts';
import { imageDefinition } from './image/image-actor.ts';
import { incarnationDefinition } from './incarnation/incarnation-actor.ts';
import { networkDefinition } from './network/network-actor.ts';
import { portDefinition } from './port/port-actor.ts';
import { replicaDefinition } from './replica/replica-actor.ts';
import { securityGroupDefinition } from './security-group/security-group-actor.ts';
import { segmentDefinition } from './segment/segment-actor.ts';
import { tenantDefinition } from './tenant/tenant-actor.ts';
import { vmDefinition } from './vm/vm-actor.ts';
import { volumeDefinition } from './volume/volume-actor.ts';
import { vpcDefinition } from './vpc/vpc-actor.ts';

export function createRegistry(dataplane: Dataplane, agent: AgentPerformer, hosts: HostPerformer): ActorRegistry {
  const all: ActorDefinition[] = [
    clusterDefinition,
    hostDefinition(hosts),
    tenantDefinition,
    vpcDefinition,
    networkDefinition,
    addressSetDefinition,
    securityGroupDefinition,
    portDefinition,
    imageDefinition,
    volumeDefinition,
    vmDefinition,
    agentDefinition(agent),
    segmentDefinition(dataplane),
    bindingDefinition(dataplane),
    imageCopyDefinition(dataplane),
    replicaDefinition(dataplane),
    incarnationDefinition(dataplane),
  ];
  return { kinds: new Map(all.map((definition) => [definition.kind, definition])) };
}
