/** The declaration of a port: created, changed, protected, deleted; its generations and conditions. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Condition } from '../values/conditions.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { portMachine } from './port-machine.ts';
import * as p from './port-rows-for-tests.ts';
import { apply, create, direct, held, off, onHost, own, spec, update, vm } from './port-rows-for-tests.ts';

const living = [
  'unbound',
  'binding.segment',
  'binding.tap',
  'binding.waiting',
  'tapped',
  'active',
  'degraded',
  'failed',
];
const stays = (state: string, on: Row['on'], asks: readonly string[], more: object = own): Row => ({
  in: state,
  with: more as Row['with'] & object,
  on,
  command: 'c',
  to: state,
  asks,
});

test('an equal declaration is unchanged, in every state of a port that has its address', () => {
  const rows = [...living, 'unbinding'].flatMap((state) =>
    [create(), apply(), update()].map((on) => stays(state, on, ['reply'])),
  );
  assert.equal(disagreements(portMachine, held, rows), []);
  const { asked } = decided(portMachine, held, stays('unbound', apply(), [], own));
  const result = { uid: 'U1', generation: 1, result: 'unchanged', address: '10.0.0.5', mac: '02:50:0a:00:00:05' };
  assert.equal(asked[0]?.params, { commandId: 'c', result });
});

test('no field can change: update and apply are rejected with the field and both values', () => {
  const values = { network: 'm', address: '10.0.0.9', mac: '02:11:00:00:00:01', host: 'w2' };
  for (const [field, after] of Object.entries(values)) {
    const other = { ...spec, [field]: after };
    const rows = living.flatMap((state) => [
      stays(state, update(other), ['reject immutable_field']),
      stays(state, apply(other), ['reject immutable_field']),
      stays(state, create(other), ['reject exists_differently']),
    ]);
    assert.equal(disagreements(portMachine, held, rows), []);
    const { asked, context } = decided(portMachine, held, stays('active', update(other), []));
    const before = JSON.stringify(spec[field as keyof typeof spec]);
    assert.equal((asked[0]?.params as { issues: object[] }).issues, [
      { path: `spec.${field}`, message: `is ${before} and cannot become ${JSON.stringify(after)}` },
    ]);
    assert.equal([context['spec'], context['generation']], [spec, 1], field);
  }
});

test('labels and protection change in place, with no new generation', () => {
  const more = { labels: { app: 'web' }, protect: true };
  for (const on of [update(spec, more), apply(spec, more)]) {
    const { asks, context } = decided(portMachine, held, stays('active', on, []));
    assert.equal(asks, ['reply']);
    assert.equal([context['labels'], context['protect'], context['generation']], [{ app: 'web' }, true, 1]);
  }
  const { context } = decided(portMachine, { ...held, ...more }, stays('active', update(), []));
  assert.equal([context['labels'], context['protect']], [{ app: 'web' }, true], 'what is not said stays');
  const different = stays('active', create(), ['reject exists_differently'], { ...own, ...more });
  assert.equal(disagreements(portMachine, held, [different]), []);
});

test('a declaration that is not answered yet is answered together with an equal one', () => {
  const early = { ...p.claiming, ...own, ...p.waits('a') };
  const rows = [
    stays('claiming.asking', create(), ['defer'], early),
    stays('claiming.asking', apply(), ['defer'], early),
    stays('claiming.asking', update(spec, { protect: true }), ['defer'], early),
    stays('claiming.asking', apply(p.other), ['reject immutable_field'], early),
    stays('claiming.asking', create(p.other), ['reject exists_differently'], early),
    stays('resolving', create(onHost), ['defer'], { ...early, ...direct }),
  ];
  assert.equal(disagreements(portMachine, held, rows), []);
  const second = decided(portMachine, held, stays('claiming.asking', create(), [], early));
  const { asked } = decided(portMachine, second.context, { in: 'claiming.asking', on: p.allocated, to: '' });
  assert.equal(
    asked
      .filter(({ type }) => type === 'reply')
      .map(({ params }) => (params as { commandId: string; result: { result: string } }).commandId),
    ['a', 'c'],
  );
});

test('delete respects protection, then the VM that holds it', () => {
  const protect = { ...own, protect: true };
  const rows = [...living, 'unbinding', 'claiming.asking'].flatMap((state) => [
    stays(state, p.remove, ['reject protected'], protect),
    stays(state, p.remove, ['reject protected'], { protect: true }),
    stays(state, p.remove, ['reject in_use'], {}),
  ]);
  assert.equal(disagreements(portMachine, held, rows), []);
  const ends: readonly Row[] = [
    { in: 'active', with: own, on: p.remove, command: 'c', to: 'unbinding', asks: ['defer', ...off] },
    { in: 'unbound', with: own, on: p.remove, command: 'c', to: 'gone' },
    { in: 'unbinding', with: { ...own, leaving: true }, on: p.remove, command: 'c', to: 'unbinding', asks: ['defer'] },
    { in: 'active', with: { protect: true }, on: p.release, from: vm, to: 'unbinding', asks: off },
  ];
  assert.equal(disagreements(portMachine, held, ends), [], 'protection is against clients: its VM ends with it');
});

test('a port on its way to its end takes no declaration', () => {
  const leaving = { ...own, leaving: true };
  const rows = [create(), apply(), update(), apply(p.other), update(p.other)].map((on) =>
    stays('unbinding', on, ['reject name_busy'], leaving),
  );
  assert.equal(disagreements(portMachine, held, rows), []);
});

test('a claim is refused with what is wrong about it', () => {
  const refused = (claim: Row['on'], more: object = {}) => {
    const { asked } = decided(portMachine, held, {
      in: 'unbound',
      with: more as Row['with'] & object,
      on: claim,
      to: '',
    });
    const { to, event } = asked[0]?.params as { to: string; event: { path: string; error: { code: string } } };
    return [to, event.error.code, event.path];
  };
  assert.equal(refused({ ...p.claim, spec: p.other }), [vm, 'exists_differently', 'spec.network']);
  assert.equal(refused({ ...p.claim, holder: 'vm/t/o' }), ['vm/t/o', 'exists_differently', 'name']);
  assert.equal(refused(p.claim, own), [vm, 'exists_differently', 'name']);
});

test('a generation is realized with the address, or, for a host, once the wiring is proven', () => {
  const observed = (row: Row) => {
    const { generation, observedGeneration } = decided(portMachine, held, row).context;
    return [generation, observedGeneration];
  };
  assert.equal(observed({ in: 'born', with: p.fresh, on: create(), command: 'c', to: '' }), [1, 0]);
  assert.equal(observed({ in: 'claiming.asking', with: p.claiming, on: p.allocated, to: '' }), [1, 1]);
  const early = { ...direct, grant: null };
  assert.equal(observed({ in: 'claiming.asking', with: early, on: p.allocated, to: '' }), [1, 0]);
  const wired = p.from('ready', { proof: p.proof });
  assert.equal(observed({ in: 'binding.tap', with: direct, on: wired, to: '' }), [1, 1]);
});

test('the condition Ready says what is so, since when, and why not', () => {
  const ready = (row: Row) => (decided(portMachine, held, row).context['conditions'] as readonly Condition[])[0];
  const is = (row: Row) => {
    const { type, status, reason, message } = ready(row) ?? ({} as Condition);
    return [type, status, reason, message];
  };
  const wired = p.from('ready', { proof: p.proof });
  const broken = p.from('failed', { error: p.passing });
  const removed = { type: 'binding.removed', host: 'w1' };
  assert.equal(is({ in: 'claiming.asking', with: p.claiming, on: p.allocated, to: '' }), [
    'Ready',
    'True',
    'Unbound',
    '',
  ]);
  assert.equal(is({ in: 'tapped', on: wired, to: '' }), ['Ready', 'True', 'Active', '']);
  assert.equal(is({ in: 'active', on: broken, to: '' }), ['Ready', 'False', 'Degraded', 'x']);
  assert.equal(is({ in: 'tapped', on: p.from('failed', { error: p.lasting }), to: '' }), [
    'Ready',
    'False',
    'Failed',
    'y',
  ]);
  const refused = { type: 'segment.refused', host: 'w1', error: p.passing };
  assert.equal(is({ in: 'binding.segment', on: refused, to: '' }), ['Ready', 'False', 'BindingDelayed', 'x']);
  assert.equal(is({ in: 'unbinding', on: removed, to: '' }), ['Ready', 'True', 'Unbound', '']);
  assert.equal(is({ in: 'unbinding', with: direct, on: removed, to: '' }), ['Ready', 'False', 'Unbound', '']);
  const since = { conditions: [{ type: 'Ready', status: 'True', reason: 'Active', message: '', since: 7 }] };
  assert.is(ready({ in: 'degraded', with: since, on: wired, to: '' })?.since, 7);
  assert.is(ready({ in: 'active', with: since, on: broken, to: '' })?.since, 1_000);
});

test.run();
