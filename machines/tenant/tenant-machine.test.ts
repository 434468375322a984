/** Decisions of a tenant: quota, its VPC main, and its end. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { defaultQuota } from './tenant-events.ts';
import { tenantMachine } from './tenant-machine.ts';
import { none, type TenantContext } from './tenant-messages.ts';

const held: TenantContext = {
  id: 'tenant/t/t',
  uid: 'U1',
  quota: defaultQuota,
  used: { ...none, vpc: 1 },
  waiters: [],
};
const create = { type: 'tenant.create' };
const claim = { type: 'quota.claim', kind: 'network', claimant: 'network/t/a' };
const release = { type: 'quota.release', kind: 'network', claimant: 'network/t/a' };
const fresh = { 'claim/network/t/a': null };
const claimed = { 'claim/network/t/a': { kind: 'network' } };
const opened = { type: 'vpc.opened', vpc: 'vpc/t/main' };
const onlyMain = { 'claim/*': { 'vpc/t/main': { kind: 'vpc' } } };
const others = { 'claim/*': { 'vpc/t/main': { kind: 'vpc' }, 'vm/t/v': { kind: 'vm' } } };
const full = { quota: { ...defaultQuota, network: 1 }, used: { ...none, vpc: 1, network: 1 } };

const rows: readonly Row[] = [
  { in: 'born', on: create, command: 'c', to: 'opening', asks: ['defer', 'vpc.create > vpc'] },
  { in: 'born', on: claim, to: 'gone', asks: ['quota.refused > network'] },
  { in: 'opening', with: { waiters: ['c', 'd'] }, on: opened, to: 'active', asks: ['reply', 'reply'] },
  { in: 'opening', on: 'vpcDeadline', to: 'opening', asks: ['vpc.create > vpc'] },
  { in: 'opening', on: create, command: 'd', to: 'opening', asks: ['defer'] },
  {
    in: 'opening',
    on: { ...create, quota: { vm: 1 } },
    command: 'd',
    to: 'opening',
    asks: ['reject exists_differently'],
  },
  { in: 'opening', on: claim, rows: fresh, to: 'opening', asks: ['put claim', 'quota.granted > network'] },
  { in: 'active', on: create, command: 'd', to: 'active', asks: ['reply'] },
  {
    in: 'active',
    on: { ...create, quota: { vm: 1 } },
    command: 'd',
    to: 'active',
    asks: ['reject exists_differently'],
  },
  { in: 'active', on: claim, rows: fresh, to: 'active', asks: ['put claim', 'quota.granted > network'] },
  { in: 'active', on: claim, rows: claimed, to: 'active', asks: ['quota.granted > network'] },
  { in: 'active', with: full, on: claim, rows: fresh, to: 'active', asks: ['quota.refused > network'] },
  { in: 'active', with: full, on: claim, rows: claimed, to: 'active', asks: ['quota.granted > network'] },
  { in: 'active', on: release, rows: claimed, to: 'active', asks: ['remove claim'] },
  { in: 'active', on: release, rows: fresh, to: 'active', asks: [] },
  { in: 'active', on: { type: 'tenant.delete' }, command: 'd', rows: others, to: 'active', asks: ['reject in_use'] },
  {
    in: 'active',
    on: { type: 'tenant.delete' },
    command: 'd',
    rows: onlyMain,
    to: 'deleting',
    asks: ['defer', 'vpc.delete > vpc'],
  },
  {
    in: 'active',
    with: { used: none },
    on: { type: 'tenant.delete' },
    command: 'd',
    rows: { 'claim/*': {} },
    to: 'gone',
  },
  { in: 'deleting', on: 'vpcDeadline', to: 'deleting', asks: ['vpc.delete > vpc'] },
  { in: 'deleting', on: claim, to: 'deleting', asks: ['quota.refused > network'] },
  { in: 'deleting', on: create, command: 'd', to: 'deleting', asks: ['reject name_busy'] },
  {
    in: 'deleting',
    with: { waiters: ['d'] },
    on: { type: 'quota.release', kind: 'vpc', claimant: 'vpc/t/main' },
    rows: { 'claim/vpc/t/main': { kind: 'vpc' } },
    to: 'gone',
    asks: ['remove claim', 'reply'],
  },
];

test('decisions', () => {
  assert.equal(disagreements(tenantMachine, held, rows), []);
});

test('a claimant counts once, and is given back once', () => {
  const used = (row: Row): unknown =>
    (decided(tenantMachine, held, row).context['used'] as { network: number }).network;
  assert.is(used({ in: 'active', on: claim, rows: fresh, to: '' }), 1);
  assert.is(used({ in: 'active', on: claim, rows: claimed, to: '' }), 0);
  assert.is(used({ in: 'active', with: full, on: release, rows: claimed, to: '' }), 0);
  assert.is(used({ in: 'active', with: full, on: release, rows: fresh, to: '' }), 1);
});

test('the quota that nobody has said is that of the limits', () => {
  const { context } = decided(tenantMachine, held, { in: 'born', on: create, command: 'c', to: '' });
  const limits = { vpc: 5, network: 64, vm: 1_000, volume: 100, image: 50, portsPerNetwork: 4_000 };
  assert.equal(context['quota'], limits);
});

test('the last of a kind is granted, the next is told what is used and allowed', () => {
  const next = (used: number) =>
    decided(tenantMachine, held, {
      in: 'active',
      with: { used: { ...none, vm: used } },
      on: { type: 'quota.claim', kind: 'vm', claimant: 'vm/t/v' },
      rows: { 'claim/vm/t/v': null },
      to: '',
    });
  assert.equal(next(999).asks, ['put claim', 'quota.granted > vm']);
  const refused = next(1_000).asked[0]?.params as { event: { error: { code: string; message: string } } };
  assert.is(refused.event.error.code, 'quota_exceeded');
  assert.match(refused.event.error.message, '1000 of 1000 vms');
});

test('a network is told how many ports it may have, nobody else', () => {
  const ports = (on: Row['on']): unknown => {
    const { asked } = decided(tenantMachine, held, { in: 'active', on, rows: fresh, to: '' });
    const sent = asked.find(({ type }) => type === 'send')?.params as { event: { ports?: number } };
    return sent.event.ports;
  };
  assert.is(ports(claim), 4_000);
  assert.is(ports({ ...claim, kind: 'vm' }), undefined);
});

test.run();
