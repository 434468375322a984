/**
 * Service IPs on the real kernel over two hosts: backends of the other host, security groups that decide with the
 * client's own address and, on its side, with the service IP, and clients from outside, over gw0.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GroupRule } from '@photoncloud/machines/values/group-rules';
import { inOwnNamespaces, openForTests, run } from '../dataplane-for-tests.ts';
import { makeUnderlay, RemoteHost, twoHosts } from '../remote-host-for-tests.ts';
import { groupId, rule } from '../security-group/groups-for-tests.ts';
import { serviceAsk, serviceId, serviceOf, ServiceVpc, SocketGuest } from './service-vpc-for-tests.ts';

const address = '10.77.1.200';
const web = serviceId('web');
const [near, far] = ['10.77.1.21', '10.77.1.31'];
const open = [rule({ direction: 'ingress' }), rule({ direction: 'egress' })];
const tcp = (more: Partial<GroupRule> & Pick<GroupRule, 'direction'>, port: number): GroupRule =>
  rule({ protocol: 'tcp', ports: { from: port, to: port }, ...more });
const toWeb = (port: number): GroupRule => tcp({ direction: 'egress', remote: { serviceIp: web } }, port);
const fromClient = tcp({ direction: 'ingress', remote: { cidr: '10.77.1.11/32' } }, 8080);

const groups = {
  [groupId('open')]: open,
  [groupId('client')]: [toWeb(80)],
  [groupId('server')]: [fromClient],
};
const routes = [
  { address: '10.77.1.31', host: 2 },
  { address: '10.77.1.32', host: 2 },
];
const routesBack = [11, 12, 21].map((last) => ({ address: `10.77.1.${last}`, host: 1 }));

/** Streams go on or have ended. */
const state = async (guest: SocketGuest, flow: Awaited<ReturnType<SocketGuest['open']>>): Promise<string> => {
  const { sound, state: now } = await guest.stream(flow, 1000, 3000);
  return sound ? 'goes on' : now;
};

inOwnNamespaces(import.meta.filename, () => {
  const [w1, w2] = twoHosts;
  const { opened } = openForTests({ host: w1.name, underlay: w1.underlay });
  let remote: RemoteHost;
  let vpc: ServiceVpc;
  let client: SocketGuest;
  let other: SocketGuest;
  let outside: SocketGuest;

  test.before(async () => {
    await makeUnderlay();
    remote = new RemoteHost();
    const options = { vni: 7702, groups, self: w1, peers: [w2], routes };
    vpc = await ServiceVpc.make(await opened, options, remote);
    const there = await remote.call(
      'realizeSegment',
      serviceAsk({ ...options, self: w2, peers: [w1], routes: routesBack }),
    );
    assert.equal(there.failed, {});
    client = await vpc.wire(11, { groups: [groupId('client')] });
    other = await vpc.wire(12, { groups: [groupId('open')] });
    for (const server of [
      await vpc.wire(21, { groups: [groupId('server')] }),
      await vpc.wireRemote(31, { groups: [groupId('server')] }),
    ])
      await server.serve(server === vpc.guests[2] ? 'near' : 'far', 8080);
  });
  test.after(async () => {
    await vpc.close();
    await outside?.close();
    await remote.close();
  });

  const lead = (backends: readonly string[], more = {}) => vpc.change({ [web]: serviceOf({ backends, ...more }) });
  const rules = (name: string, list: readonly GroupRule[]) =>
    vpc.changeSection('security-groups', { [groupId(name)]: { rules: list } });

  test('a backend of another host serves, and sees the client itself', async () => {
    await lead([far]);
    const flow = await client.open(address, 80);
    assert.equal([flow.name, flow.source], ['far', '10.77.1.11']);
    assert.ok((await client.stream(flow, 500_000)).sound);
    await lead([near, far]);
    const names = new Set([await client.reach(address, 80), await client.reach(address, 80)]);
    assert.equal([...names].sort(), ['far', 'near']);
    assert.is(await state(client, flow), 'goes on');
    await lead([near]);
    assert.is(await state(client, flow), 'ECONNRESET');
  });

  test('on the side of the backend its groups decide, with the address of the client', async () => {
    for (const [backend, name] of [
      [near, 'near'],
      [far, 'far'],
    ] as const) {
      await lead([backend]);
      assert.is(await client.reach(address, 80), name);
      assert.is(await other.reach(address, 80, { timeoutMs: 1500 }), 'silence', `${name} admits a client of no rule`);
      const flow = await client.open(address, 80);
      await rules('server', []);
      assert.is(await client.reach(address, 80, { timeoutMs: 1500 }), 'silence');
      assert.is.not(await state(client, flow), 'goes on', `a flow to ${name} goes on that is not admitted any more`);
      await rules('server', [fromClient]);
    }
  });

  test('on the side of the client its groups decide, by the service IP and its port', async () => {
    const silent = async (port = 80) => (await client.reach(address, port, { timeoutMs: 1500 })) === 'silence';
    for (const backend of [near, far]) {
      await lead([backend], { ports: [80, 81].map((port) => ({ protocol: 'tcp', port, targetPort: 8080 })) });
      await rules('client', [toWeb(80)]);
      const flow = await client.open(address, 80);
      assert.is(flow.error, undefined);
      assert.ok(await silent(81), 'a port of the service IP that no rule names');
      // Around the service IP the same port of the same backend is another thing.
      assert.is(await client.reach(backend, 8080, { timeoutMs: 1500 }), 'silence');
      await rules('client', [toWeb(80), toWeb(81)]);
      assert.not.ok(await silent(81));
      assert.is(await state(client, flow), 'goes on');
      await rules('client', [toWeb(81)]);
      assert.ok(await silent());
      assert.is.not(await state(client, flow), 'goes on');
      // A rule for the address of the backend admits the flow, too, with the port of the backend.
      await rules('client', [tcp({ direction: 'egress', remote: { cidr: `${backend}/32` } }, 8080)]);
      assert.not.ok(await silent());
      await rules('client', [tcp({ direction: 'egress', remote: { cidr: `${address}/32` } }, 80)]);
      assert.ok(await silent(), 'the packet that egress sees is sent to the backend');
    }
    await rules('client', [toWeb(80)]);
  });

  test('clients from outside come in over gw0 and keep their addresses', async () => {
    const inside = (...words: string[]) => vpc.inside(...words);
    await run('ip', 'netns', 'add', 'gw');
    await run('ip', '-n', vpc.namespace, 'link', 'add', 'gw0', 'type', 'veth', 'peer', 'name', 'in0', 'netns', 'gw');
    await inside('ip', 'addr', 'add', '169.254.65.1/30', 'dev', 'gw0');
    await inside('ip', 'link', 'set', 'gw0', 'up');
    await inside('ip', 'route', 'add', 'default', 'via', '169.254.65.2', 'dev', 'gw0');
    await inside('nft', 'add', 'element', 'inet', 'sg', 'transit', '{ "gw0" }');
    await run('ip', '-n', 'gw', 'link', 'set', 'lo', 'up');
    await run('ip', '-n', 'gw', 'link', 'set', 'in0', 'up');
    await run('ip', '-n', 'gw', 'addr', 'add', '169.254.65.2/30', 'dev', 'in0');
    for (let last = 1; last <= 60; last += 1)
      await run('ip', '-n', 'gw', 'addr', 'add', `198.51.100.${last}/32`, 'dev', 'lo');
    await run('ip', '-n', 'gw', 'route', 'add', '10.77.0.0/16', 'via', '169.254.65.1', 'src', '198.51.100.1');
    const onRemote = `${(await remote.call('readSegment', serviceAsk())).proof['namespace']}`;
    await run('ip', '-n', onRemote, 'route', 'add', 'default', 'via', '169.254.64.1', 'dev', 'vx0', 'onlink');
    outside = new SocketGuest('gw');

    await lead([near, far]);
    assert.is(await outside.reach(address, 80, { timeoutMs: 1500 }), 'silence', 'no rule admits it');
    await rules('server', [fromClient, tcp({ direction: 'ingress', remote: { cidr: '198.51.100.0/24' } }, 8080)]);
    const flows = [await outside.open(address, 80), await outside.open(address, 80)];
    assert.equal(flows.map(({ name, source }) => [name, source]).sort(), [
      ['far', '198.51.100.1'],
      ['near', '198.51.100.1'],
    ]);
    for (const flow of flows) assert.ok((await outside.stream(flow, 200_000)).sound);
    assert.is(await outside.reach(address, 81), 'ECONNREFUSED');
    await lead([near]);
    for (const flow of flows) assert.is(await state(outside, flow), flow.name === 'near' ? 'goes on' : 'ECONNRESET');
  });

  test('a source with affinity changes its backend only with it, and is back when it returns', async () => {
    const third = await vpc.wireRemote(32, { groups: [groupId('server')] });
    await third.serve('third', 8080);
    const backends = [near, far, '10.77.1.32'];
    const places = async (): Promise<readonly string[]> => {
      const found: string[] = [];
      for (let last = 1; last <= 60; last += 1)
        found.push(await outside.reach(address, 80, { source: `198.51.100.${last}` }));
      return found;
    };
    await lead(backends, { affinity: 'source' });
    const before = await places();
    const counts = Map.groupBy(before, (name) => name);
    assert.equal([...counts.keys()].sort(), ['far', 'near', 'third']);
    assert.ok(
      [...counts.values()].every((all) => all.length >= 8),
      JSON.stringify(before),
    );
    assert.equal(await places(), before, 'a source changed its backend, and nothing had changed');
    // As another host, or this one after a reboot, makes it.
    await vpc.inside('nft', 'delete', 'table', 'ip', 'service');
    await lead(backends, { affinity: 'source' });
    assert.equal(await places(), before, 'a table made anew leads elsewhere');
    await lead([near, far], { affinity: 'source' });
    const fewer = await places();
    const moved = before.filter((name, index) => name !== 'third' && fewer[index] !== name);
    assert.equal(moved, [], 'a source moved whose backend stayed');
    await lead(backends, { affinity: 'source' });
    assert.equal(await places(), before);
  });
});

test.run();
