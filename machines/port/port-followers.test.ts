/** Objects that follow a port, and labels that reach the VPC. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { portMachine } from './port-machine.ts';
import * as p from './port-rows-for-tests.ts';

const by = 'external-address/t/web';
const follow = { type: 'port.follow' };
const followed = { followers: [by] };
const labelled = { labels: { app: 'web' } };
const located = { proof: p.proof };

const rows: readonly Row[] = [
  { in: 'active', on: follow, from: by, to: 'active', asks: ['port.address > external-address'] },
  { in: 'unbound', on: follow, from: by, to: 'unbound', asks: ['port.address > external-address'] },
  { in: 'claiming.asking', with: p.claiming, on: follow, from: by, to: 'claiming.asking', asks: [] },
  {
    in: 'claiming.asking',
    with: { ...p.claiming, ...followed },
    on: p.allocated,
    to: 'unbound',
    asks: ['reference.add > security-group', 'port.ready > vm', 'port.address > external-address'],
  },
  { in: 'born', with: p.fresh, on: follow, from: by, to: 'gone', asks: ['port.lost > external-address'] },
  {
    in: 'unbound',
    with: followed,
    on: p.release,
    to: 'gone',
    asks: ['address.release > network', 'port.gone > vm', 'port.lost > external-address'],
  },
  { in: 'active', with: followed, on: { type: 'port.unfollow' }, from: by, to: 'active', asks: [] },
  // Labels of a port that the VPC knows the place of.
  {
    in: 'active',
    with: { ...p.own, ...located },
    on: p.update(p.spec, labelled),
    command: 'c',
    to: 'active',
    asks: ['port.located > vpc', 'reply'],
  },
  {
    in: 'active',
    with: located,
    on: { ...p.claim, ...labelled },
    to: 'active',
    asks: ['port.located > vpc', 'port.ready > vm'],
  },
  { in: 'degraded', on: { ...p.claim, ...labelled }, to: 'degraded', asks: ['port.ready > vm'] },
  { in: 'unbinding', with: located, on: { ...p.claim, ...labelled }, to: 'unbinding', asks: ['port.ready > vm'] },
];

test('followers are told the address and the end, and the VPC the labels', () => {
  assert.equal(disagreements(portMachine, p.held, rows), []);
});

test('labels of the VM become those of its port, with no new generation', () => {
  const { context, asked } = decided(
    portMachine,
    { ...p.held, ...located },
    {
      in: 'active',
      on: { ...p.claim, ...labelled },
      to: '',
    },
  );
  assert.equal([context['labels'], context['generation']], [labelled.labels, 1]);
  const [told] = asked as readonly { params: { event: { labels: object } } }[];
  assert.equal(told?.params.event.labels, labelled.labels);
});

test.run();
