/** Decisions of a security group: counted, held, published to the VPCs of its ports, changed in place, ended. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { SecurityGroupContext } from './security-group-messages.ts';
import { securityGroupMachine } from './security-group-machine.ts';
import { securityGroupSpec, type SecurityGroupSpec } from './security-group-protocol.ts';

const id = 'security-group/t/web';
const vpc = 'vpc/t/main';
const specOf = (...rules: object[]): SecurityGroupSpec => securityGroupSpec.parse({ rules }) as SecurityGroupSpec;
const declare = (verb: 'create' | 'update' | 'apply', ...rules: object[]) => ({
  type: `security-group.${verb}`,
  spec: specOf(...rules),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});
const open80 = { direction: 'ingress', protocol: 'tcp', ports: { from: 80, to: 80 } };
const fromPeers = { direction: 'ingress', remote: { group: 'peers' } };
const fromSelf = { direction: 'ingress', remote: { group: 'web' } };
const fromOffice = { direction: 'ingress', remote: { addressSet: 'office' } };
const held: SecurityGroupContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec: specOf(open80),
  generation: 1,
  observedGeneration: 1,
  holders: 0,
  vpcs: {},
};
const waiting = { waiters: [{ commandId: 'c', result: 'created' }] };
const inVpc = { holders: 1, vpcs: { [vpc]: { holders: 1, realized: 1 } } };
const add = (by: string, to: string | null) => ({ type: 'reference.add', by, vpc: to });
const drop = (by: string) => ({ type: 'reference.drop', by });
const port = 'port/t/p';
const about = { section: 'security-groups', key: id };
const remove = { type: 'security-group.delete' };
const missing = { type: 'reference.missing', missing: 'security-group/t/peers' };
const error = { code: 'quota_exceeded', message: 'x', retryable: false };

const rows: readonly Row[] = [
  {
    in: 'born',
    on: declare('create', open80),
    command: 'c',
    to: 'claiming',
    asks: ['defer', 'quota.claim > tenant'],
  },
  {
    in: 'born',
    on: declare('create', { direction: 'ingress', protocol: 'icmp', ports: { from: 1, to: 2 } }),
    command: 'c',
    to: 'gone',
    asks: ['reject ports_unused'],
  },
  { in: 'born', on: { type: 'group.open' }, to: 'ready', asks: ['group.opened > tenant'] },
  { in: 'born', on: { type: 'group.close' }, to: 'gone', asks: [] },
  { in: 'born', on: add(port, vpc), to: 'gone', asks: ['reference.missing > port'] },
  { in: 'born', on: drop(port), to: 'gone', asks: [] },
  {
    in: 'born',
    on: { type: 'reference.confirm', of: 'address-set/t/office' },
    to: 'gone',
    asks: ['reference.drop > address-set'],
  },
  {
    in: 'claiming',
    with: { ...waiting, spec: specOf(fromPeers, fromSelf, fromOffice) },
    on: { type: 'quota.granted' },
    to: 'ready',
    asks: ['reference.add > security-group', 'reference.add > address-set', 'reply'],
  },
  {
    in: 'claiming',
    with: { ...waiting, ...inVpc },
    on: { type: 'quota.refused', error },
    rows: { 'holder/*': { [port]: { vpc } } },
    to: 'gone',
    asks: ['reject quota_exceeded', 'remove holder', 'reference.missing > port', 'element.remove > vpc'],
  },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: ['quota.claim > tenant'] },
  // The first port of a VPC publishes the group there, the last one withdraws it.
  {
    in: 'ready',
    on: add(port, vpc),
    rows: { [`holder/${port}`]: null },
    to: 'ready',
    asks: ['put holder', 'element.put > vpc'],
  },
  { in: 'ready', with: inVpc, on: add(port, vpc), rows: { [`holder/${port}`]: { vpc } }, to: 'ready', asks: [] },
  {
    in: 'ready',
    with: inVpc,
    on: add('port/t/q', vpc),
    rows: { 'holder/port/t/q': null },
    to: 'ready',
    asks: ['put holder'],
  },
  {
    in: 'ready',
    with: inVpc,
    on: drop(port),
    rows: { [`holder/${port}`]: { vpc } },
    to: 'ready',
    asks: ['remove holder', 'element.remove > vpc'],
  },
  { in: 'ready', with: inVpc, on: drop('port/t/q'), rows: { 'holder/port/t/q': null }, to: 'ready', asks: [] },
  {
    in: 'ready',
    on: add('security-group/t/db', null),
    rows: { 'holder/security-group/t/db': null },
    to: 'ready',
    asks: ['put holder'],
  },
  // Rules
  {
    in: 'ready',
    with: inVpc,
    on: declare('update', open80, fromPeers),
    command: 'd',
    to: 'ready',
    asks: ['reference.add > security-group', 'element.put > vpc', 'reply'],
  },
  {
    in: 'ready',
    with: { spec: specOf(fromOffice) },
    on: declare('update', open80),
    command: 'd',
    to: 'ready',
    asks: ['reference.drop > address-set', 'reply'],
  },
  { in: 'ready', on: declare('apply', open80), command: 'd', to: 'ready', asks: ['reply'] },
  // What a rule names is missing: it is asked for again, at the next change and now and then.
  { in: 'ready', on: missing, to: 'incomplete', asks: [] },
  {
    in: 'incomplete',
    with: { spec: specOf(fromPeers) },
    on: declare('update', fromPeers, open80),
    command: 'd',
    to: 'ready',
    asks: ['reference.add > security-group', 'reply'],
  },
  {
    in: 'incomplete',
    with: { spec: specOf(fromPeers) },
    on: 'referenceReview',
    to: 'ready',
    asks: ['reference.add > security-group'],
  },
  // The end
  {
    in: 'ready',
    on: remove,
    command: 'd',
    rows: { 'holder/*': {} },
    to: 'gone',
    asks: ['defer', 'quota.release > tenant', 'reply'],
  },
  {
    in: 'ready',
    with: { spec: specOf(fromPeers) },
    on: remove,
    command: 'd',
    to: 'gone',
    asks: ['defer', 'reference.drop > security-group', 'quota.release > tenant', 'reply'],
  },
  {
    in: 'ready',
    with: inVpc,
    on: remove,
    command: 'd',
    rows: { 'holder/*': { [port]: { vpc } } },
    to: 'ready',
    asks: ['reject in_use', 'reference.confirm > port'],
  },
  {
    in: 'ready',
    with: { id: 'security-group/t/default' },
    on: remove,
    command: 'd',
    to: 'ready',
    asks: ['reject default_group'],
  },
  {
    in: 'ready',
    with: inVpc,
    on: { type: 'group.close' },
    rows: { 'holder/*': { [port]: { vpc } } },
    to: 'gone',
    asks: ['remove holder', 'reference.missing > port', 'element.remove > vpc'],
  },
  // A group that this one names wants to end.
  {
    in: 'ready',
    on: { type: 'reference.confirm', of: 'security-group/t/old' },
    to: 'ready',
    asks: ['reference.drop > security-group'],
  },
  {
    in: 'ready',
    with: { spec: specOf(fromPeers) },
    on: { type: 'reference.confirm', of: 'security-group/t/peers' },
    to: 'ready',
    asks: [],
  },
];

test('decisions', () => {
  assert.equal(disagreements(securityGroupMachine, held, rows), []);
});

test('hosts get the rules with the ids of other groups and address sets, and without descriptions', () => {
  const on = declare('update', { ...fromPeers, description: 'from the others' }, fromOffice);
  const { asked } = decided(securityGroupMachine, held, { in: 'ready', with: inVpc, on, to: '' });
  const put = asked.map(({ params }) => params as { event?: { type: string; element?: object } });
  const plain = { direction: 'ingress', protocol: 'any', ports: null, icmp: null };
  assert.equal(put.find(({ event }) => event?.type === 'element.put')?.event?.element, {
    rules: [
      { ...plain, remote: { group: 'security-group/t/peers' } },
      { ...plain, remote: { addressSet: 'address-set/t/office' } },
    ],
  });
});

const other = 'vpc/t/other';
const inBoth = (ours: number, others: number) => ({
  ...held,
  generation: 2,
  holders: 2,
  vpcs: { [vpc]: { holders: 1, realized: ours }, [other]: { holders: 1, realized: others } },
});
const proven = (generation: number, from: string) => ({
  in: 'ready',
  on: { type: 'element.realized', ...about, generation },
  from,
  to: '',
});
const realizedIn = (context: Readonly<Record<string, unknown>>) =>
  (context['conditions'] as readonly { type: string; status: string }[]).find(({ type }) => type === 'Realized')
    ?.status;

test('a generation is observed, and the condition Realized true, once every VPC has proven it', () => {
  const first = decided(securityGroupMachine, inBoth(1, 1), proven(2, vpc)).context;
  assert.equal([first['observedGeneration'], realizedIn(first)], [1, undefined]);
  const second = decided(securityGroupMachine, first, proven(2, other)).context;
  assert.equal([second['observedGeneration'], realizedIn(second)], [2, 'True']);
  const late = decided(securityGroupMachine, inBoth(1, 1), proven(1, vpc)).context;
  assert.equal(late['vpcs'], inBoth(1, 1).vpcs);
});

test('a repeated reference forgets no proof', () => {
  const holder = { [`holder/${port}`]: { vpc } };
  const again = decided(securityGroupMachine, inBoth(2, 1), {
    in: 'ready',
    on: add(port, vpc),
    rows: holder,
    to: '',
  }).context;
  assert.equal(again['vpcs'], inBoth(2, 1).vpcs);
  assert.is(decided(securityGroupMachine, again, proven(2, other)).context['observedGeneration'], 2);
});

test('a VPC that had not proven a generation is not waited for when its last port has gone', () => {
  const holder = { 'holder/port/t/q': { vpc: other } };
  const left = decided(securityGroupMachine, inBoth(2, 1), {
    in: 'ready',
    on: drop('port/t/q'),
    rows: holder,
    to: '',
  }).context;
  assert.equal([left['observedGeneration'], realizedIn(left)], [2, 'True']);
  const slower = decided(securityGroupMachine, inBoth(1, 2), {
    in: 'ready',
    on: drop('port/t/q'),
    rows: holder,
    to: '',
  });
  assert.is(slower.context['observedGeneration'], 1);
});

test('a missing reference is told until it is asked for again', () => {
  const told = (context: Readonly<Record<string, unknown>>) =>
    (context['conditions'] as readonly { type: string; message: string }[]).find(({ type }) => type === 'References');
  const without = decided(securityGroupMachine, held, { in: 'ready', on: missing, to: '' }).context;
  assert.match(told(without)?.message ?? '', 'security-group/t/peers, which does not exist');
  const again = decided(securityGroupMachine, without, { in: 'incomplete', on: 'referenceReview', to: '' }).context;
  assert.is(told(again), undefined);
});

test('a rule is refused with its path, and says what to write instead', () => {
  const cases: readonly (readonly [object, string, RegExp])[] = [
    [{ direction: 'ingress', protocol: 6 }, 'protocol_named', /is written tcp/],
    [{ direction: 'ingress', protocol: 'tcp', ports: { from: 90, to: 80 } }, 'ports_reversed', /smaller port/],
    [{ direction: 'ingress', protocol: 'udp', icmp: { type: 8 } }, 'icmp_unused', /say icmp/],
    [{ direction: 'egress', remote: { cidr: '10.0.0.1/24' } }, 'cidr_invalid', /10\.0\.0\.0\/24/],
    [{ direction: 'egress', remote: { cidr: '010.0.0.0/24' } }, 'cidr_invalid', /not a CIDR/],
  ];
  for (const [rule, code, words] of cases) {
    const on = declare('update', open80, rule);
    const { asked } = decided(securityGroupMachine, held, { in: 'ready', on, command: 'd', to: '' });
    const { params } = asked[0] as { params: { code: string; message: string; issues: readonly { path: string }[] } };
    assert.is(params.code, code);
    assert.match(params.message, words);
    assert.match(params.issues[0]?.path ?? '', /^spec\.rules\.1\./);
  }
  const both = { direction: 'ingress', remote: { cidr: '10.0.0.0/8', group: 'web' } };
  assert.is(securityGroupSpec.safeParse({ rules: [both] }).success, false);
  const foreign = { direction: 'ingress', remote: { group: 'security-group/other/web' } };
  assert.is(securityGroupSpec.safeParse({ rules: [foreign] }).success, false);
});

test.run();
