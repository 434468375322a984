import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { and, assign, enqueueActions, raise, sendParent, setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { structureOf } from '../contract/chart-structure.ts';
import { chartProblems } from './chart-check.ts';
import { decide, decideInitial } from './decide.ts';
import { registerKind } from './registration.ts';
import { done } from '../contract/outcome.ts';
import type { ActorDefinition } from '../contract/actor-definition.ts';

const parts = setup({
  actions: {
    'disk.make': () => {},
    'tap.make': () => {},
    send: () => {},
    note: assign({}),
    plain: () => {},
    loud: sendParent({ type: 'x' }),
    later: raise({ type: 'late' }, { id: 'late', delay: 'patience' }),
  },
  guards: { ready: () => true },
  delays: { patience: 1000 },
});

const good = parts.createMachine({
  initial: 'idle',
  states: {
    idle: {
      description: 'Waits.',
      on: { go: { target: 'making', actions: ['note', 'send'], guard: and(['ready']) } },
    },
    making: {
      description: 'Makes the disk.',
      entry: ['disk.make', 'later'],
      after: { patience: 'idle' },
      on: { 'disk.make.done': 'idle', 'disk.make.*': 'idle' },
    },
  },
});

const problems = (machine: AnyStateMachine, effects: readonly string[] = []): string =>
  chartProblems(machine, effects).join('\n');

test('a chart of named parts is admitted', () => {
  assert.equal(problems(good, ['disk.make']), '');
});

const wrong: Record<string, { states: Record<string, object>; type?: 'parallel'; effects?: string[]; says: RegExp }> = {
  'a missing description': { states: { a: {} }, says: /state a has no description/ },
  invoke: { states: { a: { description: 'd', invoke: { src: 'x' } } }, says: /uses invoke/ },
  'a history state': { states: { a: { description: 'd' }, h: { type: 'history' } }, says: /history state/ },
  'an inline function': {
    states: { a: { description: 'd', entry: () => {} } },
    says: /inline action \(a function\)/,
  },
  'an inline assign': {
    states: { a: { description: 'd', exit: assign({}) } },
    says: /inline action \(xstate.assign\)/,
  },
  'an inline guard': {
    states: { a: { description: 'd', on: { go: { target: 'a', guard: and(['ready', () => true] as never) } } } },
    says: /on go has an inline guard/,
  },
  'a numeric delay': { states: { a: { description: 'd', after: { 500: 'a' } } }, says: /numeric delay 500/ },
  'an unknown delay': {
    states: { a: { description: 'd', after: { sometime: 'a' } } },
    says: /unknown delay sometime/,
  },
  'a payload on a timer': {
    states: {
      a: { description: 'd', entry: raise({ type: 'x', n: 1 } as never, { id: 'x', delay: 'patience' } as never) },
    },
    says: /may carry a type only/,
  },
  'an unknown action': { states: { a: { description: 'd', entry: 'plain' } }, says: /unknown action plain/ },
  sendParent: { states: { a: { description: 'd', entry: 'loud' } }, says: /loud is xstate.sendTo/ },
  'an effect on exit': {
    states: { a: { description: 'd', exit: 'disk.make' } },
    effects: ['disk.make'],
    says: /effect disk.make must be an entry action/,
  },
  'an effect nobody hears': {
    states: { a: { description: 'd', entry: 'disk.make', on: { 'disk.make.done': 'a', 'disk.make.failed': 'a' } } },
    effects: ['disk.make'],
    says: /nothing there listens to disk.make.unknown/,
  },
  'an effect on two states of a path': {
    states: {
      a: {
        description: 'd',
        entry: 'disk.make',
        on: { '*': 'a' },
        initial: 'b',
        states: { b: { description: 'd', entry: 'disk.make' } },
      },
    },
    effects: ['disk.make'],
    says: /stands on state a and state a.b/,
  },
  'an effect in two regions': {
    type: 'parallel',
    states: {
      a: { description: 'd', entry: 'disk.make', on: { '*': {} } },
      b: { description: 'd', entry: 'disk.make', on: { '*': {} } },
    },
    effects: ['disk.make'],
    says: /can be active together/,
  },
  'an effect no state asks for': {
    states: { a: { description: 'd' } },
    effects: ['tap.make'],
    says: /no state asks for it/,
  },
};

for (const [name, { states, type, effects, says }] of Object.entries(wrong)) {
  test(`${name} is refused`, () => {
    const shape = type === undefined ? { initial: Object.keys(states)[0], states } : { type, states };
    assert.match(problems(parts.createMachine(shape as never) as unknown as AnyStateMachine, effects), says);
  });
}

test('an effect may stand on two states that exclude each other', () => {
  const machine = parts.createMachine({
    initial: 'a',
    states: {
      a: { description: 'd', entry: 'disk.make', on: { 'disk.make.*': 'b' } },
      b: { description: 'd', entry: 'disk.make', on: { 'disk.make.*': 'a' } },
    },
  });
  assert.equal(problems(machine, ['disk.make']), '');
});

test('registration names every problem at once and bounds the microsteps', () => {
  const definition: ActorDefinition = {
    kind: 'disk',
    chartVersion: 1,
    machine: good,
    placement: 'sharded',
    input: () => undefined,
    commands: {},
    createdBy: ['go'],
    effects: { 'disk.make': { perform: async () => done(), timeoutMs: 1000 } },
    view: () => ({ spec: {}, status: {} }),
  };
  const kind = registerKind(definition);
  assert.equal(kind.effectStates.get('disk.make'), [['making']]);
  assert.equal(good.options.maxIterations, 1000);
  assert.is(structureOf(good).root.id, '(machine)');
  const broken = { ...definition, createdBy: ['nobody'], commands: { stop: {} as never } };
  assert.throws(() => registerKind(broken), /command stop: no state listens.*createdBy nobody/s);
});

test('what enqueueActions computes is checked when it runs', () => {
  const asked = { current: 'send' };
  const machine = setup({
    actions: {
      send: () => {},
      'disk.make': () => {},
      several: enqueueActions(({ enqueue }) => {
        enqueue.assign({});
        enqueue(asked.current as never);
      }),
    },
  }).createMachine({
    initial: 'a',
    states: {
      a: { description: 'd', on: { go: { actions: 'several' }, next: 'b' } },
      b: { description: 'd', entry: 'disk.make', on: { 'disk.make.*': 'a' } },
    },
  }) as unknown as AnyStateMachine;
  const perform = async () => done();
  const definition = { kind: 'disk', chartVersion: 1, machine, commands: {}, createdBy: ['go'] };
  registerKind({ ...definition, effects: { 'disk.make': { perform, timeoutMs: 1 } } } as never);
  const { snapshot } = decideInitial(machine, undefined);
  assert.equal(
    decide(machine, snapshot, { type: 'go' }).actions.map(({ type }) => type),
    ['send'],
  );
  asked.current = 'disk.make';
  assert.throws(() => decide(machine, snapshot, { type: 'go' }), /enqueued disk.make, which is no request/);
});

test.run();
