/**
 * Frames of a hostile guest are dropped at its own tap. Each frame carries a unique mark; sniffers on every interface
 * of the VPC's namespaces and of the hosts say where it came out, neighbour guests say what reached them, and the
 * kernel's tables must be the same afterwards. After each attack an allowed frame is sent that must come out, which
 * proves that the sniffers work. The threats are listed in docs/threats.md.
 */
// needs: kernel
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { Chance } from '../simulation/seeded-random.ts';
import { attacks } from './isolation-attacks.ts';
import { isOwnDhcp, isOwnIdentity, randomFrame } from './isolation-random.ts';
import { gatewayMac, type Attack, type Scene } from './isolation-scene.ts';
import * as frames from './isolation-frames.ts';
import * as guests from './overlay-guests.ts';
import type { BoundPort } from './overlay-guests.ts';
import { FrameSniffer, type SeenFrame } from './overlay-sniffer.ts';
import { until } from './process-identity.ts';

const test = suite('isolation');
const stem = Buffer.from('photon-mark:');
let marks = 0;
const nextMark = (): Buffer => Buffer.concat([stem, Buffer.from(String(++marks).padStart(6, '0'))]);

let cluster: PhotonCluster;
let client: PhotonClient;
let ports: Record<Place, BoundPort>;
let taps: Record<Place, TapGuest>;
let scene: Scene;
const sniffers: { readonly where: string; readonly sniffer: FrameSniffer }[] = [];

const places = {
  own: ['port/acme/evil', 'front', 'w1'],
  near: ['port/acme/near', 'front', 'w1'],
  far: ['port/acme/far', 'front', 'w2'],
  other: ['port/acme/other', 'back', 'w1'],
} as const;

type Place = keyof typeof places;
async function eachPlace<Made>(make: (name: Place) => Promise<Made>): Promise<Record<Place, Made>> {
  return { own: await make('own'), near: await make('near'), far: await make('far'), other: await make('other') };
}

test.before(async () => {
  cluster = await launchCluster({ stem: 'isolation' });
  client = await guests.openClient(cluster, cluster.clientFile);
  await guests.command(client, 'create', 'tenant/acme/acme');
  await guests.command(client, 'create', 'network/acme/front', { subnets: [{ cidr: '10.20.0.0/24' }] });
  await guests.command(client, 'create', 'network/acme/back', { subnets: [{ cidr: '10.21.0.0/24' }] });
  // Egress to everybody, and no ingress.
  await guests.command(client, 'create', 'security-group/acme/apart', { rules: [{ direction: 'egress' }] });
  ports = await eachPlace((name) => {
    const [id, network, node] = places[name];
    const groups = network === 'back' ? { securityGroups: ['apart'] } : {};
    return guests.bindPort(cluster, client, id, node, { network, ...groups });
  });
  taps = await eachPlace((name) => guests.openSettledGuest(ports[name]));
  const underlay = cluster.topology.node('w2').address;
  scene = { ...ports, gateway: ports.own.gateway, underlay };
  const spaces: [string, string][] = [
    ['vpc on w1', ports.own.namespacePath],
    ['vpc on w2', ports.far.namespacePath],
    ['host w1', guests.underlayPath(cluster, 'w1')],
    ['host w2', guests.underlayPath(cluster, 'w2')],
  ];
  for (const [where, path] of spaces) sniffers.push({ where, sniffer: await FrameSniffer.open(path, stem) });
  for (const tap of Object.values(taps)) await tap.sniff();
});

test.after(async () => {
  for (const tap of Object.values(taps ?? {})) await tap.close();
  for (const { sniffer } of sniffers) await sniffer.close();
  client?.close();
  await cluster?.topology.stop();
});

/** Where a mark was seen, except on the sender's tap: `vpc on w1: near's tap out`. */
function sightings(mark: Buffer, bridgeToo: boolean): string[] {
  const isOut = ({ link, frame }: SeenFrame): boolean =>
    frame.includes(mark) && link !== ports.own.tap && (bridgeToo || link !== ports.own.bridge);
  const owner = (link: string): string =>
    Object.entries(ports).find(([, { tap }]) => tap === link)?.[0] ?? (link === ports.own.bridge ? 'own bridge' : link);
  const seen = sniffers.flatMap(({ where, sniffer }) =>
    sniffer.seen(isOut).map(({ link, way }) => `${where}: ${owner(link)} ${way}`),
  );
  return [...new Set(seen)];
}

/**
 * Sends an allowed frame and waits until it has come out everywhere. The frames of a tap are handled in order, so by
 * then every earlier frame has come out or has been dropped.
 */
async function untilPassed(): Promise<void> {
  for (const to of [ports.near, ports.far]) {
    const mark = nextMark();
    const echo = frames.ipv4({ from: ports.own.address, to: to.address }, 1, frames.echoRequest(mark));
    await taps.own.send(frames.ethernet({ from: ports.own.mac, to: gatewayMac }, 0x0800, echo));
    const guest = to === ports.near ? taps.near : taps.far;
    await guest.waitFrame((frame) => frame.includes(mark));
    // The echo reply carries the mark too and is the last frame on every interface of the path.
    await taps.own.waitFrame((frame) => frame.includes(mark));
    const way =
      to === ports.near
        ? ['vpc on w1: near out']
        : ['vpc on w1: vx0 out', 'host w1: und0 out', 'host w2: und0 in', 'vpc on w2: far out'];
    await until('the allowed frame is seen on the whole path', () => {
      const seen = sightings(mark, true);
      return way.every((place) => seen.includes(place));
    });
  }
}

/** The kernel's tables about guests in a namespace; a poisoned table would differ. */
async function tablesOf(port: BoundPort): Promise<string> {
  const run = (...argv: string[]): Promise<string> => guests.execBeside(cluster, port, argv);
  const all = [
    await run('ip', '-o', 'neigh', 'show', 'nud', 'permanent'),
    await run('ip', 'route', 'show'),
    await run('bridge', 'fdb', 'show'),
    await run('nft', 'list', 'table', 'bridge', 'port'),
    await run('ip', '-o', 'neigh', 'show', 'dev', port.tap),
  ];
  return all.map((text) => text.split('\n').sort().join('\n')).join('\n');
}

const forgetFrames = (): void => {
  for (const tap of Object.values(taps)) tap.takeFrames();
};

/** One line per attack that came out somewhere or was answered. */
async function leaksOf(list: readonly Attack[]): Promise<string[]> {
  const leaks: string[] = [];
  for (const { what, frame, own } of list) {
    const mark = nextMark();
    forgetFrames();
    await taps.own.send(frame(scene, mark));
    await untilPassed().catch((error: unknown) => {
      throw new Error(`after ${what}: ${String(error)}; before it: ${leaks.join('; ') || 'nothing came out'}`);
    });
    const out = sightings(mark, own !== true);
    const answered = taps.own.takeFrames().length;
    const reached = (['near', 'far', 'other'] as const).filter((name) =>
      taps[name].takeFrames().some((got) => got.includes(mark)),
    );
    if (out.length > 0 || reached.length > 0) leaks.push(`${what}: ${[...out, ...reached].join(', ')}`);
    // The guest's own traffic may get an ICMP error; a frame with a false sender must not be answered.
    if (answered > 0 && own !== true) leaks.push(`${what}: answered with ${answered} frames`);
  }
  return leaks;
}

test('no hostile frame comes out anywhere, and no table of the kernel changes', async () => {
  const before = [await tablesOf(ports.own), await tablesOf(ports.far)];
  assert.equal(await leaksOf(attacks), []);
  assert.equal([await tablesOf(ports.own), await tablesOf(ports.far)], before);
});

test('random frames with a foreign identity never come out, and none reaches a closed guest', async () => {
  const seed = process.env['PHOTON_SEED'] ?? String(Date.now());
  const chance = new Chance(`frames ${seed}`);
  const count = Number(process.env['PHOTON_FRAMES'] ?? 4_000);
  const before = [await tablesOf(ports.own), await tablesOf(ports.far)];
  const sent = new Map<string, Buffer>();
  forgetFrames();
  for (let at = 0; at < count; at += 100) {
    const some = Array.from({ length: Math.min(100, count - at) }, () => {
      const mark = nextMark();
      const frame = randomFrame(chance, scene, mark);
      sent.set(mark.toString(), frame);
      return taps.own.send(frame);
    });
    await Promise.all(some);
    await untilPassed();
  }
  const markOf = (frame: Buffer): string =>
    frame.subarray(frame.indexOf(stem), frame.indexOf(stem) + stem.length + 6).toString();
  const leaks = new Set<string>();
  let passed = 0;
  for (const { where, sniffer } of sniffers) {
    for (const { link, way, frame } of sniffer.seen(({ link: one }) => one !== ports.own.tap)) {
      const origin = sent.get(markOf(frame));
      if (origin === undefined) continue;
      passed += 1;
      const own = isOwnIdentity(scene, origin) || (link === ports.own.bridge && isOwnDhcp(scene, origin));
      if (!own || link === ports.other.tap)
        leaks.add(`${where}: ${link} ${way} ${origin.subarray(0, 60).toString('hex')}`);
    }
  }
  const reached = taps.other.takeFrames().flatMap((frame) => sent.get(markOf(frame)) ?? []);
  assert.equal([[...leaks].slice(0, 8), reached.length], [[], 0], `seed ${seed}`);
  assert.ok(passed > count / 100, `only ${passed} sightings of frames that may pass: the sniffers see nothing`);
  assert.equal([await tablesOf(ports.own), await tablesOf(ports.far)], before, `seed ${seed}`);
});

test('afterwards the neighbours still get their addresses and answer echoes', async () => {
  for (const tap of Object.values(taps)) await tap.sniff(false);
  for (const name of ['near', 'far', 'own'] as const) {
    const { address, router } = await taps[name].dhcp({ timeoutMs: 4000 });
    assert.equal([address, router], [ports[name].address, scene.gateway], name);
  }
  assert.is((await taps.far.ping(ports.near.address, { count: 2, intervalMs: 10 })).received, 2);
});

test('the ARP probes and announcements of an ordinary guest are allowed', async () => {
  const probe = (targetAddress: string): Buffer =>
    frames.ethernet(
      { from: ports.own.mac, to: 'ff:ff:ff:ff:ff:ff' },
      0x0806,
      frames.arp({ operation: 1, senderMac: ports.own.mac, senderAddress: '0.0.0.0', targetAddress }, nextMark()),
    );
  const isAnswer = (frame: Buffer): boolean => frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 2;
  await taps.own.sniff();
  forgetFrames();
  await taps.own.send(probe(scene.gateway));
  const answer = await taps.own.waitFrame(isAnswer);
  assert.is(answer.subarray(28, 32).join('.'), scene.gateway, 'the gateway answers the probe');
  assert.is(answer.subarray(6, 12).toString('hex'), gatewayMac.replaceAll(':', ''));
  // The guest's own address is in use by no other guest: neither a probe nor an announcement is answered.
  await taps.own.send(probe(ports.own.address));
  await taps.own.send(
    frames.ethernet(
      { from: ports.own.mac, to: 'ff:ff:ff:ff:ff:ff' },
      0x0806,
      frames.arp(
        {
          operation: 1,
          senderMac: ports.own.mac,
          senderAddress: ports.own.address,
          targetAddress: ports.own.address,
        },
        nextMark(),
      ),
    ),
  );
  await taps.own.send(probe(scene.gateway));
  await taps.own.waitFrame(isAnswer);
  assert.equal(
    taps.own
      .takeFrames()
      .filter(isAnswer)
      .map((frame) => frame.toString('hex')),
    [],
  );
});

test.run();
