/** The checker of peerings names each way in which hosts and declared VPCs may disagree, and passes a joined pair. */
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { wrongPeerings, type SegmentListing } from './settled-peerings.ts';

const [peering, a, b] = ['peering/t/ab', 'vpc/t/a', 'vpc/t/b'];
const stored = (id: string, state: unknown, context: Readonly<Record<string, unknown>>): [string, StoredActor] => [
  id,
  {
    id: id as ActorId,
    uid: 'U',
    status: 'live',
    version: 1,
    chartVersion: 1,
    schemaHash: '',
    state,
    context,
    effects: [],
    timers: [],
    deferred: {},
    lastSeq: 0,
    watermarks: {},
    prunedUid: '',
  },
];
const vpc = (id: string, host: string, cidr: string) =>
  stored(id, 'ready', {
    segments: { [host]: { networks: { n: 1 }, removing: false } },
    networks: { n: { spec: { subnets: [{ cidr }] } } },
  });
const cloud = (state = 'ready', cidrOfB = '10.2.0.0/24') =>
  new Map([stored(peering, state, { spec: { vpcs: ['b', 'a'] } }), vpc(a, 'w1', '10.1.0.0/24'), vpc(b, 'w2', cidrOfB)]);

const link = (peer: string, cidr: string, own: string) => ({ peer, cidrs: [cidr], own: [own], mtu: 1500 });
const groups = ['security-group/t/web'];
const members = { '10.1.0.5': { groups } };
const locations = new Map([
  [a, new Map([['10.1.0.5', { groups }]])],
  [b, new Map([['10.2.0.5', { groups: [] }]])],
]);
const segment = (id: string, links: object, known: object = members, services: object = {}): SegmentListing => ({
  vpc: id,
  owner: `segment of ${id}`,
  elements: new Map([
    ['peerings', new Map(Object.entries(links))],
    ['group-members', new Map(Object.entries(known))],
    ['service-ips', new Map(Object.entries(services))],
  ]),
});
const [ofA, ofB] = [link(b, '10.2.0.0/24', '10.1.0.0/24'), link(a, '10.1.0.0/24', '10.2.0.0/24')];
const both = [segment(a, { [peering]: ofA }), segment(b, { [peering]: ofB })];
const found = (live: ReadonlyMap<string, StoredActor>, ...hosts: readonly (readonly SegmentListing[])[]) =>
  wrongPeerings(
    live,
    hosts.map((segments, at) => ({ host: `w${at + 1}`, segments })),
    locations,
  ).join('; ');

test('a pair that is joined on the hosts of both is right', () => {
  assert.is(found(cloud(), both, both), '');
});

test('each disagreement has its words', () => {
  const [first = both[0] as SegmentListing, second = first] = both;
  assert.match(found(cloud(), both, [second]), /vpc\/t\/a on w2 has no link/);
  assert.match(found(cloud(), both, [segment(a, {}), second]), /vpc\/t\/a on w2 has no link/);
  assert.match(found(cloud(), both, both, [first]), /vpc\/t\/a on w3 has peering\/t\/ab, and need not/);
  const stale = segment(a, { [peering]: { ...ofA, cidrs: ['10.9.0.0/24'] } });
  assert.match(found(cloud(), both, [stale, second]), /not of 10\.2\.0\.0\/24/);
  assert.match(
    found(cloud(), [first, segment(b, { [peering]: ofB }, {})], both),
    /vpc\/t\/b on w1 has the members none/,
  );
  const foreign = segment(b, { [peering]: ofB }, { ...members, '10.3.0.5': { groups } });
  assert.match(found(cloud(), [first, foreign], both), /10\.3\.0\.5/);
  const live = cloud();
  live.delete(peering);
  assert.match(found(live, both, both), /has a link of peering\/t\/ab, which does not exist/);
  assert.match(found(cloud('ready', '10.1.0.0/25'), both, both), /is ready although 10\.1\.0\.0\/25 is in both VPCs/);
  assert.match(found(cloud('rejected'), both, both), /is rejected although no CIDR overlaps/);
});

test('a service IP is the same on the hosts of both VPCs, and on those of no third one', () => {
  const [web, at] = ['service-ip/t/web', { address: '10.1.0.9', backends: ['10.1.0.5'] }];
  const live = new Map([...cloud(), stored(web, 'allocated', { grant: { vpc: a } })]);
  const here = segment(a, { [peering]: ofA }, members, { [web]: at });
  const there = (services: object) => segment(b, { [peering]: ofB }, members, services);
  const right = [here, there({ [web]: { ...at } })];
  assert.is(found(live, right, right), '');
  const otherwise = /vpc\/t\/b on w1 has service-ip\/t\/web otherwise than vpc\/t\/a/;
  assert.match(found(live, [here, there({})], right), otherwise);
  assert.match(found(live, [here, there({ [web]: { ...at, backends: [] } })], right), otherwise);
  // A gateway host of both, without a network of either: what its segments forward has found its backend before.
  const gateway = [segment(a, {}, members, { [web]: at }), segment(b, {}, members, {})];
  assert.is(found(live, right, right, gateway), '');
  const third = segment('vpc/t/c', {}, {}, { [web]: at });
  assert.match(
    found(live, [...right, third], right),
    /vpc\/t\/c on w1 has .*web of vpc\/t\/a, with which it is not peered/,
  );
});

test.run();
