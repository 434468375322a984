/** Room for volumes: what is promised, refused, moved to a host, and given back; the sums are those of the promises. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { firstVni, type ClusterContext, type HostRecord, type RoomPromise } from './cluster-context.ts';
import { clusterMachine } from './cluster-machine.ts';

const tib = 1 << 20;

const record = (name: string, index: number, more: Partial<HostRecord> = {}): HostRecord => ({
  facts: { name, index, underlay: `192.0.2.${index}`, underlayMtu: 1600 },
  report: {
    underlay: `192.0.2.${index}`,
    underlayMtu: 1600,
    cpus: 2,
    memoryMib: 65_536,
    diskMib: 75_000,
    diskFreeMib: 70_000,
    qemuVersion: '10',
    kvm: false,
    allowedRoots: [],
    peerUrl: 'x',
  },
  schedulable: true,
  silent: false,
  fenced: false,
  reservedCpus: 0,
  reservedMib: 0,
  promisedMib: 0,
  vms: 0,
  ...more,
});
const held: ClusterContext = {
  id: 'cluster/system/main',
  uid: 'U1',
  name: 'c',
  hosts: { w1: record('w1', 1) },
  nextVni: firstVni,
  unplacedMib: 0,
  era: 1,
  recovery: null,
  store: null,
  conditions: [],
};
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

test('volumes that are not placed yet count together; a fenced host counts nothing; no hosts, no limit', () => {
  const at = (context: Partial<ClusterContext>, sizeMib: number) =>
    decided(clusterMachine, { ...held, ...context }, { in: 'open', on: claim(sizeMib), rows: none, to: '' }).asks;
  assert.equal([at({ unplacedMib: 50_000 }, 100_000), at({ unplacedMib: 50_001 }, 100_000)], [granted, refused]);
  const two = { w1: record('w1', 1), w2: record('w2', 2) };
  assert.equal([at({ hosts: two }, 150_001), at({ hosts: two, unplacedMib: 200_000 }, 100_000)], [refused, granted]);
  const fenced = { w1: record('w1', 1), w2: record('w2', 2, { fenced: true, silent: true }) };
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
  const hosts = { w1: record('w1', 1), w2: record('w2', 2) };
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

test.run();
