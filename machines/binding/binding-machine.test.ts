/** Decisions of a binding, with every result of every effect, repeated and outdated requests, and every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { bindingMachine } from './binding-machine.ts';
import type { BindingContext } from './binding-messages.ts';

const id = 'binding/t/p@w1';
const owner = { actor: id, uid: 'U1', runEpoch: 2 };
const spec = {
  owner,
  vpc: 'vpc/t/main',
  network: 'network/t/n',
  port: 'port/t/p',
  mac: '02:50:0a:00:00:05',
  address: '10.0.0.5',
  prefixLength: 24,
  gateway: '10.0.0.1',
  mtu: 1450,
  hostname: 'p',
  groups: ['security-group/t/default'],
};
const held: BindingContext = {
  id,
  uid: 'U1',
  host: 'w1',
  spec,
  port: 'port/t/p',
  direct: false,
  requester: null,
  tap: 't0',
  proof: null,
  tries: 0,
  failure: null,
};
const proof = {
  tap: 't0',
  ifindex: 9,
  bridge: 'b0',
  mtu: 1450,
  route: '10.0.0.5',
  dhcpHost: '02:50:0a:00:00:05',
  nftGeneration: 1,
  groups: ['security-group/t/default'],
};
const wired = { proof };
const direct = { direct: true };
const wanted = { requester: 'incarnation/t/v@w1' };
const ensure = (runEpoch: number, isDirect = false) => ({
  type: 'binding.ensure',
  spec: { ...spec, owner: { ...owner, uid: '', runEpoch } },
  port: 'port/t/p',
  direct: isDirect,
});
const wire = { type: 'binding.wire', requester: 'incarnation/t/v@w1' };
const remove = (runEpoch: number) => ({ type: 'binding.remove', runEpoch });
const passing = { code: 'kernel_busy', message: 'busy', retryable: true };
const lasting = { code: 'name_taken', message: 'taken', retryable: false };
const lost = { code: 'tap_missing', message: 'lost', retryable: true };
const failed = (effect: string, error: object) => ({ type: `${effect}.failed`, error });
const unknown = (effect: string) => ({ type: `${effect}.unknown`, error: passing });
const told = 'binding.failed > port';

const rows: readonly Row[] = [
  { in: 'born', with: { uid: '', spec: null }, on: ensure(1), to: 'tapping.making', asks: ['tap.create'] },
  {
    in: 'born',
    with: { uid: '', spec: null, port: '' },
    from: 'port/t/p',
    on: remove(1),
    to: 'gone',
    asks: ['binding.removed > port'],
  },
  {
    in: 'born',
    with: { uid: '', spec: null, port: '' },
    on: wire,
    to: 'gone',
    asks: ['binding.unwired > incarnation'],
  },

  {
    in: 'tapping.making',
    on: { type: 'tap.create.done', tap: 't0', ifindex: 1, place: 'host' },
    to: 'tapped',
    asks: ['binding.tapped > port'],
  },
  {
    in: 'tapping.making',
    with: direct,
    on: { type: 'tap.create.done', tap: 't0', ifindex: 1, place: 'host' },
    to: 'wiring.making',
    asks: ['binding.tapped > port', 'tap.wire'],
  },
  {
    in: 'tapping.making',
    with: wanted,
    on: { type: 'tap.create.done', tap: 't0', ifindex: 1, place: 'host' },
    to: 'wiring.making',
  },
  { in: 'tapping.making', on: failed('tap.create', passing), to: 'tapping.waiting', asks: [told] },
  { in: 'tapping.making', on: failed('tap.create', lasting), to: 'failed', asks: [told] },
  {
    in: 'tapping.making',
    with: wanted,
    on: failed('tap.create', lasting),
    to: 'failed',
    asks: [told, 'binding.unwired > incarnation'],
  },
  { in: 'tapping.making', on: unknown('tap.create'), to: 'tapping.waiting', asks: [] },
  { in: 'tapping.making', on: 'createDeadline', to: 'tapping.making', asks: ['tap.create'] },
  { in: 'tapping.making', on: ensure(2), to: 'tapping.making', asks: [] },
  { in: 'tapping.making', on: ensure(3), to: 'tapping.making', asks: ['tap.create'] },
  { in: 'tapping.making', on: ensure(1), to: 'tapping.making', asks: [] },
  { in: 'tapping.making', on: wire, to: 'tapping.making', asks: [] },
  { in: 'tapping.making', on: remove(2), to: 'removing.taking', asks: ['tap.remove'] },
  { in: 'tapping.making', on: remove(1), to: 'tapping.making', asks: [] },
  { in: 'tapping.waiting', on: 'backoff', to: 'tapping.making', asks: ['tap.create'] },
  { in: 'tapping.waiting', on: ensure(3), to: 'tapping.making' },
  { in: 'tapping.waiting', on: ensure(2), to: 'tapping.waiting', asks: [] },
  { in: 'tapping.waiting', on: remove(2), to: 'removing.taking' },

  { in: 'tapped', on: wire, to: 'wiring.making', asks: ['tap.wire'] },
  { in: 'tapped', on: ensure(2), to: 'tapping.making', asks: ['tap.create'] },
  { in: 'tapped', on: ensure(1), to: 'tapped', asks: [] },
  { in: 'tapped', on: remove(3), to: 'removing.taking' },
  { in: 'tapped', on: { type: 'tap.create.done', tap: 'late' }, to: 'tapped', asks: [] },

  {
    in: 'wiring.making',
    with: wanted,
    on: { type: 'tap.wire.done', proof },
    to: 'ready',
    asks: ['binding.ready > port', 'binding.wired > incarnation', 'tap.watch'],
  },
  {
    in: 'wiring.making',
    with: direct,
    on: { type: 'tap.wire.done', proof },
    to: 'ready',
    asks: ['binding.ready > port', 'tap.watch'],
  },
  { in: 'wiring.making', with: wanted, on: failed('tap.wire', passing), to: 'wiring.waiting', asks: [told] },
  {
    in: 'wiring.making',
    with: wanted,
    on: failed('tap.wire', lasting),
    to: 'failed',
    asks: [told, 'binding.unwired > incarnation'],
  },
  { in: 'wiring.making', on: unknown('tap.wire'), to: 'wiring.waiting', asks: [] },
  { in: 'wiring.making', on: 'wireDeadline', to: 'wiring.making', asks: ['tap.wire'] },
  { in: 'wiring.making', on: wire, to: 'wiring.making', asks: [] },
  { in: 'wiring.making', with: direct, on: ensure(2, true), to: 'wiring.making', asks: [] },
  { in: 'wiring.making', on: ensure(2), to: 'tapping.making' },
  { in: 'wiring.making', on: remove(2), to: 'removing.taking' },
  { in: 'wiring.waiting', on: 'backoff', to: 'wiring.making', asks: ['tap.wire'] },
  { in: 'wiring.waiting', with: direct, on: 'backoff', to: 'tapping.making', asks: ['tap.create'] },
  { in: 'wiring.waiting', with: { failure: passing }, on: wire, to: 'wiring.waiting', asks: [] },
  // The tap that QEMU had opened was deleted: a run that waits for its wiring must be answered.
  {
    in: 'wiring.waiting',
    with: { failure: lost },
    on: wire,
    to: 'wiring.waiting',
    asks: ['binding.unwired > incarnation'],
  },
  { in: 'wiring.waiting', with: { ...direct, failure: lost }, on: wire, to: 'wiring.waiting', asks: [] },

  { in: 'ready', with: wired, on: wire, to: 'ready', asks: ['binding.wired > incarnation'] },
  { in: 'ready', with: { ...direct, ...wired }, on: ensure(2, true), to: 'ready', asks: ['binding.ready > port'] },
  { in: 'ready', on: ensure(2), to: 'tapping.making', asks: ['tap.create'] },
  { in: 'ready', on: ensure(1), to: 'ready', asks: [] },
  {
    in: 'ready',
    on: { type: 'tap.watch.done', reason: 'tap_gone', detail: 'gone' },
    to: 'wiring.making',
    asks: [told, 'tap.wire'],
  },
  {
    in: 'ready',
    with: direct,
    on: { type: 'tap.watch.done', reason: 'tap_gone', detail: 'gone' },
    to: 'tapping.making',
    asks: [told, 'tap.create'],
  },
  { in: 'ready', on: failed('tap.watch', passing), to: 'wiring.waiting' },
  { in: 'ready', on: unknown('tap.watch'), to: 'wiring.waiting' },
  { in: 'ready', on: remove(2), to: 'removing.taking', asks: ['tap.remove'] },
  { in: 'ready', on: remove(1), to: 'ready', asks: [] },

  { in: 'failed', on: ensure(2), to: 'tapping.making' },
  { in: 'failed', on: wire, to: 'failed', asks: ['binding.unwired > incarnation'] },
  { in: 'failed', on: remove(2), to: 'removing.taking' },

  { in: 'removing.taking', on: { type: 'tap.remove.done' }, to: 'gone', asks: ['binding.removed > port'] },
  { in: 'removing.taking', on: failed('tap.remove', lasting), to: 'removing.waiting', asks: [] },
  { in: 'removing.taking', on: unknown('tap.remove'), to: 'removing.waiting', asks: [] },
  { in: 'removing.taking', on: 'removeDeadline', to: 'removing.taking', asks: ['tap.remove'] },
  { in: 'removing.taking', on: wire, to: 'removing.taking', asks: ['binding.unwired > incarnation'] },
  { in: 'removing.taking', on: ensure(9), to: 'removing.taking', asks: [] },
  { in: 'removing.waiting', on: 'backoff', to: 'removing.taking', asks: ['tap.remove'] },
];

const web = ['security-group/t/web'];
const regrouped = { ...ensure(2), spec: { ...ensure(2).spec, groups: web } };
const directly = { ...regrouped, direct: true };

/** Other groups: the present tap is wired again, for a new one would leave QEMU without network. */
const regrouping: readonly Row[] = [
  { in: 'tapping.making', on: regrouped, to: 'tapping.making', asks: [] },
  { in: 'tapped', on: regrouped, to: 'tapped', asks: [] },
  { in: 'wiring.making', with: wanted, on: regrouped, to: 'wiring.making', asks: ['tap.wire'] },
  { in: 'wiring.waiting', with: wanted, on: regrouped, to: 'wiring.making', asks: ['tap.wire'] },
  { in: 'ready', with: wired, on: regrouped, to: 'wiring.making', asks: ['tap.wire'] },
  { in: 'ready', with: { ...wired, ...direct }, on: directly, to: 'wiring.making', asks: ['tap.wire'] },
  { in: 'failed', on: regrouped, to: 'wiring.making', asks: ['tap.wire'] },
  { in: 'failed', with: { tap: null }, on: regrouped, to: 'tapping.making', asks: ['tap.create'] },
];

test('decisions: other groups', () => {
  assert.equal(disagreements(bindingMachine, held, regrouping), []);
  const { context } = decided(bindingMachine, held, { in: 'ready', with: wired, on: regrouped, to: '' });
  assert.equal((context['spec'] as typeof spec).groups, web);
});

test('decisions', () => {
  assert.equal(disagreements(bindingMachine, held, rows), []);
});

test('the owner is this actor with its own uid, whatever the port sent', () => {
  const { context, asked } = decided(
    bindingMachine,
    { ...held, uid: '', spec: null },
    { in: 'born', on: ensure(4), to: '' },
  );
  assert.equal((context['spec'] as typeof spec).owner, { actor: id, uid: 'U2', runEpoch: 4 });
  assert.equal((asked[0]?.params as { spec: typeof spec }).spec.owner.uid, 'U2');
});

const sentBy = (row: Row, type: string) =>
  decided(bindingMachine, held, row)
    .asked.map(({ params }) => params as { to: string; event: { type: string } })
    .find(({ event }) => event?.type === type);

test('the port and the incarnation each get a message of their own, with the proof that was read back', () => {
  const row: Row = { in: 'wiring.making', with: wanted, on: { type: 'tap.wire.done', proof }, to: '' };
  assert.equal(sentBy(row, 'binding.ready'), {
    to: 'port/t/p',
    event: { type: 'binding.ready', host: 'w1', runEpoch: 2, proof },
  });
  assert.equal(sentBy(row, 'binding.wired'), {
    to: 'incarnation/t/v@w1',
    event: { type: 'binding.wired', binding: id, host: 'w1', proof },
  });
  const refused: Row = { in: 'failed', on: wire, to: '' };
  assert.equal(sentBy(refused, 'binding.unwired'), {
    to: 'incarnation/t/v@w1',
    event: {
      type: 'binding.unwired',
      binding: id,
      host: 'w1',
      error: { code: 'binding_missing', message: `${id} has no tap to wire; bind the port first`, retryable: false },
    },
  });
});

test('a new run starts without the proof, the tap and the requester of the last', () => {
  const before = { ...held, ...wanted, proof };
  const { context } = decided(bindingMachine, before, { in: 'ready', on: ensure(3), to: '' });
  assert.equal([context['proof'], context['tap'], context['requester'], context['uid']], [null, null, null, 'U1']);
});

const fenced = { code: 'host_gone', message: 'gone', retryable: false };
const off = 'binding.removed > port';

test('with its host a binding is gone, and the port may go elsewhere', () => {
  const gone: readonly Row[] = [
    { in: 'tapping.making', on: failed('tap.create', fenced), to: 'gone', asks: [told, off] },
    {
      in: 'wiring.making',
      with: wanted,
      on: failed('tap.wire', fenced),
      to: 'gone',
      asks: [told, 'binding.unwired > incarnation', off],
    },
    { in: 'ready', on: failed('tap.watch', fenced), to: 'gone', asks: [told, off] },
    { in: 'removing.taking', on: failed('tap.remove', fenced), to: 'gone', asks: [off] },
    { in: 'tapped', on: { type: 'host.gone' }, to: 'gone', asks: [told, off] },
    { in: 'wiring.waiting', on: { type: 'host.gone' }, to: 'gone', asks: [told, off] },
  ];
  assert.equal(disagreements(bindingMachine, held, gone), []);
});

test.run();
