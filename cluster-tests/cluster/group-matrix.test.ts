/**
 * Security groups on every way that a packet can take between two guests, or between a guest and the world outside, one
 * table: each way is closed, then open for new flows and their answers, then closed for its running flows by a rule of
 * the receiver that goes, and by one of the sender. The one outside has no rules, so a way from or to it is closed at
 * its other end alone. Guests on taps say what arrives. A segment that must not arrive is followed by a SYN to another
 * port, which every rule set admits, on the same way: when that one has come, the segment was dropped.
 */
// needs: kernel
// time limit: 420 s
// test limit: 240 s
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { outside } from './cluster-topology.ts';
import * as frames from './isolation-frames.ts';
import { gatewayMac, ip } from './isolation-scene.ts';
import * as guests from './overlay-guests.ts';
import { openOutsideGuest, publicNetwork } from './outside-guest.ts';
import { until } from './process-identity.ts';

const test = suite('group-matrix');
const [service, sentinelService] = [80, 81];

const places = {
  client: ['front', 'w1', ['client']],
  near: ['front', 'w1', ['server']],
  far: ['front', 'w2', ['server']],
  routed: ['back', 'w1', ['server']],
  remote: ['back', 'w2', ['server']],
  beside: ['beyond', 'w1', ['server']],
  beyond: ['beyond', 'w2', ['server']],
  away: ['front', 'w2', ['client']],
  both: ['back', 'w2', ['client', 'server']],
} as const;
type Place = keyof typeof places;
type End = Place | typeof outside.node;

interface Way {
  readonly what: string;
  readonly from: End;
  readonly to: End;
  /** Name of the service IP or external address that is dialled; the receiver's own address without. */
  readonly at?: keyof typeof serviceIps | keyof typeof externalAddresses;
}

const ways: readonly Way[] = [
  { what: 'on the same bridge', from: 'client', to: 'near' },
  { what: 'across workers', from: 'client', to: 'far' },
  { what: 'to another subnet', from: 'client', to: 'routed' },
  { what: 'to another subnet across workers', from: 'client', to: 'remote' },
  { what: 'to a service IP whose backend is on the same bridge', from: 'client', to: 'near', at: 'near-vip' },
  { what: 'to a service IP whose backend is across workers', from: 'client', to: 'remote', at: 'far-vip' },
  { what: 'to a peered VPC', from: 'client', to: 'beside' },
  { what: 'to a peered VPC across workers', from: 'client', to: 'beyond' },
  { what: 'to a service IP of a peered VPC', from: 'client', to: 'beside', at: 'beside-vip' },
  { what: 'to a service IP of a peered VPC across workers', from: 'client', to: 'beyond', at: 'beyond-vip' },
  { what: 'to its own service IP', from: 'both', to: 'both', at: 'own-vip' },
  { what: 'out through the router', from: 'client', to: 'outside' },
  { what: 'out through the router across workers', from: 'away', to: 'outside' },
  { what: 'out through an external address', from: 'both', to: 'outside' },
  { what: 'in through an external address', from: 'outside', to: 'near', at: 'near-web' },
  { what: 'in through an external address across workers', from: 'outside', to: 'both', at: 'both-web' },
  { what: 'in through the external address of a service IP', from: 'outside', to: 'remote', at: 'vip-web' },
  { what: 'to the external address of a neighbour', from: 'client', to: 'near', at: 'near-web' },
  { what: 'to the external address of a guest across workers', from: 'client', to: 'both', at: 'both-web' },
  { what: 'to its own external address', from: 'both', to: 'both', at: 'both-web' },
];
/** Name -> network and backend. */
const serviceIps = {
  'near-vip': ['front', 'near'],
  'far-vip': ['front', 'remote'],
  'beside-vip': ['beyond', 'beside'],
  'beyond-vip': ['beyond', 'beyond'],
  'own-vip': ['back', 'both'],
} as const;
/** Name -> what it leads to. The router has one of its own for everybody else. */
const externalAddresses = {
  'near-web': { port: 'near' },
  'both-web': { port: 'both' },
  'vip-web': { serviceIp: 'far-vip' },
} as const;

let cluster: PhotonCluster;
let client: PhotonClient;
interface Guest {
  readonly address: string;
  readonly mac: string;
  readonly tap: TapGuest;
}
const opened = new Map<End, Guest>();
const addresses = new Map<string, string>();
const guestAt = (end: End): Guest => opened.get(end) ?? (assert.unreachable(`no guest ${end}`) as never);

/** Waits until the newest spec is proven on every host. */
async function untilObserved(id: string): Promise<void> {
  await until(`${id} is realized`, async () => {
    const { status } = (await client.call('actor.get', { id })) as unknown as {
      status: { generation: number; observedGeneration: number };
    };
    return status.observedGeneration === status.generation;
  });
}

const admitting = (direction: string, ...admitted: number[]): object[] =>
  admitted.map((port) => ({ direction, protocol: 'tcp', ports: { from: port, to: port } }));

async function setRules(group: string, rules: readonly object[]): Promise<void> {
  await guests.command(client, 'update', `security-group/acme/${group}`, { rules });
  await untilObserved(`security-group/acme/${group}`);
}

async function createServiceIp(name: string, network: string, backend: Place): Promise<void> {
  const id = `service-ip/acme/${name}`;
  const served = [service, sentinelService].map((port) => ({ protocol: 'tcp', port, targetPort: port }));
  await guests.command(client, 'create', id, { network, ports: served, backends: { ports: [backend] } });
  await until(`${id} has its backend`, async () => {
    const { status } = (await client.call('actor.get', { id })) as unknown as {
      status: { address: string | null; backends: unknown; conditions: readonly { type: string; status: string }[] };
    };
    addresses.set(name, status.address ?? '');
    return status.conditions.some(({ type, status: is }) => type === 'Realized' && is === 'True');
  });
}

async function createExternalAddress(name: string, target: object): Promise<void> {
  const id = `external-address/acme/${name}`;
  const made = await guests.command(client, 'create', id, { network: 'public', target });
  addresses.set(name, (made as { address: string }).address);
  await untilObserved(id);
}

test.before(async () => {
  cluster = await launchCluster({ stem: 'matrix', uplinks: publicNetwork.hosts });
  client = await guests.openClient(cluster, cluster.clientFile);
  await guests.command(client, 'create', 'tenant/acme/acme');
  await guests.command(client, 'create', 'network/acme/front', { subnets: [{ cidr: '10.20.0.0/24' }] });
  await guests.command(client, 'create', 'network/acme/back', { subnets: [{ cidr: '10.21.0.0/24' }] });
  await guests.command(client, 'create', 'vpc/acme/beyond');
  const beyond = { vpc: 'beyond', subnets: [{ cidr: '10.22.0.0/24' }] };
  await guests.command(client, 'create', 'network/acme/beyond', beyond);
  await guests.command(client, 'create', 'peering/acme/beyond', { vpcs: ['main', 'beyond'] });
  await guests.command(client, 'create', 'external-network/system/public', publicNetwork);
  await guests.command(client, 'create', 'router/acme/edge', { external: { network: 'public' } });
  await guests.command(client, 'create', 'security-group/acme/client', { rules: [{ direction: 'egress' }] });
  const closed = admitting('ingress', sentinelService);
  await guests.command(client, 'create', 'security-group/acme/server', { rules: closed });
  const binding = Object.entries(places).map(async ([place, [network, node, securityGroups]]) => {
    const port = await guests.bindPort(cluster, client, `port/acme/${place}`, node, { network, securityGroups });
    opened.set(place as Place, { ...port, tap: await guests.openSettledGuest(port) });
  });
  await Promise.all(binding);
  opened.set(outside.node, await openOutsideGuest(cluster));
  for (const { tap } of opened.values()) await tap.sniff();
  await Promise.all(
    Object.entries(serviceIps).map(([name, [network, backend]]) => createServiceIp(name, network, backend)),
  );
  await Promise.all(Object.entries(externalAddresses).map(([name, target]) => createExternalAddress(name, target)));
  await untilObserved('peering/acme/beyond');
  // Service IPs reach the hosts of a peered VPC a moment later, and a gateway those that lead to it.
  for (const way of ways) await until(`a segment arrives ${way.what}`, () => isOpen(way));
});

test.after(async () => {
  for (const { tap } of opened.values()) await tap.close();
  client?.close();
  await cluster?.topology.stop();
});

let [marks, sourcePorts] = [0, 20_000];
const nextMark = (): Buffer => Buffer.from(`photon-matrix:${String(++marks).padStart(6, '0')}`);
const dialled = ({ to, at }: Way): string => (at === undefined ? guestAt(to).address : (addresses.get(at) ?? ''));

/** A guest sends everything to its gateway; outside, the active gateway host says that it has the address. */
const nextHop = async (from: End, to: string): Promise<string> =>
  from === outside.node ? await guestAt(from).tap.arp(to) : gatewayMac;

async function send(from: End, to: string, segment: frames.Segment): Promise<(frame: Buffer) => boolean> {
  const mark = nextMark();
  const { address, mac, tap } = guestAt(from);
  const packet = frames.tcpPacket({ from: address, to }, segment, mark);
  await tap.send(frames.ethernet({ from: mac, to: await nextHop(from, to) }, ip, packet));
  return (frame) => frame.includes(mark);
}

const sendSentinel = (way: Way): Promise<(frame: Buffer) => boolean> =>
  send(way.from, dialled(way), { from: ++sourcePorts, to: sentinelService, flags: 'syn' });

/** Whether what every rule set admits arrives. */
const isOpen = (way: Way): Promise<boolean> =>
  sendSentinel(way)
    .then((isSentinel) => guestAt(way.to).tap.waitFrame(isSentinel, 200))
    .then(
      () => true,
      () => false,
    );

/** Sends a segment on a way. @returns whether it has arrived, once what was sent after it has */
async function arrives(way: Way, segment: frames.Segment): Promise<boolean> {
  const receiver = guestAt(way.to).tap;
  receiver.takeFrames();
  const isSegment = await send(way.from, dialled(way), segment);
  const isSentinel = await sendSentinel(way);
  let has = false;
  await receiver.waitFrame((frame) => {
    has ||= isSegment(frame);
    return isSentinel(frame);
  });
  return has;
}

const opening = (): frames.Segment => ({ from: ++sourcePorts, to: service, flags: 'syn' });
const later = ({ from, to }: frames.Segment): frames.Segment => ({
  from,
  to,
  flags: 'ack',
  sequence: 2,
  acknowledged: 2,
});

/** The three segments that open a flow, each seen at the other end. @returns the first */
async function established(way: Way): Promise<frames.Segment> {
  const first = opening();
  const isFirst = await send(way.from, dialled(way), first);
  const got = await guestAt(way.to).tap.waitFrame(isFirst);
  const from = got.subarray(26, 30).join('.');
  const answer = { from: service, to: got.readUInt16BE(34), flags: 'syn-ack', acknowledged: 2 } as const;
  const isAnswer = await send(way.to, from, answer);
  const back = await guestAt(way.from).tap.waitFrame(isAnswer);
  assert.is(back.subarray(26, 30).join('.'), dialled(way), `${way.what}: the answer comes from whom was asked`);
  assert.ok(await arrives(way, later(first)), `${way.what}: the third segment`);
  return first;
}

const [fromGuests, toGuests] = [
  ways.filter(({ from }) => from !== outside.node),
  ways.filter(({ to }) => to !== outside.node),
];
const others = (than: readonly Way[]): readonly Way[] => ways.filter((way) => !than.includes(way));

/** The ways on which `holds` does not say what is wanted. */
async function waysWhere(is: boolean, holds: (way: Way) => Promise<boolean>, among = ways): Promise<string[]> {
  const found: string[] = [];
  for (const way of among) if ((await holds(way)) === is) found.push(way.what);
  return found;
}

const openAll = async (): Promise<Map<Way, frames.Segment>> => {
  const flows = new Map<Way, frames.Segment>();
  for (const way of ways) flows.set(way, await established(way));
  return flows;
};
const goesOn =
  (flows: ReadonlyMap<Way, frames.Segment>) =>
  async (way: Way): Promise<boolean> =>
    arrives(way, later(flows.get(way) ?? opening()));
const opens = (way: Way): Promise<boolean> => arrives(way, opening());

test('a new flow that no rule admits is not let in, on any way to a guest', async () => {
  assert.equal(await waysWhere(true, opens, toGuests), []);
  assert.equal(await waysWhere(false, opens, others(toGuests)), [], 'nobody else is asked about one that leaves');
});

test('a rule lets new flows and their answers in, and ends them when it goes', async () => {
  await setRules('server', admitting('ingress', service, sentinelService));
  const flows = await openAll();
  assert.equal(await waysWhere(false, opens), [], 'a new flow is let in');
  // Another rule that comes or goes does not touch them.
  await setRules('server', admitting('ingress', service, sentinelService, 443));
  assert.equal(await waysWhere(false, goesOn(flows)), [], 'a running flow goes on');
  await setRules('server', admitting('ingress', sentinelService));
  assert.equal(await waysWhere(true, goesOn(flows), toGuests), [], 'a running flow has ended');
  assert.equal(await waysWhere(true, opens, toGuests), [], 'a new flow is not let in');
  assert.equal(await waysWhere(false, goesOn(flows), others(toGuests)), [], 'one that leaves goes on');
});

test('a sender that may not send opens no flow, and its running flows end', async () => {
  await setRules('server', admitting('ingress', service, sentinelService));
  const flows = await openAll();
  await setRules('client', admitting('egress', sentinelService));
  assert.equal(await waysWhere(true, goesOn(flows), fromGuests), [], 'a running flow has ended');
  assert.equal(await waysWhere(true, opens, fromGuests), [], 'no new flow');
  assert.equal(await waysWhere(false, goesOn(flows), others(fromGuests)), [], 'one that comes in goes on');
  await setRules('client', [{ direction: 'egress' }]);
  assert.equal(await waysWhere(false, opens), [], 'the rule is back');
});

test.run();
