/** The actors of a small cloud over a network in memory, for flows of networks and ports. Not part of the product. */
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

const facts = {
  underlayMtu: 1600,
  cpus: 2,
  memoryMib: 4096,
  diskMib: 100_000,
  diskFreeMib: 60_000,
  qemuVersion: '10.0.2',
  kvm: false,
  allowedRoots: ['/srv'],
};

function cloud() {
  const network = new MemoryNetwork();
  const agents = agentDefinition({
    // Without agents: the test announces the hosts itself.
    observe: () => Promise.reject(new Error('not used')),
    readInventory: () => Promise.reject(new Error('not used')),
    readDisk: () => Promise.reject(new Error('not used')),
    sweep: () => Promise.reject(new Error('not used')),
    readDescriptors: () => Promise.reject(new Error('not used')),
    freeOf: () => Promise.reject(new Error('not used')),
    readStrayBindings: () => Promise.reject(new Error('not used')),
    pause: () => Promise.reject(new Error('not used')),
  });
  const actors = new InMemoryActors([
    clusterDefinition,
    hostDefinition({ fence: () => Promise.reject(new Error('no host is fenced in this test')) }),
    tenantDefinition,
    vpcDefinition,
    securityGroupDefinition,
    networkDefinition,
    portDefinition,
    agents,
    segmentDefinition(network),
    bindingDefinition(network),
  ]);
  return { network, actors };
}

export async function withHosts() {
  const made = cloud();
  made.actors.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
  for (const [index, host] of ['w1', 'w2'].entries()) {
    const report = { ...facts, underlay: `192.0.2.${index + 1}`, peerUrl: `https://${host}` };
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
