/** Decisions of a service IP: its address, its end, and which of its states says what hosts do. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { serviceIpMachine } from './service-ip-machine.ts';
import * as s from './service-ip-rows-for-tests.ts';

const { declare, waiting, error, about } = s;
const refusal = (code: string, retryable: boolean) => ({
  type: 'address.refused',
  error: { ...error, code, retryable },
  path: 'spec.address',
});
const gone = { checks: {}, members: {}, serving: [], ...waiting };
const noHolders = { 'holder/*': {} };

/** Until it has its address. */
const claims: readonly Row[] = [
  { in: 'born', on: declare('create'), command: 'c', to: 'claiming.quota', asks: ['defer', 'quota.claim > tenant'] },
  { in: 'born', on: { type: 'reference.add', by: 'security-group/t/g', vpc: null }, to: 'gone' },
  {
    in: 'born',
    on: { type: 'address.confirm', network: 'network/t/front', address: s.address },
    to: 'gone',
    asks: ['address.release > network'],
  },
  { in: 'claiming.quota', on: { type: 'quota.granted' }, to: 'claiming.address', asks: ['address.allocate > network'] },
  { in: 'claiming.quota', on: 'quotaDeadline', to: 'claiming.quota', asks: ['quota.claim > tenant'] },
  {
    in: 'claiming.quota',
    with: waiting,
    on: { type: 'quota.refused', error: { ...error, code: 'quota_exceeded' } },
    rows: noHolders,
    to: 'gone',
    asks: ['reject quota_exceeded'],
  },
  {
    in: 'claiming.address',
    with: waiting,
    on: s.allocation,
    to: 'allocated.watching',
    asks: ['reply', 'members.watch > vpc'],
  },
  {
    in: 'claiming.address',
    with: waiting,
    on: refusal('address_taken', false),
    rows: noHolders,
    to: 'gone',
    asks: ['reject address_taken', 'quota.release > tenant'],
  },
  {
    in: 'claiming.address',
    with: waiting,
    on: refusal('addresses_resting', true),
    rows: noHolders,
    to: 'gone',
    asks: ['reject addresses_resting', 'quota.release > tenant'],
  },
  { in: 'claiming.address', on: refusal('network_not_ready', true), to: 'claiming.waiting', asks: [] },
  { in: 'claiming.waiting', on: 'backoff', to: 'claiming.address', asks: ['address.allocate > network'] },
  { in: 'claiming.address', on: 'addressDeadline', to: 'claiming.address', asks: ['address.allocate > network'] },
  {
    in: 'claiming.address',
    with: { ...waiting, tries: 12 },
    on: 'addressDeadline',
    rows: noHolders,
    to: 'gone',
    asks: ['address.release > network', 'reject network_not_found', 'quota.release > tenant'],
  },
  {
    in: 'claiming.address',
    with: waiting,
    on: { type: 'service-ip.delete' },
    command: 'd',
    rows: noHolders,
    to: 'gone',
    asks: ['reject deleted', 'defer', 'address.release > network', 'quota.release > tenant', 'reply'],
  },
];

/** With an address. */
const lives: readonly Row[] = [
  { in: 'allocated.watching', on: 'watchDeadline', to: 'allocated.watching', asks: ['members.watch > vpc'] },
  { in: 'allocated.active', on: declare('apply'), command: 'd', to: 'allocated.active', asks: ['reply'] },
  {
    in: 'allocated.active',
    on: declare('update', { affinity: 'source' }),
    command: 'd',
    to: 'allocated.programming',
    asks: ['members.watch > vpc', 'element.put > vpc', 'reply'],
  },
  {
    in: 'allocated.active',
    on: declare('update', { address: '10.0.0.77' }),
    command: 'd',
    to: 'allocated.active',
    asks: ['reject immutable_field'],
  },
  { in: 'allocated.programming', on: 'proofDeadline', to: 'allocated.programming', asks: ['element.put > vpc'] },
  {
    in: 'allocated.programming',
    with: { published: 2 },
    on: { type: 'element.realized', ...about, generation: 2 },
    to: 'allocated.active',
    asks: [],
  },
  {
    in: 'allocated.programming',
    with: { published: 2 },
    on: { type: 'element.realized', ...about, generation: 1 },
    to: 'allocated.programming',
  },
  {
    in: 'allocated.programming',
    with: { published: 2 },
    on: { type: 'element.delayed', ...about, generation: 2, host: 'w1', error },
    to: 'allocated.degraded',
  },
  {
    in: 'allocated.active',
    on: { type: 'address.confirm', network: 'network/t/front', address: '10.0.0.50' },
    to: 'allocated.active',
    asks: ['address.release > network'],
  },
  {
    in: 'allocated.active',
    on: { type: 'address.confirm', network: 'network/t/front', address: s.address },
    to: 'allocated.active',
    asks: [],
  },
];

/** Its end. */
const ends: readonly Row[] = [
  {
    in: 'allocated.active',
    with: { holders: 1 },
    on: { type: 'service-ip.delete' },
    command: 'd',
    rows: { 'holder/*': { 'security-group/t/g': { vpc: null } } },
    to: 'allocated.active',
    asks: ['reject in_use', 'reference.confirm > security-group'],
  },
  {
    in: 'allocated.active',
    with: { protect: true },
    on: { type: 'service-ip.delete' },
    command: 'd',
    to: 'allocated.active',
    asks: ['reject protected'],
  },
  {
    in: 'allocated.active',
    with: s.checked as never,
    on: { type: 'service-ip.delete' },
    command: 'd',
    to: 'releasing',
    asks: [
      'defer',
      ...['w1', 'w2'].flatMap(() => ['check.drop > service-check', 'host.unfollow > host']),
      'members.unwatch > vpc',
      'element.remove > vpc',
    ],
  },
  {
    in: 'releasing',
    with: gone,
    on: 'withdrawDeadline',
    to: 'releasing',
    asks: ['members.unwatch > vpc', 'element.remove > vpc'],
  },
  {
    in: 'releasing',
    with: gone,
    on: { type: 'element.removed', ...about },
    to: 'gone',
    asks: ['address.release > network', 'quota.release > tenant', 'reply'],
  },
  {
    in: 'releasing',
    with: { ...gone, checks: s.checked.checks },
    on: { type: 'element.removed', ...about },
    to: 'releasing',
    asks: [],
  },
  {
    in: 'releasing',
    with: { ...gone, placed: false, checks: { w1: s.checked.checks['w1'] } },
    on: { type: 'check.ended', host: 'w1', fenced: false },
    to: 'gone',
  },
  {
    in: 'allocated.active',
    with: { spec: s.specOf({ retain: true }) },
    on: { type: 'service-ip.delete' },
    command: 'd',
    to: 'parking',
    asks: ['defer', 'members.unwatch > vpc', 'element.remove > vpc'],
  },
  { in: 'parking', with: gone, on: { type: 'element.removed', ...about }, to: 'parked', asks: ['reply'] },
  {
    in: 'parked',
    with: { spec: s.specOf({ retain: true }) },
    on: { type: 'service-ip.delete' },
    command: 'd',
    to: 'parked',
    asks: ['reject retained'],
  },
  {
    in: 'parked',
    on: declare('create'),
    command: 'd',
    to: 'allocated.watching',
    asks: ['reply', 'members.watch > vpc'],
  },
  {
    in: 'parked',
    on: declare('apply', { address: '10.0.0.77' }),
    command: 'd',
    to: 'parked',
    asks: ['reject immutable_field'],
  },
];

test('an address is claimed before anything else, and a refusal says why', () => {
  assert.equal(disagreements(serviceIpMachine, s.claiming, claims), []);
});

test('a new declaration is taken at any time, and only proofs of the newest publication count', () => {
  assert.equal(disagreements(serviceIpMachine, s.active, lives), []);
});

test('it ends once no host has it, and not at all while something names it or its address is to be kept', () => {
  assert.equal(disagreements(serviceIpMachine, s.active, ends), []);
});

test.run();
