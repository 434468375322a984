/** Network flows in the in-memory test system: from a tenant to wired ports on two hosts, and back to nothing. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withHosts, withNetwork } from './cloud-for-tests.ts';

test('hosts are numbered and ready', async () => {
  const { actors } = await withHosts();
  assert.is(actors.state('host/system/w1'), 'present.ready');
  assert.equal([actors.context('host/system/w1')['index'], actors.context('host/system/w2')['index']], [1, 2]);
});

test('a network whose ports were lost with a rollback can be deleted: it finds out by itself', async () => {
  const { actors } = await withNetwork();
  for (const name of ['lost', 'kept', 'again']) actors.ask(`port/acme/${name}`, 'create', { network: 'front' });
  await actors.settle();
  const before = actors.context('port/acme/again')['grant'] as { address: string };
  // The store has lost the records; the network still holds the addresses, as for ports that hosts have reported.
  actors.hosts.delete('port/acme/lost');
  actors.hosts.delete('port/acme/again');
  actors.ask('port/acme/again', 'create', { network: 'front', address: '10.0.0.99' });
  await actors.settle();
  const refused = actors.ask('network/acme/front', 'delete');
  await actors.settle();
  assert.is(actors.answers.get(refused)?.code, 'in_use');
  assert.match(actors.answers.get(refused)?.message ?? '', 'delete it again in a few seconds');
  const held = [...actors.rowsOf('network/acme/front').keys()].filter((key) => key.startsWith('port/'));
  assert.equal(held.toSorted(), ['port/port/acme/again', 'port/port/acme/kept'], 'only of ports that exist');
  assert.is(actors.state('port/acme/lost'), undefined);
  const after = actors.context('port/acme/again')['grant'] as { address: string };
  assert.equal([before.address === after.address, actors.state('port/acme/again')], [true, 'unbound']);
  for (const name of ['kept', 'again']) actors.ask(`port/acme/${name}`, 'delete');
  await actors.settle();
  const end = actors.ask('network/acme/front', 'delete');
  await actors.settle();
  assert.ok(actors.answers.get(end)?.ok);
});

test('a group goes to the hosts of its ports, follows them, and ends only without them', async () => {
  const { actors, network } = await withNetwork();
  const ask = async (to: string, verb: string, spec?: Readonly<Record<string, unknown>>) => {
    const id = actors.ask(to, verb, spec);
    await actors.settle();
    return actors.answers.get(id);
  };
  const ok = async (...asked: Parameters<typeof ask>) => {
    const answer = await ask(...asked);
    assert.ok(answer?.ok, `${asked[0]} ${asked[1]}: ${JSON.stringify(answer)}`);
  };
  const groups = (host: string) => Object.keys(network.elementsOf(`vpc/acme/main@${host}`, 'security-groups'));
  const members = (host: string) => network.elementsOf(`vpc/acme/main@${host}`, 'group-members');
  const [web, fallback] = ['security-group/acme/web', 'security-group/acme/default'];
  const fromDefault = { rules: [{ direction: 'ingress', remote: { group: 'default' } }] };
  await ok(web, 'create', fromDefault);
  await ok('port/acme/one', 'create', { network: 'front', host: 'w1', securityGroups: ['web'] });
  await ok('port/acme/two', 'create', { network: 'front', host: 'w2' });
  assert.equal(groups('w1').toSorted(), [fallback, web], 'every host of the VPC');
  assert.equal(members('w1'), { '10.0.0.5': { groups: [web] }, '10.0.0.6': { groups: [fallback] } });
  assert.equal(members('w2'), members('w1'));
  // Named by a port, and by a rule of another group.
  const inUse = await ask(web, 'delete');
  assert.equal([inUse?.code, /in use by port\/acme\/one/.test(inUse?.message ?? '')], ['in_use', true]);
  assert.is((await ask(fallback, 'delete'))?.code, 'default_group');
  const { tap, spec } = { tap: network.taps.get('binding/acme/one@w1'), spec: { network: 'front', host: 'w1' } };
  assert.equal(tap?.spec.groups, [web]);
  await ok('port/acme/one', 'update', { ...spec, securityGroups: [] });
  assert.equal(network.taps.get('binding/acme/one@w1')?.spec.groups, []);
  assert.equal([groups('w1'), members('w1')], [[fallback], { '10.0.0.6': { groups: [fallback] } }]);
  const { generation, observedGeneration } = actors.context('port/acme/one');
  assert.equal([generation, observedGeneration], [2, 2]);
  await ok(web, 'delete');
  assert.is(actors.state(web), undefined);
  // The store has lost a port: the group finds out by itself.
  await ok(web, 'create', fromDefault);
  await ok('port/acme/lost', 'create', { network: 'front', securityGroups: ['web'] });
  actors.hosts.delete('port/acme/lost');
  assert.is((await ask(web, 'delete'))?.code, 'in_use');
  await ok(web, 'delete');
  // The group default ends with its tenant.
  for (const port of ['one', 'two']) await ok(`port/acme/${port}`, 'delete');
  assert.is((await ask('network/acme/front', 'delete'))?.code, 'in_use');
  await ok('network/acme/front', 'delete');
  await actors.settle();
  await ok('tenant/acme/acme', 'delete');
  assert.equal([actors.state(fallback), network.segments.size], [undefined, 0]);
});

test('two ports on two hosts are active, have routes to each other, and leave nothing', async () => {
  const { actors, network } = await withNetwork();
  const one = actors.ask('port/acme/one', 'create', { network: 'front', host: 'w1' });
  const two = actors.ask('port/acme/two', 'create', { network: 'front', host: 'w2', address: '10.0.0.77' });
  await actors.settle();
  assert.is(actors.state('port/acme/one'), 'active');
  assert.is(actors.state('port/acme/two'), 'active');
  assert.equal(actors.answers.get(one)?.result, {
    uid: actors.context('port/acme/one')['uid'],
    generation: 1,
    result: 'created',
    address: '10.0.0.5',
    mac: '02:50:0a:00:00:05',
  });
  assert.ok(actors.answers.get(two)?.ok);
  assert.equal(network.routesOf('vpc/acme/main@w1'), [['10.0.0.77', 2]]);
  assert.equal(network.routesOf('vpc/acme/main@w2'), [['10.0.0.5', 1]]);
  assert.equal(network.peersOf('vpc/acme/main@w1'), ['w2']);
  const held = actors.ask('network/acme/front', 'delete');
  await actors.settle();
  assert.is(actors.answers.get(held)?.code, 'in_use');
  assert.match(actors.answers.get(held)?.message ?? '', 'port/acme/one, port/acme/two');
  const gone = [actors.ask('port/acme/one', 'delete'), actors.ask('port/acme/two', 'delete')];
  await actors.settle();
  assert.equal(
    gone.map((id) => actors.answers.get(id)?.ok),
    [true, true],
  );
  assert.is(network.taps.size, 0);
  assert.equal(network.routesOf('vpc/acme/main@w1'), []);
  const end = [actors.ask('network/acme/front', 'delete')];
  await actors.settle();
  assert.is(network.segments.size, 0);
  end.push(actors.ask('tenant/acme/acme', 'delete'));
  await actors.settle();
  assert.equal(
    end.map((id) => actors.answers.get(id)?.ok),
    [true, true],
  );
  assert.equal([...actors.hosts.keys()].sort(), ['cluster/system/main', 'host/system/w1', 'host/system/w2']);
  assert.equal([...actors.rowsOf('cluster/system/main').keys()], []);
  const strangers = actors.deadLetters.filter(({ to }) => !to.startsWith('agent/'));
  assert.equal(strangers, []);
});

test('a VM holds its port: tapped, wired by its run, bound again on a restart, moved to another host', async () => {
  const { actors, network } = await withNetwork();
  const vm = 'vm/acme/web';
  const heard = (): string[] =>
    actors.deadLetters
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
  const spec = { network: 'front', address: null, mac: null, host: null };
  actors.tell(port, { type: 'port.claim', spec, holder: vm }, vm);
  await actors.settle();
  assert.equal(heard(), ['port.ready']);
  const bind = async (name: string, runEpoch: number): Promise<void> => {
    actors.tell(port, { type: 'port.bind', holder: vm, host: host(name), runEpoch }, vm);
    await actors.settle();
  };
  await bind('w1', 1);
  assert.is(actors.state(port), 'tapped');
  assert.equal(heard(), ['port.tapped']);
  const wire = async (name: string): Promise<void> => {
    const run = `incarnation/acme/web@${name}`;
    actors.tell(`binding/acme/web.eth0@${name}`, { type: 'binding.wire', requester: run }, run);
    await actors.settle();
  };
  await wire('w1');
  assert.is(actors.state(port), 'active');
  assert.equal(heard().sort(), ['binding.wired', 'port.active']);
  await bind('w1', 2);
  assert.is(actors.state(port), 'tapped');
  assert.is(network.taps.get('binding/acme/web.eth0@w1')?.place, 'host');
  await wire('w1');
  await bind('w1', 1);
  assert.is(actors.state(port), 'active', 'an earlier run changes nothing');
  heard();
  await bind('w2', 3);
  assert.is(actors.state(port), 'tapped');
  assert.equal([...network.taps.keys()], ['binding/acme/web.eth0@w2']);
  const client = actors.ask(port, 'delete');
  await actors.settle();
  assert.is(actors.answers.get(client)?.code, 'in_use');
  heard();
  actors.tell(port, { type: 'port.release', holder: vm }, vm);
  await actors.settle();
  assert.equal(heard(), ['port.gone']);
  assert.is(network.taps.size, 0);
  actors.tell(port, { type: 'port.release', holder: vm }, vm);
  await actors.settle();
  assert.equal(heard(), ['port.gone'], 'a repeated release is answered again');
});

for (const group of ['fault', 'unknown'] as const) {
  for (const method of ['realizeSegment', 'changeSegment', 'createTap', 'wireTap', 'removeTap', 'removeSegment']) {
    test(`the actors recover from a ${group} of ${method}`, async () => {
      const { actors, network } = await withNetwork();
      network.failNext(method, group, group);
      actors.ask('port/acme/one', 'create', { network: 'front', host: 'w1' });
      actors.ask('port/acme/two', 'create', { network: 'front', host: 'w2' });
      await actors.pass(20_000);
      assert.equal([actors.state('port/acme/one'), actors.state('port/acme/two')], ['active', 'active']);
      for (const host of ['w1', 'w2']) assert.is(network.routesOf(`vpc/acme/main@${host}`).length, 1, host);
      actors.ask('port/acme/one', 'delete');
      actors.ask('port/acme/two', 'delete');
      await actors.pass(20_000);
      const gone = actors.ask('network/acme/front', 'delete');
      await actors.pass(20_000);
      assert.ok(actors.answers.get(gone)?.ok);
      assert.equal([network.taps.size, network.segments.size], [0, 0]);
    });
  }
}

test('a defeat ends in failed, says why, and a delete leaves nothing', async () => {
  for (const method of ['realizeSegment', 'createTap', 'wireTap']) {
    const { actors, network } = await withNetwork();
    network.failNext(method, 'defeat');
    actors.ask('port/acme/one', 'create', { network: 'front', host: 'w1' });
    await actors.settle();
    assert.is(actors.state('port/acme/one'), 'failed', method);
    assert.match(JSON.stringify(actors.context('port/acme/one')['failure']), method);
    const gone = actors.ask('port/acme/one', 'delete');
    await actors.settle();
    assert.ok(actors.answers.get(gone)?.ok);
    assert.is(network.taps.size, 0);
  }
});

test('a segment that breaks is made again with all its routes', async () => {
  const { actors, network } = await withNetwork();
  actors.ask('port/acme/one', 'create', { network: 'front', host: 'w1' });
  actors.ask('port/acme/two', 'create', { network: 'front', host: 'w2' });
  await actors.settle();
  network.breakSegment('vpc/acme/main@w1');
  await actors.settle();
  assert.is(actors.state('segment/acme/main@w1'), 'serving.ready');
  assert.equal(network.routesOf('vpc/acme/main@w1'), [['10.0.0.6', 2]]);
});

test('invalid declarations are rejected before anything is created', async () => {
  const { actors, network } = await withNetwork();
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
    ['network/acme/front', 'create', { subnets: [{ cidr: '10.9.0.0/24' }] }, 'exists_differently', 'spec.subnets.0'],
    ['port/acme/x', 'create', { network: 'front', address: '10.9.0.9' }, 'address_outside_subnet', 'spec.address'],
    ['port/acme/x', 'create', { network: 'front', address: '10.0.0.1' }, 'address_reserved', 'spec.address'],
    ['port/acme/x', 'create', { network: 'front', address: '10.0.0.255' }, 'address_reserved', 'spec.address'],
    ['port/acme/x', 'create', { network: 'front', mac: '02:50:00:00:00:01' }, 'mac_invalid', 'spec.mac'],
    ['port/acme/x', 'create', { network: 'front', host: 'w9' }, 'host_not_found', 'spec.host'],
  ];
  for (const [id, name, params, code, path] of wrong) {
    const answer = actors.ask(id, name, params);
    await actors.settle();
    const { ok, code: found, issues } = actors.answers.get(answer) ?? { ok: true };
    assert.equal([ok, found, issues?.[0]?.path], [false, code, path], JSON.stringify(params));
    if (id !== 'network/acme/front') assert.is(actors.state(id), undefined, `${id} is left`);
  }
  actors.ask('port/acme/a', 'create', { network: 'front', address: '10.0.0.9', mac: '02:11:00:00:00:01' });
  const taken = actors.ask('port/acme/b', 'create', { network: 'front', address: '10.0.0.9' });
  const same = actors.ask('port/acme/c', 'create', { network: 'front', mac: '02:11:00:00:00:01' });
  await actors.settle();
  assert.equal(
    [taken, same].map((id) => actors.answers.get(id)?.code),
    ['address_taken', 'mac_taken'],
  );
  assert.equal([network.taps.size, network.segments.size], [0, 0]);
});

test('a released address rests, except for the same port', async () => {
  const { actors } = await withNetwork();
  const make = async (name: string): Promise<string | undefined> => {
    const answer = actors.ask(`port/acme/${name}`, 'create', { network: 'front', address: '10.0.0.9' });
    await actors.settle();
    return actors.answers.get(answer)?.code;
  };
  assert.is(await make('a'), undefined);
  actors.ask('port/acme/a', 'delete');
  assert.is(await make('b'), 'address_taken');
  assert.is(await make('a'), undefined);
  actors.ask('port/acme/a', 'delete');
  await actors.pass(600_000);
  assert.is(await make('b'), undefined);
});

test.run();
