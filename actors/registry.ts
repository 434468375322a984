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
import type { DeployerPort } from './deployment/deployer-port.ts';
import { deploymentDefinition, planDefinition } from './deployment/deployment-actor.ts';
import { drainDefinition } from './drain/drain-actor.ts';
import { externalAddressDefinition } from './external-address/external-address-actor.ts';
import { externalNetworkDefinition } from './external-network/external-network-actor.ts';
import { gatewayDefinition } from './gateway/gateway-actor.ts';
import { hostDefinition } from './host/host-actor.ts';
import type { HostPerformer } from './host/host-effects.ts';
import { imageCopyDefinition } from './image-copy/image-copy-actor.ts';
import { imageDefinition } from './image/image-actor.ts';
import { incarnationDefinition } from './incarnation/incarnation-actor.ts';
import { migrationDefinition } from './migration/migration-actor.ts';
import { networkDefinition } from './network/network-actor.ts';
import { peeringDefinition } from './peering/peering-actor.ts';
import { portDefinition } from './port/port-actor.ts';
import { replicaDefinition } from './replica/replica-actor.ts';
import { hostRolloutDefinition, rolloutDefinition } from './rollout/rollout-actor.ts';
import type { RolloutPort } from './rollout/rollout-port.ts';
import { securityGroupDefinition } from './security-group/security-group-actor.ts';
import { routerDefinition } from './router/router-actor.ts';
import { segmentDefinition } from './segment/segment-actor.ts';
import { serviceCheckDefinition } from './service-check/service-check-actor.ts';
import { serviceIpDefinition } from './service-ip/service-ip-actor.ts';
import { snapshotCopyDefinition } from './snapshot-copy/snapshot-copy-actor.ts';
import { snapshotDefinition } from './snapshot/snapshot-actor.ts';
import { tenantDefinition } from './tenant/tenant-actor.ts';
import { vmDefinition } from './vm/vm-actor.ts';
import { volumeDefinition } from './volume/volume-actor.ts';
import { volumeExportDefinition } from './volume-export/volume-export-actor.ts';
import { vpcDefinition } from './vpc/vpc-actor.ts';

export function createRegistry(
  dataplane: Dataplane,
  agent: AgentPerformer,
  hosts: HostPerformer,
  deployer: DeployerPort,
  rollouts: RolloutPort,
): ActorRegistry {
  const all: ActorDefinition[] = [
    clusterDefinition,
    hostDefinition(hosts),
    drainDefinition,
    externalNetworkDefinition,
    rolloutDefinition(rollouts),
    tenantDefinition,
    vpcDefinition,
    networkDefinition,
    serviceIpDefinition,
    peeringDefinition,
    addressSetDefinition,
    securityGroupDefinition,
    portDefinition,
    imageDefinition,
    volumeDefinition,
    snapshotDefinition,
    vmDefinition,
    migrationDefinition,
    routerDefinition,
    externalAddressDefinition,
    deploymentDefinition(deployer),
    planDefinition(deployer),
    agentDefinition(agent),
    hostRolloutDefinition(rollouts),
    segmentDefinition(dataplane),
    gatewayDefinition(dataplane),
    bindingDefinition(dataplane),
    imageCopyDefinition(dataplane),
    replicaDefinition(dataplane),
    volumeExportDefinition(dataplane),
    snapshotCopyDefinition(dataplane),
    incarnationDefinition(dataplane),
    serviceCheckDefinition(dataplane),
  ];
  return { kinds: new Map(all.map((definition) => [definition.kind, definition])) };
}
