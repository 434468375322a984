/** Decisions of a network: creation, changes of its declaration, requests for addresses, deletion. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { specChanges } from '../values/spec-changes.ts';
import { networkMachine } from './network-machine.ts';
import type { NetworkContext } from './network-messages.ts';
import { networkKind, networkSpec } from './network-protocol.ts';
import { declare, held, sixteen, specOf } from './network-rows-for-tests.ts';

const create = declare('create', sixteen);
const passing = { code: 'vpc_not_ready', message: 'x', retryable: true };
const lasting = { code: 'cidr_overlap', message: 'y', retryable: false };
const waiting = { waiters: [{ commandId: 'c', result: 'created' }] };
const claimed = { type: 'network.claimed', vpc: 'v', generation: 1 };
const refusedBy = (error: object, generation = 1) => ({
  type: 'network.refused',
  error,
  path: 'spec.subnets.0.cidr',
  generation,
});
const allocate = { type: 'address.allocate', port: 'port/t/p', address: null, mac: null };
const free = { 'port/port/t/p': null, 'beside/port/t/p': null, 'block/10.0.0': null };

const rows: readonly Row[] = [
  { in: 'born', on: create, command: 'c', to: 'claiming.quota', asks: ['defer', 'quota.claim > tenant'] },
  {
    in: 'born',
    on: declare('create', { subnets: [{ cidr: '10.0.0.1/24' }] }),
    command: 'c',
    to: 'gone',
    asks: ['reject cidr_invalid'],
  },
  {
    in: 'born',
    on: declare('create', { subnets: [{ cidr: '10.0.0.0/24' }, { cidr: '10.0.0.0/25' }] }),
    command: 'c',
    to: 'gone',
    asks: ['reject cidr_overlap'],
  },
  { in: 'claiming.quota', on: { type: 'quota.granted' }, to: 'claiming.cidr', asks: ['network.claim > vpc'] },
  {
    in: 'claiming.quota',
    with: waiting,
    on: { type: 'quota.refused', error: lasting },
    to: 'gone',
    asks: ['reject cidr_overlap'],
  },
  { in: 'claiming.quota', on: 'quotaDeadline', to: 'claiming.quota', asks: ['quota.claim > tenant'] },
  { in: 'claiming.quota', on: create, command: 'd', to: 'claiming.quota', asks: ['defer'] },
  {
    in: 'claiming.quota',
    on: declare('create', { subnets: [{ cidr: '10.9.0.0/24' }] }),
    command: 'd',
    to: 'claiming.quota',
    asks: ['reject exists_differently'],
  },
  { in: 'claiming.cidr', with: waiting, on: claimed, to: 'ready', asks: ['reply'] },
  {
    in: 'claiming.cidr',
    on: refusedBy(passing),
    to: 'claiming.waiting',
    asks: [],
  },
  {
    in: 'claiming.cidr',
    with: waiting,
    on: refusedBy(lasting),
    to: 'gone',
    asks: ['reject cidr_overlap', 'quota.release > tenant'],
  },
  { in: 'claiming.cidr', on: 'cidrDeadline', to: 'claiming.cidr', asks: ['network.claim > vpc'] },
  {
    in: 'claiming.cidr',
    with: { ...waiting, tries: 12 },
    on: 'cidrDeadline',
    to: 'gone',
    asks: ['reject vpc_not_found', 'network.release > vpc', 'quota.release > tenant'],
  },
  {
    in: 'claiming.cidr',
    with: waiting,
    on: { type: 'network.delete' },
    command: 'd',
    to: 'gone',
    asks: ['reject deleted', 'network.release > vpc', 'quota.release > tenant'],
  },
  { in: 'claiming.cidr', on: { type: 'quota.granted' }, to: 'claiming.cidr', asks: [] },
  { in: 'claiming.cidr', on: allocate, to: 'claiming.cidr', asks: ['address.refused > port'] },
  { in: 'claiming.waiting', on: 'backoff', to: 'claiming.cidr', asks: ['network.claim > vpc'] },
  { in: 'ready', on: create, command: 'd', to: 'ready', asks: ['reply'] },
  {
    in: 'ready',
    on: allocate,
    rows: free,
    to: 'ready',
    asks: ['put block', 'put owner', 'put port', 'address.allocated > port'],
  },
  {
    in: 'ready',
    on: allocate,
    rows: { ...free, 'port/port/t/p': { address: '10.0.0.5', mac: 'm' } },
    to: 'ready',
    asks: ['address.allocated > port'],
  },
  {
    in: 'ready',
    with: { ports: 4_000 },
    on: allocate,
    rows: free,
    to: 'ready',
    asks: ['address.refused > port'],
  },
  {
    in: 'ready',
    with: { ports: 4_000 },
    on: allocate,
    rows: { ...free, 'port/port/t/p': { address: '10.0.0.5', mac: 'm' } },
    to: 'ready',
    asks: ['address.allocated > port'],
  },
  {
    in: 'ready',
    on: { type: 'address.release', port: 'port/t/p', address: '10.0.0.5' },
    rows: free,
    to: 'ready',
    asks: [],
  },
  {
    in: 'ready',
    on: { type: 'address.release', port: 'port/t/p', address: null },
    rows: { 'beside/port/t/p': null, 'port/port/t/p': { address: '10.0.0.5', mac: 'm' } },
    to: 'ready',
    asks: ['address.release > network'],
  },
  // A later port of the same name keeps what it has got meanwhile.
  {
    in: 'ready',
    on: { ...allocate, portUid: 'L2' },
    rows: { ...free, 'port/port/t/p': { address: '10.0.0.5', mac: 'm', portUid: 'L1' } },
    to: 'ready',
    asks: ['put port', 'address.allocated > port'],
  },
  {
    in: 'ready',
    on: { type: 'address.release', port: 'port/t/p', portUid: 'L1', address: '10.0.0.5' },
    rows: { ...free, 'port/port/t/p': { address: '10.0.0.5', mac: 'm', portUid: 'L2' } },
    to: 'ready',
    asks: [],
  },
  {
    in: 'ready',
    with: { ports: 1 },
    on: { type: 'network.delete' },
    rows: { 'port/*': { 'port/t/p': { address: '10.0.0.5', mac: 'm' } } },
    command: 'd',
    to: 'ready',
    asks: ['reject in_use', 'address.confirm > port'],
  },
  {
    in: 'ready',
    on: { type: 'network.delete' },
    rows: { 'port/*': {} },
    command: 'd',
    to: 'withdrawing',
    asks: ['defer', 'network.release > vpc'],
  },
  { in: 'withdrawing', on: 'withdrawDeadline', to: 'withdrawing', asks: ['network.release > vpc'] },
  { in: 'withdrawing', on: create, command: 'd', to: 'withdrawing', asks: ['reject name_busy'] },
  { in: 'withdrawing', on: allocate, to: 'withdrawing', asks: ['address.refused > port'] },
  {
    in: 'withdrawing',
    with: waiting,
    on: { type: 'network.withdrawn' },
    rows: { 'block/*': { '10.0.0': {} } },
    to: 'gone',
    asks: ['remove block', 'quota.release > tenant', 'reply'],
  },
];

test('decisions', () => {
  assert.equal(disagreements(networkMachine, held, rows), []);
});

const wider = { subnets: [{ cidr: '10.0.1.0/28' }, ...sixteen.subnets] };
const proposing = { proposed: specOf(wider), waiters: [{ commandId: 'c', result: 'updated' }] };
const dns = { ...sixteen, dhcp: { dns: ['9.9.9.9'] } };

const changes: readonly Row[] = [
  { in: 'ready', on: declare('update', sixteen), command: 'd', to: 'ready', asks: ['reply'] },
  { in: 'ready', on: declare('apply', sixteen), command: 'd', to: 'ready', asks: ['reply'] },
  { in: 'ready', on: declare('create', dns), command: 'd', to: 'ready', asks: ['reject exists_differently'] },
  { in: 'ready', on: declare('update', dns), command: 'd', to: 'ready', asks: ['network.claim > vpc', 'reply'] },
  { in: 'ready', on: declare('apply', dns), command: 'd', to: 'ready', asks: ['network.claim > vpc', 'reply'] },
  {
    in: 'ready',
    on: declare('apply', { ...sixteen, metadata: true }),
    command: 'd',
    to: 'ready',
    asks: ['network.claim > vpc', 'reply'],
  },
  {
    in: 'ready',
    on: declare('apply', { ...sixteen, mtu: 1400 }),
    command: 'd',
    to: 'ready',
    asks: ['reject immutable_field'],
  },
  {
    in: 'ready',
    on: declare('apply', { subnets: [{ cidr: '10.0.0.0/28', gateway: '10.0.0.9' }] }),
    command: 'd',
    to: 'ready',
    asks: ['reject immutable_field'],
  },
  // A mistake in a CIDR is what the client must correct, not the subnet that it would replace.
  {
    in: 'ready',
    on: declare('apply', { subnets: [{ cidr: '10.0.0.3/28' }] }),
    command: 'd',
    to: 'ready',
    asks: ['reject cidr_invalid'],
  },
  {
    in: 'ready',
    on: declare('apply', { subnets: [{ cidr: '10.9.0.0/28' }] }),
    command: 'd',
    to: 'ready',
    asks: ['reject immutable_field'],
  },
  {
    in: 'ready',
    on: declare('apply', { subnets: [...sixteen.subnets, { cidr: '10.0.0.0/27' }] }),
    command: 'd',
    to: 'ready',
    asks: ['reject cidr_overlap'],
  },
  { in: 'ready', on: declare('apply', wider), command: 'd', to: 'extending', asks: ['defer', 'network.claim > vpc'] },
  { in: 'extending', with: proposing, on: { ...claimed, generation: 2 }, to: 'ready', asks: ['reply'] },
  { in: 'extending', with: proposing, on: claimed, to: 'extending', asks: [] },
  { in: 'extending', with: proposing, on: refusedBy(lasting, 2), to: 'ready', asks: ['reject cidr_overlap'] },
  { in: 'extending', with: proposing, on: refusedBy(passing, 2), to: 'extending', asks: [] },
  { in: 'extending', with: proposing, on: 'cidrDeadline', to: 'extending', asks: ['network.claim > vpc'] },
  {
    in: 'extending',
    with: proposing,
    on: declare('apply', dns),
    command: 'd',
    to: 'extending',
    asks: ['reject name_busy'],
  },
  {
    in: 'extending',
    with: proposing,
    on: allocate,
    rows: free,
    to: 'extending',
    asks: ['put block', 'put owner', 'put port', 'address.allocated > port'],
  },
  {
    in: 'ready',
    with: { protect: true },
    on: { type: 'network.delete' },
    command: 'd',
    to: 'ready',
    asks: ['reject protected'],
  },
  {
    in: 'claiming.cidr',
    on: declare('apply', dns),
    command: 'd',
    to: 'claiming.quota',
    asks: ['defer', 'quota.claim > tenant'],
  },
];

test('changes of a declaration: in place, after a claim in the VPC, or rejected', () => {
  assert.equal(disagreements(networkMachine, held, changes), []);
});

const after = (row: Row): NetworkContext => decided(networkMachine, held, row).context as unknown as NetworkContext;

test('a generation per accepted spec, observed once every host has proven it', () => {
  const changed = after({ in: 'ready', on: declare('apply', dns), command: 'd', to: '' });
  assert.equal([changed.generation, changed.observedGeneration, changed.spec?.dhcp.dns], [2, 1, ['9.9.9.9']]);
  const delayed = { type: 'network.delayed', generation: 2, host: 'w1', error: passing };
  const late = decided(networkMachine, changed, { in: 'ready', on: delayed, to: '' })
    .context as unknown as NetworkContext;
  assert.equal([late.observedGeneration, late.failure?.code], [1, 'vpc_not_ready']);
  assert.equal(late.conditions.find(({ type }) => type === 'Realized')?.status, 'False');
  const realized = (generation: number) => ({ type: 'network.realized', generation });
  const early = decided(networkMachine, changed, { in: 'ready', on: realized(1), to: '' }).context;
  assert.is(early['observedGeneration'], 1, 'an answer about an earlier generation proves nothing');
  const proven = decided(networkMachine, late, { in: 'ready', on: realized(2), to: '' })
    .context as unknown as NetworkContext;
  assert.equal([proven.observedGeneration, proven.failure], [2, null]);
});

test('what a host has lost is told until every host has it again, and afterwards that it was made again', () => {
  const gone = { code: 'bridge_gone', message: 'The bridge is gone.', retryable: true };
  let context = held;
  const realized = (on: { readonly type: string; readonly [field: string]: unknown }) => {
    const row = { in: 'ready', on: { generation: 1, host: 'w1', ...on }, to: '' };
    context = decided(networkMachine, context, row).context as unknown as NetworkContext;
    const { status, reason, message } = context.conditions.find(({ type }) => type === 'Realized') ?? {};
    return [status, reason, message];
  };
  const lost = ['False', 'Lost', gone.message];
  assert.equal(realized({ type: 'network.delayed', error: gone, lost: true }), lost);
  assert.equal(realized({ type: 'network.delayed', error: passing }), lost, 'it cannot be made again yet');
  assert.is(context.failure?.code, passing.code);
  const again = `Made again after: ${gone.message}`;
  assert.equal(realized({ type: 'network.realized' }), ['True', 'MadeAgain', again]);
  assert.equal(realized({ type: 'network.realized' }), ['True', 'Proven', '']);
});

test('an added subnet has addresses of its own, and the others keep theirs', () => {
  const used = { ...held, subnets: held.subnets.map((subnet) => ({ ...subnet, free: 3 })), ...proposing };
  const row = { in: 'extending', on: { ...claimed, generation: 2 }, to: '' };
  const { subnets, generation } = decided(networkMachine, used, row).context as unknown as NetworkContext;
  assert.equal(
    [generation, ...subnets.map(({ name, free: left }) => `${name} ${left}`)],
    [2, 'subnet-10-0-1-0-28 10', 'subnet-10-0-0-0-28 3'],
  );
});

test('labels change without a generation, and are kept by an update that does not name them', () => {
  const labelled = after({
    in: 'ready',
    on: { ...declare('apply', sixteen), labels: { tier: 'web' } },
    command: 'd',
    to: '',
  });
  assert.equal([labelled.generation, labelled.labels], [1, { tier: 'web' }]);
  const kept = decided(networkMachine, labelled, {
    in: 'ready',
    on: declare('update', dns),
    command: 'd',
    to: '',
  }).context;
  assert.equal([kept['generation'], kept['labels']], [2, { tier: 'web' }]);
});

test('equal declarations are equal, whatever was left to its default', () => {
  const written = {
    ...sixteen,
    subnets: [{ cidr: '10.0.0.0/28', gateway: '10.0.0.1' }],
    vpc: 'main',
    mtu: 1450,
    dhcp: {},
  };
  assert.equal(specChanges(networkKind.declared, specOf(sixteen), specOf(written)), []);
  const older = { vpc: 'main', subnets: specOf(sixteen).subnets, mtu: 1450 };
  assert.equal(specChanges(networkKind.declared, older, specOf(sixteen)), [], 'a field that came with a default');
});

test('an item that is added hides no other order', () => {
  const [a, b, c] = ['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24'].map((cidr) => ({ cidr }));
  const turned = specChanges(networkKind.declared, specOf({ subnets: [a, b] }), specOf({ subnets: [b, a, c] }));
  const told = turned.map(({ path, change }) => [path, change]);
  assert.equal(told, [
    ['subnets.2', 'in place'],
    ['subnets', 'replace'],
  ]);
});

test('a subnet that is left out, or stands in another place, is refused in these words', () => {
  const [a, b] = [{ cidr: '10.0.0.0/24' }, { cidr: '10.0.1.0/24' }];
  const issuesOf = (subnets: readonly object[]): unknown => {
    const row = { in: 'ready', on: declare('apply', { subnets }), command: 'd', to: '' };
    const { asked } = decided(networkMachine, { ...held, spec: specOf({ subnets: [a, b] }) }, row);
    return (asked[0]?.params as { readonly issues: unknown }).issues;
  };
  const gone = '{"cidr":"10.0.0.0/24","gateway":"10.0.0.1","name":"subnet-10-0-0-0-24","pools":null}';
  assert.equal(issuesOf([b]), [{ path: 'spec.subnets.0', message: `is ${gone} and cannot be removed` }]);
  const [had, has] = ['["10.0.0.0/24","10.0.1.0/24"]', '["10.0.1.0/24","10.0.0.0/24"]'];
  const message = `has the order ${had}, which cannot become ${has}`;
  assert.equal(issuesOf([b, a]), [{ path: 'spec.subnets', message }]);
});

test('the quota of ports is taken from the tenant, and stays what it was when an older one says nothing', () => {
  const quotaAfter = (on: Row['on']): unknown =>
    decided(networkMachine, held, { in: 'claiming.quota', on, to: '' }).context['portQuota'];
  assert.is(quotaAfter({ type: 'quota.granted', kind: 'network', ports: 7 }), 7);
  assert.is(quotaAfter({ type: 'quota.granted', kind: 'network' }), 4_000);
});

test('0.0.0.0 is no server: to dnsmasq it is a word for itself', () => {
  const accepted = (dhcp: object) => networkSpec.safeParse({ ...sixteen, dhcp }).success;
  assert.equal([accepted({ dns: ['9.9.9.9'] }), accepted({ ntp: ['9.9.9.9'] })], [true, true]);
  assert.equal([accepted({ dns: ['0.0.0.0'] }), accepted({ ntp: ['0.0.0.0'] })], [false, false]);
});

test.run();
