/** A port's address pairs, DNS name and port security: the network is asked first, then the present tap gets them. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { portMachine } from './port-machine.ts';
import { portSpec, portKind } from './port-protocol.ts';
import * as p from './port-rows-for-tests.ts';

const pairs = [{ cidr: '10.0.0.8/31', mac: null }];
const paired = portSpec.parse({ network: 'n', addressPairs: pairs });
const named = portSpec.parse({ network: 'n', dnsName: 'web' });
const claim = (spec: object) => ({ type: 'port.claim', spec, holder: p.vm, labels: {} });
const revised = (more: object = {}) => ({
  type: 'address.revised',
  network: 'network/t/n',
  pairs,
  dnsName: null,
  ...more,
});
const unrevised = {
  type: 'address.unrevised',
  network: 'network/t/n',
  error: p.lasting,
  path: 'spec.addressPairs.0.cidr',
};
const proposal = { spec: paired, labels: {}, protect: false, commandId: 'c' };
const [asked, held] = [{ proposed: proposal }, { proposed: { ...proposal, commandId: null } }];
const wires = ['reference.add > security-group', 'binding.ensure > binding'];
const onHost = { proof: p.proof };

const rows: readonly Row[] = [
  // A client's port.
  {
    in: 'active',
    with: p.own,
    on: p.update(paired),
    command: 'c',
    to: 'active',
    asks: ['defer', 'address.revise > network'],
  },
  {
    in: 'unbound',
    with: p.own,
    on: p.update(named),
    command: 'c',
    to: 'unbound',
    asks: ['defer', 'address.revise > network'],
  },
  {
    in: 'active',
    with: { ...p.own, ...asked },
    on: p.update(named),
    command: 'd',
    to: 'active',
    asks: ['reject name_busy'],
  },
  { in: 'active', with: { ...p.own, ...asked }, on: revised(), to: 'active', asks: ['reply', ...wires] },
  { in: 'active', with: { ...p.own, ...asked }, on: revised({ pairs: [] }), to: 'active', asks: [] },
  { in: 'active', with: { ...p.own, ...asked }, on: unrevised, to: 'active', asks: ['reject y'] },
  { in: 'active', with: p.own, on: unrevised, to: 'active', asks: [] },
  { in: 'unbound', with: { ...p.own, ...asked }, on: revised(), to: 'unbound', asks: ['reply', wires[0] ?? ''] },
  { in: 'failed', with: { ...p.own, ...asked }, on: revised(), to: 'failed', asks: ['reply', wires[0] ?? ''] },
  {
    in: 'unbinding',
    with: { ...p.own, ...asked, leaving: true, waiters: [{ commandId: 'x', result: 'deleted' }] },
    on: revised(),
    to: 'unbinding',
    asks: ['reply', wires[0] ?? ''],
  },
  // The port of a VM.
  { in: 'active', with: onHost, on: claim(paired), to: 'active', asks: ['address.revise > network'] },
  { in: 'active', with: { ...onHost, ...held }, on: revised(), to: 'active', asks: ['port.ready > vm', ...wires] },
  { in: 'active', with: { ...onHost, ...held }, on: unrevised, to: 'active', asks: ['port.refused > vm'] },
  {
    in: 'active',
    with: { ...onHost, ...held },
    on: claim(p.spec),
    to: 'active',
    asks: ['address.revise > network', 'port.ready > vm'],
  },
  { in: 'claiming.asking', with: p.claiming, on: claim(paired), to: 'claiming.asking', asks: [] },
  // An answer to an earlier request for the address is none.
  {
    in: 'claiming.asking',
    with: { ...p.claiming, spec: paired },
    on: { ...p.allocated, pairs: [], dnsName: null },
    to: 'claiming.asking',
    asks: [],
  },
  // Port security needs nobody's consent.
  {
    in: 'active',
    with: p.own,
    on: p.update({ ...p.spec, portSecurity: false }),
    command: 'c',
    to: 'active',
    asks: ['binding.ensure > binding', 'reply'],
  },
];

test('decisions', () => assert.equal(disagreements(portMachine, p.held, rows), []));

test('a port that ends answers the change that was not decided', () => {
  const row = { in: 'unbinding', with: { ...p.own, ...asked, leaving: true }, on: p.from('removed'), to: 'gone' };
  const { state, asks } = decided(portMachine, p.held, row);
  assert.equal([state, asks], ['gone', ['address.release > network', 'reject deleted']]);
});

test('the tap gets each address of a pair with its MAC, the declared name, and no groups without port security', () => {
  const spec = portSpec.parse({
    network: 'n',
    addressPairs: [
      { cidr: '10.0.0.4/30', mac: null },
      { cidr: '10.0.0.9', mac: '00:00:5e:00:01:07' },
    ],
    portSecurity: false,
    dnsName: 'web',
  });
  const at = { ...p.own, proposed: { ...proposal, spec } };
  const answer = revised({ pairs: spec.addressPairs, dnsName: 'web' });
  const { asked: made, context } = decided(portMachine, p.held, { in: 'active', with: at, on: answer, to: '' });
  const ensure = made.find(({ params }) => (params as { event?: { type: string } }).event?.type === 'binding.ensure');
  const {
    pairs: given,
    portSecurity,
    hostname,
    groups,
  } = (ensure?.params as { event: { spec: Record<string, unknown> } }).event.spec;
  const own = p.grant.mac;
  assert.equal(given, [
    { address: '10.0.0.4', mac: own },
    { address: '10.0.0.6', mac: own },
    { address: '10.0.0.7', mac: own },
    { address: '10.0.0.9', mac: '00:00:5e:00:01:07' },
  ]);
  assert.equal(
    [portSecurity, hostname, groups, context['generation'], context['proposed']],
    [false, 'web', [], 2, null],
  );
});

test('the VPC is told where pairs are, and that those which went are nowhere; only then the change is observed', () => {
  const gone = { ...p.own, spec: paired, generation: 2, located: ['10.0.0.9', '10.0.0.30'], proof: p.proof };
  const proof = { ...p.proof, pairs: ['8', '9'].map((last) => ({ address: `10.0.0.${last}`, mac: p.grant.mac })) };
  const { asked: made, context } = decided(portMachine, p.held, {
    in: 'active',
    with: gone,
    on: p.from('ready', { proof }),
    to: '',
  });
  const told = made.flatMap(({ params }) => {
    const { event } = params as { event?: { type: string; address?: string; pair?: boolean } };
    return event?.address === undefined ? [] : [[event.type, event.address, event.pair ?? false]];
  });
  assert.equal(told, [
    ['port.located', '10.0.0.5', false],
    ['port.located', '10.0.0.8', true],
    ['port.located', '10.0.0.9', true],
    ['port.left', '10.0.0.30', false],
  ]);
  assert.equal([context['located'], context['observedGeneration']], [['10.0.0.8', '10.0.0.9'], 2]);
  const early = decided(portMachine, p.held, {
    in: 'active',
    with: gone,
    on: p.from('ready', { proof: p.proof }),
    to: '',
  });
  assert.is(early.context['observedGeneration'], 1, 'the proof has no pairs yet');
});

test('another name is observed with the first proof after it', () => {
  const at = { ...p.own, spec: named, generation: 2, proof: p.proof };
  const row = { in: 'active', with: at, on: p.from('ready', { proof: p.proof }), to: '' };
  assert.is(decided(portMachine, p.held, row).context['observedGeneration'], 2);
});

test('only an operator turns port security off', () => {
  const said = portKind.declared.operatorsOnly?.(portSpec.parse({ network: 'n', portSecurity: false }));
  assert.equal(
    said?.map(({ path }) => path),
    ['portSecurity'],
  );
  assert.equal(portKind.declared.operatorsOnly?.(p.spec), []);
});

test.run();
