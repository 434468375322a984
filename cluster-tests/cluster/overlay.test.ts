/**
 * Two workers on the real kernel with tap guests on both: DHCP leases, echoes across VXLAN, security groups,
 * packets that are too large, and nothing left after deletion. Guests say what arrives; the proofs that the product
 * reports are not used. Two tenants with the same addresses are in flood.test.ts.
 */
// needs: kernel
import { setTimeout as pause } from 'node:timers/promises';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { launchCluster, photonCli, type PhotonCluster } from './cluster-launch.ts';
import * as frames from './isolation-frames.ts';
import * as guests from './overlay-guests.ts';
import type { BoundPort } from './overlay-guests.ts';
import { until } from './process-identity.ts';

const test = suite('overlay');
const gatewayMac = '02:00:5e:00:00:01';
const mark = Buffer.from('photon-overlay-mark');

let cluster: PhotonCluster;
let client: PhotonClient;
const ports: Record<string, BoundPort> = {};
const taps: Record<string, TapGuest> = {};

const port = (name: string): BoundPort => ports[name] ?? (assert.unreachable(`no port ${name}`) as never);
const guest = (name: string): TapGuest => taps[name] ?? (assert.unreachable(`no guest ${name}`) as never);

const networks = {
  'network/acme/front': { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] },
  'network/acme/back': { subnets: [{ name: 'db', cidr: '10.21.0.0/24' }] },
};
/** Ports of network back are among themselves: they may send to everybody, and hear only each other. */
const backGroup = { rules: [{ direction: 'egress' }, { direction: 'ingress', remote: { group: 'back' } }] };
const declared: readonly (readonly [id: string, network: string, node: string])[] = [
  ['port/acme/a1', 'front', 'w1'],
  ['port/acme/a2', 'front', 'w2'],
  ['port/acme/a3', 'front', 'w1'],
  ['port/acme/b1', 'back', 'w1'],
  ['port/acme/b2', 'back', 'w2'],
];

test.before(async () => {
  cluster = await launchCluster({ stem: 'overlay' });
  client = await guests.openClient(cluster, cluster.clientFile);
  await guests.command(client, 'create', 'tenant/acme/acme');
  for (const [id, spec] of Object.entries(networks)) await guests.command(client, 'create', id, spec);
  await guests.command(client, 'create', 'security-group/acme/back', backGroup);
  for (const [id, network, node] of declared) {
    const name = id.replace('port/', '');
    ports[name] = await guests.bindPort(cluster, client, id, node, {
      network,
      ...(network === 'back' ? { securityGroups: ['back'] } : {}),
    });
    taps[name] = await guests.openGuest(ports[name]);
  }
});

test.after(async () => {
  for (const one of Object.values(taps)) await one.close();
  client?.close();
  await cluster?.topology.stop();
});

test('DHCP gives the declared address, router, MTU and name', async () => {
  for (const [name, one] of Object.entries(taps)) {
    const { address, gateway } = port(name);
    const lease = await one.dhcp({ hostname: 'chosen-by-the-guest' });
    const { router, mtu, mask, leaseSeconds, hostname, server } = lease;
    assert.equal(
      { address: lease.address, router, mtu, mask, leaseSeconds, hostname, server },
      {
        address,
        router: gateway,
        mtu: 1450,
        mask: '255.255.255.0',
        leaseSeconds: 3600,
        hostname: name.split('/')[1],
        server: gateway,
      },
      name,
    );
  }
});

test('photon ipam lists the addresses of a network with their owners, and finds that all records agree', async () => {
  const ipam = (verb: string, ...more: string[]) =>
    photonCli(cluster.clientFile, ['ipam', verb, 'network/acme/front', ...more], 15_000);
  const { used, all, addresses } = JSON.parse(await ipam('list', '-o', 'json')) as {
    used: number;
    all: number;
    addresses: readonly { address: string; mac: string; owner: string }[];
  };
  assert.equal([used, all], [3, 250]);
  const owners = addresses.map(({ address, mac, owner }) => [owner, address, mac]);
  const bound = ['acme/a1', 'acme/a2', 'acme/a3'].map((name) => [port(name).id, port(name).address, port(name).mac]);
  assert.equal(owners, bound);
  assert.match(await ipam('verify'), '3 of 250 addresses allocated to 3 ports, 0 problems');
});

test('echoes reach guests on the same host and across the overlay, in both directions', async () => {
  const pairs = [
    ['acme/a1', 'acme/a2'],
    ['acme/a2', 'acme/a1'],
    ['acme/a1', 'acme/a3'],
    ['acme/b1', 'acme/b2'],
  ];
  for (const [from = '', to = ''] of pairs) {
    const report = await guest(from).ping(port(to).address, { count: 3, intervalMs: 20 });
    assert.is(report.received, 3, `${from} to ${to}: ${JSON.stringify(report)}`);
    assert.is(await guest(from).arp(port(to).address), gatewayMac, 'the gateway answers ARP for every address');
  }
});

/** Waits until the newest spec of each object is proven on every host. */
async function untilObserved(...ids: readonly string[]): Promise<void> {
  for (const id of ids)
    await until(`${id} is realized`, async () => {
      const { status } = (await client.call('actor.get', { id })) as unknown as {
        status: { generation: number; observedGeneration: number };
      };
      return status.observedGeneration === status.generation;
    });
}

async function updateRules(group: string, rules: readonly object[]): Promise<void> {
  await guests.command(client, 'update', `security-group/acme/${group}`, { rules });
  await untilObserved(`security-group/acme/${group}`);
}

/** An echo in an IP packet of exactly this many bytes, which no router may fragment. */
function sizedEcho(from: BoundPort, to: BoundPort, bytes: number): Buffer {
  const echo = frames.echoRequest(Buffer.concat([mark, Buffer.alloc(bytes - 28 - mark.length, 7)]));
  const packet = frames.ipv4({ from: from.address, to: to.address }, 1, echo, { whole: true });
  assert.is(packet.length, bytes);
  return frames.ethernet({ from: from.mac, to: gatewayMac }, 0x0800, packet);
}

test('a packet of the MTU arrives whole; for one byte more the router answers which size fits', async () => {
  const [from, sender] = [port('acme/a1'), guest('acme/a1')];
  await sender.sniff();
  for (const name of ['acme/a2', 'acme/a3', 'acme/b1']) {
    const [to, receiver] = [port(name), guest(name)];
    const rules = name === 'acme/b1' ? [{ direction: 'ingress' }] : [];
    if (rules.length > 0) await updateRules('back', [...backGroup.rules, ...rules]);
    await receiver.sniff();
    await sender.send(sizedEcho(from, to, 1450));
    const got = await receiver.waitFrame((frame) => frame.includes(mark));
    assert.is(got.length, 14 + 1450, name);
    sender.takeFrames();
    await sender.send(sizedEcho(from, to, 1451));
    const isError = (frame: Buffer): boolean => frame.readUInt16BE(12) === 0x0800 && frame[23] === 1 && frame[34] === 3;
    const error = await sender.waitFrame(isError);
    const [source, about] = [error.subarray(26, 30).join('.'), error.subarray(58, 62).join('.')];
    // The overlay has room for more than a network: between hosts it is the receiver's host that answers.
    assert.match(source, to.node === from.node ? from.gateway : /^169\.254\.64\.\d$/);
    const told = [error[35], error.readUInt16BE(40), about];
    assert.equal(told, [4, 1450, to.address], `${name}: fragmentation needed, MTU 1450, about the packet`);
    assert.not.ok(
      receiver.takeFrames().some((frame) => frame.length > 14 + 1450),
      name,
    );
    await receiver.sniff(false);
    if (rules.length > 0) await updateRules('back', backGroup.rules);
  }
  await sender.sniff(false);
});

/** Sends one TCP segment the way a guest would: to the gateway's MAC. */
async function sendTcp(from: string, to: string, segment: frames.Segment): Promise<void> {
  const packet = frames.tcpPacket({ from: port(from).address, to: port(to).address }, segment, Buffer.from(mark));
  await guest(from).send(frames.ethernet({ from: port(from).mac, to: gatewayMac }, 0x0800, packet));
}

const hasTcp =
  (from: string, segment: { from: number; to: number }) =>
  (frame: Buffer): boolean =>
    frame.readUInt16BE(12) === 0x0800 &&
    frame[23] === 6 &&
    frame.includes(mark) &&
    frame.subarray(26, 30).equals(frames.addressBytes(port(from).address)) &&
    frame.readUInt16BE(34) === segment.from &&
    frame.readUInt16BE(36) === segment.to;

let listenPort = 20_000;

/**
 * Whether a SYN from one guest arrives at another.
 * @param via a guest whose frame is let through; it is sent second and waited for, so that a dropped SYN is not just
 * late
 */
async function arrives(from: string, to: string, via: string, toPort = 22): Promise<boolean> {
  const segment = { from: ++listenPort, to: toPort, flags: 'syn' as const };
  const sentinel = { ...segment, from: ++listenPort };
  await guest(to).sniff();
  await sendTcp(from, to, segment);
  await sendTcp(via, to, sentinel);
  await guest(to).waitFrame(hasTcp(via, sentinel));
  // Frames of two senders are not ordered; one that is let through takes far less than this.
  await pause(30);
  const got = guest(to).takeFrames().some(hasTcp(from, segment));
  await guest(to).sniff(false);
  return got;
}

test('between ports of the group default all traffic is allowed, on one host and across the overlay', async () => {
  assert.ok(await arrives('acme/a1', 'acme/a3', 'acme/a2'), 'same host');
  assert.ok(await arrives('acme/a1', 'acme/a2', 'acme/a3'), 'other host');
});

test('from a port of another group neither TCP nor an echo is let in', async () => {
  assert.not.ok(await arrives('acme/b1', 'acme/a1', 'acme/a3'), 'same host');
  assert.not.ok(await arrives('acme/b1', 'acme/a1', 'acme/a3', 80), 'same host, tcp/80');
  assert.not.ok(await arrives('acme/b2', 'acme/a1', 'acme/a2'), 'other host');
  for (const from of ['acme/b1', 'acme/b2']) {
    const report = await guest(from).ping(port('acme/a1').address, { count: 2, intervalMs: 10, timeoutMs: 400 });
    assert.equal([report.sent, report.received], [2, 0], from);
  }
});

test('a rule lets a flow in, on one host and across the overlay; without it the flow ends', async () => {
  const port80 = { direction: 'ingress', protocol: 'tcp', ports: { from: 80, to: 80 }, remote: { group: 'back' } };
  const standing = [{ direction: 'egress' }, { direction: 'ingress', remote: { group: 'default' } }];
  await updateRules('default', [...standing, port80]);
  assert.ok(await arrives('acme/b1', 'acme/a1', 'acme/a3', 80), 'same host');
  assert.ok(await arrives('acme/b2', 'acme/a1', 'acme/a2', 80), 'other host');
  assert.not.ok(await arrives('acme/b2', 'acme/a1', 'acme/a2', 81), 'another port');
  // A flow that the rule has let in: further segments of it pass, until the rule is taken away.
  const flow = { from: ++listenPort, to: 80, flags: 'syn' as const };
  await guest('acme/a1').sniff();
  await sendTcp('acme/b2', 'acme/a1', flow);
  await guest('acme/a1').waitFrame(hasTcp('acme/b2', flow));
  await updateRules('default', standing);
  guest('acme/a1').takeFrames();
  const later = { ...flow, flags: 'ack' as const, sequence: 2 };
  const sentinel = { from: ++listenPort, to: 80, flags: 'syn' as const };
  await sendTcp('acme/b2', 'acme/a1', later);
  await sendTcp('acme/a2', 'acme/a1', sentinel);
  await guest('acme/a1').waitFrame(hasTcp('acme/a2', sentinel));
  await pause(30);
  assert.not.ok(guest('acme/a1').takeFrames().some(hasTcp('acme/b2', later)), 'the flow has ended');
  await guest('acme/a1').sniff(false);
});

test('a port without groups neither sends nor hears, and gets back what it had with its group', async () => {
  const spec = { network: 'front', host: 'w1' };
  await guests.command(client, 'update', 'port/acme/a3', { ...spec, securityGroups: [] });
  await untilObserved('port/acme/a3');
  const pinged = async (from: string, to: string) =>
    (await guest(from).ping(port(to).address, { count: 2, intervalMs: 10, timeoutMs: 400 })).received;
  assert.equal([await pinged('acme/a1', 'acme/a3'), await pinged('acme/a3', 'acme/a2')], [0, 0]);
  assert.is((await guest('acme/a3').dhcp()).address, port('acme/a3').address, 'DHCP is always allowed');
  await guests.command(client, 'update', 'port/acme/a3', { ...spec, securityGroups: null });
  await untilObserved('port/acme/a3');
  // The other host learns of the member after the port is active.
  for (const [from, to] of [
    ['acme/a1', 'acme/a3'],
    ['acme/a3', 'acme/a2'],
  ] as const)
    await until(`${from} reaches ${to}`, async () => (await pinged(from, to)) === 2);
});

test('a reply of an established flow is let in, a forged reply without a flow is not', async () => {
  const asked = { from: ++listenPort, to: 7000, flags: 'syn' as const };
  await guest('acme/a1').sniff();
  await guest('acme/a2').sniff();
  await sendTcp('acme/a1', 'acme/a2', asked);
  await guest('acme/a2').waitFrame(hasTcp('acme/a1', asked));
  const answer = { from: 7000, to: asked.from, flags: 'syn-ack' as const, acknowledged: 2 };
  await sendTcp('acme/a2', 'acme/a1', answer);
  await guest('acme/a1').waitFrame(hasTcp('acme/a2', answer));
  const forged = { from: 443, to: ++listenPort, flags: 'ack' as const, sequence: 99, acknowledged: 77 };
  await sendTcp('acme/b1', 'acme/a1', forged);
  await sendTcp('acme/a2', 'acme/a1', { ...answer, flags: 'ack', sequence: 2 });
  await guest('acme/a1').waitFrame(hasTcp('acme/a2', answer));
  await pause(30);
  assert.not.ok(guest('acme/a1').takeFrames().some(hasTcp('acme/b1', forged)));
  for (const name of ['acme/a1', 'acme/a2']) await guest(name).sniff(false);
});

test("from the VPC's namespace on the other host only tcp/80 and ping reach a guest", async () => {
  const [here, there] = [port('acme/a1'), port('acme/a2')];
  const ping = ['ping', '-c', '1', '-W', '2', here.address];
  assert.match(await guests.execBeside(cluster, there, ping), '1 received');
  const knock = (to: number): Promise<string> => {
    const dial = ['timeout', '2', 'bash', '-c', `exec 3<>/dev/tcp/${here.address}/${to}`];
    return guests.execBeside(cluster, there, dial).catch(() => 'timeout');
  };
  await guest('acme/a1').sniff();
  // The guest answers no SYN; the test looks at which SYNs reach it.
  for (const to of [22, 81]) await knock(to);
  const isSyn = (frame: Buffer): boolean => frame[23] === 6 && ((frame[47] ?? 0) & 0x12) === 0x02;
  const reached = new Set<number>();
  await until('tcp/80 reaches the guest', async () => {
    await knock(80);
    for (const frame of guest('acme/a1').takeFrames().filter(isSyn)) reached.add(frame.readUInt16BE(36));
    return reached.has(80);
  });
  assert.equal([...reached], [80]);
  await guest('acme/a1').sniff(false);
});

test('after `port delete` the address rests: only a port of the same name gets it back', async () => {
  const { address, id } = port('acme/a3');
  await guest('acme/a3').close();
  await guests.command(client, 'delete', id);
  const other = { network: 'front', address };
  const refused = await guests.command(client, 'create', 'port/acme/a4', other).then(
    () => 'granted',
    (error: Error) => error.message,
  );
  const rests = `${address} was released by port/acme/a3 and rests for another`;
  assert.ok(refused.startsWith(rests), refused);
  const next = (await guests.command(client, 'create', 'port/acme/a4', { network: 'front' })) as { address: string };
  assert.is.not(next.address, address);
  const again = (await guests.command(client, 'create', id, other)) as { address: string };
  assert.is(again.address, address);
  for (const name of ['a3', 'a4']) await guests.command(client, 'delete', `port/acme/${name}`);
  const gone = await guest('acme/a2').ping(address, { count: 1, timeoutMs: 300 });
  assert.is(gone.received, 0);
});

test('after everything is deleted nothing is left on the workers', async () => {
  for (const one of Object.values(taps)) await one.close();
  const left = Object.values(ports).filter(({ id }) => id !== port('acme/a3').id);
  for (const { id } of left) await guests.command(client, 'delete', id);
  for (const id of Object.keys(networks)) await guests.command(client, 'delete', id);
  await guests.command(client, 'delete', 'security-group/acme/back');
  await guests.untilNoResidue(cluster);
});

test.run();
