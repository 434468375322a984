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
  diskMib: 100_000,
  diskFreeMib: 60_000,
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
  order: null,
  fencingRecord: null,
  followers: [],
  drain: null,
  tries: 0,
  failure: null,
};
const announce = { type: 'host.announce', host: 'w1', boot: 'b2', facts: report };
const registered = {
  type: 'host.registered',
  host: 'w1',
  facts: { name: 'w1', index: 1, underlay: 'x', underlayMtu: 1600 },
};
const refused = { type: 'host.refused', host: 'w1', error: { code: 'cluster_full', message: 'x', retryable: true } };
const follower = 'external-network/system/public';
const followed = { followers: [follower] };
const stands = 'host.stands > external-network';
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
  { in: 'silent', on: 'lossDelay', to: 'silent', asks: ['host.lost > cluster'] },
  { in: 'present.joining', with: followed, on: registered, to: 'present.ready', asks: [admitted, stands] },
  { in: 'present.ready', with: followed, on: { type: 'host.silent' }, to: 'silent', asks: [register, stands] },
  { in: 'silent', on: { type: 'host.follow' }, from: follower, to: 'silent', asks: [stands] },
];

test('decisions', () => {
  assert.equal(disagreements(hostMachine, held, rows), []);
});

const begin = 'drain.start > drain';
const end = 'drain.cancel > drain';
const drain = { type: 'host.drain', maxParallel: 2, restart: false };
const draining = { cordoned: true, drain: { limits: { maxParallel: 2, restart: false }, progress: null } };
const empty = { phase: 'drained', since: 1, moved: 2, moving: [], pending: 0, waiting: [], waitingCount: 0 };
const isDrained = { cordoned: true, drain: { ...draining.drain, progress: empty } };
const drains: readonly Row[] = [
  { in: 'present.ready', on: drain, command: 'c', to: 'present.joining', asks: [register] },
  { in: 'present.joining', with: draining, on: registered, to: 'present.ready', asks: [admitted, begin] },
  { in: 'present.joining', with: isDrained, on: registered, to: 'present.ready', asks: [admitted] },
  { in: 'present.ready', with: draining, on: { type: 'drain.stands', progress: empty }, to: 'present.ready', asks: [] },
  { in: 'present.ready', with: draining, on: { type: 'host.cancel-drain' }, to: 'present.ready', asks: [end] },
  { in: 'present.ready', on: { type: 'host.cancel-drain' }, to: 'present.ready', asks: [] },
  { in: 'present.ready', with: draining, on: { type: 'host.uncordon' }, to: 'present.joining', asks: [end, register] },
  { in: 'present.ready', with: isDrained, on: { type: 'host.uncordon' }, to: 'present.joining', asks: [register] },
  { in: 'silent', with: draining, on: { type: 'host.uncordon' }, to: 'silent', asks: [end, register] },
];
test('a drain begins once the cluster places nothing there, and ends with the cordon', () => {
  assert.equal(disagreements(hostMachine, held, drains), []);
});

test('a follower is told whether the host is present, silent or fenced, until it does not follow any more', () => {
  const told = (row: Row): unknown => {
    const stood = decided(hostMachine, { ...held, ...followed }, row)
      .asked.map(({ params }) => params as { event?: { type: string; standing?: string } })
      .find(({ event }) => event?.type === 'host.stands');
    return stood?.event?.standing;
  };
  assert.is(told({ in: 'present.joining', on: registered, to: '' }), 'present');
  assert.is(told({ in: 'present.ready', on: { type: 'host.silent' }, to: '' }), 'silent');
  const order = { by: 'o', reason: 'x', at: 1, boot: 'b1', command: 'c' };
  assert.is(
    told({ in: 'fencing.taking', with: { order }, on: { type: 'host.take-over.done', boot: 'b1' }, to: '' }),
    'fenced',
  );
  const { context } = decided(
    hostMachine,
    { ...held, ...followed },
    {
      in: 'silent',
      on: { type: 'host.unfollow' },
      from: follower,
      to: '',
    },
  );
  assert.equal(context['followers'], []);
});

test('the cluster is informed whether the host takes new VMs', () => {
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

const order = { by: 'op', reason: 'no power', at: 900, boot: 'b1', command: 'k' };
const ordered = { silent: true, order };
const fencingRecord = { by: 'op', reason: 'no power', at: 900, boot: 'b1' };
const fenced = { silent: true, fencingRecord };
const fence = { type: 'host.fence', poweredOff: true, reason: 'no power' };
const failed = (retryable: boolean) => ({
  type: 'host.take-over.failed',
  error: { code: 'node_alive', message: 'it beats', retryable },
});
const unknown = { type: 'host.take-over.unknown', error: { code: 'effect_timeout', message: 'late', retryable: true } };
const refusedThen = (...asks: string[]) => ['reject node_alive', ...asks];

const fencings: readonly Row[] = [
  { in: 'present.ready', on: fence, command: 'k', to: 'present.ready', asks: [] },
  {
    in: 'silent',
    with: { silent: true },
    on: fence,
    command: 'k',
    to: 'fencing.taking',
    asks: ['defer', 'host.take-over'],
  },
  { in: 'fencing.taking', with: ordered, on: failed(true), to: 'fencing.waiting', asks: [] },
  { in: 'fencing.taking', with: ordered, on: failed(false), to: 'silent', asks: refusedThen(register) },
  { in: 'fencing.taking', with: { ...ordered, tries: 5 }, on: failed(true), to: 'silent' },
  { in: 'fencing.taking', with: ordered, on: unknown, to: 'fencing.waiting', asks: [] },
  { in: 'fencing.taking', with: ordered, on: 'fenceDeadline', to: 'fencing.taking', asks: ['host.take-over'] },
  { in: 'fencing.waiting', with: ordered, on: 'backoff', to: 'fencing.taking', asks: ['host.take-over'] },
  {
    in: 'fencing.waiting',
    with: ordered,
    on: { type: 'host.back' },
    to: 'present.joining',
    asks: ['reject host_present', register],
  },
  {
    in: 'fencing.taking',
    with: ordered,
    on: { ...announce, boot: 'b1' },
    to: 'fencing.taking',
    asks: [],
  },
  {
    in: 'fencing.taking',
    with: ordered,
    on: announce,
    to: 'present.joining',
    asks: ['reject host_present', register],
  },
  { in: 'fencing.taking', with: ordered, on: fence, command: 'l', to: 'fencing.taking', asks: [] },
  {
    in: 'fencing.taking',
    with: ordered,
    on: { type: 'host.take-over.done', boot: 'b1' },
    to: 'fenced',
    asks: ['reply', register],
  },
  { in: 'fenced', with: fenced, on: { type: 'host.back' }, to: 'fenced', asks: [] },
  { in: 'fenced', with: fenced, on: fence, command: 'k', to: 'fencing.taking', asks: ['defer', 'host.take-over'] },
  {
    in: 'fencing.taking',
    with: { ...ordered, fencingRecord },
    on: failed(false),
    to: 'fenced',
    asks: refusedThen(register),
  },
  {
    in: 'fencing.waiting',
    with: { ...ordered, fencingRecord },
    on: { type: 'host.back' },
    to: 'fenced',
    asks: ['reject host_present', register],
  },
  { in: 'fenced', with: fenced, on: { ...announce, boot: 'b1' }, to: 'fenced', asks: [] },
  { in: 'fenced', with: { ...fenced, boot: 'b0' }, on: { ...announce, boot: 'b0' }, to: 'fenced', asks: [] },
  { in: 'fenced', with: fenced, on: announce, to: 'present.joining', asks: [register] },
  { in: 'fenced', with: fenced, on: { type: 'host.uncordon' }, command: 'c', to: 'fenced', asks: [register] },
];

test('it is fenced only while it is silent, and back only with a boot of after that', () => {
  assert.equal(disagreements(hostMachine, held, fencings), []);
});

test('the fencing record is stored, sent to the cluster, and cleared when the host returns', () => {
  const at = { in: 'silent', with: { silent: true }, on: fence, command: 'k', at: 900, to: '' };
  assert.equal(decided(hostMachine, held, at).context['order'], { ...order, by: '' });
  const done = { in: 'fencing.taking', with: ordered, on: { type: 'host.take-over.done', boot: null }, to: '' };
  const after = decided(hostMachine, held, done);
  assert.equal(
    [after.context['order'], after.context['fencingRecord']],
    [null, fencingRecord],
    'it had left: the boot it announced',
  );
  const { event } = after.asked.at(-1)?.params as { event: { fenced: boolean; schedulable: boolean } };
  assert.equal([event.fenced, event.schedulable], [true, false]);
  const back = decided(hostMachine, held, { in: 'fenced', with: fenced, on: announce, to: '' });
  assert.equal([back.context['fencingRecord'], back.context['silent']], [null, false]);
});

test.run();
