/** A router with routes and a way out, and what others tell it, for the tests of its chart. */
import { newDeclared } from '../values/declared.ts';
import type { RouterContext } from './router-context.ts';
import { routerSpec, type RouterSpec } from './router-protocol.ts';

export const id = 'router/t/r';
export const vpc = 'vpc/t/main';
export const network = 'external-network/system/public';
export const vpn = 'port/t/vpn';
const toOffice = { destination: '192.0.2.0/24', via: { address: '10.0.0.9' } };
const toBranch = { destination: '198.51.100.0/24', via: { port: 'vpn' } };
export const declared = { external: { network: 'public' }, routes: [toOffice, toBranch] };

export const specOf = (change: object = {}): RouterSpec => routerSpec.parse({ ...declared, ...change }) as RouterSpec;
export const declare = (verb: 'create' | 'update' | 'apply', change: object = {}) => ({
  type: `router.${verb}`,
  spec: specOf(change),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});

const facts = (index: number) => ({ name: `w${index}`, index, underlay: `192.0.2.${index}`, underlayMtu: 1_600 });
export const way = {
  cidr: '203.0.113.0/24',
  upstream: '203.0.113.1',
  interface: 'eth1',
  mtu: 1_500,
  gateways: [facts(1), facts(2)],
  active: 1,
};
export const ranges = [
  { network: 'network/t/front', cidr: '10.0.0.0/24', gateway: '10.0.0.1' },
  { network: 'network/t/back', cidr: '10.0.1.0/24', gateway: '10.0.1.1' },
];
export const told = { type: 'ranges.told', vpc, ranges };
export const found = { type: 'port.address', port: vpn, vpc, network: 'network/t/front', address: '10.0.0.77' };
export const lost = { type: 'port.lost', port: vpn };
export const granted = { type: 'external.granted', network, address: '203.0.113.10', way };
export const changed = (change: object = {}) => ({ type: 'external.changed', network, way: { ...way, ...change } });

const element = (section: string, key: string, content: object, revision: number, hosts: readonly object[] = []) => ({
  [`${section} ${key}`]: { section, key, element: content, hosts, revision, isRealized: true, failure: null },
});

/** Everything is published and proven. */
export const held: RouterContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec: specOf(),
  generation: 1,
  observedGeneration: 1,
  proposed: null,
  ranges,
  isStranded: false,
  external: { network, address: '203.0.113.10', way },
  hops: { [vpn]: { address: '10.0.0.77', vpc } },
  published: {
    ...element('static-routes', '192.0.2.0/24', { via: '10.0.0.9' }, 1),
    ...element('static-routes', '198.51.100.0/24', { via: '10.0.0.77' }, 2),
    ...element('gateway', 'default', { ...way, network, snat: '203.0.113.10' }, 3, way.gateways),
  } as RouterContext['published'],
  leaving: [],
  revision: 3,
};

/** A new router before anything of it is in force. */
export const fresh = {
  ...held,
  observedGeneration: 0,
  ranges: null,
  external: null,
  hops: {},
  published: {},
  revision: 0,
} satisfies RouterContext;
