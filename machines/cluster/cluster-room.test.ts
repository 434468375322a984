/** Room for volumes: what is promised, refused, moved to a host, and given back; the sums are those of the promises. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { ClusterContext, HostRecord, RoomPromise } from './cluster-context.ts';
import { clusterMachine } from './cluster-machine.ts';
import * as usual from './cluster-rows-for-tests.ts';

const tib = 1 << 20;

const record = (n: number, more: Partial<HostRecord> = {}): HostRecord => {
  const report = { ...usual.report(n), memoryMib: 65_536, diskMib: 75_000, diskFreeMib: 70_000, allowedRoots: [] };
  return usual.record(n, { report, ...more });
};
const held: ClusterContext = { ...usual.held, hosts: { w1: record(1) } };
const volume = 'volume/t/d';
const claim = (sizeMib: number) => ({ type: 'room.claim', volume, sizeMib });
const release = { type: 'room.release', volume };
const none = { [`promise/${volume}`]: null, 'waiting/*': {} };
const promised = (sizeMib: number, host: string | null) => ({
  [`promise/${volume}`]: { sizeMib, host },
  'waiting/*': {},
});
const granted = ['put promise', 'room.granted > volume'];
const refused = ['room.refused > volume'];

test('a volume that no host can hold is refused with its size, in every state of the cluster', () => {
  const rows: readonly Row[] = ['open', 'recovering.waiting'].flatMap((state) => [
    { in: state, on: claim(150_000), rows: none, to: state, asks: granted },
    { in: state, on: claim(150_001), rows: none, to: state, asks: refused },
    { in: state, on: claim(tib), rows: none, to: state, asks: refused },
    { in: state, on: claim(tib), rows: promised(tib, 'w1'), to: state, asks: granted },
    { in: state, on: claim(150_000), rows: promised(10, null), to: state, asks: granted },
    { in: state, on: claim(150_001), rows: promised(10, null), to: state, asks: refused },
    { in: state, on: release, rows: promised(5, null), to: state, asks: ['remove promise'] },
    { in: state, on: release, rows: none, to: state, asks: [] },
  ]);
  const recovery = { since: 0, heard: [], liftedAt: null, missing: [] };
  assert.equal(disagreements(clusterMachine, { ...held, recovery }, rows), []);
  const { asked } = decided(clusterMachine, held, { in: 'open', on: claim(tib), rows: none, to: '' });
  const { event } = asked[0]?.params as { event: { error: { code: string; message: string; retryable: boolean } } };
  assert.equal([event.error.code, event.error.retryable], ['no_space', false]);
  assert.match(event.error.message, /no host has 1048576 MiB left for volume\/t\/d/);
});

test('a shared volume gets the storage host with the most room, which is promised at once', () => {
  const storage = (name: string, n: number, more: Partial<HostRecord> = {}): HostRecord => {
    const bare = record(n, more);
    return { ...bare, facts: { ...bare.facts, name }, report: { ...bare.report, storage: true } };
  };
  const at = (hosts: ClusterContext['hosts'], rows: Record<string, unknown> = none) => {
    const on = { ...claim(100_000), shared: true };
    const { asks, asked, context } = decided(clusterMachine, { ...held, hosts }, { in: 'open', on, rows, to: '' });
    const { event } = asked.at(-1)?.params as {
      event: { host?: { name: string } | null; error?: { message: string } };
    };
    const promises = Object.values((context as unknown as ClusterContext).hosts).map((one) => one.promisedMib);
    return { asks, host: event.host?.name, message: event.error?.message ?? '', promises };
  };
  const w1 = record(1);
  const two = { w1, s1: storage('s1', 2, { promisedMib: 40_000 }), s2: storage('s2', 3, { promisedMib: 30_000 }) };
  assert.equal(at(two), { asks: granted, host: 's2', message: '', promises: [0, 40_000, 130_000] });
  // Asked again, it is where it was.
  assert.equal(at(two, promised(100_000, 's1')), {
    asks: granted,
    host: 's1',
    message: '',
    promises: [0, 40_000, 30_000],
  });
  const full = { w1, s1: storage('s1', 2, { promisedMib: 60_000 }) };
  assert.match(at(full).message, /no storage host has 100000 MiB left/);
  for (const [more, why] of [
    [{ fenced: true }, 'was fenced'],
    [{ silent: true }, 'is silent'],
    [{ schedulable: false }, 'is cordoned'],
  ] as const) {
    const { asks, message } = at({ s1: storage('s1', 2, more) });
    assert.equal(asks, refused, JSON.stringify(more));
    assert.match(message, `no storage host takes volume/t/d now: each of them ${why}; try again later`);
  }
  assert.match(at({ w1 }).message, /no host is a storage host/);
});

test('what is copied from bytes of a host gets room there, or none', () => {
  const at = (more: Partial<HostRecord>, host = 'w1', sizeMib = 100_000) => {
    const hosts = { w1: record(1, more), w2: record(2) };
    const row = { in: 'open', on: { ...claim(sizeMib), host }, rows: none, to: '' };
    const { asks, asked, context } = decided(clusterMachine, { ...held, hosts }, row);
    const { event } = asked.at(-1)?.params as { event: { host?: { name: string }; error?: { message: string } } };
    const { w1 } = (context as unknown as ClusterContext).hosts;
    return { asks, host: event.host?.name, message: event.error?.message, promised: w1?.promisedMib };
  };
  const there = { asks: granted, host: 'w1', message: undefined, promised: 100_000 };
  assert.equal(at({}), there);
  for (const more of [{ schedulable: false }, { silent: true }]) assert.equal(at(more), there);
  assert.equal([at({ fenced: true }).asks, at({}, 'w9').asks], [refused, refused]);
  assert.match(at({ promisedMib: 50_001 }).message ?? '', /the host of its bytes has not 100000 MiB left/);
});

test('volumes that are not placed yet count together; a fenced host counts nothing; no hosts, no limit', () => {
  const at = (context: Partial<ClusterContext>, sizeMib: number) =>
    decided(clusterMachine, { ...held, ...context }, { in: 'open', on: claim(sizeMib), rows: none, to: '' }).asks;
  assert.equal([at({ unplacedMib: 50_000 }, 100_000), at({ unplacedMib: 50_001 }, 100_000)], [granted, refused]);
  const two = { w1: record(1), w2: record(2) };
  assert.equal([at({ hosts: two }, 150_001), at({ hosts: two, unplacedMib: 200_000 }, 100_000)], [refused, granted]);
  const fenced = { w1: record(1), w2: record(2, { fenced: true, silent: true }) };
  assert.equal(at({ hosts: fenced, unplacedMib: 100_000 }, 100_000), refused);
  assert.equal(at({ hosts: {} }, tib), granted);
});

test('what hosts promise is the sum of the promises, however VMs with volumes are placed and volumes end', () => {
  const names = ['volume/t/a', 'volume/t/b', 'volume/t/c', 'volume/t/d'] as const;
  const step = fc.record({
    what: fc.constantFrom('claim', 'release', 'place', 'place'),
    volumes: fc.subarray([...names], { minLength: 1 }),
    sizeMib: fc.integer({ min: 1, max: 90_000 }),
    host: fc.constantFrom('w1', 'w2', null),
  });
  const hosts = { w1: record(1), w2: record(2) };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let context: object = { ...held, hosts };
      const kept = new Map<string, RoomPromise>();
      for (const { what, volumes, sizeMib, host } of steps) {
        const sizeOf = (name: string): number => kept.get(name)?.sizeMib ?? sizeMib;
        const [first = ''] = volumes;
        const place = {
          type: 'place',
          vm: 'vm/t/v',
          cpus: 1,
          memoryMib: 64,
          host,
          lastRun: null,
          volumes: volumes.map((name) => ({ volume: name, sizeMib: sizeOf(name), host: null })),
        };
        const events = {
          claim: { ...claim(sizeOf(first)), volume: first },
          release: { ...release, volume: first },
          place,
        };
        const move = decided(clusterMachine, context, {
          in: 'open',
          on: events[what],
          from: 'vm/t/v',
          rows: {
            'reservation/vm/t/v': null,
            'found-run/vm/t/v': null,
            'waiting/*': {},
            ...Object.fromEntries(names.map((name) => [`promise/${name}`, kept.get(name) ?? null])),
          },
          to: '',
        });
        context = move.context;
        for (const { type, params } of move.asked) {
          const { collection, key, value } = params as { collection: string; key: string; value: RoomPromise };
          if (type === 'row.put' && collection === 'promise') kept.set(key, value);
          if (type === 'row.remove' && collection === 'promise') kept.delete(key);
        }
        const sum = (at: string | null): number =>
          [...kept.values()].reduce((all, promise) => all + (promise.host === at ? promise.sizeMib : 0), 0);
        const { hosts: now, unplacedMib } = context as ClusterContext;
        assert.equal([unplacedMib, now['w1']?.promisedMib, now['w2']?.promisedMib], [sum(null), sum('w1'), sum('w2')]);
        for (const name of ['w1', 'w2']) assert.ok(sum(name) <= 150_000, `${name} promises ${sum(name)} MiB`);
      }
    }),
    { numRuns: 200 },
  );
});

test('a volume that moves has room on both hosts until its VM has moved or stays', () => {
  const migration = 'migration/t/v';
  const two = { w1: record(1, { promisedMib: 50 }), w2: record(2) };
  const taken = { host: 'w2', cpus: 1, memoryMib: 64 };
  const at = (on: object, hosts: ClusterContext['hosts'], promise: RoomPromise, reserved: object | null) => {
    const rows = {
      [`promise/${volume}`]: promise,
      [`reservation/${migration}`]: reserved,
      'reservation/vm/t/v': { ...taken, host: 'w1' },
      'found-run/migration/t/v': null,
      'waiting/*': {},
    };
    const { context, asked } = decided(
      clusterMachine,
      { ...held, hosts },
      {
        in: 'open',
        on: on as { type: string },
        from: migration,
        rows,
        to: '',
      },
    );
    const params = asked.map((one) => one.params as { collection?: string; value?: RoomPromise });
    const put = params.find(({ collection }) => collection === 'promise')?.value;
    return { hosts: (context as unknown as ClusterContext).hosts, put };
  };
  const sums = (hosts: ClusterContext['hosts']) => Object.values(hosts).map(({ promisedMib }) => promisedMib);
  const sizes = [{ volume, sizeMib: 50, host: null }];
  const place = { type: 'place', vm: migration, cpus: 1, memoryMib: 64, host: null, lastRun: null, volumes: sizes };
  const asks = { ...place, avoid: ['w1'] };
  const here: RoomPromise = { sizeMib: 50, host: 'w1' };
  const both: RoomPromise = { ...here, standby: 'w2' };
  const placed = at(asks, two, here, null);
  assert.equal([placed.put, sums(placed.hosts)], [both, [50, 50]]);
  const again = at(asks, placed.hosts, both, taken);
  assert.equal([again.put, sums(again.hosts)], [both, [50, 50]], 'once for one move');
  const leave = { type: 'place.release', vm: migration, volumes: [volume] };
  const stays = at(leave, placed.hosts, both, taken);
  assert.equal([stays.put, sums(stays.hosts)], [here, [50, 0]]);
  const transfer = { type: 'place.transfer', vm: 'vm/t/v', migration, volumes: [volume] };
  const moved = at(transfer, placed.hosts, both, taken);
  assert.equal([moved.put, sums(moved.hosts)], [{ sizeMib: 50, host: 'w2' }, [0, 50]]);
  const late = at(transfer, moved.hosts, { sizeMib: 50, host: 'w2' }, null);
  assert.equal([late.put, sums(late.hosts)], [undefined, [0, 50]]);
  const gone = at({ type: 'room.release', volume }, placed.hosts, both, taken);
  assert.equal(sums(gone.hosts), [0, 0]);
});

test.run();
