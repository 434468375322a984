/** A small cloud of actors over a network in memory, for flows of ports and VMs. Not part of the product. */
import * as assert from 'uvu/assert';
import { agentDefinition } from '../agent/agent-actor.ts';
import { bindingDefinition } from '../binding/binding-actor.ts';
import { clusterDefinition } from '../cluster/cluster-actor.ts';
import { hostDefinition } from '../host/host-actor.ts';
import { networkDefinition } from '../network/network-actor.ts';
import { segmentDefinition } from '../segment/segment-actor.ts';
import { tenantDefinition } from '../tenant/tenant-actor.ts';
import { vpcDefinition } from '../vpc/vpc-actor.ts';
import { securityGroupDefinition } from '../security-group/security-group-actor.ts';
import { InMemoryActors } from './in-memory-actors-for-tests.ts';
import { MemoryNetwork } from './memory-network-for-tests.ts';
import { portDefinition } from './port-actor.ts';
import { vmDefinition } from '../vm/vm-actor.ts';
import { volumeDefinition } from '../volume/volume-actor.ts';

/** Of a worker that announces itself; `underlay` and `peerUrl` are added for each. */
export const hostFacts = {
  underlayMtu: 1600,
  cpus: 2,
  memoryMib: 4096,
  diskMib: 100_000,
  diskFreeMib: 60_000,
  qemuVersion: '10.0.2',
  kvm: false,
  allowedRoots: ['/srv'],
};

/** What a port needs. */
export const portDefinitions = (network: MemoryNetwork) => [
  clusterDefinition,
  hostDefinition({ fence: () => Promise.reject(new Error('no host is fenced in this test')) }),
  tenantDefinition,
  vpcDefinition,
  securityGroupDefinition,
  networkDefinition,
  portDefinition,
  segmentDefinition(network),
  bindingDefinition(network),
];

/** What a VM needs, without its runs and the bytes of its volumes: a test plays these. */
export const vmDefinitions = (network: MemoryNetwork) => [...portDefinitions(network), volumeDefinition, vmDefinition];

const unused = () => Promise.reject(new Error('not used'));

/** Without agents: a test announces the hosts itself. */
export const agentForTests = agentDefinition({
  observe: unused,
  readInventory: unused,
  readDisk: unused,
  sweep: unused,
  readDescriptors: unused,
  freeOf: unused,
  readStrayBindings: unused,
  pause: unused,
});

function cloud() {
  const network = new MemoryNetwork();
  return { network, actors: new InMemoryActors([...portDefinitions(network), agentForTests]) };
}

export async function withHosts() {
  const made = cloud();
  made.actors.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
  for (const [index, host] of ['w1', 'w2'].entries()) {
    const report = { ...hostFacts, underlay: `192.0.2.${index + 1}`, peerUrl: `https://${host}` };
    made.actors.tell(`host/system/${host}`, { type: 'host.announce', host, boot: 'b1', facts: report });
  }
  await made.actors.settle();
  return made;
}

export async function withNetwork() {
  const made = await withHosts();
  const { actors } = made;
  const tenant = actors.ask('tenant/acme/acme', 'create');
  await actors.settle();
  assert.ok(actors.answers.get(tenant)?.ok, 'tenant');
  const answer = actors.ask('network/acme/front', 'create', { subnets: [{ cidr: '10.0.0.0/24' }] });
  await actors.settle();
  assert.equal(actors.answers.get(answer)?.ok, true, JSON.stringify(actors.answers.get(answer)));
  return made;
}
