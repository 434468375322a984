/** A service IP with two backends, and events about it, for the tests beside. */
import { newDeclared } from '../values/declared.ts';
import type { HostCheck, ServiceIpContext } from './service-ip-context.ts';
import { serviceIpSpec, type ServiceIpSpec } from './service-ip-protocol.ts';

export const id = 'service-ip/t/web';
export const vpc = 'vpc/t/main';
export const address = '10.0.0.100';
export const [one, other] = ['10.0.0.8', '10.0.0.9'];

export const specOf = (more: object = {}): ServiceIpSpec =>
  serviceIpSpec.parse({
    network: 'front',
    ports: [{ protocol: 'tcp', port: 80, targetPort: 8080 }],
    backends: { selector: { app: 'web' } },
    ...more,
  }) as ServiceIpSpec;
export const withCheck = { healthCheck: { protocol: 'http', path: '/up' } };

export const declare = (verb: 'create' | 'update' | 'apply', more: object = {}) => ({
  type: `service-ip.${verb}`,
  spec: specOf(more),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});

export const error = { code: 'busy', message: 'x', retryable: true };

export const claiming: ServiceIpContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec: specOf(),
  generation: 1,
  holders: 0,
  grant: null,
  members: {},
  surplus: 0,
  nearby: [],
  verdicts: {},
  checks: {},
  round: 0,
  published: 0,
  proven: 0,
  serving: [],
  placed: false,
  followers: [],
};
export const waiting = { waiters: [{ commandId: 'c', result: 'created' }] };

export const allocation = {
  type: 'address.allocated',
  address,
  mac: '02:00:00:00:00:64',
  prefixLength: 24,
  gateway: '10.0.0.1',
  vpc,
  network: {
    network: 'network/t/front',
    uid: 'N',
    subnets: [],
    mtu: 1450,
    dhcp: { leaseSeconds: 3600, dns: [], domain: null, search: [], ntp: [] },
  },
};
export const grant = { address, vpc, prefixLength: 24, gateway: '10.0.0.1' };

export const member = (port: string, at: string, host: string) => ({ port: `port/t/${port}`, address: at, host });
export const matched = (...members: readonly object[]) => ({ type: 'members.matched', vpc, members });
export const changed = (added: readonly object[], removed: readonly object[] = []) => ({
  type: 'members.changed',
  vpc,
  added,
  removed,
});

/** Two wired ports on two hosts, published and proven, without a health check. */
export const active: ServiceIpContext = {
  ...claiming,
  observedGeneration: 1,
  grant,
  members: {
    'port/t/a': { address: one, host: 'w1', round: 1 },
    'port/t/b': { address: other, host: 'w2', round: 1 },
  },
  round: 1,
  published: 1,
  proven: 1,
  serving: [one, other],
  placed: true,
};
const asked = (at: string): HostCheck => ({
  asked: { [at]: 1 },
  ended: false,
  standing: 'present',
  silentSince: null,
  lost: false,
  trouble: null,
});
/** The same with a health check that both pass. */
export const checked: ServiceIpContext = {
  ...active,
  spec: specOf(withCheck),
  verdicts: { [one]: { healthy: true, detail: 'status 200' }, [other]: { healthy: true, detail: 'status 200' } },
  checks: { w1: asked(one), w2: asked(other) },
};

export const observed = (host: string, at: string, healthy: boolean, round = 1) => ({
  type: 'check.observed',
  host,
  round,
  verdicts: [{ address: at, healthy, detail: healthy ? 'status 200' : 'connection refused' }],
});
export const stands = (name: string, standing: string) => ({
  type: 'host.stands',
  host: { name, index: 1, underlay: '192.0.2.1', underlayMtu: 1500 },
  standing,
});
export const about = { section: 'service-ips', key: id };
