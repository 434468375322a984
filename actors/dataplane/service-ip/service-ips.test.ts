/**
 * Service IPs on the real kernel, on one host: who asks for one is served, flows spread over backends, sources stay on
 * theirs, flows to a backend that goes end and others do not notice, what leads nowhere is refused.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, openForTests, ownerOf, testNetwork } from '../dataplane-for-tests.ts';
import { serviceId, serviceOf, ServiceVpc, type Opened, type SocketGuest } from './service-vpc-for-tests.ts';

const address = '10.77.1.200';
const web = serviceId('web');

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  let vpc: ServiceVpc;
  let client: SocketGuest;
  let far: SocketGuest;
  const backends = ['10.77.1.21', '10.77.1.22', '10.77.1.23'];
  const servers: SocketGuest[] = [];

  test.before(async () => {
    const network = testNetwork({
      subnets: [...testNetwork().subnets, { name: 'b', cidr: '10.78.1.0/24', gateway: '10.78.1.1' }],
    });
    vpc = await ServiceVpc.make(await opened, { networks: [network] });
    client = await vpc.wire(11);
    far = await vpc.wire(12, { address: '10.78.1.12', gateway: '10.78.1.1' });
    for (const index of [21, 22, 23]) {
      const server = await vpc.wire(index);
      await server.serve(`b${index}`, 8080);
      await server.serve(`u${index}`, 5353, 'udp');
      await server.serve(`s${index}`, 8443);
      servers.push(server);
    }
  });
  test.after(() => vpc.close());

  test('a service IP answers ARP and serves clients of its subnet and of others', async () => {
    await vpc.change({ [web]: serviceOf({ backends: ['10.77.1.21'] }) });
    assert.is(await client.reach(address, 80), 'b21');
    assert.match(await client.inside('ip', 'neigh', 'show', address), /lladdr 02:00:5e:00:00:01 REACHABLE/);
    const flow = await far.open(address, 80);
    assert.equal([flow.name, flow.source], ['b21', '10.78.1.12'], 'the server sees another client');
    assert.equal((await far.stream(flow, 100_000)).sound, true);
    assert.match(await client.inside('ping', '-c1', '-W5', address), /1 received/);
  });

  test('flows spread over the backends', async () => {
    await vpc.change({ [web]: serviceOf({ backends }) });
    const counts = new Map<string, number>();
    for (let count = 0; count < 60; count += 1) {
      const name = await client.reach(address, 80);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    assert.equal([...counts].sort(), [
      ['b21', 20],
      ['b22', 20],
      ['b23', 20],
    ]);
  });

  test('a source keeps its backend where that is asked for', async () => {
    await vpc.change({ [web]: serviceOf({ backends, affinity: 'source' }) });
    const names = new Set<string>();
    for (let count = 0; count < 12; count += 1) names.add(await client.reach(address, 80));
    assert.is(names.size, 1, [...names].join());
    const [kept = ''] = names;
    // A backend less that is not its own does not move it, and neither does one that comes back.
    const other = backends.find((one) => !kept.endsWith(one.slice(-2))) ?? '';
    await vpc.change({ [web]: serviceOf({ backends: backends.filter((one) => one !== other), affinity: 'source' }) });
    assert.is(await client.reach(address, 80), kept);
    await vpc.change({ [web]: serviceOf({ backends, affinity: 'source' }) });
    assert.is(await client.reach(address, 80), kept);
  });

  test('ports lead to ports of their own, tcp and udp apart', async () => {
    const ports = [
      { protocol: 'tcp', port: 80, targetPort: 8080 },
      { protocol: 'tcp', port: 443, targetPort: 8443 },
      { protocol: 'udp', port: 53, targetPort: 5353 },
      { protocol: 'udp', port: 80, targetPort: 5353 },
    ] as const;
    await vpc.change({ [web]: serviceOf({ ports, backends }) });
    assert.match(await client.reach(address, 80), /^b/);
    assert.match(await client.reach(address, 443), /^s/);
    const names = new Set<string>();
    for (let count = 0; count < 6; count += 1) {
      const { name, source, error } = await client.udp(address, count % 2 === 0 ? 53 : 80);
      assert.equal([source, error], ['10.77.1.11', undefined]);
      names.add(String(name));
    }
    assert.equal([...names].sort(), ['u21', 'u22', 'u23']);
  });

  test('flows to a backend that goes end at once, those to the others do not notice', async () => {
    await vpc.change({ [web]: serviceOf({ backends }) });
    const flows = await Promise.all(Array.from({ length: 12 }, () => client.open(address, 80)));
    assert.equal(new Set(flows.map(({ name }) => name)), new Set(['b21', 'b22', 'b23']));
    // Bytes are on their way all the time.
    const streams = flows.map((flow) => client.stream(flow, 3_000_000));
    await vpc.change({ [web]: serviceOf({ backends: backends.slice(1) }) });
    const ended = await Promise.all(streams);
    for (const [index, { sound, state }] of ended.entries())
      if (flows[index]?.name === 'b21')
        assert.ok(state === 'ECONNRESET' || sound, `it neither ended nor was whole: ${state}`);
      else assert.equal([sound, state], [true, 'open'], flows[index]?.name ?? '');
    for (const flow of flows) {
      const { sound, state } = await client.stream(flow, 1000);
      assert.equal([sound, state], flow.name === 'b21' ? [false, 'ECONNRESET'] : [true, 'open']);
    }
    const names = new Set<string>();
    for (let count = 0; count < 8; count += 1) names.add(await client.reach(address, 80));
    assert.equal([...names].sort(), ['b22', 'b23']);
    // One that comes gets new flows only.
    await vpc.change({ [web]: serviceOf({ backends }) });
    for (const flow of flows.filter(({ name }) => name !== 'b21'))
      assert.equal([(await client.stream(flow, 1000)).sound], [true]);
    for (let count = 0; count < 3; count += 1) names.add(await client.reach(address, 80));
    assert.equal([...names].sort(), ['b21', 'b22', 'b23']);
  });

  test('another target port ends the flows to the one before', async () => {
    const at = (targetPort: number) => ({
      [web]: serviceOf({ ports: [{ protocol: 'tcp', port: 80, targetPort }], backends }),
    });
    await vpc.change(at(8080));
    const flow = await client.open(address, 80);
    await vpc.change(at(8443));
    assert.is((await client.stream(flow, 1000)).state, 'ECONNRESET');
    assert.match(await client.reach(address, 80), /^s/);
  });

  test('a backend that calls its own service IP reaches the others and itself', async () => {
    await vpc.change({ [web]: serviceOf({ backends }) });
    const caller = servers[0] as SocketGuest;
    const seen = new Map<string, string>();
    for (let count = 0; count < 3; count += 1) {
      const flow = await caller.open(address, 80);
      seen.set(flow.name, flow.source);
      assert.ok((await caller.stream(flow, 50_000)).sound);
    }
    // A guest takes no packet from its own address: it sees its gateway.
    assert.equal([...seen].sort(), [
      ['b21', '10.77.1.1'],
      ['b22', '10.77.1.21'],
      ['b23', '10.77.1.21'],
    ]);
    await vpc.change({ [web]: serviceOf({ backends: ['10.77.1.21'], affinity: 'source' }) });
    assert.is(await caller.reach(address, 80), 'b21');
  });

  test('a port that leads nowhere, and every port without backends, is refused at once', async () => {
    await vpc.change({ [web]: serviceOf({ backends }) });
    assert.is(await client.reach(address, 81), 'ECONNREFUSED');
    assert.is((await client.udp(address, 80)).error, 'ECONNREFUSED');
    const flow = await client.open(address, 80);
    await vpc.change({ [web]: serviceOf() });
    assert.is((await client.stream(flow, 1000)).state, 'ECONNRESET');
    for (const guest of [client, far]) assert.is(await guest.reach(address, 80), 'ECONNREFUSED');
    await vpc.change({ [web]: serviceOf({ backends }) });
    assert.match(await client.reach(address, 80), /^b/);
  });

  test('two VPCs with the same addresses do not see each other', async () => {
    const here = { [web]: serviceOf({ backends: ['10.77.1.21'] }) };
    await vpc.change(here);
    const id = 'vpc/rival/main';
    const network = { ...testNetwork(), network: 'network/rival/front' };
    const more = { vpc: id, vni: 7709, owner: ownerOf('segment/rival/main@w1'), networks: [network] };
    const rival = await ServiceVpc.make(await opened, more);
    try {
      const wired = async (index: number) =>
        rival.wire(index, { network: network.network, owner: ownerOf(`binding/rival/web-${index}.eth0@w1`) });
      const [caller, server] = [await wired(11), await wired(21)];
      await server.serve('rival', 8080);
      assert.is(await caller.reach(address, 80, { timeoutMs: 1500 }), 'silence');
      await rival.change({ [serviceId('web', 'rival')]: serviceOf({ backends: ['10.77.1.21'] }) });
      const flows = [await caller.open(address, 80), await client.open(address, 80)];
      assert.equal(
        flows.map(({ name }) => name),
        ['rival', 'b21'],
      );
      await rival.change({ [serviceId('web', 'rival')]: serviceOf() });
      assert.is(await caller.reach(address, 80), 'ECONNREFUSED');
      assert.is((await caller.stream(flows[0] as Opened, 1000)).state, 'ECONNRESET');
      assert.ok((await client.stream(flows[1] as Opened, 1000)).sound);
      assert.is(await vpc.drift(here), '{}');
    } finally {
      await rival.close();
    }
  });

  test('a service IP that goes takes its flows and everything of it along', async () => {
    const spare = serviceId('spare');
    const other = serviceOf({ address: '10.77.1.201', backends: ['10.77.1.22'] });
    await vpc.change({ [web]: serviceOf({ backends }), [spare]: other });
    const [flow, kept] = [await client.open(address, 80), await client.open('10.77.1.201', 80)];
    await vpc.change({}, { [web]: serviceOf({ backends }) });
    assert.not.ok((await client.stream(flow, 1000, 2000)).sound);
    assert.ok((await client.stream(kept, 1000)).sound);
    assert.is(await client.reach(address, 80, { timeoutMs: 1500 }), 'silence');
    assert.not.match(await vpc.inside('nft', 'list', 'table', 'ip', 'service'), /10\.77\.1\.200/);
    await vpc.change({}, { [spare]: other });
    assert.not.match(await vpc.inside('nft', 'list', 'ruleset'), /table ip service/);
    assert.not.match(await vpc.inside('ip', 'route', 'show', 'table', 'local'), /static/);
    assert.not.match(await vpc.inside('conntrack', '-L', '-p', 'tcp'), /dst=10\.77\.1\.20/);
  });
});

test.run();
