/**
 * Allowed address pairs and ports without port security, with packets made by hand: a guest is what its port says, at
 * each of its addresses, and nothing else; what is taken away is gone from the kernel (docs/threats.md#t60, #t61).
 */
// needs: kernel
// test limit: 150 s
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AddressPair } from '@photoncloud/machines/values/wiring';
import {
  codeOf,
  inOwnNamespaces,
  nextCall,
  openForTests,
  openGroup,
  ownerOf,
  tapSpec,
} from '../dataplane-for-tests.ts';
import { gatewayMac } from '../kernel-names.ts';
import { GroupVpc, groupId, rule, type Sample } from '../security-group/groups-for-tests.ts';

const udpTo = (port: number, more: Partial<Sample> = {}): Sample => ({ protocol: 17, ports: [4000, port], ...more });
const virtualMac = '00:00:5e:00:01:07';
const macOf = (port: number): string => tapSpec(port).mac;
const plain = (last: number, port = 11): AddressPair => ({ address: `10.77.1.${last}`, mac: macOf(port) });
const virtual = (last: number): AddressPair => ({ address: `10.77.1.${last}`, mac: virtualMac });

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  let vpc: GroupVpc;

  test('a port is reached at its pairs, each with its MAC, and sends as each of them and as nobody else', async () => {
    vpc = await GroupVpc.make(await opened);
    const pairs = [plain(50), virtual(99)];
    const proof = await vpc.wireWith(11, { pairs });
    assert.equal(proof.pairs, pairs);
    await vpc.wireWith(12, {});
    const there = ['10.77.1.11', '10.77.1.50', '10.77.1.99', '10.77.1.98'].map((to) => udpTo(53, { to }));
    assert.equal(await vpc.passing(12, 11, there), [true, true, true, false]);
    const toMac = (to: string) =>
      vpc.guest(11).frames.filter((frame) => frame.includes(Buffer.from(to.split('.').map(Number)).toString('hex')));
    const receivers = ['10.77.1.50', '10.77.1.99'].map((to) => toMac(to)[0]?.slice(0, 12));
    assert.equal(
      receivers,
      [macOf(11), virtualMac].map((mac) => mac.replaceAll(':', '')),
    );
    const sent: readonly (readonly [Partial<Sample>, boolean])[] = [
      [{ from: '10.77.1.11' }, true],
      [{ from: '10.77.1.50' }, true],
      [{ from: '10.77.1.99', fromMac: virtualMac }, true],
      [{ from: '10.77.1.99' }, false],
      [{ from: '10.77.1.50', fromMac: virtualMac }, false],
      [{ from: '10.77.1.98' }, false],
      [{ from: '10.77.1.98', fromMac: virtualMac }, false],
    ];
    const packets = sent.map(([more], index) => udpTo(100 + index, more));
    assert.equal(
      await vpc.passing(11, 12, packets),
      sent.map(([, passes]) => passes),
    );
  });

  test('its security groups admit at its pairs what they admit at its own address', async () => {
    await vpc.change('security-groups', {
      [groupId('dns')]: { rules: [rule({ direction: 'ingress', protocol: 'udp', ports: { from: 53, to: 53 } })] },
    });
    await vpc.wireWith(11, { pairs: [plain(50), virtual(99)], groups: [groupId('dns')] });
    const to = (address: string) => [udpTo(53, { to: address }), udpTo(54, { to: address })];
    const packets = ['10.77.1.11', '10.77.1.50', '10.77.1.99'].flatMap(to);
    assert.equal(await vpc.passing(12, 11, packets), [true, false, true, false, true, false]);
    const out = [udpTo(60), udpTo(61, { from: '10.77.1.50' })];
    assert.equal(await vpc.passing(11, 12, out), [false, false], 'the group admits no egress');
  });

  /** What the kernel has and the host keeps of a text. */
  const traces = async (text: string): Promise<string[]> => {
    const listed = await vpc.inside('sh', '-c', 'nft -n list ruleset; ip route; ip neigh show nud all; bridge fdb');
    return listed.split('\n').filter((line) => line.includes(text));
  };

  test('pairs change on the present tap, and what is taken away leaves nothing', async () => {
    const before = await vpc.wireWith(11, { pairs: [plain(50), virtual(99)] });
    assert.ok((await traces('10.77.1.99')).length >= 5, (await traces('10.77.1.99')).join('\n'));
    assert.equal(await vpc.passes(12, 11, udpTo(53, { to: '10.77.1.99' })), true);
    const after = await vpc.wireWith(11, { pairs: [plain(50), plain(51)] });
    assert.equal([after.tap, after.ifindex, after.pairs], [before.tap, before.ifindex, [plain(50), plain(51)]]);
    assert.equal([await traces('10.77.1.99'), await traces(virtualMac)], [[], []]);
    const flows = await vpc.inside('conntrack', '-L');
    assert.not.match(flows, /10\.77\.1\.99/);
    const [here, there] = await vpc.passing(12, 11, [udpTo(53, { to: '10.77.1.51' }), udpTo(53, { to: '10.77.1.99' })]);
    assert.equal([here, there], [true, false]);
    assert.equal(await vpc.passing(11, 12, [udpTo(70, { from: '10.77.1.99', fromMac: virtualMac })]), [false]);
    const spec = tapSpec(11, { pairs: [plain(50), plain(51)] });
    assert.equal((await (await opened).readTap(spec, nextCall())).drift, []);
    // What somebody else takes away is seen, and made again.
    const bridge = after.bridge;
    for (const [words, drift] of [
      [['ip', 'route', 'del', '10.77.1.51/32'], 'no route to its pair 10.77.1.51'],
      [['ip', 'neigh', 'del', '10.77.1.51', 'dev', bridge], 'no neighbour entry of its pair 10.77.1.51'],
    ] as const) {
      await vpc.inside(...words);
      assert.equal((await (await opened).readTap(spec, nextCall())).drift, [drift]);
      assert.equal((await vpc.wireWith(11, { pairs: [plain(50), plain(51)] })).pairs, spec.pairs);
    }
  });

  test('a pair that another port has by now is not taken from it', async () => {
    await vpc.wireWith(11, { pairs: [plain(60)] });
    await vpc.wireWith(12, { pairs: [plain(60, 12)] });
    await vpc.wireWith(13, {});
    assert.equal(await vpc.passes(13, 12, udpTo(53, { to: '10.77.1.60' })), true);
    await vpc.wireWith(11, { pairs: [] });
    assert.equal(await vpc.passes(13, 12, udpTo(54, { to: '10.77.1.60' })), true);
    assert.equal((await (await opened).readTap(tapSpec(12, { pairs: [plain(60, 12)] }), nextCall())).drift, []);
    await vpc.wireWith(12, { pairs: [plain(61, 12)] });
    await vpc.wireWith(11, { pairs: [plain(61)] });
    await vpc.remove(12);
    assert.equal(await vpc.passes(13, 11, udpTo(55, { to: '10.77.1.61' })), true);
    // Another port with the own address of one that has pairs, which go with it.
    const next = tapSpec(11, {
      owner: ownerOf('binding/acme/web-11.eth0@w1', 1, '01SECOND'),
      mac: '02:00:00:00:99:01',
    });
    await (await opened).createTap(next, nextCall());
    assert.equal((await (await opened).wireTap(next, nextCall())).pairs, []);
    await vpc.remove(11);
    assert.equal((await (await opened).readTap(next, nextCall())).drift, []);
    assert.equal(await traces('10.77.1.61'), []);
    await (await opened).removeTap(next, nextCall());
  });

  test('as many pairs as a port may have, and none is left when it goes', async () => {
    const pairs = Array.from({ length: 160 }, (_, n) => (n % 2 === 0 ? plain(90 + n, 21) : virtual(90 + n)));
    const proof = await vpc.wireWith(21, { pairs });
    assert.equal(proof.pairs, pairs);
    assert.equal(await vpc.passes(13, 21, udpTo(53, { to: '10.77.1.249' })), true);
    await vpc.remove(21);
    assert.equal([await traces('10.77.1.24'), await traces(virtualMac), await traces(macOf(21))], [[], [], []]);
  });

  test('a pair that is none reaches no rule', async () => {
    const bad = [
      { address: '10.77.1.50 }; flush ruleset', mac: macOf(11) },
      { address: '10.77.1.50', mac: 'ff:ff:ff:ff:ff:ff' },
      { address: '10.77.1.11', mac: macOf(11) },
      { address: '10.77.1.0/28', mac: macOf(11) },
    ];
    for (const pair of bad)
      assert.is(await codeOf((await opened).wireTap(tapSpec(11, { pairs: [pair] }), nextCall())), 'spec_invalid');
  });

  test('a port without port security sends with any source address and without groups, but is no gateway', async () => {
    await vpc.wireWith(14, { portSecurity: false, groups: [] });
    await vpc.wireWith(13, { groups: [openGroup] });
    const outside = '192.168.7.7';
    const sent: readonly (readonly [Partial<Sample>, boolean])[] = [
      [{}, true],
      [{ from: outside }, true],
      [{ from: '10.77.1.200' }, true],
      [{ from: outside, fromMac: macOf(13) }, false],
      [{ from: outside, fromMac: gatewayMac }, false],
      [{ from: '169.254.64.2' }, false],
      [{ from: '127.0.0.1' }, false],
      [{ from: '224.0.0.18' }, false],
      [{ from: outside, ports: [67, 68] }, false],
    ];
    const packets = sent.map(([more], index) => udpTo(100 + index, more));
    assert.equal(
      await vpc.passing(14, 13, packets),
      sent.map(([, passes]) => passes),
    );
    assert.equal(await vpc.passing(13, 14, [udpTo(53), udpTo(53, { to: outside })]), [true, false]);
    // As a static route of a router leads to it.
    const { bridge } = await vpc.wireWith(14, { portSecurity: false, groups: [] });
    const route = ['192.168.7.0/24', 'via', '10.77.1.14', 'dev', bridge, 'onlink'];
    await vpc.inside('ip', 'route', 'add', ...route);
    assert.equal(await vpc.passing(13, 14, [udpTo(54, { to: outside })]), [true]);
    // Nobody else receives or sends without groups because of it.
    await vpc.wireWith(15, { groups: [] });
    assert.equal(await vpc.passing(14, 15, [udpTo(55)]), [false]);
    assert.equal(await vpc.passing(15, 14, [udpTo(56)]), [false]);
  });

  test('port security that comes back holds at once', async () => {
    await vpc.wireWith(14, { groups: [openGroup] });
    assert.equal(await vpc.passing(14, 13, [udpTo(57), udpTo(58, { from: '192.168.7.7' })]), [true, false]);
    // What is routed to it as the next hop is judged by its groups, as what is sent to itself.
    const toBoth = [udpTo(59), udpTo(59, { to: '192.168.7.7' })];
    assert.equal(await vpc.passing(13, 14, toBoth), [true, true]);
    await vpc.wireWith(14, { groups: [] });
    assert.equal(await vpc.passing(13, 14, toBoth), [false, false]);
    await vpc.wireWith(14, { groups: [openGroup] });
    const spec = tapSpec(14);
    assert.equal((await (await opened).readTap(spec, nextCall())).drift, []);
    const other = { ...spec, portSecurity: false, groups: [] };
    assert.match(String((await (await opened).readTap(other, nextCall())).drift), /not admitted by the firewall/);
    await vpc.remove(14);
    assert.equal(
      [await traces('10.77.1.14 '), await traces(macOf(14))].flat().filter((line) => !line.includes('via')),
      [],
    );
    await vpc.close();
  });
});

test.run();
