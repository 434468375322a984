/**
 * Random security groups on the real kernel: for sampled packets between ports, the firewall and `admits` say the same.
 * PHOTON_GROUP_RULES is the number of rules, PHOTON_SEED the seed.
 */
// needs: kernel
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { admits, protocolNumbers, type GroupRule } from '@photoncloud/machines/values/group-rules';
import { inOwnNamespaces, openForTests, nextCall, segmentAsk } from '../dataplane-for-tests.ts';
import { addressOf, groupId, GroupVpc, rule, setId, type Sample } from './groups-for-tests.ts';

const wantedRules = Number(process.env['PHOTON_GROUP_RULES'] ?? 300);
const seed = Number(process.env['PHOTON_SEED'] ?? 20_261_129);
const samplesEach = 10;
const ports = [11, 12, 13, 14];
const groupNames = ['a', 'b', 'c', 'd', 'e', 'f'];
const setNames = ['s', 't', 'u'];
/** What a kernel opens a flow with; it takes other types for answers to nothing. */
const icmpTypes = [8, 13, 15, 17];
const otherProtocols = [2, 4, 41, 47, 50, 89, 112, 253];
const edges = [1, 2, 66, 80, 1_023, 1_024, 32_768, 65_534, 65_535];

/** Numbers below 1, by mulberry32. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Draw {
  readonly #random = randomFrom(seed);

  below = (limit: number): number => Math.floor(this.#random() * limit);
  one = <Item>(items: readonly Item[]): Item => items[this.below(items.length)] as Item;
  some = <Item>(items: readonly Item[], share: number): Item[] => items.filter(() => this.#random() < share);

  port = (): number => (this.below(2) === 0 ? this.one(edges) : 1 + this.below(65_535));

  cidr(): string {
    const length = this.one([0, 1, 8, 23, 24, 28, 29, 30, 31, 32, 32]);
    const size = 2 ** (32 - length);
    const base = this.below(6) === 0 ? 0xc0_00_02_00 : 0x0a_4d_01_00;
    const start = Math.floor((base + 8 + this.below(9)) / size) * size;
    return `${[24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256).join('.')}/${length}`;
  }

  remote(): GroupRule['remote'] {
    switch (this.below(4)) {
      case 0:
        return null;
      case 1:
        return { cidr: this.cidr() };
      case 2:
        return { group: groupId(this.one([...groupNames, 'unknown'])) };
      default:
        return { addressSet: setId(this.one([...setNames, 'unknown'])) };
    }
  }

  rule(): GroupRule {
    const direction = this.one(['ingress', 'egress'] as const);
    const protocol = this.one(['any', 'tcp', 'tcp', 'udp', 'sctp', 'icmp', this.one(otherProtocols)] as const);
    const [from, to] = [this.port(), this.port()].sort((one, other) => one - other) as [number, number];
    const hasPorts = protocol === 'tcp' || protocol === 'udp' || protocol === 'sctp';
    return rule({
      direction,
      protocol,
      ports: hasPorts && this.below(4) > 0 ? { from, to: this.below(3) === 0 ? from : to } : null,
      icmp:
        protocol === 'icmp' && this.below(3) > 0
          ? { type: this.one(icmpTypes), code: this.below(2) === 0 ? null : this.below(3) }
          : null,
      remote: this.remote(),
    });
  }

  /** A packet that the rule admits, or just does not. */
  sample(of: GroupRule | undefined): Sample {
    const named = this.one(['tcp', 'udp', 'sctp', 'icmp', this.one(otherProtocols)] as const);
    const protocol = of === undefined || of.protocol === 'any' ? named : of.protocol;
    if (protocol === 'icmp') {
      const { type, code } = of?.icmp ?? { type: this.one(icmpTypes), code: null };
      return {
        protocol: 1,
        icmp: { type: this.below(4) === 0 ? this.one(icmpTypes) : type, code: code ?? this.below(3) },
      };
    }
    if (typeof protocol === 'number') return { protocol };
    const { from, to } = of?.ports ?? { from: this.port(), to: this.port() };
    const near = this.one([from - 1, from, to, to + 1, Math.floor((from + to) / 2)]);
    // A DHCP message is another matter: the firewall pins it to its port.
    const wanted = Math.min(Math.max(near, 1), 65_535);
    return { protocol: protocolNumbers[protocol], ports: [20_000 + this.below(20_000), wanted === 67 ? 68 : wanted] };
  }
}

const open = {
  [groupId('in')]: [rule({ direction: 'ingress' })],
  [groupId('out')]: [rule({ direction: 'egress' })],
};

interface World {
  readonly groups: Readonly<Record<string, readonly GroupRule[]>>;
  readonly members: Readonly<Record<string, readonly string[]>>;
  readonly addressSets: Readonly<Record<string, readonly string[]>>;
  /** Port -> names of its groups; who is a member is drawn apart, so that the two are told apart. */
  readonly wired: ReadonlyMap<number, readonly string[]>;
}

function worldOf(draw: Draw): World {
  const drawn = groupNames.map((name) => {
    const rules = Array.from({ length: 2 + draw.below(10) }, () => draw.rule());
    return [groupId(name), rules] as const;
  });
  // Those of a set do not overlap.
  const lists = [['10.77.1.8/29', '10.77.1.0/30'], ['10.77.1.11/32', '10.77.1.14/31'], ['10.77.1.12/32'], []];
  return {
    groups: { ...Object.fromEntries(drawn), ...open },
    members: Object.fromEntries(
      ports.map((port) => [addressOf(port), draw.some(groupNames, 0.3).slice(0, 5).map(groupId)]),
    ),
    addressSets: Object.fromEntries(draw.some(setNames, 0.8).map((name) => [setId(name), draw.one(lists)])),
    wired: new Map(
      ports.map((port) => [port, [...draw.some(groupNames, 0.3).slice(0, 4), ...draw.one([['in'], ['out'], []])]]),
    ),
  };
}

/** Whole sections and increments by turns. */
async function tell(vpc: GroupVpc, { groups, members, addressSets, wired }: World, round: number): Promise<void> {
  if (round % 2 === 0) {
    const ask = segmentAsk({ groups, members, addressSets, generation: round + 1 });
    assert.equal((await vpc.dp.realizeSegment(ask, nextCall())).failed, {});
  } else {
    const each = <Value>(values: Readonly<Record<string, Value>>, field: string) =>
      Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { [field]: value }]));
    const gone = setNames.map(setId).filter((id) => addressSets[id] === undefined);
    const removed = Object.fromEntries(gone.map((id) => [id, { cidrs: [] }]));
    await vpc.change('address-sets', each(addressSets, 'cidrs'), removed);
    await vpc.change('security-groups', each(groups, 'rules'));
    await vpc.change('group-members', each(members, 'groups'));
  }
  for (const [port, names] of wired) await vpc.wire(port, ...names);
}

/** Sends samples from one port to another. @returns how many were sent and how many of them are admitted */
async function compare(vpc: GroupVpc, world: World, draw: Draw, from: number, to: number): Promise<[number, number]> {
  const { groups, members, addressSets, wired } = world;
  const policy = {
    rules: new Map(Object.entries(groups)),
    members: new Map(Object.entries(members)),
    addressSets: new Map(Object.entries(addressSets)),
    serviceIps: new Map<string, string>(),
  };
  const [sending = [], receiving = []] = [from, to].map((port) => (wired.get(port) ?? []).map(groupId));
  const rules = [
    ...sending.flatMap((id) => groups[id] ?? []).filter(({ direction }) => direction === 'egress'),
    ...receiving.flatMap((id) => groups[id] ?? []).filter(({ direction }) => direction === 'ingress'),
  ];
  const samples = Array.from({ length: samplesEach }, () =>
    draw.sample(draw.below(4) === 0 || rules.length === 0 ? undefined : draw.one(rules)),
  );
  // What was sent the other way before is no flow of today.
  await vpc.inside('conntrack', '-F');
  const came = await vpc.passing(from, to, samples);
  const expected = samples.map((sample, index) => {
    const packet = {
      source: addressOf(from),
      destination: addressOf(to),
      protocol: sample.protocol,
      ...(sample.ports === undefined ? {} : { destinationPort: sample.ports[1] }),
      ...(sample.icmp === undefined ? {} : { icmp: sample.icmp }),
    };
    const admitted = admits(policy, sending, 'egress', packet) && admits(policy, receiving, 'ingress', packet);
    const shown = JSON.stringify({ seed, packet, sending, receiving, members, addressSets, rules });
    assert.is(came[index], admitted, shown);
    return admitted;
  });
  return [expected.length, expected.filter(Boolean).length];
}

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();

  test('random rules admit in the kernel what they admit on paper', async () => {
    const vpc = await GroupVpc.make(await opened);
    const draw = new Draw();
    let [rules, packets, admitted] = [0, 0, 0];
    try {
      for (let round = 0; rules < wantedRules; round += 1) {
        const world = worldOf(draw);
        await tell(vpc, world, round);
        for (const from of ports)
          for (const to of ports.filter((port) => port !== from)) {
            const [sent, passed] = await compare(vpc, world, draw, from, to);
            packets += sent;
            admitted += passed;
          }
        rules += Object.values(world.groups).flat().length - Object.keys(open).length;
      }
    } finally {
      await vpc.close();
    }
    const shown = `${rules} rules, ${packets} packets, ${admitted} of them admitted`;
    console.log(shown);
    assert.ok(admitted > packets / 20 && admitted < packets * 0.9, shown);
  });
});

test.run();
