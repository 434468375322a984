/**
 * Peered VPCs on two workers of the real kernel, with tap guests: on one host and across the overlay, where a packet
 * and its answer cross between the VPCs on different hosts; what security groups admit; MTUs; a third VPC; a worker
 * that is killed while the VPCs are joined; and nothing left after deletion. Guests say what arrives.
 */
// needs: kernel
// time limit: 400 s
import { setTimeout as pause } from 'node:timers/promises';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { launchCluster, photonCli, startNode, type PhotonCluster } from './cluster-launch.ts';
import * as frames from './isolation-frames.ts';
import { findProgram } from './node-program.ts';
import * as guests from './overlay-guests.ts';
import type { BoundPort } from './overlay-guests.ts';
import { isAlive, signal, until } from './process-identity.ts';

const test = suite('peering');
const gatewayMac = '02:00:5e:00:00:01';
const mark = Buffer.from('photon-peering-mark');

let cluster: PhotonCluster;
let client: PhotonClient;
const ports: Record<string, BoundPort> = {};
const taps: Record<string, TapGuest> = {};

const port = (name: string): BoundPort => ports[name] ?? (assert.unreachable(`no port ${name}`) as never);
const guest = (name: string): TapGuest => taps[name] ?? (assert.unreachable(`no guest ${name}`) as never);
const command = (verb: string, id: string, params?: unknown) => guests.command(client, verb, id, params);

const vpcs = ['left', 'right', 'third'];
const networks = {
  left: { vpc: 'left', subnets: [{ name: 's', cidr: '10.31.0.0/24' }] },
  right: { vpc: 'right', subnets: [{ name: 's', cidr: '10.32.0.0/24' }] },
  narrow: { vpc: 'right', mtu: 1300, subnets: [{ name: 's', cidr: '10.34.0.0/24' }] },
  third: { vpc: 'third', subnets: [{ name: 's', cidr: '10.33.0.0/24' }] },
};
const tcp = (to: number, remote: object) => ({
  direction: 'ingress',
  protocol: 'tcp',
  ports: { from: to, to },
  remote,
});
const [byGroup, byCidr] = [tcp(80, { group: 'default' }), tcp(81, { cidr: '10.31.0.0/24' })];
const egress = { direction: 'egress' };

async function bind(name: string, network: string, node: string, securityGroups?: readonly string[]): Promise<void> {
  const groups = securityGroups === undefined ? {} : { securityGroups };
  ports[name] = await guests.bindPort(cluster, client, `port/acme/${name}`, node, { network, ...groups });
  taps[name] = await guests.openSettledGuest(ports[name]);
}

test.before(async () => {
  cluster = await launchCluster({ stem: 'peering' });
  client = await guests.openClient(cluster, cluster.clientFile);
  await command('create', 'tenant/acme/acme');
  for (const name of vpcs) await command('create', `vpc/acme/${name}`);
  for (const [name, spec] of Object.entries(networks)) await command('create', `network/acme/${name}`, spec);
  await command('create', 'security-group/acme/web', { rules: [egress, byGroup, byCidr] });
  // Each VPC is on one host; the peering brings it to the other.
  await bind('l1', 'left', 'w1');
  await bind('r2', 'right', 'w2');
});

test.after(async () => {
  for (const one of Object.values(taps)) await one.close();
  client?.close();
  await cluster?.topology.stop();
});

interface Shown {
  readonly stateName: string;
  readonly status: {
    readonly generation: number;
    readonly observedGeneration: number;
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
  };
}
const shown = async (id: string): Promise<Shown> => (await client.call('actor.get', { id })) as unknown as Shown;

/** Waits until every host of both VPCs has proven the newest edition of the peering. */
const joined = (id: string): Promise<void> =>
  until(
    `${id} is joined on all hosts`,
    async () => {
      const { stateName, status } = await shown(id);
      const told = status.conditions.find(({ type }) => type === 'Realized');
      return stateName === 'ready' && told?.status === 'True';
    },
    60_000,
  );

async function observed(id: string): Promise<void> {
  await until(`${id} is realized`, async () => {
    const { status } = await shown(id);
    return status.observedGeneration === status.generation;
  });
}

const pinged = async (from: string, to: string): Promise<number> =>
  (await guest(from).ping(port(to).address, { count: 2, intervalMs: 10, timeoutMs: 1_000 })).received;

/** Groups of the other VPC reach a host a moment after the peering is realized. */
const reaches = (from: string, to: string): Promise<void> =>
  until(`${from} reaches ${to}`, async () => (await pinged(from, to)) === 2);

async function sendTcp(from: string, to: string, segment: frames.Segment): Promise<void> {
  const packet = frames.tcpPacket({ from: port(from).address, to: port(to).address }, segment, mark);
  await guest(from).send(frames.ethernet({ from: port(from).mac, to: gatewayMac }, 0x0800, packet));
}

const hasTcp =
  (from: string, segment: frames.Segment) =>
  (frame: Buffer): boolean =>
    frame.readUInt16BE(12) === 0x0800 &&
    frame[23] === 6 &&
    frame.includes(mark) &&
    frame.subarray(26, 30).equals(frames.addressBytes(port(from).address)) &&
    frame.readUInt16BE(34) === segment.from &&
    frame.readUInt16BE(36) === segment.to;

let listenPort = 20_000;

async function arrives(from: string, to: string, segment: frames.Segment): Promise<void> {
  await guest(to).sniff();
  await sendTcp(from, to, segment);
  await guest(to).waitFrame(hasTcp(from, segment));
  await guest(to).sniff(false);
}

/** The segment is not let in, while an echo of the same guests' neighbours is. */
async function isStopped(from: string, to: string, segment: frames.Segment): Promise<void> {
  await guest(to).sniff();
  await sendTcp(from, to, segment);
  await guest(from).ping(port(to).gateway, { count: 1, timeoutMs: 300 });
  await pause(60);
  assert.not.ok(guest(to).takeFrames().some(hasTcp(from, segment)), `${from} to ${to}, ${JSON.stringify(segment)}`);
  await guest(to).sniff(false);
}

const syn = (to: number): frames.Segment => ({ from: ++listenPort, to, flags: 'syn' });

/** A connection is established; its next segment is returned. */
async function connected(from: string, to: string, toPort: number): Promise<frames.Segment> {
  const first = syn(toPort);
  await arrives(from, to, first);
  await arrives(to, from, { from: toPort, to: first.from, flags: 'syn-ack', sequence: 900, acknowledged: 2 });
  const next: frames.Segment = { ...first, flags: 'ack', sequence: 2, acknowledged: 901 };
  await arrives(from, to, next);
  return next;
}

test('before they are peered, two VPCs of a tenant do not reach each other', async () => {
  assert.equal([await pinged('l1', 'r2'), await pinged('r2', 'l1')], [0, 0]);
});

test('a peering brings each VPC to the hosts of the other, and ports of one group reach each other', async () => {
  const cli = (...argv: string[]) => photonCli(cluster.clientFile, argv, 60_000);
  await command('create', 'peering/acme/lr', { vpcs: ['right', 'left'] });
  await joined('peering/acme/lr');
  await reaches('l1', 'r2');
  await reaches('r2', 'l1');
  assert.match(await cli('list', 'peering', '--tenant', 'acme').catch(() => cli('list', 'peering')), /left - right/);
  assert.match(await cli('describe', 'peering/acme/lr'), /Joined/);
  for (const [vpc, node] of [
    ['left', 'w2'],
    ['right', 'w1'],
  ])
    assert.is((await shown(`segment/acme/${vpc}@${node}`)).stateName.split('.')[0], 'serving');
});

test('ports that come later are reached, on one host and across the overlay', async () => {
  await bind('l2', 'left', 'w2');
  await bind('r1', 'right', 'w1');
  await bind('rw', 'right', 'w2', ['web']);
  for (const [from, to] of [
    ['l1', 'r1'],
    ['r1', 'l1'],
    ['l2', 'r2'],
    ['l2', 'r1'],
    ['r1', 'l2'],
  ] as const)
    await reaches(from, to);
});

test('rules by group and by CIDR judge ports of the other VPC, on one host and on two', async () => {
  for (const from of ['l1', 'l2']) {
    await connected(from, 'rw', 80);
    await connected(from, 'rw', 81);
    await isStopped(from, 'rw', syn(82));
  }
  // The group default does not let in a port of the group web, in either VPC.
  await isStopped('rw', 'l1', syn(80));
  await isStopped('rw', 'l2', syn(80));
  assert.equal([await pinged('l1', 'rw'), await pinged('rw', 'l1')], [0, 0]);
  // An answer without a flow is none.
  await isStopped('rw', 'l1', { from: 80, to: ++listenPort, flags: 'ack', sequence: 9, acknowledged: 7 });
});

test('a rule that goes ends running connections across the peering, and leaves others alone', async () => {
  const [streams, others] = [
    [await connected('l1', 'rw', 80), await connected('l2', 'rw', 80)],
    [await connected('l1', 'rw', 81), await connected('l2', 'rw', 81)],
  ];
  await command('update', 'security-group/acme/web', { rules: [egress, byCidr] });
  await observed('security-group/acme/web');
  for (const [at, from] of ['l1', 'l2'].entries()) {
    await isStopped(from, 'rw', streams[at] as frames.Segment);
    await arrives(from, 'rw', others[at] as frames.Segment);
  }
  await command('update', 'security-group/acme/web', { rules: [egress, byGroup, byCidr] });
  await observed('security-group/acme/web');
  // A port of the other VPC that leaves the group takes its connections along.
  const left = await connected('l1', 'rw', 80);
  await command('update', 'port/acme/l1', { network: 'left', host: 'w1', securityGroups: ['web'] });
  await observed('port/acme/l1');
  await until('the connection has ended', async () => {
    await guest('rw').sniff();
    await sendTcp('l1', 'rw', left);
    await pause(60);
    const got = guest('rw').takeFrames().some(hasTcp('l1', left));
    await guest('rw').sniff(false);
    return !got;
  });
  await command('update', 'port/acme/l1', { network: 'left', host: 'w1', securityGroups: null });
  await observed('port/acme/l1');
  await reaches('l1', 'r2');
});

/** Sends an echo that may not be fragmented. @returns whether it arrived, or the MTU that was told instead */
async function bigEcho(from: string, to: string, length: number): Promise<'arrived' | number> {
  const [source, target] = [port(from), port(to)];
  const echo = frames.echoRequest(Buffer.concat([mark, Buffer.alloc(length - 28 - mark.length, 7)]));
  const packet = frames.ipv4({ from: source.address, to: target.address }, 1, echo, { whole: true });
  assert.is(packet.length, length);
  for (const name of [from, to]) await guest(name).sniff();
  await guest(from).send(frames.ethernet({ from: source.mac, to: gatewayMac }, 0x0800, packet));
  let outcome: 'arrived' | number | undefined;
  await until(`the echo of ${length} from ${from} to ${to} arrives or is answered`, () => {
    if (
      guest(to)
        .takeFrames()
        .some((frame) => frame.length === 14 + length && frame.includes(mark))
    )
      outcome = 'arrived';
    const error = guest(from)
      .takeFrames()
      .find((frame) => frame[23] === 1 && frame[34] === 3 && frame[35] === 4);
    if (error !== undefined) outcome = error.readUInt16BE(40);
    return outcome !== undefined;
  });
  for (const name of [from, to]) await guest(name).sniff(false);
  return outcome as 'arrived' | number;
}

test('the largest packet crosses; one that a network behind the peering does not take is answered', async () => {
  assert.equal([await bigEcho('l1', 'r1', 1450), await bigEcho('l1', 'r2', 1450)], ['arrived', 'arrived']);
  await bind('n1', 'narrow', 'w1');
  await bind('n2', 'narrow', 'w2');
  await reaches('l1', 'n2');
  await reaches('l1', 'n1');
  // From the host of the receiver the error crosses back there, on another host than the packet did.
  assert.equal([await bigEcho('l1', 'n1', 1301), await bigEcho('l1', 'n2', 1301)], [1300, 1300]);
  assert.equal([await bigEcho('l1', 'n1', 1300), await bigEcho('l1', 'n2', 1300)], ['arrived', 'arrived']);
});

test('a peering leads on to no third VPC, and a worker that dies while it is made makes it later', async () => {
  await bind('t2', 'third', 'w2');
  const worker = findProgram(cluster.topology, 'w2', 'worker');
  const created = command('create', 'peering/acme/rt', { vpcs: ['right', 'third'] });
  assert.ok(signal(worker, 'SIGKILL'));
  await until('the worker is gone', () => !isAlive(worker));
  await created;
  assert.equal([await pinged('l1', 'r1'), await pinged('l2', 'r1')], [2, 2], 'what stands goes on');
  await startNode(cluster.topology, { name: 'w2', role: 'worker' });
  await joined('peering/acme/rt');
  await reaches('r2', 't2');
  await reaches('t2', 'r1');
  await reaches('l2', 'r2');
  assert.equal([await pinged('l1', 't2'), await pinged('l2', 't2'), await pinged('t2', 'l1')], [0, 0, 0]);
});

/** Links of peerings, and what else of them is in the namespaces of a worker. */
async function traces(node: string): Promise<readonly string[]> {
  const run = (...argv: string[]): Promise<string> => cluster.topology.exec(node, argv);
  const namespaces = (await run('ip', 'netns', 'list')).split('\n').flatMap((line) => line.split(' ')[0] || []);
  const found = await Promise.all(
    namespaces.map(async (name) => {
      // A VPC leaves a host that it had for the peering alone; its namespace may go while it is looked into.
      const inside = (...argv: string[]) =>
        run('nsenter', `--net=/run/netns/${name}`, ...argv).catch((error: unknown) => {
          if (String(error).includes(`cannot open /run/netns/${name}`)) return '';
          throw error;
        });
      const links = (await inside('ip', '-br', 'link', 'show', 'type', 'veth')).split('\n').filter(Boolean);
      const tables = (await inside('nft', 'list', 'tables')).split('\n').filter((line) => line.includes('peering'));
      const routes = (await inside('ip', 'route')).split('\n').filter((line) => line.includes('169.254.66.'));
      return [...links, ...tables, ...routes].map((line) => `${node} ${name}: ${line}`);
    }),
  );
  return found.flat();
}

test('a peering that is deleted leaves nothing, and the connections across it have ended', async () => {
  assert.is((await traces('w1')).length > 0, true);
  const stream = await connected('l1', 'rw', 81);
  await command('delete', 'peering/acme/lr');
  await isStopped('l1', 'rw', stream);
  assert.equal([await pinged('l1', 'r1'), await pinged('r2', 'l2')], [0, 0]);
  await reaches('t2', 'r1');
  const { namespacePath } = port('rw');
  const flows = await cluster.topology.exec('w2', [
    'nsenter',
    `--net=${namespacePath.replace(/^.*\/run/, '/run')}`,
    'conntrack',
    '-L',
  ]);
  assert.not.match(flows, port('l1').address);
  await command('delete', 'peering/acme/rt');
  // The namespace that a VPC had on a host for the peering alone goes a moment later, with what is in it.
  let left: readonly string[] = [];
  const isClean = async (): Promise<boolean> =>
    (left = [...(await traces('w1')), ...(await traces('w2'))]).length === 0;
  await until('nothing of the peerings is left', isClean, 15_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; there is: ${left.join('; ')}`);
  });
});

test('after everything is deleted nothing is left on the workers', async () => {
  for (const one of Object.values(taps)) await one.close();
  for (const { id } of Object.values(ports)) await command('delete', id);
  for (const name of Object.keys(networks)) await command('delete', `network/acme/${name}`);
  for (const name of vpcs) await command('delete', `vpc/acme/${name}`);
  await command('delete', 'security-group/acme/web');
  await guests.untilNoResidue(cluster);
});

test.run();
