/** A port that a VM holds, on its host, and its events, for the tables of its chart. */
import { newDeclared } from '../values/declared.ts';
import type { PortContext } from './port-context.ts';
import { portSpec, type PortSpec } from './port-protocol.ts';

const id = 'port/t/p';
export const vm = 'vm/t/v';
export const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
export const w2 = { name: 'w2', index: 2, underlay: '192.0.2.2', underlayMtu: 1600 };
const network = {
  network: 'network/t/n',
  uid: 'N',
  subnets: [],
  mtu: 1450,
  dhcp: { leaseSeconds: 60, dns: [], domain: null, search: [], ntp: [] },
};
export const grant = {
  address: '10.0.0.5',
  mac: '02:50:0a:00:00:05',
  prefixLength: 24,
  gateway: '10.0.0.1',
  vpc: 'vpc/t/main',
  network,
};
export const spec: PortSpec = portSpec.parse({ network: 'n' });
/** Of a VM, on its host. */
export const held: PortContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec,
  generation: 1,
  observedGeneration: 1,
  holder: vm,
  grant,
  host: w1,
  runEpoch: 2,
  next: null,
  leaving: false,
  bindingUid: null,
  proof: null,
  followers: [],
  joined: [],
  proposed: null,
  located: [],
  standby: null,
  abandoned: [],
};
export const fresh = {
  ...newDeclared(id),
  holder: null,
  grant: null,
  host: null,
  runEpoch: 0,
  followers: [],
  standby: null,
};
/** Differs in a field that cannot change. */
export const other: PortSpec = { ...spec, network: 'm' };
/** Declared by a client. */
export const own = { holder: null };
export const onHost: PortSpec = { ...spec, host: 'w1' };
/** Declared by a client for a host. */
export const direct = { holder: null, spec: onHost, observedGeneration: 0 };
export const waits = (...ids: string[]) => ({ waiters: ids.map((commandId) => ({ commandId, result: 'created' })) });
export const claiming = { grant: null, host: null, observedGeneration: 0 };
export const create = (of: PortSpec = spec) => ({ type: 'port.create', spec: of, labels: {}, protect: false });
export const apply = (of: PortSpec = spec, more: object = {}) => ({ ...create(of), type: 'port.apply', ...more });
export const update = (of: PortSpec = spec, more: object = {}) => ({ type: 'port.update', spec: of, ...more });
export const claim = { type: 'port.claim', spec, holder: vm };
export const remove = { type: 'port.delete' };
export const unbind = { type: 'port.unbind' };
export const bind = (host: object, runEpoch: number, holder = vm) => ({ type: 'port.bind', holder, host, runEpoch });
export const rest = { type: 'port.rest', holder: vm };
export const release = { type: 'port.release', holder: vm };
export const passing = { code: 'x', message: 'x', retryable: true };
export const lasting = { code: 'y', message: 'y', retryable: false };
export const from = (type: string, more: object = {}) => ({
  type: `binding.${type}`,
  host: 'w1',
  runEpoch: 2,
  ...more,
});
export const off = ['port.left > vpc', 'binding.remove > binding'];
export const allocated = { type: 'address.allocated', ...grant };
export const proof = {
  tap: 't0',
  ifindex: 9,
  bridge: 'b0',
  mtu: 1450,
  route: 'r',
  dhcpHost: 'd',
  nftGeneration: 1,
  groups: ['security-group/t/default'],
};
