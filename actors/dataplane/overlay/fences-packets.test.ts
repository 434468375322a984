/**
 * What the fences of a VPC do to packets, on the real kernel over two hosts: a guest that was given up on the other
 * host is there and answers nobody here, while its neighbour does; with the end of the fence it is as before.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inOwnNamespaces, openForTests } from '../dataplane-for-tests.ts';
import { makeUnderlay, RemoteHost, twoHosts } from '../remote-host-for-tests.ts';
import { groupId, rule } from '../security-group/groups-for-tests.ts';
import { serviceAsk, ServiceVpc, type SocketGuest } from '../service-ip/service-vpc-for-tests.ts';

const open = groupId('open');
const groups = { [open]: [rule({ direction: 'ingress' }), rule({ direction: 'egress' })] };
const [here, lost, beside] = ['10.77.1.11', '10.77.1.31', '10.77.1.32'];

inOwnNamespaces(import.meta.filename, () => {
  const [w1, w2] = twoHosts;
  const { opened } = openForTests({ host: w1.name, underlay: w1.underlay });
  let remote: RemoteHost;
  let vpc: ServiceVpc;
  let near: SocketGuest;
  let givenUp: SocketGuest;
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
    for (const [guest, name] of [
      [near, 'near'],
      [givenUp, 'lost'],
      [neighbour, 'beside'],
    ] as const)
      await guest.serve(name, 8080);
  });
  test.after(async () => {
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
});

test.run();
