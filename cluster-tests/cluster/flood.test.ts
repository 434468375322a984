/**
 * Two tenants whose networks, addresses and MACs are equal, on the same two workers, flood at the same time: everything
 * of isolation-attacks.ts, and random frames from a seed. A capture on every interface of both VPCs and both hosts is
 * the judge: no frame of one tenant is seen in the other's VPC, none with a foreign identity leaves its tap, and on the
 * underlay only permitted frames travel, under the VNI of their VPC. The capture is whole, or the test fails.
 * PHOTON_FLOOD_MS is the time of the flood (a third of it for random frames), PHOTON_SEED the seed.
 */
// needs: kernel
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { TapGuest } from '../harness/tap-guest.ts';
import { Chance } from '../simulation/seeded-random.ts';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { attacks } from './isolation-attacks.ts';
import * as frames from './isolation-frames.ts';
import { isOwnDhcp, isOwnIdentity, randomFrame } from './isolation-random.ts';
import { gatewayMac, ip, type Scene } from './isolation-scene.ts';
import * as guests from './overlay-guests.ts';
import type { BoundPort } from './overlay-guests.ts';
import { FrameCounter, type FrameCount } from './overlay-sniffer.ts';
import { until } from './process-identity.ts';

const test = suite('flood');
const floodMs = Number(process.env['PHOTON_FLOOD_MS'] ?? 3_000);
const seed = process.env['PHOTON_SEED'] ?? String(Date.now());
/** All frames of a round are captured before the next round, so that the captures lose none. */
const timesInRound = 5;
const randomInRound = 400;

const mark = Buffer.from('photon-flood:');
const tenants = ['acme', 'beta'] as const;
type Tenant = (typeof tenants)[number];
const places = {
  one: ['front', 'w1'],
  near: ['front', 'w1'],
  far: ['front', 'w2'],
  closed: ['back', 'w1'],
} as const;
type Place = keyof typeof places;
const placeNames = Object.keys(places) as readonly Place[];
const attackers = ['one', 'far'] as const;

/**
 * What a frame may do. `false`: only its own tap sees it. `own`: its own bridge, too. `free`: the VPC of its guest,
 * except the closed guest.
 */
const rights = { f: 'false', o: 'own', r: 'free' } as const;
type Right = keyof typeof rights;

interface Side {
  readonly ports: Readonly<Record<Place, BoundPort>>;
  readonly taps: Readonly<Record<Place, TapGuest>>;
  readonly vni: number;
}

let cluster: PhotonCluster;
let client: PhotonClient;
const sides = new Map<Tenant, Side>();
const counters: { readonly tenant: Tenant | undefined; readonly where: string; readonly counter: FrameCounter }[] = [];

const side = (tenant: Tenant): Side => sides.get(tenant) ?? (assert.unreachable(`no side ${tenant}`) as never);

async function eachPlace<Made>(make: (place: Place) => Promise<Made>): Promise<Record<Place, Made>> {
  const made: [Place, Made][] = [];
  for (const place of placeNames) made.push([place, await make(place)]);
  return Object.fromEntries(made) as Record<Place, Made>;
}

async function openSide(tenant: Tenant): Promise<Side> {
  await guests.command(client, 'create', `tenant/${tenant}/${tenant}`);
  await guests.command(client, 'create', `network/${tenant}/front`, { subnets: [{ cidr: '10.20.0.0/24' }] });
  await guests.command(client, 'create', `network/${tenant}/back`, { subnets: [{ cidr: '10.21.0.0/24' }] });
  // Egress to everybody, and no ingress.
  await guests.command(client, 'create', `security-group/${tenant}/apart`, { rules: [{ direction: 'egress' }] });
  const ports = await eachPlace((place) => {
    const [network, node] = places[place];
    const groups = network === 'back' ? { securityGroups: ['apart'] } : {};
    return guests.bindPort(cluster, client, `port/${tenant}/${place}`, node, { network, ...groups });
  });
  const taps = await eachPlace((place) => guests.openSettledGuest(ports[place]));
  const device = await guests.execBeside(cluster, ports.one, ['ip', '-d', 'link', 'show', 'vx0']);
  return { ports, taps, vni: Number(/vxlan id (\d+)/.exec(device)?.[1]) };
}

test.before(async () => {
  cluster = await launchCluster({ stem: 'flood' });
  client = await guests.openClient(cluster, cluster.clientFile);
  for (const tenant of tenants) sides.set(tenant, await openSide(tenant));
  // A label is the tenant's first letter, its guest's, the right, and four digits.
  const open = async (tenant: Tenant | undefined, where: string, path: string): Promise<void> => {
    counters.push({ tenant, where, counter: await FrameCounter.open(path, mark, 7) });
  };
  for (const tenant of tenants)
    for (const place of attackers) {
      const port = side(tenant).ports[place];
      await open(tenant, `VPC of ${tenant} on ${port.node}`, port.namespacePath);
    }
  for (const node of ['w1', 'w2']) await open(undefined, `host ${node}`, guests.underlayPath(cluster, node));
});

test.after(async () => {
  for (const { taps } of sides.values()) for (const tap of Object.values(taps)) await tap.close();
  for (const { counter } of counters) await counter.close();
  client?.close();
  await cluster?.topology.stop();
});

interface Attacker {
  readonly tenant: Tenant;
  readonly place: Place;
  readonly scene: Scene;
  readonly label: (right: Right, number: number) => string;
}

/** Small letters in the first flood, capitals in the second. */
let isSecond = false;
const initial = ([letter = '']: string): string => (isSecond ? letter.toUpperCase() : letter);
const isOfThisFlood = (label: string): boolean => (label[0] === label[0]?.toUpperCase()) === isSecond;

const everyAttacker = (): Attacker[] =>
  tenants.flatMap((tenant) =>
    attackers.map((place) => {
      const { one, near, far, closed } = side(tenant).ports;
      const { address: underlay } = cluster.topology.node(place === 'one' ? 'w2' : 'w1');
      const around = { near: place === 'one' ? near : one, far: place === 'one' ? far : near, other: closed, underlay };
      return {
        tenant,
        place,
        scene: { own: place === 'one' ? one : far, gateway: one.gateway, ...around },
        label: (right, number) => `${initial(tenant)}${place[0]}${right}${String(number).padStart(4, '0')}`,
      };
    }),
  );

const marked = (label: string): Buffer => Buffer.concat([mark, Buffer.from(label)]);

/** Frames that come out at the neighbours: when all of them have, every frame before them was dealt with. */
const echoes = ({ scene, label }: Attacker): Buffer[] =>
  [scene.near, scene.far].map((to) => {
    const packet = frames.ipv4(
      { from: scene.own.address, to: to.address },
      1,
      frames.echoRequest(marked(label('r', 0))),
    );
    return frames.ethernet({ from: scene.own.mac, to: gatewayMac }, ip, packet);
  });

const countAll = async () => Promise.all(counters.map(async (one) => ({ ...one, counts: await one.counter.counts() })));
type Counted = Awaited<ReturnType<typeof countAll>>;

/** How often the echoes of an attacker have come out at its neighbours' taps, the fewest of the two. */
const arrivedOf = (all: Counted, { tenant, scene, label }: Attacker): number => {
  const { ports } = side(tenant);
  const atTap = (address: string): number => {
    const { tap } = Object.values(ports).find((port) => port.address === address) ?? { tap: '' };
    return all
      .flatMap(({ counts }) => counts)
      .filter(({ link, way, label: of }) => link === tap && way === 'out' && of === label('r', 0))
      .reduce((sum, { count }) => sum + count, 0);
  };
  return Math.min(atTap(scene.near.address), atTap(scene.far.address));
};

/** Every attacker sends at the same time. @param sent echoes of each of them so far @returns how many frames */
async function round(send: (attacker: Attacker) => Promise<number>, sent: number): Promise<number> {
  const all = everyAttacker();
  const numbers = await Promise.all(all.map(send));
  await until('the echoes behind the flood have arrived', async () => {
    const counted = await countAll();
    return all.every((attacker) => arrivedOf(counted, attacker) >= sent);
  });
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** Why a frame must not have been where it was counted; undefined when it may. */
function wrongPlace(where: Counted[number], { link, way, vni, label }: FrameCount): string | undefined {
  const [attacker] = everyAttacker().filter((one) => label.startsWith(one.label('f', 0).slice(0, 2)));
  if (attacker === undefined) return 'nobody has sent it';
  const { ports, vni: own } = side(attacker.tenant);
  const right = rights[label[2] as Right];
  const { tap, bridge } = ports[attacker.place];
  if (where.tenant === undefined) {
    if (right !== 'free') return `a frame with the right ${right} is on the host`;
    return link === 'und0' && vni === own ? undefined : `it is on the host outside its VPC, VNI ${vni} of ${own}`;
  }
  if (where.tenant !== attacker.tenant) return 'it is in the VPC of the other tenant';
  if (link === tap) return right === 'false' && way === 'out' ? 'a false frame was answered' : undefined;
  if (right === 'free') return link === ports.closed.tap ? 'it came out at a closed guest' : undefined;
  return right === 'own' && link === bridge ? undefined : `it has left its tap with the right ${right}`;
}

/** @param name of a label's number */
async function leaks(name: (label: string) => string): Promise<string[]> {
  const found: string[] = [];
  for (const where of await countAll())
    for (const count of where.counts.filter(({ label }) => isOfThisFlood(label))) {
      const why = wrongPlace(where, count);
      const seen = `${where.where}: ${count.link} ${count.way}, ${count.count} x ${count.label}`;
      if (why !== undefined) found.push(`${seen} (${name(count.label)}): ${why}`);
    }
  return found;
}

test('the tenants are equal in everything that a frame says', () => {
  for (const place of placeNames) {
    const [ours, theirs] = [side('acme').ports[place], side('beta').ports[place]];
    assert.equal([theirs.address, theirs.mac, theirs.node], [ours.address, ours.mac, ours.node]);
    assert.is.not(theirs.namespacePath, ours.namespacePath);
  }
  assert.is.not(side('acme').vni, side('beta').vni);
});

test('under a flood no frame reaches the other tenant, and none leaves its tap under a false name', async () => {
  const endsMs = performance.now() + floodMs;
  const flood = (attacker: Attacker): Promise<number> => {
    const { tenant, place, scene, label } = attacker;
    const all = attacks.map(({ what, frame, own }, number) => {
      // It is the host of the closed guest that drops it.
      const isForFarHost = what === 'to another network' && place === 'far';
      return frame(scene, marked(label(isForFarHost ? 'r' : own === true ? 'o' : 'f', number + 1)));
    });
    return side(tenant).taps[place].flood([...all, ...echoes(attacker)], timesInRound);
  };
  let [sent, echoesSent] = [0, 0];
  do sent += await round(flood, (echoesSent += timesInRound));
  while (performance.now() < endsMs);
  console.log(`${sent} frames`);
  const name = (label: string): string => attacks[Number(label.slice(3)) - 1]?.what ?? '';
  assert.equal(await leaks(name), []);
  // The capture has seen the flood: each frame comes in at its tap.
  const counted = (await countAll()).flatMap(({ counts }) => counts);
  const incoming = counted.filter(
    ({ label, way }) => Number(label.slice(3)) > 0 && isOfThisFlood(label) && way === 'in',
  );
  const seen = new Set(incoming.map(({ label }) => label));
  assert.is(seen.size, attacks.length * 2 * tenants.length, 'attacks that were seen');
});

test('random frames of both tenants stay apart, and false ones in their taps', async () => {
  isSecond = true;
  const chance = new Chance(`flood ${seed}`);
  const sentFrames = new Map<string, Buffer>();
  const endsMs = performance.now() + floodMs / 3;
  let [sent, number, echoesSent] = [0, 0, 0];
  const flood = (attacker: Attacker): Promise<number> => {
    const { tenant, place, scene, label } = attacker;
    const some = Array.from({ length: randomInRound }, () => {
      // The right is known only when the frame is; it stands in a mark that the frame keeps.
      const frame = randomFrame(chance, scene, marked(label('f', ++number % 10_000)));
      const right = isOwnIdentity(scene, frame) ? 'r' : isOwnDhcp(scene, frame) ? 'o' : 'f';
      const at = frame.indexOf(mark) + mark.length;
      frame.write(right, at + 2);
      sentFrames.set(frame.subarray(at, at + 7).toString(), frame);
      return frame;
    });
    return side(tenant).taps[place].flood([...some, ...echoes(attacker)], 1);
  };
  do sent += await round(flood, (echoesSent += 1));
  while (performance.now() < endsMs);
  console.log(`${sent} random frames, seed ${seed}`);
  const name = (label: string): string => sentFrames.get(label)?.subarray(0, 60).toString('hex') ?? '';
  assert.equal(await leaks(name), [], `seed ${seed}`);
});

test('afterwards every guest gets its address and reaches its neighbours', async () => {
  for (const tenant of tenants) {
    const { ports, taps } = side(tenant);
    for (const place of placeNames) {
      const { address, router } = await taps[place].dhcp();
      assert.equal([address, router], [ports[place].address, ports[place].gateway], `${tenant} ${place}`);
    }
    assert.is((await taps.one.ping(ports.far.address, { count: 3, intervalMs: 10 })).received, 3, tenant);
  }
});

test.run();
