/** Decisions of a host: announced, silent, back, cordoned, refused. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { hostMachine, type HostContext } from './host-machine.ts';

const report = {
  underlay: '192.0.2.1',
  underlayMtu: 1600,
  cpus: 2,
  memoryMib: 4096,
  qemuVersion: '10',
  kvm: false,
  allowedRoots: [],
  peerUrl: 'https://w1',
};
const held: HostContext = {
  id: 'host/system/w1',
  uid: 'U1',
  name: 'w1',
  boot: 'b1',
  report,
  index: 1,
  cordoned: false,
  silent: false,
  announcedAt: 0,
  failure: null,
};
const announce = { type: 'host.announce', host: 'w1', boot: 'b2', facts: report };
const registered = {
  type: 'host.registered',
  host: 'w1',
  facts: { name: 'w1', index: 1, underlay: 'x', underlayMtu: 1600 },
};
const refused = { type: 'host.refused', host: 'w1', error: { code: 'cluster_full', message: 'x', retryable: true } };
const register = 'host.register > cluster';
const admitted = 'host.admitted > agent';

const rows: readonly Row[] = [
  { in: 'born', on: announce, to: 'present.joining', asks: [register] },
  { in: 'present.joining', on: registered, to: 'present.ready', asks: [admitted] },
  { in: 'present.joining', on: refused, to: 'present.refused', asks: [] },
  { in: 'present.joining', on: 'registerDeadline', to: 'present.joining', asks: [register] },
  { in: 'present.joining', on: announce, to: 'present.joining', asks: [register] },
  { in: 'present.joining', on: { type: 'host.silent' }, to: 'silent', asks: [register] },
  { in: 'present.refused', on: 'refusedPause', to: 'present.joining', asks: [register] },
  { in: 'present.ready', on: announce, to: 'present.joining', asks: [register] },
  { in: 'present.ready', on: registered, to: 'present.ready', asks: [] },
  { in: 'present.ready', on: { type: 'host.cordon' }, command: 'c', to: 'present.joining', asks: [register] },
  { in: 'present.ready', on: { type: 'host.uncordon' }, command: 'c', to: 'present.joining', asks: [register] },
  { in: 'present.ready', on: { type: 'host.silent' }, to: 'silent', asks: [register] },
  { in: 'present.ready', on: { type: 'host.back' }, to: 'present.ready', asks: [] },
  { in: 'silent', on: { type: 'host.back' }, to: 'present.joining', asks: [register] },
  { in: 'silent', on: announce, to: 'present.joining', asks: [register] },
  { in: 'silent', on: { type: 'host.silent' }, to: 'silent', asks: [] },
  { in: 'silent', on: { type: 'host.cordon' }, command: 'c', to: 'silent', asks: [register] },
  { in: 'silent', on: registered, to: 'silent', asks: [] },
];

test('decisions', () => {
  assert.equal(disagreements(hostMachine, held, rows), []);
});

test('the cluster is told whether it takes work', () => {
  const told = (row: Row): unknown => {
    const { event } = decided(hostMachine, held, row).asked[0]?.params as {
      event: { schedulable: boolean; silent: boolean };
    };
    return [event.schedulable, event.silent];
  };
  assert.equal(told({ in: 'present.ready', on: { type: 'host.cordon' }, to: '' }), [false, false]);
  assert.equal(told({ in: 'present.ready', on: { type: 'host.silent' }, to: '' }), [false, true]);
  assert.equal(told({ in: 'silent', with: { silent: true }, on: { type: 'host.back' }, to: '' }), [true, false]);
  assert.equal(told({ in: 'silent', with: { silent: true, cordoned: true }, on: announce, to: '' }), [false, false]);
});

test.run();
