/** The network side playing together in memory: from a tenant to wired ports on two hosts, and back to nothing. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { agentDefinition } from '../agent/agent-actor.ts';
import { bindingDefinition } from '../binding/binding-actor.ts';
import { clusterDefinition } from '../cluster/cluster-actor.ts';
import { hostDefinition } from '../host/host-actor.ts';
import { networkDefinition } from '../network/network-actor.ts';
import { segmentDefinition } from '../segment/segment-actor.ts';
import { tenantDefinition } from '../tenant/tenant-actor.ts';
import { vpcDefinition } from '../vpc/vpc-actor.ts';
import { ActorTroupe } from './actor-troupe-for-tests.ts';
import { MemoryNetwork } from './memory-network-for-tests.ts';
import { portDefinition } from './port-actor.ts';

const facts = {
  underlayMtu: 1600,
  cpus: 2,
  memoryMib: 4096,
  qemuVersion: '10.0.2',
  kvm: false,
  allowedRoots: ['/srv'],
};

function cloud() {
  const network = new MemoryNetwork();
  const agents = agentDefinition({
    // each agent has its own dataplane in life; here the test announces the hosts itself
    observe: () => Promise.reject(new Error('not used')),
    find: () => Promise.reject(new Error('not used')),
    sweep: () => Promise.reject(new Error('not used')),
  });
  const troupe = new ActorTroupe([
    clusterDefinition,
    hostDefinition({ bury: () => Promise.reject(new Error('nobody is buried here')) }),
    tenantDefinition,
    vpcDefinition,
    networkDefinition,
    portDefinition,
    agents,
    segmentDefinition(network),
    bindingDefinition(network),
  ]);
  return { network, troupe };
}

async function withHosts() {
  const made = cloud();
  made.troupe.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
  for (const [index, host] of ['w1', 'w2'].entries()) {
    const report = { ...facts, underlay: `192.0.2.${index + 1}`, peerUrl: `https://${host}` };
    made.troupe.tell(`host/system/${host}`, { type: 'host.announce', host, boot: 'b1', facts: report });
  }
  await made.troupe.settle();
  return made;
}

async function withNetwork() {
  const made = await withHosts();
  const { troupe } = made;
  const tenant = troupe.ask('tenant/acme/acme', 'create');
  await troupe.settle();
  assert.ok(troupe.answers.get(tenant)?.ok, 'tenant');
  const answer = troupe.ask('network/acme/front', 'create', { subnets: [{ cidr: '10.0.0.0/24' }] });
  await troupe.settle();
  assert.equal(troupe.answers.get(answer)?.ok, true, JSON.stringify(troupe.answers.get(answer)));
  return made;
}

test('hosts are numbered and ready', async () => {
  const { troupe } = await withHosts();
  assert.is(troupe.state('host/system/w1'), 'present.ready');
  assert.equal([troupe.context('host/system/w1')['index'], troupe.context('host/system/w2')['index']], [1, 2]);
});

test('two ports on two hosts are active, know the way to each other, and leave nothing', async () => {
  const { troupe, network } = await withNetwork();
  const one = troupe.ask('port/acme/one', 'create', { network: 'front', host: 'w1' });
  const two = troupe.ask('port/acme/two', 'create', { network: 'front', host: 'w2', address: '10.0.0.77' });
  await troupe.settle();
  assert.is(troupe.state('port/acme/one'), 'active');
  assert.is(troupe.state('port/acme/two'), 'active');
  assert.equal(troupe.answers.get(one)?.result, {
    uid: troupe.context('port/acme/one')['uid'],
    address: '10.0.0.5',
    mac: '02:50:0a:00:00:05',
  });
  assert.ok(troupe.answers.get(two)?.ok);
  assert.equal([...(network.segments.get('vpc/acme/main@w1')?.routes ?? [])], [['10.0.0.77', 2]]);
  assert.equal([...(network.segments.get('vpc/acme/main@w2')?.routes ?? [])], [['10.0.0.5', 1]]);
  assert.equal(
    network.segments.get('vpc/acme/main@w1')?.spec.peers.map(({ name }) => name),
    ['w2'],
  );
  const held = troupe.ask('network/acme/front', 'delete');
  await troupe.settle();
  assert.is(troupe.answers.get(held)?.code, 'in_use');
  assert.match(troupe.answers.get(held)?.message ?? '', 'port/acme/one, port/acme/two');
  const gone = [troupe.ask('port/acme/one', 'delete'), troupe.ask('port/acme/two', 'delete')];
  await troupe.settle();
  assert.equal(
    gone.map((id) => troupe.answers.get(id)?.ok),
    [true, true],
  );
  assert.is(network.taps.size, 0);
  assert.equal([...(network.segments.get('vpc/acme/main@w1')?.routes ?? [])], []);
  const end = [troupe.ask('network/acme/front', 'delete')];
  await troupe.settle();
  assert.is(network.segments.size, 0);
  end.push(troupe.ask('tenant/acme/acme', 'delete'));
  await troupe.settle();
  assert.equal(
    end.map((id) => troupe.answers.get(id)?.ok),
    [true, true],
  );
  assert.equal([...troupe.players.keys()].sort(), ['cluster/system/main', 'host/system/w1', 'host/system/w2']);
  assert.equal([...troupe.rowsOf('cluster/system/main').keys()], []);
  const strangers = troupe.deadLetters.filter(({ to }) => !to.startsWith('agent/'));
  assert.equal(strangers, []);
});

test('a VM holds its port: tapped, wired by its run, bound anew on a restart, moved to another host', async () => {
  const { troupe, network } = await withNetwork();
  const vm = 'vm/acme/web';
  const heard = (): string[] =>
    troupe.deadLetters
      .splice(0)
      .filter(({ to }) => to === vm || to.startsWith('incarnation/'))
      .map(({ event }) => event.type);
  const host = (name: string) => ({
    name,
    index: Number(name.slice(1)),
    underlay: `192.0.2.${name.slice(1)}`,
    underlayMtu: 1600,
  });
  const port = 'port/acme/web.eth0';
  troupe.tell(port, { type: 'port.create', network: 'front', address: null, mac: null, host: null, holder: vm }, vm);
  await troupe.settle();
  assert.equal(heard(), ['port.ready']);
  const bind = async (name: string, runEpoch: number): Promise<void> => {
    troupe.tell(port, { type: 'port.bind', holder: vm, host: host(name), runEpoch }, vm);
    await troupe.settle();
  };
  await bind('w1', 1);
  assert.is(troupe.state(port), 'tapped');
  assert.equal(heard(), ['port.tapped']);
  const wire = async (name: string): Promise<void> => {
    const run = `incarnation/acme/web@${name}`;
    troupe.tell(`binding/acme/web.eth0@${name}`, { type: 'binding.wire', requester: run }, run);
    await troupe.settle();
  };
  await wire('w1');
  assert.is(troupe.state(port), 'active');
  assert.equal(heard().sort(), ['binding.ready', 'port.active']);
  await bind('w1', 2);
  assert.is(troupe.state(port), 'tapped');
  assert.is(network.taps.get('binding/acme/web.eth0@w1')?.place, 'host');
  await wire('w1');
  await bind('w1', 1);
  assert.is(troupe.state(port), 'active', 'an earlier run changes nothing');
  heard();
  await bind('w2', 3);
  assert.is(troupe.state(port), 'tapped');
  assert.equal([...network.taps.keys()], ['binding/acme/web.eth0@w2']);
  const client = troupe.ask(port, 'delete');
  await troupe.settle();
  assert.is(troupe.answers.get(client)?.code, 'in_use');
  heard();
  troupe.tell(port, { type: 'port.release', holder: vm }, vm);
  await troupe.settle();
  assert.equal(heard(), ['port.gone']);
  assert.is(network.taps.size, 0);
  troupe.tell(port, { type: 'port.release', holder: vm }, vm);
  await troupe.settle();
  assert.equal(heard(), ['port.gone'], 'asked again, it is still gone');
});

for (const group of ['fault', 'unknown'] as const) {
  for (const method of ['ensureSegment', 'setRoutes', 'createTap', 'wireTap', 'removeTap', 'removeSegment']) {
    test(`a ${group} of ${method} passes`, async () => {
      const { troupe, network } = await withNetwork();
      network.failNext(method, group, group);
      troupe.ask('port/acme/one', 'create', { network: 'front', host: 'w1' });
      troupe.ask('port/acme/two', 'create', { network: 'front', host: 'w2' });
      await troupe.pass(20_000);
      assert.equal([troupe.state('port/acme/one'), troupe.state('port/acme/two')], ['active', 'active']);
      for (const host of ['w1', 'w2']) assert.is(network.segments.get(`vpc/acme/main@${host}`)?.routes.size, 1, host);
      troupe.ask('port/acme/one', 'delete');
      troupe.ask('port/acme/two', 'delete');
      await troupe.pass(20_000);
      const gone = troupe.ask('network/acme/front', 'delete');
      await troupe.pass(20_000);
      assert.ok(troupe.answers.get(gone)?.ok);
      assert.equal([network.taps.size, network.segments.size], [0, 0]);
    });
  }
}

test('a defeat ends in failed, says why, and a delete leaves nothing', async () => {
  for (const method of ['ensureSegment', 'createTap', 'wireTap']) {
    const { troupe, network } = await withNetwork();
    network.failNext(method, 'defeat');
    troupe.ask('port/acme/one', 'create', { network: 'front', host: 'w1' });
    await troupe.settle();
    assert.is(troupe.state('port/acme/one'), 'failed', method);
    assert.match(JSON.stringify(troupe.context('port/acme/one')['failure']), method);
    const gone = troupe.ask('port/acme/one', 'delete');
    await troupe.settle();
    assert.ok(troupe.answers.get(gone)?.ok);
    assert.is(network.taps.size, 0);
  }
});

test('a segment that breaks is made again with all its routes', async () => {
  const { troupe, network } = await withNetwork();
  troupe.ask('port/acme/one', 'create', { network: 'front', host: 'w1' });
  troupe.ask('port/acme/two', 'create', { network: 'front', host: 'w2' });
  await troupe.settle();
  network.breakSegment('vpc/acme/main@w1');
  await troupe.settle();
  assert.is(troupe.state('segment/acme/main@w1'), 'serving.ready');
  assert.equal([...(network.segments.get('vpc/acme/main@w1')?.routes ?? [])], [['10.0.0.6', 2]]);
});

test('what is wrong is rejected before anything is made', async () => {
  const { troupe, network } = await withNetwork();
  const wrong: [string, string, Record<string, unknown>, string, string][] = [
    ['network/acme/b', 'create', { subnets: [{ cidr: '10.0.0.128/25' }] }, 'cidr_overlap', 'spec.subnets.0.cidr'],
    [
      'network/acme/b',
      'create',
      { subnets: [{ cidr: '10.1.0.0/24' }, { cidr: '10.0.0.5/24' }] },
      'cidr_invalid',
      'spec.subnets.1.cidr',
    ],
    [
      'network/acme/b',
      'create',
      { subnets: [{ cidr: '10.1.0.0/24', gateway: '10.2.0.1' }] },
      'gateway_outside_subnet',
      'spec.subnets.0.gateway',
    ],
    ['network/acme/front', 'create', { subnets: [{ cidr: '10.9.0.0/24' }] }, 'exists_differently', 'spec.subnets'],
    ['port/acme/x', 'create', { network: 'front', address: '10.9.0.9' }, 'address_outside_subnet', 'spec.address'],
    ['port/acme/x', 'create', { network: 'front', address: '10.0.0.1' }, 'address_reserved', 'spec.address'],
    ['port/acme/x', 'create', { network: 'front', address: '10.0.0.255' }, 'address_reserved', 'spec.address'],
    ['port/acme/x', 'create', { network: 'front', mac: '02:50:00:00:00:01' }, 'mac_invalid', 'spec.mac'],
    ['port/acme/x', 'create', { network: 'front', host: 'w9' }, 'host_not_found', 'spec.host'],
  ];
  for (const [id, name, params, code, path] of wrong) {
    const answer = troupe.ask(id, name, params);
    await troupe.settle();
    const { ok, code: found, issues } = troupe.answers.get(answer) ?? { ok: true };
    assert.equal([ok, found, issues?.[0]?.path], [false, code, path], JSON.stringify(params));
    if (id !== 'network/acme/front') assert.is(troupe.state(id), undefined, `${id} is left`);
  }
  troupe.ask('port/acme/a', 'create', { network: 'front', address: '10.0.0.9', mac: '02:11:00:00:00:01' });
  const taken = troupe.ask('port/acme/b', 'create', { network: 'front', address: '10.0.0.9' });
  const same = troupe.ask('port/acme/c', 'create', { network: 'front', mac: '02:11:00:00:00:01' });
  await troupe.settle();
  assert.equal(
    [taken, same].map((id) => troupe.answers.get(id)?.code),
    ['address_taken', 'mac_taken'],
  );
  assert.equal([network.taps.size, network.segments.size], [0, 0]);
});

test('an address rests after its port, but for the same port', async () => {
  const { troupe } = await withNetwork();
  const make = async (name: string): Promise<string | undefined> => {
    const answer = troupe.ask(`port/acme/${name}`, 'create', { network: 'front', address: '10.0.0.9' });
    await troupe.settle();
    return troupe.answers.get(answer)?.code;
  };
  assert.is(await make('a'), undefined);
  troupe.ask('port/acme/a', 'delete');
  assert.is(await make('b'), 'address_taken');
  assert.is(await make('a'), undefined);
  troupe.ask('port/acme/a', 'delete');
  await troupe.pass(600_000);
  assert.is(await make('b'), undefined);
});

test.run();
