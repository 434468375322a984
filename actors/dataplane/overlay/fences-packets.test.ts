/**
 * What the fences of a VPC do to packets, on the real kernel over two hosts: a guest that was given up on the other
 * host is there and answers nobody here, also not in a peered VPC, while its neighbour does; with the end of the fence
 * it is as before.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, nextCall, openForTests, ownerOf, testNetwork } from '../dataplane-for-tests.ts';
import { makeUnderlay, RemoteHost, twoHosts } from '../remote-host-for-tests.ts';
import { groupId, rule } from '../security-group/groups-for-tests.ts';
import { serviceAsk, ServiceVpc, type SocketGuest } from '../service-ip/service-vpc-for-tests.ts';

const open = groupId('open');
const groups = { [open]: [rule({ direction: 'ingress' }), rule({ direction: 'egress' })] };
const [here, lost, beside] = ['10.77.1.11', '10.77.1.31', '10.77.1.32'];

// A peered VPC.
const peered = { vpc: 'vpc/acme/peer', network: 'network/acme/peer', gateway: '10.78.1.1', address: '10.78.1.12' };
const ofMain = '10.77.1.0/24';
const ofPeer = '10.78.1.0/24';
const peering = (peer: string, cidr: string, own: string) => ({
  'peering/acme/both': { peer, cidrs: [cidr], own: [own], mtu: 1450 },
});

inOwnNamespaces(import.meta.filename, () => {
  const [w1, w2] = twoHosts;
  const { opened } = openForTests({ host: w1.name, underlay: w1.underlay });
  let remote: RemoteHost;
  let vpc: ServiceVpc;
  let near: SocketGuest;
  let givenUp: SocketGuest;
  let other: ServiceVpc;
  let abroad: SocketGuest;
  let neighbour: SocketGuest;

  test.before(async () => {
    await makeUnderlay();
    remote = new RemoteHost();
    const routes = [lost, beside].map((address) => ({ address, host: 2 }));
    const options = { vni: 7703, groups, self: w1, peers: [w2], routes };
    vpc = await ServiceVpc.make(await opened, options, remote);
    const back = { ...options, self: w2, peers: [w1], routes: [{ address: here, host: 1 }] };
    assert.equal((await remote.call('realizeSegment', serviceAsk(back))).failed, {});
    near = await vpc.wire(11, { groups: [open] });
    givenUp = await vpc.wireRemote(31, { groups: [open] });
    neighbour = await vpc.wireRemote(32, { groups: [open] });
    const subnets = [{ name: 'a', cidr: ofPeer, gateway: peered.gateway }];
    const beyond = {
      ...options,
      owner: ownerOf('segment/acme/peer@w1'),
      vpc: peered.vpc,
      vni: 7704,
      networks: [testNetwork({ network: peered.network, uid: '01TESTPEER', subnets })],
      routes: [],
    };
    other = await ServiceVpc.make(await opened, beyond, remote);
    const home = [{ address: peered.address, host: 1 }];
    const there = { ...beyond, self: w2, peers: [w1], routes: home };
    assert.equal((await remote.call('realizeSegment', serviceAsk(there))).failed, {});
    await vpc.changeSection('peerings', peering(peered.vpc, ofPeer, ofMain));
    await other.changeSection('peerings', peering('vpc/acme/main', ofMain, ofPeer));
    abroad = await other.wire(12, { ...peered, groups: [open] });
    for (const [guest, name] of [
      [near, 'near'],
      [givenUp, 'lost'],
      [neighbour, 'beside'],
      [abroad, 'abroad'],
    ] as const)
      await guest.serve(name, 8080);
  });
  test.after(async () => {
    await other.close();
    await vpc.close();
    await remote.close();
  });

  /** Who answers whom: in both directions, and for the neighbour. */
  const answers = async (): Promise<readonly string[]> => [
    await near.reach(lost, 8080, { timeoutMs: 1500 }),
    await givenUp.reach(here, 8080, { timeoutMs: 1500 }),
    await near.reach(beside, 8080),
    await neighbour.reach(here, 8080),
    await neighbour.reach(lost, 8080),
  ];
  const all = ['lost', 'near', 'beside', 'near', 'lost'];

  test('what a given-up guest sends reaches no other host, in no flow; others there are not touched', async () => {
    assert.equal(await answers(), all);
    const [to, from] = [await near.open(lost, 8080), await givenUp.open(here, 8080)];
    assert.ok((await near.stream(to)).sound && (await givenUp.stream(from)).sound);
    const fence = { one: { host: w2.index, addresses: [lost] } };
    await vpc.changeSection('fences', fence);
    assert.not.ok((await near.stream(to, 10_000, 2_000)).sound, 'a flow that was open goes on');
    assert.not.ok((await givenUp.stream(from, 10_000, 2_000)).sound, 'a flow of the given-up guest goes on');
    // Its own host still reaches it: it is there.
    assert.equal(await answers(), ['silence', 'silence', 'beside', 'near', 'lost']);
    await vpc.changeSection('fences', {}, fence);
    assert.equal(await answers(), all);
  });

  test('nor does it reach a peered VPC on another host, where the run that took its place is heard', async () => {
    const crossing = async (): Promise<readonly string[]> => [
      await givenUp.reach(peered.address, 8080, { timeoutMs: 1500 }),
      await abroad.reach(lost, 8080, { timeoutMs: 1500 }),
      await neighbour.reach(peered.address, 8080),
      await abroad.reach(beside, 8080),
    ];
    const heard = ['abroad', 'lost', 'abroad', 'beside'];
    assert.equal(await crossing(), heard);
    const flow = await givenUp.open(peered.address, 8080);
    // The same addresses, given up on a third host: what comes from this one is of the run that took its place.
    const elsewhere = { one: { host: 9, addresses: [lost] } };
    await vpc.changeSection('fences', elsewhere);
    assert.equal(await crossing(), heard);
    assert.ok((await givenUp.stream(flow)).sound);
    const fence = { two: { host: w2.index, addresses: [lost] } };
    await vpc.changeSection('fences', fence);
    assert.not.ok((await givenUp.stream(flow, 10_000, 2_000)).sound, 'a flow that was open goes on');
    assert.equal(await crossing(), ['silence', 'silence', 'abroad', 'beside']);
    // Whoever joins the link anew finds the fence.
    const both = peering('vpc/acme/main', ofMain, ofPeer);
    await other.changeSection('peerings', {}, both);
    const copies = (): Promise<string> => other.inside('nft', 'list', 'tables');
    assert.not.match(await copies(), /fence/);
    await other.changeSection('peerings', both);
    await vpc.changeSection('peerings', peering(peered.vpc, ofPeer, ofMain));
    assert.equal(await crossing(), ['silence', 'silence', 'abroad', 'beside']);
    // An administrator's hand shows.
    const [table = ''] = /inet fence_\S+/.exec(await copies()) ?? [];
    await other.inside('nft', 'delete', 'table', ...table.split(' '));
    const { segment } = serviceAsk(vpc.options);
    const sections = { fences: { generation: 9, elements: { ...elsewhere, ...fence } } };
    const { drift } = await (await opened).readSegment({ segment, sections }, nextCall());
    assert.match(JSON.stringify(drift), /02 \. 10\.77\.1\.31 is not dropped over/);
    await (await opened).realizeSegment({ segment, sections }, nextCall());
    assert.match(await copies(), /inet fence_/);
    await vpc.changeSection('fences', {}, { ...elsewhere, ...fence });
    assert.equal(await crossing(), heard);
    assert.not.match(await copies(), /fence/);
  });
});

test.run();
