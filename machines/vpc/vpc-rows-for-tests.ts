/** A VPC with hosts and networks, and its events, for the tables of its chart. Only tests use it. */
import { newDeclared } from '../values/declared.ts';
import type { Failure } from '../values/failures.ts';
import type { NetworkSpec } from '../values/wiring.ts';
import type { SectionView, SegmentView, VpcContext } from './vpc-context.ts';
import { sectionNames } from './vpc-sections.ts';

export const passing: Failure = { code: 'x', message: 'x', retryable: true };
export const lasting: Failure = { code: 'y', message: 'y', retryable: false };

export const host = (n: number) => ({ name: `w${n}`, index: n, underlay: `192.0.2.${n}`, underlayMtu: 1600 });

export const network = (name: string, more: Partial<NetworkSpec> = {}): NetworkSpec => ({
  network: `network/t/${name}`,
  uid: 'N',
  subnets: [{ name: 's', cidr: name === 'a' ? '10.0.0.0/24' : '10.0.1.0/24', gateway: '10.0.0.1' }],
  mtu: 1450,
  dhcp: { leaseSeconds: 60, dns: [], domain: null, search: [], ntp: [] },
  ...more,
});

export const section = (more: Partial<SectionView> = {}): SectionView => ({
  published: 2,
  whole: 1,
  proven: 2,
  failure: null,
  ...more,
});

/**
 * @param sections differences from `section()`; every section was published.
 * @param names networks of the segment, added by generation 2 of their section.
 */
export const view = (
  n: number,
  sections: Readonly<Record<string, Partial<SectionView>>> = {},
  names: readonly string[] = ['a'],
): SegmentView => ({
  facts: host(n),
  sections: Object.fromEntries(sectionNames.map((name) => [name, section(sections[name])])),
  networks: Object.fromEntries(names.map((name) => [`network/t/${name}`, 2])),
  removing: false,
  failure: null,
});

export const known = (spec: NetworkSpec, generation = 1) => ({ spec, generation, realized: generation });

/** Without a segment. */
export const held: VpcContext = {
  ...newDeclared('vpc/t/main'),
  uid: 'U1',
  spec: {},
  generation: 1,
  observedGeneration: 1,
  vni: 4096,
  networks: { 'network/t/a': known(network('a')) },
  segments: {},
  waiting: [],
  withdrawing: {},
  elements: {},
  watches: {},
  followers: [],
  rangeWatchers: [],
  leaving: [],
};
export const two = { segments: { w1: view(1), w2: view(2) } };
export const waits = (n = 1) => [{ port: 'port/t/p', host: host(n), network: 'network/t/a' }];

const generation2 = Object.fromEntries(sectionNames.map((name) => [name, 2]));

/** The published generation of every section in `view`. */
export const heard = Object.fromEntries(sectionNames.map((name) => [name, 2]));

export const claim = (spec: NetworkSpec, generation = 1) => ({ type: 'network.claim', network: spec, generation });
export const release = (name: string) => ({ type: 'network.release', network: `network/t/${name}` });
export const need = (n: number, name = 'a') => ({
  type: 'segment.need',
  port: 'port/t/p',
  host: host(n),
  network: `network/t/${name}`,
});
export const proven = (n: number, sections: Readonly<Record<string, number>>) => ({
  type: 'segment.proven',
  host: `w${n}`,
  sections,
});
export const failed = (n: number, error: Failure, name: string | null = 'networks') => ({
  type: 'segment.failed',
  host: `w${n}`,
  section: name,
  heard: generation2,
  error,
});
