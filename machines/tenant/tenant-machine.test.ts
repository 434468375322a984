/** Decisions of a tenant: quota, its VPC main, and its end. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { tenantMachine } from './tenant-machine.ts';
import type { TenantContext } from './tenant-messages.ts';
import { tenantSpec, type TenantSpec } from './tenant-protocol.ts';

/** With the defaults of every number that is left out. */
const specOf = (quota: object): TenantSpec => tenantSpec.parse({ quota }) as TenantSpec;

const held: TenantContext = {
  ...newDeclared('tenant/t/t'),
  uid: 'U1',
  spec: specOf({}),
  generation: 1,
  observedGeneration: 1,
  used: { vpc: 1 },
};
const declare = (verb: 'create' | 'update' | 'apply', quota: object = {}) => ({
  type: `tenant.${verb}`,
  spec: specOf(quota),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});
const create = declare('create');
const claim = { type: 'quota.claim', kind: 'network', claimant: 'network/t/a' };
const release = { type: 'quota.release', kind: 'network', claimant: 'network/t/a' };
const fresh = { 'claim/network/t/a': null };
const claimed = { 'claim/network/t/a': { kind: 'network' } };
const opened = { type: 'vpc.opened', vpc: 'vpc/t/main' };
const groupOpened = { type: 'group.opened' };
const onlyMain = { 'claim/*': { 'vpc/t/main': { kind: 'vpc' } } };
const others = { 'claim/*': { 'vpc/t/main': { kind: 'vpc' }, 'vm/t/v': { kind: 'vm' } } };
const full = { spec: specOf({ network: 1 }), used: { vpc: 1, network: 1 } };

const volumes = (mib: number) => ({ ...claim, kind: 'volume', claimant: 'volume/t/a', mib });
const withVolume = {
  in: 'active',
  with: { spec: specOf({ volumeMib: 100 }), used: { vpc: 1, volume: 1, volumeMib: 60 } },
};
const noVolume = { 'claim/volume/t/a': null };
const hasVolume = { 'claim/volume/t/a': { kind: 'volume', mib: 60 } };

test('the sizes of volumes count against a quota of their own, and a deleted volume gives its size back', () => {
  const rows: readonly Row[] = [
    { ...withVolume, on: volumes(40), rows: noVolume, to: 'active', asks: ['put claim', 'quota.granted > volume'] },
    { ...withVolume, on: volumes(41), rows: noVolume, to: 'active', asks: ['quota.refused > volume'] },
    { ...withVolume, on: volumes(60), rows: hasVolume, to: 'active', asks: ['quota.granted > volume'] },
    { ...withVolume, on: volumes(100), rows: hasVolume, to: 'active', asks: ['put claim', 'quota.granted > volume'] },
    { ...withVolume, on: volumes(101), rows: hasVolume, to: 'active', asks: ['quota.refused > volume'] },
    { ...withVolume, on: volumes(50), rows: hasVolume, to: 'active', asks: ['put claim', 'quota.granted > volume'] },
    { ...withVolume, on: claim, rows: fresh, to: 'active', asks: ['put claim', 'quota.granted > network'] },
  ];
  assert.equal(disagreements(tenantMachine, held, rows), []);
  const usedAfter = (on: Row['on'], claims: object) =>
    decided(tenantMachine, held, { ...withVolume, on, rows: claims as Record<string, unknown>, to: '' }).context[
      'used'
    ];
  assert.equal(usedAfter(volumes(40), noVolume), { vpc: 1, volume: 2, volumeMib: 100 });
  assert.equal(usedAfter(volumes(60), hasVolume), { vpc: 1, volume: 1, volumeMib: 60 });
  assert.equal(usedAfter(volumes(90), hasVolume), { vpc: 1, volume: 1, volumeMib: 90 });
  assert.equal(usedAfter(volumes(50), hasVolume), { vpc: 1, volume: 1, volumeMib: 50 });
  const removed = { type: 'quota.release', kind: 'volume', claimant: 'volume/t/a' };
  assert.equal(usedAfter(removed, hasVolume), { vpc: 1, volume: 0, volumeMib: 0 });
  const { asked } = decided(tenantMachine, held, { ...withVolume, on: volumes(41), rows: noVolume, to: '' });
  const { event } = asked[0]?.params as { event: { error: { message: string } } };
  assert.match(event.error.message, '60 of 100 MiB in volumes, and 41 MiB are claimed');
});

const waiter = (commandId: string) => ({ commandId, result: 'created' });

const rows: readonly Row[] = [
  { in: 'born', on: create, command: 'c', to: 'opening', asks: ['defer', 'vpc.open > vpc'] },
  { in: 'born', on: claim, to: 'gone', asks: ['quota.refused > network'] },
  { in: 'opening', on: opened, to: 'grouping', asks: ['group.open > security-group'] },
  { in: 'opening', on: 'partDeadline', to: 'opening', asks: ['vpc.open > vpc'] },
  {
    in: 'grouping',
    with: { waiters: [waiter('c'), waiter('d')] },
    on: groupOpened,
    to: 'active',
    asks: ['reply', 'reply'],
  },
  { in: 'grouping', on: 'partDeadline', to: 'grouping', asks: ['group.open > security-group'] },
  { in: 'opening', on: create, command: 'd', to: 'opening', asks: ['defer'] },
  {
    in: 'opening',
    on: declare('create', { vm: 1 }),
    command: 'd',
    to: 'opening',
    asks: ['reject exists_differently'],
  },
  { in: 'opening', on: claim, rows: fresh, to: 'opening', asks: ['put claim', 'quota.granted > network'] },
  { in: 'active', on: create, command: 'd', to: 'active', asks: ['reply'] },
  {
    in: 'active',
    on: declare('create', { vm: 1 }),
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
    asks: ['defer', 'group.close > security-group', 'vpc.close > vpc'],
  },
  {
    in: 'active',
    with: { used: {} },
    on: { type: 'tenant.delete' },
    command: 'd',
    rows: { 'claim/*': {} },
    to: 'gone',
  },
  { in: 'deleting', on: 'partDeadline', to: 'deleting', asks: ['group.close > security-group', 'vpc.close > vpc'] },
  { in: 'deleting', on: claim, to: 'deleting', asks: ['quota.refused > network'] },
  { in: 'deleting', on: create, command: 'd', to: 'deleting', asks: ['reject name_busy'] },
  {
    in: 'deleting',
    with: { waiters: [waiter('d')] },
    on: { type: 'quota.release', kind: 'vpc', claimant: 'vpc/t/main' },
    rows: { 'claim/vpc/t/main': { kind: 'vpc' } },
    to: 'gone',
    asks: ['remove claim', 'reply'],
  },
];

test('decisions', () => {
  assert.equal(disagreements(tenantMachine, held, rows), []);
});

const changes: readonly Row[] = [
  { in: 'active', on: declare('update'), command: 'd', to: 'active', asks: ['reply'] },
  { in: 'active', on: declare('apply', { vm: 1 }), command: 'd', to: 'active', asks: ['reply'] },
  {
    in: 'active',
    on: { ...create, labels: { tier: 'a' } },
    command: 'd',
    to: 'active',
    asks: ['reject exists_differently'],
  },
  { in: 'opening', on: declare('apply', { vm: 1 }), command: 'd', to: 'opening', asks: ['defer'] },
  { in: 'deleting', on: declare('apply', { vm: 1 }), command: 'd', to: 'deleting', asks: ['reject name_busy'] },
  {
    in: 'active',
    with: { protect: true },
    on: { type: 'tenant.delete' },
    command: 'd',
    rows: onlyMain,
    to: 'active',
    asks: ['reject protected'],
  },
];

test('a quota changes in place; labels and protection are independent of it', () => {
  assert.equal(disagreements(tenantMachine, held, changes), []);
  const to = (on: Row['on']) => decided(tenantMachine, held, { in: 'active', on, command: 'd', to: '' });
  const lowered = to(declare('apply', { vm: 1 }));
  const { spec, generation, observedGeneration } = lowered.context as unknown as TenantContext;
  assert.equal([spec?.quota['vm'], generation, observedGeneration], [1, 2, 2]);
  assert.equal((lowered.asked[0]?.params as { result: object }).result, {
    uid: 'U1',
    generation: 2,
    result: 'updated',
  });
  const same = to(declare('apply')).asked[0]?.params as { result: object };
  assert.equal(same.result, { uid: 'U1', generation: 1, result: 'unchanged' });
});

test('Ready follows the states, and says since when', () => {
  const born = decided(
    tenantMachine,
    { ...newDeclared('tenant/t/t'), used: {} },
    { in: 'born', on: create, command: 'c', at: 5, to: '' },
  );
  const opening = (born.context as unknown as TenantContext).conditions;
  assert.equal(opening, [{ type: 'Ready', status: 'False', reason: 'OpeningVpc', message: '', since: 5 }]);
  const active = decided(tenantMachine, born.context, { in: 'grouping', on: groupOpened, at: 9, to: '' })
    .context as unknown as TenantContext;
  assert.equal(active.conditions, [{ type: 'Ready', status: 'True', reason: 'Active', message: '', since: 9 }]);
});

test('a repeated claim counts once, and so does a repeated release', () => {
  const used = (row: Row): unknown =>
    (decided(tenantMachine, held, row).context['used'] as { network?: number }).network ?? 0;
  assert.is(used({ in: 'active', on: claim, rows: fresh, to: '' }), 1);
  assert.is(used({ in: 'active', on: claim, rows: claimed, to: '' }), 0);
  assert.is(used({ in: 'active', with: full, on: release, rows: claimed, to: '' }), 0);
  assert.is(used({ in: 'active', with: full, on: release, rows: fresh, to: '' }), 1);
});

test('a quota that is not declared has its default', () => {
  const { context } = decided(tenantMachine, held, { in: 'born', on: create, command: 'c', to: '' });
  const { vpc, network, vm, volume, image, portsPerNetwork } = (context as unknown as TenantContext).spec?.quota ?? {};
  assert.equal([vpc, network, vm, volume, image, portsPerNetwork], [5, 64, 1_000, 100, 50, 4_000]);
});

test('the last object within the quota is granted; the next is refused with usage and limit', () => {
  const next = (used: number) =>
    decided(tenantMachine, held, {
      in: 'active',
      with: { used: { vm: used } },
      on: { type: 'quota.claim', kind: 'vm', claimant: 'vm/t/v' },
      rows: { 'claim/vm/t/v': null },
      to: '',
    });
  assert.equal(next(999).asks, ['put claim', 'quota.granted > vm']);
  const refused = next(1_000).asked[0]?.params as { event: { error: { code: string; message: string } } };
  assert.is(refused.event.error.code, 'quota_exceeded');
  assert.match(refused.event.error.message, '1000 of 1000 vms');
});

test('only a network gets the maximum number of ports', () => {
  const ports = (on: Row['on']): unknown => {
    const { asked } = decided(tenantMachine, held, { in: 'active', on, rows: fresh, to: '' });
    const sent = asked.find(({ type }) => type === 'send')?.params as { event: { ports?: number } };
    return sent.event.ports;
  };
  assert.is(ports(claim), 4_000);
  assert.is(ports({ ...claim, kind: 'vm' }), undefined);
});

test.run();
