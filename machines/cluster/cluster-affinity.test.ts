/** Anti-affinity groups, and the reservation that a migration hands over to its VM. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { ClusterContext, Reservation } from './cluster-context.ts';
import { clusterMachine } from './cluster-machine.ts';
import { placeVm } from './cluster-placement.ts';
import { held, record } from './cluster-rows-for-tests.ts';

const from = 'vm/t/v';
const place = { type: 'place', vm: from, cpus: 1, memoryMib: 512, host: null, volumes: [], lastRun: null };
const unknown = { 'found-run/vm/t/v': null };
const decide = (context: object, row: Row) =>
  decided(clusterMachine, context, { ...row, rows: { 'waiting/*': {}, ...row.rows } });

test('VMs of a hard group share no host, those of a soft one only when there is no other', () => {
  const group = 't/web';
  const asked = (isHard: boolean, more: object = {}) => ({
    vm: from,
    cpus: 1,
    memoryMib: 512,
    host: null,
    volumes: [],
    lastRun: null,
    antiAffinity: { group, isHard },
    ...more,
  });
  const named = (placing: ReturnType<typeof placeVm>): unknown =>
    'error' in placing ? placing.reasons.map(({ reason }) => reason) : placing.host.name;
  const crowded = { w1: record(1, { groups: { [group]: 2 } }), w2: record(2, { reservedMib: 3_000 }) };
  const on = (isHard: boolean, hosts: ClusterContext['hosts'], more: object = {}) =>
    named(placeVm(hosts, asked(isHard, more), undefined, {}));
  assert.equal([on(true, crowded), on(false, crowded)], ['w2', 'w2'], 'though the other one has more memory');
  const full = { w1: crowded.w1, w2: record(2, { groups: { [group]: 1 } }) };
  assert.equal(on(true, full), ['has 2 of the anti-affinity group t/web', 'has 1 of the anti-affinity group t/web']);
  assert.is(on(false, full), 'w2', 'the one with fewer');
  assert.is(on(true, { w1: record(1, { groups: { 't/other': 3 } }) }), 'w1');
  const own: Reservation = { host: 'w1', cpus: 1, memoryMib: 512, group };
  const alone = { w1: record(1, { groups: { [group]: 1 } }), w2: record(2) };
  assert.is(named(placeVm(alone, asked(true), own, {})), 'w1', 'its own place does not count');
  assert.equal(on(false, alone, { avoid: ['w2', 'w1'] }), ['is the host to leave', 'is the host to leave']);
  assert.is(on(false, { w1: record(1), w2: record(2, { reservedMib: 3_000 }) }, { avoid: ['w1'] }), 'w2');
});

test('a group is counted on the host as long as the reservation lasts', () => {
  const asks = { ...place, antiAffinity: { group: 't/web', isHard: true } };
  const none = { ...unknown, 'reservation/vm/t/v': null };
  const { context, asked } = decide(held, { in: 'open', on: asks, from, rows: none, to: '' });
  const groupsOf = (of: object): unknown =>
    Object.values((of as ClusterContext).hosts).map(({ groups = {} }) => groups);
  assert.equal(groupsOf(context), [{ 't/web': 1 }, {}]);
  const { value } = asked.find(({ type }) => type === 'row.put')?.params as { value: Reservation };
  assert.equal(value, { host: 'w1', cpus: 1, memoryMib: 512, group: 't/web' });
  const again = { ...unknown, 'reservation/vm/t/v': value };
  const repeated = decide(context, { in: 'open', on: asks, from, rows: again, to: '' }).context;
  assert.equal(groupsOf(repeated), [{ 't/web': 1 }, {}], 'once for one VM');
  const release = { type: 'place.release', vm: from };
  const released = decide(repeated, { in: 'open', on: release, from, rows: again, to: '' }).context;
  assert.equal(groupsOf(released), [{}, {}]);
});

test('what a migration has reserved becomes its VM’s, once', () => {
  const migration = 'migration/t/v';
  const [old, next] = ['w1', 'w2'].map((host) => ({ host, cpus: 1, memoryMib: 512, group: 't/web' })) as [
    Reservation,
    Reservation,
  ];
  const busy = { reservedCpus: 1, reservedMib: 512, vms: 1, groups: { 't/web': 1 } };
  const moving: ClusterContext = { ...held, hosts: { w1: record(1, busy), w2: record(2, busy) } };
  const on = { type: 'place.transfer', vm: from, migration };
  const rows = { [`reservation/${from}`]: old, [`reservation/${migration}`]: next };
  const moved = decide(moving, { in: 'open', on, from: migration, rows, to: '' });
  assert.equal(moved.asks, ['remove reservation', 'put reservation']);
  const { w1, w2 } = moved.context['hosts'] as ClusterContext['hosts'];
  assert.equal([w1?.reservedMib, w1?.vms, w1?.groups, w2?.reservedMib, w2?.vms], [0, 0, {}, 512, 1]);
  const late = { [`reservation/${from}`]: next, [`reservation/${migration}`]: null };
  const again = decide(moved.context, { in: 'open', on, from: migration, rows: late, to: '' });
  assert.equal([again.asks, again.context['hosts']], [[], moved.context['hosts']]);
});

test.run();
