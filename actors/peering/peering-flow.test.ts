/**
 * Peerings in the in-memory test system: two VPCs of a tenant with ports on different hosts are joined, followed in
 * their changes, and parted until nothing is left; and what happens when both change at the same moment.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { agentForTests, hostFacts, portDefinitions } from '../port/cloud-for-tests.ts';
import { InMemoryActors } from '../port/in-memory-actors-for-tests.ts';
import { MemoryNetwork } from '../port/memory-network-for-tests.ts';
import { peeringDefinition } from './peering-actor.ts';

const cidrs = { a: '10.1.0.0/24', b: '10.2.0.0/24', c: '10.3.0.0/24' } as const;
type VpcName = keyof typeof cidrs;
const [ab, bc] = ['peering/acme/ab', 'peering/acme/bc'];
const fallback = 'security-group/acme/default';

class Cloud {
  readonly network = new MemoryNetwork();
  readonly actors = new InMemoryActors([...portDefinitions(this.network), peeringDefinition, agentForTests]);

  async begin(): Promise<this> {
    this.actors.tell('cluster/system/main', { type: 'cluster.open', name: 'test' });
    for (const [index, host] of ['w1', 'w2', 'w3'].entries()) {
      const report = { ...hostFacts, underlay: `192.0.2.${index + 1}`, peerUrl: `https://${host}` };
      this.actors.tell(`host/system/${host}`, { type: 'host.announce', host, boot: 'b1', facts: report });
    }
    await this.actors.settle();
    await this.ok('tenant/acme/acme', 'create');
    for (const name of ['a', 'b', 'c'] as const) {
      await this.ok(`vpc/acme/${name}`, 'create');
      await this.ok(`network/acme/${name}`, 'create', { vpc: name, subnets: [{ cidr: cidrs[name] }] });
    }
    return this;
  }

  async ask(to: string, verb: string, spec?: Readonly<Record<string, unknown>>) {
    const id = this.actors.ask(to, verb, spec);
    await this.actors.settle();
    return this.actors.answers.get(id);
  }

  async ok(...asked: Parameters<Cloud['ask']>): Promise<void> {
    const answer = await this.ask(...asked);
    assert.ok(answer?.ok, `${asked[0]} ${asked[1]}: ${JSON.stringify(answer)}`);
  }

  port(name: string, network: string, host: string, securityGroups: readonly string[] | null = null): Promise<void> {
    return this.ok(`port/acme/${name}`, 'create', { network, host, securityGroups });
  }

  /** Host -> what the segment of the VPC has of a section; only hosts with a segment. */
  told(vpc: VpcName, section: string): Readonly<Record<string, object>> {
    const hosts = ['w1', 'w2', 'w3'].filter((host) => this.network.segments.has(`vpc/acme/${vpc}@${host}`));
    return Object.fromEntries(
      hosts.map((host) => [host, this.network.elementsOf(`vpc/acme/${vpc}@${host}`, section)] as const),
    );
  }
}

const link = (vpc: VpcName, peer: VpcName) => ({
  peer: `vpc/acme/${peer}`,
  cidrs: [cidrs[peer]],
  own: [cidrs[vpc]],
  mtu: 1550,
});
const on = (hosts: readonly string[], elements: object) => Object.fromEntries(hosts.map((host) => [host, elements]));

test('both VPCs get a segment on every host of either, follow each other, and go where they were', async () => {
  const cloud = await new Cloud().begin();
  const { actors } = cloud;
  await cloud.port('a1', 'a', 'w1');
  await cloud.port('b1', 'b', 'w2');
  await cloud.ok(ab, 'create', { vpcs: ['b', 'a'] });
  assert.is(actors.state(ab), 'ready');
  assert.equal(cloud.told('a', 'peerings'), on(['w1', 'w2'], { [ab]: link('a', 'b') }));
  assert.equal(cloud.told('b', 'peerings'), on(['w1', 'w2'], { [ab]: link('b', 'a') }));
  assert.equal((await cloud.ask(ab, 'create', { vpcs: ['a', 'b'] }))?.result, {
    uid: actors.context(ab)['uid'],
    generation: 1,
    result: 'unchanged',
  });
  // A port more on another host, and a network more.
  await cloud.port('b2', 'b', 'w3');
  assert.equal(cloud.told('a', 'peerings'), on(['w1', 'w2', 'w3'], { [ab]: link('a', 'b') }));
  await cloud.ok('network/acme/a2', 'create', { vpc: 'a', subnets: [{ cidr: '10.1.1.0/24' }] });
  const both = [cidrs.a, '10.1.1.0/24'];
  assert.equal(cloud.told('b', 'peerings')['w3'], { [ab]: { ...link('b', 'a'), cidrs: both } });
  assert.equal(cloud.told('a', 'peerings')['w3'], { [ab]: { ...link('a', 'b'), own: both } });
  assert.is(actors.state(ab), 'ready');
  await cloud.ok('network/acme/a2', 'delete');
  assert.equal(cloud.told('b', 'peerings')['w1'], { [ab]: link('b', 'a') });
  assert.equal(cloud.told('a', 'peerings')['w1'], { [ab]: link('a', 'b') });
  const inUse = await cloud.ask('vpc/acme/a', 'delete');
  assert.equal([inUse?.code, /network\/acme\/a, peering\/acme\/ab/.test(inUse?.message ?? '')], ['in_use', true]);
  await cloud.ok(ab, 'delete');
  assert.is(actors.state(ab), undefined);
  assert.equal([cloud.told('a', 'peerings'), cloud.told('b', 'peerings')], [{ w1: {} }, { w2: {}, w3: {} }]);
  assert.equal(actors.context('vpc/acme/a')['followers'], []);
  for (const port of ['a1', 'b1', 'b2']) await cloud.ok(`port/acme/${port}`, 'delete');
  for (const name of ['a', 'b'] as const) {
    await cloud.ok(`network/acme/${name}`, 'delete');
    await cloud.ok(`vpc/acme/${name}`, 'delete');
  }
  assert.is(cloud.network.segments.size, 0);
  assert.equal(
    actors.deadLetters.filter(({ to }) => !to.startsWith('agent/')),
    [],
  );
});

test('a peering of VPCs of which neither has a host takes them up when they come', async () => {
  const cloud = await new Cloud().begin();
  await cloud.ok(ab, 'create', { vpcs: ['a', 'b'] });
  assert.equal([cloud.actors.state(ab), cloud.network.segments.size], ['ready', 0]);
  await cloud.port('a1', 'a', 'w2');
  assert.equal(cloud.told('a', 'peerings'), on(['w2'], { [ab]: link('a', 'b') }));
  assert.equal(cloud.told('b', 'peerings'), on(['w2'], { [ab]: link('b', 'a') }));
});

test('members of groups of one VPC are known on all hosts of the other, one change at a time', async () => {
  const cloud = await new Cloud().begin();
  const { actors, network } = cloud;
  const web = 'security-group/acme/web';
  await cloud.ok(web, 'create', { rules: [{ direction: 'ingress', remote: { group: 'default' } }] });
  await cloud.port('a1', 'a', 'w1');
  await cloud.port('b1', 'b', 'w2', ['web']);
  await cloud.ok(ab, 'create', { vpcs: ['a', 'b'] });
  const [ofA, ofB] = [{ '10.1.0.5': { groups: [fallback] } }, { '10.2.0.5': { groups: [web] } }];
  for (const vpc of ['a', 'b'] as const)
    assert.equal(cloud.told(vpc, 'group-members'), on(['w1', 'w2'], { ...ofA, ...ofB }));
  const calls = network.calls.length;
  await cloud.port('a2', 'a', 'w1');
  const second = { '10.1.0.6': { groups: [fallback] } };
  assert.equal(cloud.told('b', 'group-members'), on(['w1', 'w2'], { ...ofA, ...ofB, ...second }));
  const changes = network.calls.slice(calls).filter((call) => call.startsWith('changeSegment segment/acme/b@'));
  assert.is(changes.length, 2, 'one change on each host of the other VPC');
  await cloud.ok('port/acme/a1', 'update', { network: 'a', host: 'w1', securityGroups: ['web'] });
  assert.equal(cloud.told('b', 'group-members')['w2'], { '10.1.0.5': { groups: [web] }, ...ofB, ...second });
  await cloud.ok('port/acme/a2', 'delete');
  assert.equal(cloud.told('b', 'group-members')['w2'], { '10.1.0.5': { groups: [web] }, ...ofB });
  // The peered VPC's members are not passed on to a third one.
  await cloud.ok(bc, 'create', { vpcs: ['b', 'c'] });
  await cloud.port('c1', 'c', 'w3');
  assert.equal(cloud.told('c', 'group-members')['w3'], { ...ofB, '10.3.0.5': { groups: [fallback] } });
  await cloud.ok(ab, 'delete');
  assert.equal(cloud.told('b', 'group-members')['w2'], { ...ofB, '10.3.0.5': { groups: [fallback] } });
  assert.equal([...actors.rowsOf('vpc/acme/a').keys()], ['location/10.1.0.5']);
});

test('overlapping ranges are refused, when the VPCs are joined and later', async () => {
  const cloud = await new Cloud().begin();
  const { actors } = cloud;
  const network = (name: string, vpc: VpcName, cidr: string) =>
    cloud.ask(`network/acme/${name}`, 'create', { vpc, subnets: [{ cidr }] });
  assert.ok((await network('a2', 'a', '10.2.0.128/25'))?.ok);
  const refused = await cloud.ask(ab, 'create', { vpcs: ['a', 'b'] });
  assert.equal([refused?.code, refused?.issues?.[0]?.path, actors.state(ab)], ['cidr_overlap', 'spec.vpcs', undefined]);
  assert.match(
    refused?.message ?? '',
    '10.2.0.128/25 of network/acme/a2 in vpc/acme/a overlaps 10.2.0.0/24 of network',
  );
  assert.equal(actors.context('vpc/acme/a')['followers'], [], 'nothing is followed any more');
  await cloud.ok('network/acme/a2', 'delete');
  await cloud.ok(ab, 'create', { vpcs: ['a', 'b'] });
  await cloud.ok(bc, 'create', { vpcs: ['b', 'c'] });
  const later = await network('a2', 'a', '10.2.0.0/16');
  assert.equal([later?.code, later?.issues?.[0]?.path], ['cidr_overlap', 'spec.subnets.0.cidr']);
  assert.match(later?.message ?? '', 'overlaps 10.2.0.0/24 of vpc/acme/b, which peering/acme/ab joins');
  // The third VPC is not reached, but a could not have its range either: b could not tell the two apart.
  assert.match(
    (await network('a2', 'a', '10.3.0.0/25'))?.message ?? '',
    'which vpc/acme/b reaches over peering/acme/bc',
  );
  await cloud.ok('vpc/acme/d', 'create');
  const fourth = await network('d', 'c', '10.4.0.0/24');
  assert.ok(fourth?.ok);
  await cloud.ok('network/acme/d2', 'create', { vpc: 'd', subnets: [{ cidr: cidrs.a }] });
  const third = await cloud.ask('peering/acme/bd', 'create', { vpcs: ['b', 'd'] });
  assert.match(
    third?.message ?? '',
    `${cidrs.a} of peering/acme/ab in vpc/acme/b overlaps ${cidrs.a} of network/acme/d2`,
  );
  // What is far away does not matter.
  await cloud.ok('peering/acme/cd', 'create', { vpcs: ['c', 'd'] });
});

test('networks that both VPCs get at the same moment are told, and do no harm until one of them goes', async () => {
  const cloud = await new Cloud().begin();
  const { actors } = cloud;
  await cloud.port('a1', 'a', 'w1');
  await cloud.ok(ab, 'create', { vpcs: ['a', 'b'] });
  // Neither VPC knows of the other's network when it is asked.
  const asked = (['a', 'b'] as const).map((vpc) =>
    actors.ask(`network/acme/${vpc}2`, 'create', { vpc, subnets: [{ cidr: '10.9.0.0/24' }] }),
  );
  await actors.settle();
  assert.equal(
    asked.map((id) => actors.answers.get(id)?.ok),
    [true, true],
  );
  assert.is(actors.state(ab), 'rejected');
  const { failure } = actors.context(ab) as { failure: { code: string; message: string } };
  assert.is(failure.code, 'cidr_overlap');
  assert.match(failure.message, '10.9.0.0/24 of network/acme/a2 in vpc/acme/a overlaps 10.9.0.0/24 of network/acme/b2');
  const routed = (vpc: VpcName) =>
    (cloud.told(vpc, 'peerings')['w1'] as Record<string, { cidrs: string[] }>)[ab]?.cidrs;
  assert.equal([routed('a'), routed('b')], [[cidrs.b], [cidrs.a]], 'what stood before');
  await cloud.ok('network/acme/b2', 'delete');
  assert.is(actors.state(ab), 'ready');
  assert.equal([routed('a'), routed('b')], [[cidrs.b], [cidrs.a, '10.9.0.0/24']]);
});

test('a VPC that does not exist is told, and comes back', async () => {
  const cloud = await new Cloud().begin();
  const { actors } = cloud;
  const refused = await cloud.ask(ab, 'create', { vpcs: ['a', 'nowhere'] });
  assert.equal(
    [refused?.code, refused?.issues?.[0]?.path, actors.state(ab)],
    ['vpc_not_found', 'spec.vpcs', undefined],
  );
  await cloud.ok(ab, 'create', { vpcs: ['a', 'c'] });
  // It has begun to end before it heard of the peering.
  const lost = async () => {
    actors.hosts.delete('vpc/acme/c');
    actors.tell(ab, { type: 'reach.told', vpc: 'vpc/acme/c', exists: false, hosts: [], ranges: [] }, 'vpc/acme/c');
    await actors.settle();
    assert.is(actors.state(ab), 'failed');
  };
  await lost();
  await cloud.ok('vpc/acme/c', 'create');
  await actors.pass(600_000);
  assert.is(actors.state(ab), 'ready');
  await lost();
  await cloud.ok(ab, 'delete');
  assert.equal([actors.state(ab), actors.context('vpc/acme/a')['elements']], [undefined, { peerings: {} }]);
});

test('a host that fails delays the peering, which says so and is joined once it succeeds', async () => {
  const cloud = await new Cloud().begin();
  const { actors, network } = cloud;
  await cloud.port('a1', 'a', 'w1');
  network.failNext('changeSegment', 'fault');
  network.failNext('realizeSegment', 'fault', 'fault');
  await cloud.ok(ab, 'create', { vpcs: ['a', 'b'] });
  const { conditions } = actors.context(ab) as { conditions: readonly { type: string; reason: string }[] };
  assert.equal([actors.state(ab), conditions.map(({ reason }) => reason)], ['joining', ['Joining', 'HostDelayed']]);
  await actors.pass(30_000);
  assert.is(actors.state(ab), 'ready');
  assert.is(actors.context(ab)['failure'], null);
});

test.run();
