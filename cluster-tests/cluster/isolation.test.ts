/**
 * What a hostile guest sends ends at its own tap. Each frame carries a mark of its own; sniffers on every interface of
 * the VPC's namespaces and of the hosts say where it came out, the neighbours say what reached them, and the kernel's
 * tables are the same afterwards. Each round ends with a good frame that does come out, so no sniffer is deaf.
 */
// needs: kernel
// time limit: 120 s
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { attacks } from './isolation-attacks.ts';
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
  ports = await eachPlace((name) => {
    const [id, network, node] = places[name];
    return guests.bindPort(cluster, client, id, node, { network });
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

/** Where a mark was seen, but for its own tap: `vpc on w1: near's tap out`. */
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
 * A good frame behind the others: a tap's frames are handled in order, so when this one has come out everywhere, the
 * ones before it have come out too, if they do.
 */
async function untilPassed(): Promise<void> {
  for (const to of [ports.near, ports.far]) {
    const mark = nextMark();
    const echo = frames.ipv4({ from: ports.own.address, to: to.address }, 1, frames.echoRequest(mark));
    await taps.own.send(frames.ethernet({ from: ports.own.mac, to: gatewayMac }, 0x0800, echo));
    const guest = to === ports.near ? taps.near : taps.far;
    await guest.waitFrame((frame) => frame.includes(mark));
    // And back: the answer's copy is the last thing on every interface on the way.
    await taps.own.waitFrame((frame) => frame.includes(mark));
    const way =
      to === ports.near
        ? ['vpc on w1: near out']
        : ['vpc on w1: vx0 out', 'host w1: und0 out', 'host w2: und0 in', 'vpc on w2: far out'];
    await until('the good frame is seen everywhere', () => {
      const seen = sightings(mark, true);
      return way.every((place) => seen.includes(place));
    });
  }
}

/** What the kernel knows of guests in a namespace; a poisoned table would differ. */
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
    // Its own traffic may be told that there is no way; a hostile frame is not even answered.
    if (answered > 0 && own !== true) leaks.push(`${what}: answered with ${answered} frames`);
  }
  return leaks;
}

test('nothing hostile comes out anywhere, and nothing of it is believed', async () => {
  const before = [await tablesOf(ports.own), await tablesOf(ports.far)];
  assert.equal(await leaksOf(attacks), []);
  assert.equal([await tablesOf(ports.own), await tablesOf(ports.far)], before);
});

test('the neighbour still gets its address, and echoes find it', async () => {
  for (const tap of Object.values(taps)) await tap.sniff(false);
  for (const name of ['near', 'far', 'own'] as const) {
    const { address, router } = await taps[name].dhcp({ timeoutMs: 4000 });
    assert.equal([address, router], [ports[name].address, scene.gateway], name);
  }
  assert.is((await taps.far.ping(ports.near.address, { count: 2, intervalMs: 10 })).received, 2);
});

test('what a decent guest asks before it takes an address passes', async () => {
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
  assert.is(answer.subarray(28, 32).join('.'), scene.gateway, 'the gateway is there, and says so');
  assert.is(answer.subarray(6, 12).toString('hex'), gatewayMac.replaceAll(':', ''));
  // Nobody else has its address: neither a probe for it nor its announcement is answered.
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
