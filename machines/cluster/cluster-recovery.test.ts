/** Decisions of the cluster after a store rollback: nothing is allocated until the inventories are complete. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { firstVni, vniCandidates } from './cluster-context.ts';
import { clusterMachine } from './cluster-machine.ts';
import { held, record } from './cluster-rows-for-tests.ts';

const recovery = { since: 0, heard: ['w1'], liftedAt: null, missing: [] };
const second = { era: 2, recovery };
const vm = 'vm/t/v';
const from = vm;
const place = { type: 'place', vm, cpus: 1, memoryMib: 512, host: null, volumes: [], lastRun: null };
const importing = { type: 'import.place', image: 'image/t/i', path: '/srv/img/a', host: null };
const allocate = { type: 'vni.allocate', vpc: 'vpc/t/main' };
const vnis = Object.fromEntries(vniCandidates(firstVni).map((vni) => [`vni-owner/${vni}`, null]));
const placeRows = { [`reservation/${vm}`]: null, [`found-run/${vm}`]: null };
const found = (host: string, more: object = {}) => ({
  type: 'inventory.report',
  host,
  era: 2,
  runs: [],
  ports: [],
  vnis: [],
  ...more,
});
const ask = { type: 'era.ask', network: 'network/t/n', vpc: 'vpc/t/main' };
const asking = { from: 'network/t/n', rows: { 'found-ports/vpc/t/main': null } };
const heard = ['inventory.received > agent'];
/** Two hosts have reported: the last one is answered, and both are told that the barrier is released. */
const released = [...heard, ...heard, ...heard];
const open = { type: 'cluster.open', name: 'c' };
const lift = { type: 'cluster.release-barrier' };
const waiting = 'recovering.waiting';
const settling = 'recovering.settling';

const noneWaits = (row: Row): Row => ({ ...row, rows: { 'waiting/*': {}, ...row.rows } });
const decide = (context: object, row: Row) => decided(clusterMachine, context, noneWaits(row));

const rows: readonly Row[] = [
  { in: 'born', on: open, era: 2, to: settling, asks: [] },
  { in: 'open', on: open, era: 2, to: settling, asks: [] },
  { in: 'open', on: place, from, era: 2, rows: placeRows, to: settling, asks: ['put waiting', 'place.refused > vm'] },
  { in: 'open', on: importing, from: 'image/t/i', era: 2, to: settling, asks: ['import.refused > image'] },
  { in: 'open', on: allocate, era: 2, rows: { 'vni/vpc/t/main': null, ...vnis }, to: settling, asks: [] },
  { in: 'open', on: ask, era: 2, ...asking, to: settling, asks: [] },
  { in: 'open', on: found('w1'), era: 2, to: settling, asks: heard },
  { in: 'open', on: found('w1'), era: 3, to: settling, asks: [] },
  // Told before the cluster's own shard is in the new era: the agent says it again.
  { in: 'open', on: found('w1'), era: 1, to: 'open', asks: [] },
  { in: settling, with: second, on: found('w2'), era: 2, to: settling, asks: heard },
  { in: settling, with: second, on: 'settleDelay', era: 2, to: waiting, asks: [] },
  { in: settling, with: { ...second, hosts: {} }, on: 'settleDelay', era: 2, to: 'open', asks: heard },
  { in: waiting, with: second, on: place, from, era: 2, to: waiting, asks: ['put waiting', 'place.refused > vm'] },
  { in: waiting, with: second, on: importing, from, era: 2, to: waiting, asks: ['import.refused > vm'] },
  { in: waiting, with: second, on: allocate, era: 2, to: waiting, asks: [] },
  { in: waiting, with: second, on: ask, era: 2, to: waiting, asks: [] },
  { in: waiting, with: second, on: found('w2'), era: 2, to: 'open', asks: released },
  { in: waiting, with: second, on: { ...found('w2'), era: 1 }, era: 2, to: waiting, asks: [] },
  { in: waiting, with: second, on: open, era: 2, to: waiting, asks: [] },
  { in: waiting, with: second, on: open, era: 3, to: settling, asks: [] },
  { in: waiting, with: second, on: 'overdueDelay', era: 2, to: 'recovering.overdue', asks: [] },
  { in: 'recovering.overdue', with: second, on: found('w2'), era: 2, to: 'open', asks: released },
  { in: 'recovering.overdue', with: second, on: lift, command: 'k', era: 2, to: 'open', asks: heard },
  { in: 'open', with: second, on: ask, era: 2, ...asking, to: 'open', asks: ['era.cleared > network'] },
  { in: 'open', with: second, on: found('w9'), era: 2, to: 'open', asks: heard },
];

test('nothing is placed or allocated until every host has sent its inventory', () => {
  assert.equal(disagreements(clusterMachine, held, rows.map(noneWaits)), []);
});

test('an agent that has reported is told when the barrier is released, and one that reports later, at once', () => {
  const told = (row: Row) =>
    decide({ ...held, ...second }, row).asked.map(({ params }) => params as { to: string; event: object });
  const answer = (host: string, isReleased: boolean) => ({
    to: `agent/system/${host}@${host}`,
    event: { type: 'inventory.received', era: 2, released: isReleased },
  });
  const last = told({ in: waiting, on: found('w2'), era: 2, to: '' }).filter(({ to }) => to.startsWith('agent/'));
  assert.equal(last, [answer('w2', false), answer('w1', true), answer('w2', true)]);
  const lifted = { ...recovery, liftedAt: 5 };
  const [late] = told({ in: 'open', with: { recovery: lifted }, on: found('w9'), era: 2, to: '' });
  assert.equal(late, answer('w9', true));
});

test('an inventory may be the first message of an era', () => {
  const { context } = decide(held, { in: 'open', on: found('w1'), era: 2, at: 3, to: '' });
  assert.equal(context['recovery'], { since: 3, heard: ['w1'], liftedAt: null, missing: [] });
});

test('VMs that were refused while the cluster recovered are told when it is open again', () => {
  const request = { vm, cpus: 1, memoryMib: 512, host: null, volumes: [], lastRun: null };
  const told = 'the store was rolled back';
  const refused = { 'waiting/*': { [vm]: { request, held: null, code: 'recovering', told, since: 1 } } };
  const { asks } = decide(
    { ...held, ...second },
    { in: waiting, on: { type: 'cluster.release-barrier' }, command: 'C', era: 2, rows: refused, to: 'open' },
  );
  assert.equal(asks.slice(-2), ['remove waiting', 'place.changed > vm']);
});

test('hosts without an inventory are recorded when an operator releases the barrier', () => {
  const { context } = decide({ ...held, ...second }, { in: waiting, on: lift, era: 2, at: 7, to: '' });
  assert.equal(context['recovery'], { ...recovery, liftedAt: 7, missing: ['w2'] });
});

test('numbers leap over those that may have been given since', () => {
  const { context } = decide(held, { in: 'open', on: open, era: 2, to: '' });
  assert.equal([context['era'], context['nextVni']], [2, firstVni + 65_536]);
});

test('runs, ports and VNIs of a host are kept; a VNI that is known stays', () => {
  const run = { vm, incarnationUid: 'L1', runEpoch: 2 };
  const port = { vpc: 'vpc/t/main', port: 'port/t/p', address: '10.0.0.5', mac: 'm' };
  const numbers = [
    { vpc: 'vpc/t/main', vni: 4100 },
    { vpc: 'vpc/t/other', vni: 4101 },
  ];
  const { asked } = decide(
    { ...held, ...second },
    {
      in: waiting,
      on: found('w2', { runs: [run], ports: [port], vnis: numbers }),
      era: 2,
      rows: {
        [`found-run/${vm}`]: { host: 'w1', incarnationUid: 'L0', runEpoch: 3, era: 1 },
        'found-ports/vpc/t/main': { w1: [] },
        'vni/vpc/t/main': null,
        'vni-owner/4100': null,
        'vni/vpc/t/other': 4101,
        'vni-owner/4101': 'vpc/t/other',
      },
      to: '',
    },
  );
  assert.equal(
    asked.slice(0, -released.length).map(({ params }) => params),
    [
      { collection: 'found-run', key: vm, value: { ...run, host: 'w2', era: 2 } },
      { collection: 'found-ports', key: 'vpc/t/main', value: { w1: [], w2: [port] } },
      { collection: 'vni', key: 'vpc/t/main', value: 4100 },
      { collection: 'vni-owner', key: '4100', value: 'vpc/t/main' },
    ],
  );
});

test('a VM that does not know its own run gets no place, one that does is placed as ever', () => {
  const placed = (lastRun: object | null, era = 2, host = 'w1'): readonly string[] =>
    decide(
      { ...held, ...second },
      {
        in: 'open',
        on: { ...place, lastRun },
        from,
        era: 2,
        rows: { ...placeRows, [`found-run/${vm}`]: { host, vm, incarnationUid: 'L1', runEpoch: 1, era } },
        to: '',
      },
    ).asks;
  assert.equal(placed(null), ['put waiting', 'place.refused > vm']);
  assert.equal(placed({ host: 'w1', incarnationUid: 'L0' }), ['put waiting', 'place.refused > vm']);
  assert.equal(placed({ host: 'w2', incarnationUid: 'L1' }), ['put waiting', 'place.refused > vm']);
  const free = ['remove found-run', 'put reservation', 'placed > vm'];
  assert.equal(placed({ host: 'w1', incarnationUid: 'L1' }), free);
  // A run found in an earlier era has ended when a later inventory of its host does not contain it.
  assert.equal(placed(null, 1), free);
  assert.equal(placed(null, 1, 'w2'), ['put waiting', 'place.refused > vm']);
});

test('a fenced host is not waited for, and what was found on it is over', () => {
  const hosts = { ...held.hosts, w2: { ...record(2), fenced: true } };
  const before = { ...held, ...second, recovery: { ...recovery, heard: [] }, hosts };
  assert.is(decide(before, { in: waiting, on: found('w1'), era: 2, to: '' }).state, 'open');
  const known = { ...placeRows, [`found-run/${vm}`]: { host: 'w2', vm, incarnationUid: 'L1', runEpoch: 1, era: 2 } };
  const { asks } = decide(before, { in: 'open', on: place, from, era: 2, rows: known, to: '' });
  assert.equal(asks, ['remove found-run', 'put reservation', 'placed > vm']);
});

test.run();
