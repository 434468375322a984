/**
 * A plan: computed once, shown, carried out at most once in waves of steps of one level. The results of a wave are
 * committed before the next one begins, so a crash repeats one wave; its commands have the same keys, and a step that
 * is already done is found done. Upholds: nothing is carried out when one of the objects has moved since it was read;
 * a step that is refused ends the plan, and every step says what became of it.
 */
import { assertEvent, assign, setup } from 'xstate';
import { backoffMs, failureOf, type Failure } from '../values/failures.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import { countsOf } from './plan-counts.ts';
import { planKind, planStands } from './plan-protocol.ts';
import type { Owned, PlanEvent, PlanOrder, PlanPhase, PlanProblem, PlanStep, StepOrder } from './plan-protocol.ts';

/** What became of a step; `result` as the deployer says it. */
export interface Outcome {
  readonly result: 'done' | 'refused' | 'moved';
  readonly reason: string | null;
}

export interface PlanContext {
  readonly id: string;
  readonly uid: string;
  /** Null only before the first message. */
  readonly order: PlanOrder | null;
  readonly digest: string;
  readonly steps: readonly PlanStep[];
  readonly owned: Owned;
  /** By index of the step. */
  readonly outcomes: Readonly<Record<string, Outcome>>;
  /** What moved, was refused, or is not ready. */
  readonly problems: readonly PlanProblem[];
  /** Wall times of its making and of its beginning, ms; 0: not yet. */
  readonly madeAt: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<PlanContext, PlanEvent>;
type Change = Partial<PlanContext>;

const waveSize = 16;
const shownProblems = 20;
/** Failures in a row of one wave, after which the plan fails. */
const mostTries = 6;

const isToDo = ({ action }: PlanStep): boolean => action !== 'no-op' && action !== 'blocked';

/** The next steps that may be done together; empty when all are done. */
export function nextWave({ steps, outcomes }: Pick<PlanContext, 'steps' | 'outcomes'>): readonly StepOrder[] {
  const left = steps
    .map((step, at) => ({ ...step, step: at }))
    .filter((one) => isToDo(one) && outcomes[one.step] === undefined);
  const [first] = left;
  return left
    .filter(({ level }) => level === first?.level)
    .slice(0, waveSize)
    .map(({ id, action, base, step }) => ({ id, action, base, step }));
}

const orderOf = ({ id, order }: PlanContext): PlanOrder => {
  if (order === null) throw new TypeError(`${id} has no order`);
  return order;
};

/** Keys of its commands: the time at which it began, then what no other plan has. */
const keyOf = ({ startedAt, uid }: PlanContext): string => `${startedAt}-${uid}`;

const problemsOf = ({ problems, steps }: PlanContext): readonly PlanProblem[] => [
  ...steps.flatMap(({ id, action, reason }) => (action === 'blocked' ? [{ id, reason: reason ?? 'is blocked' }] : [])),
  ...problems,
];

const telling =
  (phase: PlanPhase) =>
  ({ context }: At): readonly Asked[] => {
    const { id, order, digest, steps, owned } = context;
    if (order === null) return [];
    const problems = problemsOf(context).slice(0, shownProblems);
    return [send(order.deployment, planStands({ plan: id, phase, digest, counts: countsOf(steps), problems, owned }))];
  };

/** A plan that does not exist, or not any more, cannot be carried out. */
function tellAbsent({ context, event }: At): readonly Asked[] {
  const { from } = event.meta;
  if (from === undefined) return [];
  const problems = [{ id: context.id, reason: 'does not exist any more; make another plan' }];
  const stands = { plan: context.id, phase: 'stale', digest: '', counts: countsOf([]), problems, owned: {} } as const;
  return [send(from, planStands(stands))];
}

function takeOrder({ context, event }: At): Change {
  assertEvent(event, 'plan.make');
  return { order: event.order, uid: context.uid || event.meta.ulid };
}

function takePlan({ event }: At): Change {
  assertEvent(event, 'plan.compute.done');
  const { digest, steps, owned, meta } = event;
  return { digest, steps: steps as readonly PlanStep[], owned, madeAt: meta.at, tries: 0, failure: null };
}

const noteFailure = ({ context, event }: At): Change =>
  'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {};

function noteRefusal({ context, event }: At): Change {
  if (!('error' in event)) return {};
  const id = context.order?.deployment ?? context.id;
  return { problems: [...context.problems, { id, reason: event.error.message }], failure: failureOf(event.error) };
}

function noteMoved({ event }: At): Change {
  assertEvent(event, 'plan.verify.done');
  return { problems: event.moved };
}

const begin = ({ context, event }: At): Change => ({ startedAt: context.startedAt || event.meta.at, tries: 0 });
const end = ({ event }: At): Change => ({ endedAt: event.meta.at });

function noteResults({ context, event }: At): Change {
  assertEvent(event, 'plan.apply.done');
  const outcomes = { ...context.outcomes };
  const found: PlanProblem[] = [];
  for (const { step, result, reason } of event.results) {
    outcomes[step] = { result, reason };
    const id = context.steps[step]?.id ?? context.id;
    if (result !== 'done') found.push({ id, reason: reason ?? `was ${result}` });
  }
  const [first] = found;
  const message = `${first?.id} ${first?.reason}; make another plan`;
  const failure = first === undefined ? null : { code: 'step_not_done', message, retryable: false };
  return { outcomes, problems: [...context.problems, ...found], tries: 0, failure };
}

function noteUnready({ context, event }: At): Change {
  assertEvent(event, 'plan.settle.done');
  return { problems: [...context.problems, ...event.unready] };
}

/** The objects that are to become ready. */
const declaredIn = ({ steps }: PlanContext): readonly string[] =>
  steps.filter((step) => isToDo(step) && step.action !== 'delete').map(({ id }) => id);

const settledBy = (context: PlanContext): number => context.startedAt + orderOf(context).readyWithinS * 1_000;

const failedHow =
  (result: Outcome['result']) =>
  ({ event }: At) =>
    event.type === 'plan.apply.done' && event.results.some((one) => one.result === result);

const dropped = { 'plan.drop': { target: 'gone' } } as const;
/** Answers of an effect that were not `done`. */
const retried = <const Name extends string, const Backoff extends string>(name: Name, backoff: Backoff) => {
  const rule = [
    { guard: 'mayRetry', target: backoff, actions: 'noteFailure' },
    { target: 'failed', actions: 'noteRefusal' },
  ] as const;
  return { [`${name}.failed`]: rule, [`${name}.unknown`]: rule } as {
    readonly [Type in `${Name}.failed` | `${Name}.unknown`]: typeof rule;
  };
};

export const planMachine = setup({
  types: { context: {} as PlanContext, events: {} as PlanEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...effectActions(planKind),
    takeOrder: assign(takeOrder),
    takePlan: assign(takePlan),
    noteFailure: assign(noteFailure),
    noteRefusal: assign(noteRefusal),
    noteMoved: assign(noteMoved),
    noteResults: assign(noteResults),
    noteUnready: assign(noteUnready),
    begin: assign(begin),
    end: assign(end),
    tellAbsent: tell(tellAbsent),
    tellEmpty: tell(telling('empty')),
    tellReady: tell(telling('ready')),
    tellBlocked: tell(telling('blocked')),
    tellApplying: tell(telling('applying')),
    tellApplied: tell(telling('applied')),
    tellFailed: tell(telling('failed')),
    tellStale: tell(telling('stale')),
  },
  guards: {
    hasBlocked: ({ event }) =>
      event.type === 'plan.compute.done' && event.steps.some((one) => one.action === 'blocked'),
    hasNothing: ({ event }) => event.type === 'plan.compute.done' && event.steps.every((one) => one.action === 'no-op'),
    hasMoved: ({ event }) => event.type === 'plan.verify.done' && event.moved.length > 0,
    isRefused: failedHow('refused'),
    isMoved: failedHow('moved'),
    allDone: ({ context }) => nextWave(context).length === 0,
    mayRetry: ({ context, event }) => 'error' in event && event.error.retryable && context.tries < mostTries,
  },
  // Longer than the effects may take.
  delays: {
    backoff: ({ context }) => backoffMs(context.tries),
    makeDeadline: 180_000,
    verifyDeadline: 120_000,
    waveDeadline: 1_500_000,
    settleDeadline: ({ context }) => orderOf(context).readyWithinS * 1_000 + 120_000,
  },
}).createMachine({
  id: 'plan',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    order: null,
    digest: '',
    steps: [],
    owned: {},
    outcomes: {},
    problems: [],
    madeAt: 0,
    startedAt: 0,
    endedAt: 0,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        'plan.make': { target: 'making', actions: 'takeOrder' },
        'plan.start': { target: 'gone', actions: 'tellAbsent' },
        ...dropped,
      },
    },
    making: {
      description: 'The deployer reads every object of the revision and compares it with its declaration.',
      entry: { type: 'plan.compute', params: ({ context }) => ({ order: orderOf(context) }) },
      on: {
        'plan.compute.done': [
          { guard: 'hasBlocked', target: 'blocked', actions: 'takePlan' },
          { guard: 'hasNothing', target: 'empty', actions: 'takePlan' },
          { target: 'ready', actions: 'takePlan' },
        ],
        ...retried('plan.compute', 'makeBackoff'),
        'plan.make': {},
        ...dropped,
      },
      after: { makeDeadline: { target: 'making', reenter: true } },
    },
    makeBackoff: {
      description: 'An object could not be read. It is tried again after 1 to 30 s.',
      on: { 'plan.make': {}, ...dropped },
      after: { backoff: { target: 'making' } },
    },
    empty: {
      description: 'Everything is as declared: there is nothing to do.',
      tags: 'steady',
      entry: 'tellEmpty',
      on: { 'plan.make': { actions: 'tellEmpty' }, 'plan.start': { actions: 'tellEmpty' }, ...dropped },
    },
    blocked: {
      description:
        'At least one object cannot be made as declared. The plan names each with its reason; none is changed.',
      tags: 'steady',
      entry: 'tellBlocked',
      on: { 'plan.make': { actions: 'tellBlocked' }, 'plan.start': { actions: 'tellBlocked' }, ...dropped },
    },
    ready: {
      description: 'The plan can be carried out.',
      tags: 'steady',
      entry: 'tellReady',
      on: {
        'plan.make': { actions: 'tellReady' },
        'plan.start': { target: 'verifying', actions: 'begin' },
        ...dropped,
      },
    },
    verifying: {
      description: 'The deployer reads every object again: nothing is changed if one is not as the plan has read it.',
      entry: [
        'tellApplying',
        {
          type: 'plan.verify',
          params: ({ context }) => ({
            order: orderOf(context),
            bases: Object.fromEntries(context.steps.map(({ id, base }) => [id, base])),
          }),
        },
      ],
      on: {
        'plan.verify.done': [{ guard: 'hasMoved', target: 'stale', actions: 'noteMoved' }, { target: 'choosing' }],
        ...retried('plan.verify', 'verifyBackoff'),
        'plan.make': { actions: 'tellApplying' },
        'plan.start': { actions: 'tellApplying' },
      },
      after: { verifyDeadline: { target: 'verifying', reenter: true } },
    },
    verifyBackoff: {
      description: 'An object could not be read. It is tried again after 1 to 30 s.',
      on: { 'plan.make': { actions: 'tellApplying' }, 'plan.start': { actions: 'tellApplying' } },
      after: { backoff: { target: 'verifying' } },
    },
    choosing: {
      description: 'Transient: the next wave is chosen, as long as a step is left.',
      tags: 'steady',
      always: [{ guard: 'allDone', target: 'settling' }, { target: 'applying' }],
    },
    applying: {
      description: 'A wave of at most 16 steps of one level is carried out.',
      entry: {
        type: 'plan.apply',
        params: ({ context }) => ({ order: orderOf(context), key: keyOf(context), steps: nextWave(context) }),
      },
      on: {
        'plan.apply.done': [
          { guard: 'isRefused', target: 'failed', actions: 'noteResults' },
          { guard: 'isMoved', target: 'stale', actions: 'noteResults' },
          { target: 'choosing', actions: 'noteResults' },
        ],
        ...retried('plan.apply', 'applyBackoff'),
        'plan.make': { actions: 'tellApplying' },
        'plan.start': { actions: 'tellApplying' },
      },
      after: { waveDeadline: { target: 'applying', reenter: true } },
    },
    applyBackoff: {
      description: 'It is not known what became of a wave. It is repeated with the same keys after 1 to 30 s.',
      on: { 'plan.make': { actions: 'tellApplying' }, 'plan.start': { actions: 'tellApplying' } },
      after: { backoff: { target: 'applying' } },
    },
    settling: {
      description: 'Everything is declared. The plan waits until all of it is ready, or until its time is up.',
      entry: {
        type: 'plan.settle',
        params: ({ context }) => ({ order: orderOf(context), ids: declaredIn(context), until: settledBy(context) }),
      },
      on: {
        'plan.settle.done': { target: 'applied', actions: 'noteUnready' },
        ...retried('plan.settle', 'settleBackoff'),
        'plan.make': { actions: 'tellApplying' },
        'plan.start': { actions: 'tellApplying' },
      },
      after: { settleDeadline: { target: 'settling', reenter: true } },
    },
    settleBackoff: {
      description: 'An object could not be read. It is tried again after 1 to 30 s.',
      on: { 'plan.make': { actions: 'tellApplying' }, 'plan.start': { actions: 'tellApplying' } },
      after: { backoff: { target: 'settling' } },
    },
    applied: {
      description: 'Every step is done. What did not become ready in time is named with its reason.',
      tags: 'steady',
      entry: ['end', 'tellApplied'],
      on: { 'plan.make': { actions: 'tellApplied' }, 'plan.start': { actions: 'tellApplied' }, ...dropped },
    },
    failed: {
      description: 'It could not be made, or a step was refused: no further one is tried. Each says what became of it.',
      tags: 'steady',
      entry: ['end', 'tellFailed'],
      on: { 'plan.make': { actions: 'tellFailed' }, 'plan.start': { actions: 'tellFailed' }, ...dropped },
    },
    stale: {
      description: 'An object is not as the plan has read it. The steps before it are done, no further one is tried.',
      tags: 'steady',
      entry: ['end', 'tellStale'],
      on: { 'plan.make': { actions: 'tellStale' }, 'plan.start': { actions: 'tellStale' }, ...dropped },
    },
    gone: {
      description: 'Its deployment does not list it any more.',
      type: 'final',
    },
  },
});
