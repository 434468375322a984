/** Decisions of the cluster: numbers are given once, memory is promised once, and every refusal says why. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import {
  firstVni,
  lastVni,
  vniCandidates,
  type ClusterContext,
  type HostRecord,
  type Reservation,
} from './cluster-context.ts';
import { clusterMachine } from './cluster-machine.ts';
import { placeImport, placeVm } from './cluster-placement.ts';
import { held, record, report } from './cluster-rows-for-tests.ts';

const register = (host: string, n: number) => ({
  type: 'host.register',
  host,
  facts: report(n),
  schedulable: true,
  silent: false,
  fenced: false,
});
const place = { type: 'place', vm: 'vm/t/v', cpus: 1, memoryMib: 512, host: null, volumes: [], lastRun: null };
const allocate = { type: 'vni.allocate', vpc: 'vpc/t/main' };
const owners = (taken: readonly number[] = []) =>
  Object.fromEntries(
    vniCandidates(firstVni).map((vni) => [`vni-owner/${vni}`, taken.includes(vni) ? 'vpc/t/other' : null]),
  );
const from = 'vm/t/v';
const volume = (name: string, sizeMib: number, host: string | null) => ({ volume: `volume/t/${name}`, sizeMib, host });
const unknown = { 'found-run/vm/t/v': null };

const noneWaits = (row: Row): Row => ({ ...row, rows: { 'waiting/*': {}, ...row.rows } });
const decide = (context: object, row: Row) => decided(clusterMachine, context, noneWaits(row));

const rows: readonly Row[] = [
  { in: 'born', on: { type: 'cluster.open', name: 'c' }, to: 'open', asks: [] },
  { in: 'open', on: { type: 'cluster.open', name: 'other' }, to: 'open', asks: [] },
  { in: 'open', on: register('w3', 3), from: 'host/system/w3', to: 'open', asks: ['host.registered > host'] },
  { in: 'open', on: register('w1', 1), from: 'host/system/w1', to: 'open', asks: ['host.registered > host'] },
  { in: 'open', on: register('w3', 1), from: 'host/system/w3', to: 'open', asks: ['host.refused > host'] },
  {
    in: 'open',
    on: { type: 'host.resolve', host: 'w1' },
    from: 'port/t/p',
    to: 'open',
    asks: ['host.resolved > port'],
  },
  { in: 'open', on: { type: 'host.resolve', host: 'w9' }, from: 'port/t/p', to: 'open', asks: ['host.missing > port'] },
  {
    in: 'open',
    on: allocate,
    from: 'vpc/t/main',
    rows: { 'vni/vpc/t/main': null, ...owners() },
    to: 'open',
    asks: ['put vni', 'put vni-owner', 'vni.allocated > vpc'],
  },
  {
    in: 'open',
    on: allocate,
    from: 'vpc/t/main',
    rows: { 'vni/vpc/t/main': 4099, ...owners() },
    to: 'open',
    asks: ['vni.allocated > vpc'],
  },
  {
    in: 'open',
    on: allocate,
    from: 'vpc/t/main',
    rows: { 'vni/vpc/t/main': null, ...owners(vniCandidates(firstVni)) },
    to: 'open',
    asks: [],
  },
  {
    in: 'open',
    on: { type: 'vni.release', vpc: 'vpc/t/main' },
    rows: { 'vni/vpc/t/main': 4099 },
    to: 'open',
    asks: ['remove vni', 'remove vni-owner'],
  },
  {
    in: 'open',
    on: { type: 'vni.release', vpc: 'vpc/t/main' },
    rows: { 'vni/vpc/t/main': null },
    to: 'open',
    asks: [],
  },
  {
    in: 'open',
    on: place,
    from,
    rows: { 'reservation/vm/t/v': null, ...unknown },
    to: 'open',
    asks: ['put reservation', 'placed > vm'],
  },
  {
    in: 'open',
    on: { ...place, host: 'w9' },
    from,
    rows: { 'reservation/vm/t/v': null, ...unknown },
    to: 'open',
    asks: ['put waiting', 'place.refused > vm'],
  },
  {
    in: 'open',
    on: { type: 'place.release', vm: 'vm/t/v' },
    rows: { 'reservation/vm/t/v': { host: 'w1', cpus: 1, memoryMib: 512 } },
    to: 'open',
    asks: ['remove reservation'],
  },
  {
    in: 'open',
    on: { type: 'place.release', vm: 'vm/t/v' },
    rows: { 'reservation/vm/t/v': null },
    to: 'open',
    asks: [],
  },
  {
    in: 'open',
    on: { type: 'import.place', image: 'image/t/i', path: '/srv/img/a', host: null },
    from: 'image/t/i',
    to: 'open',
    asks: ['import.placed > image'],
  },
  {
    in: 'open',
    on: { type: 'import.place', image: 'image/t/i', path: '/etc/passwd', host: null },
    from: 'image/t/i',
    to: 'open',
    asks: ['import.refused > image'],
  },
];

test('decisions', () => {
  assert.equal(disagreements(clusterMachine, held, rows.map(noneWaits)), []);
});

test('indexes and numbers are the lowest free, and go round', () => {
  const { asked } = decide(
    { ...held, hosts: { w2: record(2) } },
    { in: 'open', on: register('w9', 9), from: 'h', to: '' },
  );
  assert.is((asked[0]?.params as { event: { facts: { index: number } } }).event.facts.index, 1);
  assert.equal(vniCandidates(lastVni).slice(0, 2), [lastVni, firstVni]);
  const taken = decide(held, {
    in: 'open',
    on: allocate,
    from: 'v',
    rows: { 'vni/vpc/t/main': null, ...owners([4096]) },
    to: '',
  });
  assert.is(taken.context['nextVni'], 4098);
});

test('why not, host by host', () => {
  const request = { vm: from, cpus: 1, memoryMib: 512, host: null, volumes: [], lastRun: null };
  const why = (more: Partial<HostRecord>, other: object = {}): string => {
    const placing = placeVm({ w1: record(1, more) }, { ...request, ...other }, undefined, {});
    return 'error' in placing ? (placing.reasons[0]?.reason ?? '') : 'placed';
  };
  assert.is(why({}), 'placed');
  assert.match(why({ schedulable: false }), 'cordoned');
  assert.match(why({ silent: true, schedulable: false }), 'silent');
  assert.match(why({ silent: true, schedulable: false, fenced: true }), 'fenced');
  assert.match(why({ reservedMib: 3_500 }), /340 MiB of memory free, 512 MiB are needed/);
  assert.match(why({ reservedCpus: 16 }), 'virtual processors');
  assert.match(why({ report: { ...report(1), qemuVersion: null } }), 'QEMU');
  assert.match(why({}, { volumes: [volume('a', 1, null), volume('b', 1, 'w2')] }), 'on w2');
  const large = { volumes: [volume('a', 150_000, null), volume('b', 50_001, null)] };
  assert.match(why({}, large), 'does not have 200001 MiB left for new volumes');
  assert.match(why({ promisedMib: 199_999 }, { volumes: [volume('a', 2, null)] }), '2 MiB left');
  assert.is(why({ promisedMib: 400_000 }, { volumes: [volume('a', 2, 'w1')] }), 'placed', 'its bytes are there');
  const low = { report: { ...report(1), diskFreeMib: 4_999 } };
  assert.match(why(low, { volumes: [volume('a', 1, null)] }), 'too little space on its disk');
  assert.equal([why(low), why(low, { volumes: [volume('a', 1, 'w1')] })], ['placed', 'placed']);
  const none = placeVm({}, request, undefined, {});
  assert.match('error' in none ? none.error.message : '', 'no hosts yet');
});

test('a refusal names the VM and what to do', () => {
  const request = { cpus: 1, memoryMib: 512, host: null, volumes: [], lastRun: null };
  const says = (other: object): unknown => {
    const hosts = { w1: record(1), w2: record(2, { schedulable: false }) };
    const placing = placeVm(hosts, { vm: 'migration/t/a', ...request, ...other }, undefined, {});
    return 'error' in placing
      ? [placing.error.code, placing.error.message, placing.error.retryable]
      : placing.host.name;
  };
  assert.equal(says({ host: 'w2' }), ['no_host', 'the requested host w2 cannot take vm/t/a: it is cordoned', true]);
  const absent = 'the cluster has no host w9; name another for vm/t/a, or none';
  assert.equal(says({ host: 'w9' }), ['no_host', absent, true]);
  assert.equal(says({ host: 'constructor' }), ['no_host', absent.replace('w9', 'constructor'), true]);
  const apart =
    'volume/t/a and volume/t/b are on different hosts, and a VM has its local volumes on one: ' +
    'take one of them from the disks of vm/t/a';
  const volumes = [volume('a', 1, 'w1'), volume('c', 1, null), volume('b', 1, 'w2')];
  assert.equal(says({ volumes }), ['volumes_apart', apart, true]);
  assert.is(says({ volumes: volumes.slice(0, 2) }), 'w1');
});

test('a VM keeps its host, also a cordoned one, and gets no second one while the first is silent', () => {
  const request = { vm: from, cpus: 1, memoryMib: 512, host: null, volumes: [], lastRun: null };
  const reserved: Reservation = { host: 'w2', cpus: 1, memoryMib: 512 };
  const on = (more: Partial<HostRecord>) =>
    placeVm({ w1: record(1), w2: record(2, { reservedMib: 512, reservedCpus: 1, ...more }) }, request, reserved, {});
  const named = (placing: ReturnType<typeof placeVm>): string =>
    'error' in placing ? placing.error.code : placing.host.name;
  assert.is(named(on({})), 'w2');
  assert.is(named(on({ schedulable: false })), 'w2');
  assert.is(named(on({ silent: true, schedulable: false })), 'host_silent');
  assert.is(named(on({ silent: true, schedulable: false, fenced: true })), 'w1', 'it runs there no more');
});

test('a VM that waits for a host is told when one has room for it, and commits nothing while nothing changes', () => {
  const request = { vm: 'vm/t/a', cpus: 1, memoryMib: 3_000, host: null, volumes: [], lastRun: null };
  const told = 'no host can take vm/t/a: each of them has less than # MiB of memory free';
  const waits = (vm: string, more: object = {}) => ({
    request: { ...request, vm, ...more },
    held: null,
    promises: {},
    code: 'no_host',
    told: told.replace('vm/t/a', vm),
    since: 1,
  });
  const full: ClusterContext = {
    ...held,
    hosts: { w1: record(1, { reservedMib: 3_000 }), w2: record(2, { reservedMib: 3_000 }) },
  };
  const after = (on: Row['on'], loaded: object, context = full) =>
    decide(context, {
      in: 'open',
      on,
      from: 'vm/t/v',
      rows: { ...unknown, ...loaded } as Row['rows'] & object,
      to: '',
    });

  const asked = after({ ...request, type: 'place' }, { 'reservation/vm/t/a': null, 'found-run/vm/t/a': null });
  assert.equal(asked.asks, ['put waiting', 'place.refused > vm']);
  const [row] = asked.asked;
  assert.is((row?.params as { value: { told: string } }).value.told, told, 'numbers change all the time');

  const waiting = { 'waiting/*': { 'vm/t/a': waits('vm/t/a'), 'vm/t/b': waits('vm/t/b') } };
  assert.equal(after(register('w2', 2), waiting).asks, ['host.registered > vm'], 'nothing has changed for them');
  const release = { type: 'place.release', vm: 'vm/t/v' };
  const reservation = (memoryMib: number) => ({ 'reservation/vm/t/v': { host: 'w1', cpus: 1, memoryMib }, ...waiting });
  const small = after(release, reservation(100));
  assert.equal(small.asks, ['remove reservation'], 'not enough');
  const one = after(release, reservation(3_000));
  assert.equal(
    one.asks,
    ['remove reservation', 'remove waiting', 'place.changed > vm'],
    'there is room for one of them',
  );
  assert.is((one.asked[2]?.params as { to: string }).to, 'vm/t/a');

  const silent = { ...register('w1', 1), silent: true, schedulable: false };
  const changed = after(silent, { 'waiting/*': { 'vm/t/a': waits('vm/t/a') } });
  assert.equal(changed.asks, ['host.registered > vm', 'remove waiting', 'place.changed > vm'], 'the reason is another');
  assert.equal(after({ ...release, vm: 'vm/t/a' }, { 'reservation/vm/t/a': null, ...waiting }).asks, [
    'remove waiting',
  ]);
});

test('the memory of the store is shown, and a condition says when it is scarce', () => {
  const told = (context: object, more: object) =>
    decide(context, {
      in: 'open',
      on: { type: 'store.memory', usedBytes: 90, limitBytes: 100, isScarce: true, ...more },
      to: 'open',
    }).context as unknown as ClusterContext;
  const scarce = told(held, {});
  assert.equal(scarce.store, { usedBytes: 90, limitBytes: 100 });
  const [condition] = scarce.conditions;
  assert.equal([condition?.type, condition?.status, condition?.reason], ['StoreMemory', 'False', 'Scarce']);
  assert.match(condition?.message ?? '', /^90 % of 100 bytes are used; raise store\.memoryBytes/);
  const ample = told(scarce, { usedBytes: 50, isScarce: false });
  assert.equal([ample.conditions.length, ample.conditions[0]?.reason], [1, 'Ample']);
  assert.is(told(held, { limitBytes: 0, isScarce: false }).conditions[0]?.reason, 'Unlimited');
});

test('an import goes where its path is allowed', () => {
  const at = (path: string, host: string | null = null): string => {
    const placing = placeImport(held.hosts, { image: 'i', path, host });
    return 'error' in placing ? placing.error.code : placing.host.name;
  };
  assert.equal([at('/srv/img/a'), at('/srv/img/a', 'w2')], ['w1', 'w2']);
  for (const path of ['/srv/imgs/a', '/srv/img/../x', '/srv/img', '/']) assert.is(at(path), 'path_not_allowed', path);
  assert.is(at('/srv/img/a', 'w9'), 'host_not_found');
  const low = { w1: record(1, { report: { ...report(1), diskFreeMib: 4_999 } }), w2: record(2) };
  const past = placeImport(low, { image: 'i', path: '/srv/img/a', host: null });
  assert.is('error' in past ? past.error.code : past.host.name, 'w2', 'the disk of the first is low');
  const none = placeImport(low, { image: 'i', path: '/srv/img/a', host: 'w1' });
  assert.equal('error' in none && [none.error.code, none.error.retryable], ['no_host', true]);
});

test('memory is never promised twice, however VMs come and go', () => {
  const step = fc.record({
    vm: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
    memoryMib: fc.integer({ min: 64, max: 3_000 }),
    goes: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let context: object = held;
      const kept = new Map<string, Reservation>();
      for (const { vm, memoryMib, goes } of steps) {
        const on = goes ? { type: 'place.release', vm } : { ...place, vm, memoryMib };
        const move = decide(context, {
          in: 'open',
          on,
          from: `vm/t/${vm}`,
          rows: { [`reservation/${vm}`]: kept.get(vm) ?? null, [`found-run/${vm}`]: null },
          to: '',
        });
        context = move.context;
        if (move.asks[0] === 'put reservation') kept.set(vm, (move.asked[0]?.params as { value: Reservation }).value);
        if (goes) kept.delete(vm);
        for (const [name, host] of Object.entries((context as ClusterContext).hosts)) {
          const mine = [...kept.values()].filter((reservation) => reservation.host === name);
          const sum = mine.reduce((total, reservation) => total + reservation.memoryMib, 0);
          assert.equal([host.reservedMib, host.vms], [sum, mine.length]);
          assert.ok(sum <= host.report.memoryMib, name);
        }
      }
    }),
    { numRuns: 100 },
  );
});

test.run();
