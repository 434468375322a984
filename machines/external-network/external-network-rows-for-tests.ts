/** An external network with two gateway hosts, and events about them, for the tests of its chart. */
import { freshUse } from '../network/network-addresses.ts';
import { newDeclared } from '../values/declared.ts';
import { spaceOf } from './external-network-claims.ts';
import type { ExternalNetworkContext } from './external-network-messages.ts';
import { externalNetworkSpec, type ExternalNetworkSpec } from './external-network-protocol.ts';
import type { GatewayView } from './gateway-election.ts';

export const id = 'external-network/system/public';
export const declared = {
  cidr: '203.0.113.0/24',
  gateway: '203.0.113.1',
  pools: [{ from: '203.0.113.10', to: '203.0.113.12' }],
  hosts: ['w1', 'w2'],
  interface: 'eth1',
  tenants: ['acme'],
};
export const specOf = (change: object = {}): ExternalNetworkSpec =>
  externalNetworkSpec.parse({ ...declared, ...change }) as ExternalNetworkSpec;
export const declare = (verb: 'create' | 'update' | 'apply', change: object = {}) => ({
  type: `external-network.${verb}`,
  spec: specOf(change),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});

export const factsOf = (index: number) => ({
  name: `w${index}`,
  index,
  underlay: `192.0.2.${index}`,
  underlayMtu: 1_600,
});
const up: GatewayView = {
  facts: factsOf(1),
  standing: 'present',
  silentAt: null,
  uplink: 'up',
  unheardAt: null,
  leads: false,
  error: null,
};
export const view = (index: number, change: Partial<GatewayView> = {}): GatewayView => ({
  ...up,
  facts: factsOf(index),
  ...change,
});

/** Host w1 leads. */
export const held: ExternalNetworkContext = {
  ...newDeclared(id),
  uid: 'N1',
  spec: specOf(),
  generation: 1,
  observedGeneration: 1,
  space: freshUse(spaceOf(specOf())),
  holders: 0,
  gateways: { w1: view(1, { leads: true }), w2: view(2) },
  active: 'w1',
  preferred: null,
  told: null,
  term: 5,
  leadTerm: 5,
};

/** Rows that a step may need, with nothing in them. */
export const noRows = { 'router/*': {}, 'port/*': {}, 'block/*': {} };
export const oneRouter = { ...noRows, 'router/*': { 'router/acme/main': {} } };

export const stands = (index: number, standing = 'present') => ({
  type: 'host.stands',
  host: factsOf(index),
  standing,
});
const proof = { ifindex: 3, mtu: 1_500, mac: '02:00:00:00:00:01' };
export const gateway = (index: number, change: object = {}) => ({
  type: 'gateway.stands',
  host: `w${index}`,
  term: 5,
  leads: index === 1,
  doubts: false,
  uplink: proof,
  heard: true,
  error: null,
  ...change,
});
