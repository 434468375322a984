import { test } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import { and, assign, cancel, initialTransition, raise, setup, transition } from 'xstate';
import type { AnyMachineSnapshot, AnyStateMachine } from 'xstate';
import { decide, decideInitial, isActive, restore, stateNameOf } from './decide.ts';
import type { Decision } from './decide.ts';

type Event = { type: string; n?: number };

/** Nesting, regions, guards, raises, eventless transitions, re-entry, timers and computed params in one chart. */
const machine = setup({
  types: { context: {} as { n: number; seen: readonly string[] }, events: {} as Event },
  actions: {
    see: assign({ seen: ({ context, event }) => [...context.seen.slice(-5), event.type] }),
    add: assign({ n: ({ context, event }) => (context.n + (event.n ?? 1)) % 7 }),
    'disk.make': (_, _params: { n: number }) => {},
    send: (_, _params: { to: string; event: Event }) => {},
    poke: raise({ type: 'poked' }),
    'remind later': raise({ type: 'reminded' }, { id: 'reminder', delay: 'patience' }),
    'forget it': cancel('reminder'),
  },
  guards: { odd: ({ context }) => context.n % 2 === 1, many: ({ context }) => context.n > 3 },
  delays: { patience: ({ context }) => 1000 + context.n, rest: 50 },
}).createMachine({
  context: { n: 0, seen: [] },
  initial: 'idle',
  entry: { type: 'send', params: ({ context }) => ({ to: 'a/b/c', event: { type: 'born', n: context.n } }) },
  on: { 'reset.*': '.idle', add: { actions: ['add', 'see'] }, loop: { actions: 'poke' } },
  states: {
    idle: {
      after: { patience: 'work' },
      on: { go: { target: 'work', actions: 'add' }, poked: { actions: 'see' } },
      exit: 'see',
    },
    work: {
      initial: 'plan',
      entry: { type: 'disk.make', params: ({ context }) => ({ n: context.n }) },
      exit: 'forget it',
      onDone: 'idle',
      states: {
        plan: {
          entry: 'remind later',
          always: { guard: and(['odd', 'many']), target: 'done' },
          on: { go: 'both', reminded: 'done' },
        },
        both: {
          type: 'parallel',
          on: { again: { target: 'both', reenter: true } },
          states: {
            left: {
              initial: 'a',
              states: { a: { on: { go: 'b' }, after: { rest: 'b' } }, b: { on: { poked: 'a' } } },
            },
            right: {
              initial: 'c',
              states: { c: { on: { go: [{ guard: 'odd', target: 'd' }] } }, d: { entry: 'poke' } },
            },
          },
        },
        done: { type: 'final' },
      },
    },
    over: { type: 'final' },
  },
}) as unknown as AnyStateMachine;

type Executed = { type: string; params: unknown };

/** What XState's own pure function says, in our words. */
function reference([snapshot, executed]: [AnyMachineSnapshot, Executed[]]): object {
  const actions = executed
    .filter(({ type }) => !type.startsWith('xstate.'))
    .map(({ type, params }) => ({ type, params }));
  const timers = executed.flatMap(({ type, params }): object[] => {
    const given = params as { delay?: number; id?: string; event: Event; sendId: string };
    if (type === 'xstate.cancel') return [{ timerId: given.sendId, delayMs: undefined, eventType: '' }];
    if (type !== 'xstate.raise' || given.delay === undefined) return [];
    return [{ timerId: given.id, delayMs: given.delay, eventType: given.event.type }];
  });
  return { value: snapshot.value, context: snapshot.context, actions, timers, done: snapshot.status === 'done' };
}

const ours = ({ snapshot, actions, timers, done }: Decision): object => ({
  value: snapshot.value,
  context: snapshot.context,
  actions,
  timers,
  done,
});

const types = [
  'go',
  'add',
  'loop',
  'again',
  'poked',
  'reminded',
  'reset.all',
  'nobody',
  'xstate.after.rest.(machine).work.both.left.a',
];
const event = fc.record({ type: fc.constantFrom(...types), n: fc.integer({ min: 0, max: 6 }) });

test('every decision equals that of transition(), also on a restored snapshot', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const birth = decideInitial(machine, undefined);
      const first = initialTransition(machine, undefined) as unknown as [AnyMachineSnapshot, Executed[]];
      assert.equal(ours(birth), reference(first));
      let mine = birth.snapshot;
      let theirs = first[0];
      for (const each of events) {
        const decision = decide(machine, mine, each);
        const expected = transition(machine, theirs, each) as unknown as [AnyMachineSnapshot, Executed[]];
        assert.equal(ours(decision), reference(expected));
        theirs = expected[0];
        const { value, context } = JSON.parse(JSON.stringify(decision.snapshot)) as {
          value: unknown;
          context: unknown;
        };
        mine = restore(machine, value, context);
      }
    }),
    { numRuns: 500 },
  );
});

test('an event without a transition is told from one that changes nothing', () => {
  const { snapshot } = decideInitial(machine, undefined);
  assert.equal(decide(machine, snapshot, { type: 'nobody' }).taken, []);
  assert.equal(decide(machine, snapshot, { type: 'reset.x' }).taken, [':reset.*']);
});

test('a decision keeps nothing of the run but type and params', () => {
  const { snapshot } = decideInitial(machine, undefined);
  for (const action of decide(machine, snapshot, { type: 'go' }).actions)
    assert.equal(Object.keys(action), ['type', 'params']);
});

test('a chart that throws throws out of the decision and leaves the next one clean', () => {
  const faulty = setup({
    actions: {
      first: () => {},
      fail: assign(() => {
        throw new Error('on purpose');
      }),
    },
  }).createMachine({
    on: { bad: { actions: ['first', 'fail'] }, good: { actions: 'first' } },
  }) as unknown as AnyStateMachine;
  const { snapshot } = decideInitial(faulty, undefined);
  assert.throws(() => decide(faulty, snapshot, { type: 'bad' }), /on purpose/);
  assert.equal(decide(faulty, snapshot, { type: 'good' }).actions, [{ type: 'first', params: undefined }]);
  const stillborn = setup({}).createMachine({
    context: () => {
      throw new Error('no input');
    },
  }) as unknown as AnyStateMachine;
  assert.throws(() => decideInitial(stillborn, undefined), /no input/);
});

test('a cycle of eventless transitions ends in an error once the microsteps are bounded', () => {
  const spinning = setup({}).createMachine({
    initial: 'a',
    states: { a: { on: { go: 'b' } }, b: { always: 'c' }, c: { always: 'b' } },
  }) as unknown as AnyStateMachine;
  spinning.options.maxIterations = 1000;
  const { snapshot } = decideInitial(spinning, undefined);
  assert.throws(() => decide(spinning, snapshot, { type: 'go' }), /Infinite loop/);
});

test('names and activity of states', () => {
  assert.is(stateNameOf('running'), 'running');
  assert.is(stateNameOf({ preparing: 'tap' }), 'preparing.tap');
  assert.is(stateNameOf({ work: { disk: 'ready', net: { wired: 'up' } } }), 'work.disk.ready,work.net.wired.up');
  assert.ok(isActive({ work: { disk: 'ready' } }, ['work', 'disk']));
  assert.ok(isActive({ work: { disk: 'ready' } }, ['work', 'disk', 'ready']));
  assert.ok(isActive('x', []));
  assert.not(isActive({ work: 'plan' }, ['work', 'plan', 'deep']));
  assert.not(isActive({ work: 'plan' }, ['idle']));
});

test.run();
