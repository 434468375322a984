import { test } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import { assign, cancel, enqueueActions, initialTransition, raise, setup, transition } from 'xstate';
import type { AnyMachineSnapshot, AnyStateMachine } from 'xstate';
import { activeLeaf, enabledTransitions } from '../contract/chart-structure.ts';
import type { ChartTransition } from '../contract/chart-structure.ts';
import { decide, decideInitial } from './decide.ts';
import type { ChartSnapshot, Decision, RecordedAction } from './decide.ts';
import { agrees, follow, planOf } from './transition-plan.ts';
import type { Plan } from './transition-plan.ts';

type Event = { type: string; n: number };

const vocabulary = setup({
  types: { context: {} as { n: number; seen: readonly string[]; late?: boolean }, events: {} as Event },
  actions: {
    see: assign({
      seen: ({ context, event }, params: { at: string }) => [...context.seen.slice(-9), event.type, params.at],
    }),
    add: assign(({ context, event }) => ({ n: (context.n + event.n) % 7, late: event.n > 3 })),
    send: (_, _params: { n: number }) => {},
    poke: raise({ type: 'poked', n: 0 }),
    'poke later': raise({ type: 'poked', n: 0 }, { id: 'poke', delay: 'patience' }),
    'poke when it is time': raise({ type: 'poked', n: 0 }, { id: 'poke', delay: 'unsure' }),
    'forget it': cancel('poke'),
    'send twice': enqueueActions(({ enqueue }) => enqueue({ type: 'send', params: { n: 2 } } as never)),
  },
  guards: { odd: ({ context }) => context.n % 2 === 1 },
  delays: {
    patience: ({ context, event }) => 1000 + context.n + event.n,
    unsure: ({ context }) => (context.n < 3 ? 100 : (undefined as unknown as number)),
  },
});

const see = (at: string) => ({ type: 'see', params: { at } }) as const;
const send = { type: 'send', params: ({ context }: { context: { n: number } }) => ({ n: context.n }) } as const;

/** Nesting, re-entry from inside and outside, transitions without a target, wildcards; every way to have a plan. */
const nested = vocabulary.createMachine({
  context: { n: 0, seen: [] },
  initial: 'idle',
  entry: see('root in'),
  exit: see('root out'),
  on: { add: { actions: 'add' }, home: '.idle', again: { target: '.deep', reenter: true }, 'note.*': {} },
  states: {
    idle: {
      entry: ['forget it', see('idle in')],
      exit: see('idle out'),
      on: { go: { target: 'deep', actions: ['add', send] }, dive: '#floor' },
    },
    deep: {
      initial: 'one',
      entry: [see('deep in'), send],
      exit: see('deep out'),
      after: { patience: { target: 'idle', actions: see('tired') } },
      on: { turn: { target: 'deep', reenter: true, actions: 'add' }, back: { target: '.two' }, self: 'deep' },
      states: {
        one: {
          entry: 'poke later',
          exit: cancel('poke'),
          on: { go: [{ guard: 'odd', target: 'two' }, { target: '#(machine).idle' }] },
        },
        two: {
          initial: 'far',
          exit: see('two out'),
          on: { go: '#floor', poked: { actions: [send, 'add', send] }, '*': { actions: see('anything') } },
          states: {
            far: { on: { self: { target: 'far', reenter: true } }, entry: see('far in') },
            floor: {
              id: 'floor',
              entry: ['poke when it is time', see('floor in')],
              on: { go: '#(machine).idle', two: { target: '#(machine).deep.two' } },
            },
          },
        },
      },
    },
  },
}) as unknown as AnyStateMachine;

const types = [
  'go',
  'add',
  'home',
  'dive',
  'again',
  'note.x',
  'turn',
  'back',
  'self',
  'two',
  'poked',
  'nobody',
  'xstate.after.patience.(machine).deep',
];
const someEvent = fc.record({ type: fc.constantFrom(...types), n: fc.integer({ min: 0, max: 6 }) });

type Asked = { type: string; params: unknown };

const asked = ({ actions, timers }: Decision): readonly unknown[] => [...actions, ...timers];

const isRaisedAtOnce = ({ type, params }: Asked): boolean =>
  type === 'xstate.raise' && (params as { delay?: number }).delay === undefined;

function askedOfXState(executed: readonly Asked[]): readonly unknown[] {
  const requests = executed
    .filter(({ type }) => !type.startsWith('xstate.'))
    .map(({ type, params }) => ({ type, params }));
  const timers = executed.flatMap(({ type, params }): unknown[] => {
    const { sendId, id, delay, event } = params as { sendId: string; id: string; delay?: number; event: Event };
    if (type === 'xstate.cancel') return [{ timerId: sendId, delayMs: undefined, eventType: '' }];
    return type === 'xstate.raise' && delay !== undefined
      ? [{ timerId: id, delayMs: delay, eventType: event.type }]
      : [];
  });
  return [...requests, ...timers];
}

const moveOf = (machine: AnyStateMachine, before: ChartSnapshot, event: Event): ChartTransition | undefined =>
  enabledTransitions(machine, before, event)[0];

const inert = { self: undefined, system: undefined, spawn: undefined };

test('every step inside the root has a plan, and both the plan and the decision are what transition() says', () => {
  fc.assert(
    fc.property(fc.array(someEvent, { maxLength: 60 }), (events) => {
      let mine = decideInitial(nested, undefined).snapshot;
      let theirs = initialTransition(nested, undefined)[0] as unknown as AnyMachineSnapshot;
      for (const each of events) {
        const decision = decide(nested, mine, each);
        const [next, executed] = transition(nested, theirs, each) as unknown as [AnyMachineSnapshot, Asked[]];
        assert.equal(decision.snapshot.value, next.value);
        assert.equal(decision.snapshot.context, next.context);
        assert.equal(asked(decision), askedOfXState(executed));
        assert.is(decision.snapshot === mine, next === theirs);
        const move = moveOf(nested, theirs, each);
        // The one that leaves the root as well is XState's alone.
        if (move !== undefined && each.type !== 'again') {
          const plan = planOf(theirs, move, next);
          const requests: RecordedAction[] = [];
          const planned = follow(plan as Plan, theirs, each, inert, (action) => requests.push(action));
          assert.ok(planned !== undefined || executed.some(isRaisedAtOnce));
          if (planned !== undefined) {
            assert.equal(planned.value, next.value);
            assert.equal(planned.context, next.context);
            assert.equal(
              requests,
              executed.map(({ type, params }) => ({ type, params })),
            );
          }
        }
        mine = decision.snapshot;
        theirs = next;
      }
    }),
    { numRuns: 500 },
  );
});

/** The plan of the last of these steps. */
function planAfter(machine: AnyStateMachine, ...events: readonly string[]): Plan | undefined {
  let before: ChartSnapshot = decideInitial(machine, undefined).snapshot;
  for (const type of events.slice(0, -1)) before = decide(machine, before, { type, n: 1 }).snapshot;
  const event = { type: events.at(-1) ?? '', n: 1 };
  const after = transition(machine, before, event)[0] as unknown as ChartSnapshot;
  return planOf(before, moveOf(machine, before, event) as ChartTransition, after);
}

test('exit, transition and entry stand in a plan in this order, and inner states are left before outer ones', () => {
  const plan = planAfter(nested, 'go', 'back', 'go', 'go');
  assert.equal(
    plan?.actions.map(({ type, params }) => (params as { at?: string } | undefined)?.at ?? type),
    ['two out', 'deep out', 'xstate.cancel', 'xstate.cancel', 'idle in'],
  );
  assert.is(planAfter(nested, 'add')?.end, undefined);
});

test('no plan is made of what may come out otherwise the next time', () => {
  const chart = (config: object): AnyStateMachine =>
    vocabulary.createMachine({
      context: { n: 0, seen: [] },
      initial: 'a',
      ...config,
    } as never) as unknown as AnyStateMachine;
  const to = (b: object, actions: readonly string[] = []): AnyStateMachine =>
    chart({ states: { a: { on: { go: { target: 'b', actions } } }, b } });
  assert.ok(planAfter(to({}), 'go'));
  assert.not(planAfter(to({}, ['poke']), 'go'), 'raises at once');
  assert.not(planAfter(to({}, ['send twice']), 'go'), 'enqueues');
  assert.not(planAfter(to({ type: 'final' }), 'go'), 'ends');
  assert.not(planAfter(to({ always: { guard: 'odd', target: 'a' } }), 'go'), 'goes on without an event');
  const region = { initial: 'c', states: { c: {} } };
  assert.not(planAfter(to({ type: 'parallel', states: { left: region, right: region } }), 'go'), 'enters regions');
});

test('values agree when their JSON does, and code never does', () => {
  assert.ok(agrees({ a: [1, { b: null }] }, { a: [1, { b: null }] }));
  for (const other of [{ a: [1] }, { a: { 0: 1, 1: 2 } }, { a: [1, 2], b: 0 }, { a: [2, 1] }, undefined]) {
    assert.not(agrees({ a: [1, 2] }, other));
  }
  assert.not(agrees({ a: () => {} }, { a: () => {} }));
});

test('a chart has a leaf while one innermost state is active, and none in regions or at its end', () => {
  assert.is(activeLeaf(decideInitial(nested, undefined).snapshot)?.id, '(machine).idle');
  const region = { initial: 'c', states: { c: {} } };
  const wide = setup({}).createMachine({ type: 'parallel', states: { left: region, right: region } });
  assert.not(activeLeaf(decideInitial(wide as unknown as AnyStateMachine, undefined).snapshot));
  const ended = setup({}).createMachine({ initial: 'over', states: { over: { type: 'final' } } });
  assert.not(activeLeaf(decideInitial(ended as unknown as AnyStateMachine, undefined).snapshot));
});

test.run();
