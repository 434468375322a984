/** What the decision tables of the cluster have in common: two hosts that are alike, and a cluster that has them. */
import { firstVni, type ClusterContext, type HostRecord } from './cluster-context.ts';

/** What the host with this number announces. */
export const report = (n: number) => ({
  underlay: `192.0.2.${n}`,
  underlayMtu: 1600,
  cpus: 2,
  memoryMib: 4096,
  diskMib: 100_000,
  diskFreeMib: 60_000,
  qemuVersion: '10',
  kvm: false,
  allowedRoots: ['/srv/img'],
  peerUrl: 'x',
});

/** The host `w<n>`, of which nothing is promised. */
export const record = (n: number, more: Partial<HostRecord> = {}): HostRecord => ({
  facts: { name: `w${n}`, index: n, underlay: `192.0.2.${n}`, underlayMtu: 1600 },
  report: report(n),
  schedulable: true,
  silent: false,
  fenced: false,
  reservedCpus: 0,
  reservedMib: 0,
  promisedMib: 0,
  vms: 0,
  ...more,
});

/** An open cluster. */
export const held: ClusterContext = {
  id: 'cluster/system/main',
  uid: 'U1',
  name: 'c',
  hosts: { w1: record(1), w2: record(2) },
  nextVni: firstVni,
  unplacedMib: 0,
  era: 1,
  recovery: null,
  store: null,
  rollout: null,
  conditions: [],
};
