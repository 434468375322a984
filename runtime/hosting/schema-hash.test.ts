import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { setup } from 'xstate';
import type { ActorDefinition } from '../contract/actor-definition.ts';
import { counter } from './kinds-for-tests.ts';
import { schemaHashOf } from './schema-hash.ts';

interface Request {
  readonly states?: readonly string[];
  readonly context?: Readonly<Record<string, unknown>>;
  readonly delay?: 'soon' | 'late';
  readonly effect?: boolean;
  readonly kind?: string;
  readonly specShape?: string;
}

function toggleOf({
  states = ['on', 'off'],
  context = { lit: 0 },
  delay = 'soon',
  effect = false,
  kind = 'toggle',
  specShape = '{lit:number}',
}: Request) {
  const machine = setup({
    actions: { 'toggle.ring': () => {} },
    guards: { always: () => true },
    delays: { soon: 10, late: 10 },
  }).createMachine({
    context,
    initial: states[0] ?? 'on',
    ...(effect ? { entry: 'toggle.ring' as const } : {}),
    after: { [delay]: { guard: 'always' as const } },
    states: Object.fromEntries(states.map((name) => [name, { description: 'Is so.' }])),
  });
  const effects = { 'toggle.ring': { perform: () => Promise.reject(new Error('never')), timeoutMs: null } };
  return { ...counter, kind, machine, effects, specShape } as ActorDefinition;
}

const hash = (request: Request): string => schemaHashOf(toggleOf(request));

test('the hash moves with whatever a stored snapshot depends on, and with nothing else', () => {
  const plain = hash({});
  assert.match(plain, /^[0-9a-f]{12}$/);
  assert.is(hash({}), plain, 'made twice');
  assert.is(hash({ states: ['off', 'on'] }), plain, 'the order of states');
  assert.is(hash({ context: { lit: 7 } }), plain, 'a value of the same kind');
  const others: Request[] = [
    { states: ['on', 'out'] },
    { states: ['on', 'off', 'broken'] },
    { context: { lit: '0' } },
    { context: { lit: 0, since: null } },
    { context: { lit: { now: 0 } } },
    { context: { lit: { before: 0 } } },
    { delay: 'late' },
    { effect: true },
    { kind: 'bulb' },
    { specShape: '{lit:text}' },
  ];
  const hashes = new Set([plain, ...others.map(hash)]);
  assert.is(hashes.size, others.length + 1);
});

test.run();
