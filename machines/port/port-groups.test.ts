/** Security groups of a port: joined with the address, changed in place without another tap, left once replaced. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { portMachine } from './port-machine.ts';
import { portSpec, type PortSpec } from './port-protocol.ts';
import * as p from './port-rows-for-tests.ts';

const group = (name: string): string => `security-group/t/${name}`;
const inWeb = portSpec.parse({ network: 'n', securityGroups: ['web'] }) as PortSpec;
const inNone = portSpec.parse({ network: 'n', securityGroups: [] }) as PortSpec;
const joined = { joined: [group('default')] };
const own = { ...p.own, ...joined };
const webProof = { ...p.proof, groups: [group('web')] };
const claimWeb = { ...p.claim, spec: inWeb };
const ask = 'reference.add > security-group';
const leave = 'reference.drop > security-group';

const rows: readonly Row[] = [
  // A client changes the groups of its port.
  { in: 'unbound', with: own, on: p.update(inWeb), command: 'c', to: 'unbound', asks: [ask, leave, 'reply'] },
  { in: 'unbound', with: own, on: p.update(inNone), command: 'c', to: 'unbound', asks: [leave, 'reply'] },
  { in: 'binding.segment', with: own, on: p.update(inWeb), command: 'c', to: 'binding.segment', asks: [ask, 'reply'] },
  ...['binding.tap', 'tapped', 'active', 'degraded'].map((state) => ({
    in: state,
    with: own,
    on: p.update(inWeb),
    command: 'c',
    to: state,
    asks: [ask, 'binding.ensure > binding', 'reply'],
  })),
  { in: 'failed', with: own, on: p.update(inWeb), command: 'c', to: 'failed', asks: [ask, 'reply'] },
  { in: 'unbinding', with: own, on: p.update(inWeb), command: 'c', to: 'unbinding', asks: [ask, 'reply'] },
  // Only the VM changes those of a port that it holds.
  { in: 'active', with: joined, on: p.update(inWeb), command: 'c', to: 'active', asks: ['reject port_held'] },
  {
    in: 'active',
    with: joined,
    on: claimWeb,
    to: 'active',
    asks: [ask, 'binding.ensure > binding', 'port.ready > vm'],
  },
  { in: 'unbound', with: joined, on: claimWeb, to: 'unbound', asks: [ask, leave, 'port.ready > vm'] },
  {
    in: 'active',
    with: joined,
    on: { ...claimWeb, spec: { ...inWeb, network: 'm' } },
    to: 'active',
    asks: ['port.refused > vm'],
  },
  // The proof brings the new groups: routes and members follow, the old ones are left.
  {
    in: 'active',
    with: { spec: inWeb, proof: p.proof, joined: [group('default'), group('web')] },
    on: p.from('ready', { proof: webProof }),
    to: 'active',
    asks: [leave, 'port.located > vpc', 'port.active > vm'],
  },
  // A late proof of the old groups leaves none.
  {
    in: 'degraded',
    with: { spec: inWeb, joined: [group('default'), group('web')] },
    on: p.from('ready', { proof: p.proof }),
    to: 'active',
    asks: ['port.located > vpc', 'port.active > vm'],
  },
  {
    in: 'unbinding',
    with: { ...own, leaving: true },
    on: { type: 'binding.removed', host: 'w1' },
    to: 'gone',
    asks: ['address.release > network', leave],
  },
  // A group that is to be deleted asks.
  { in: 'active', with: joined, on: { type: 'reference.confirm', of: group('default') }, to: 'active', asks: [] },
  { in: 'active', with: joined, on: { type: 'reference.confirm', of: group('old') }, to: 'active', asks: [leave] },
  { in: 'born', with: p.fresh, on: { type: 'reference.confirm', of: group('old') }, to: 'gone', asks: [leave] },
];

test('decisions', () => {
  assert.equal(disagreements(portMachine, p.held, rows), []);
});

test('null means the group default, and an empty list none', () => {
  const groups = (spec: PortSpec) => {
    const row = { in: 'binding.segment', with: { spec }, on: p.from('provided', {}), to: '' };
    const { asked } = decided(portMachine, p.held, {
      ...row,
      on: { type: 'segment.provided', host: 'w1', network: 'n', vpc: 'v' },
    });
    const sent = asked.map(({ params }) => (params as { event: { type: string; spec?: { groups: unknown } } }).event);
    return sent.find(({ type }) => type === 'binding.ensure')?.spec?.groups;
  };
  assert.equal(groups(p.spec), [group('default')]);
  assert.equal(groups(inNone), []);
  assert.equal(groups(portSpec.parse({ network: 'n', securityGroups: ['web', 'db'] }) as PortSpec), [
    group('db'),
    group('web'),
  ]);
  assert.is(portSpec.safeParse({ network: 'n', securityGroups: ['web', 'web'] }).success, false);
});

test('a generation is observed once its groups are wired, and a missing group is told', () => {
  const waiting = { generation: 2, observedGeneration: 1, spec: inWeb };
  const proven = (proof: object) =>
    decided(portMachine, p.held, {
      in: 'active',
      with: { ...waiting, proof: p.proof },
      on: p.from('ready', { proof }),
      to: '',
    });
  assert.is(proven({ ...p.proof, ifindex: 8 }).context['observedGeneration'], 1);
  assert.is(proven(webProof).context['observedGeneration'], 2);
  const on = { type: 'reference.missing', missing: group('web') };
  const { conditions } = decided(portMachine, p.held, { in: 'active', on, to: '' }).context as {
    conditions: readonly { type: string; status: string; message: string }[];
  };
  const told = conditions.find(({ type }) => type === 'Groups');
  assert.is(told?.status, 'False');
  assert.match(told?.message ?? '', 'security-group/t/web does not exist');
});

test.run();
