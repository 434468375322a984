/**
 * A deployment: takes a desired state in parts, has plans made of it, carries one out at a time, and follows the
 * objects that it manages. It changes no object itself; its plans do, and its watch reads. Upholds: what is carried out
 * is a plan that was made and shown before, or a repair of what was already carried out; one plan at a time; deletions
 * beyond the guard take a consent.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, ready, whenBorn, whileDeclaring, whileLiving } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { partsOfId, systemTenant, tenantId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { quotaClaim, quotaRelease } from '../values/quota.ts';
import { requests } from '../values/requests.ts';
import { act, reject, send, tell, type Asked } from '../values/telling.ts';
import { currentPlan, newDeployment, specIn, type At, type DeploymentContext } from './deployment-context.ts';
import * as messages from './deployment-messages.ts';
import { deploymentKind, type DeploymentEvent, type DeploymentSpec } from './deployment-protocol.ts';

const kit = declaredKit<DeploymentSpec, DeploymentContext, DeploymentEvent>(deploymentKind);

const isOfSystem = ({ context }: Pick<At, 'context'>): boolean => partsOfId(context.id).tenant === systemTenant;

const toTenant =
  (make: typeof quotaClaim | typeof quotaRelease) =>
  ({ context }: At): readonly Asked[] => {
    if (isOfSystem({ context })) return [];
    const { tenant } = partsOfId(context.id);
    return [send(tenantId(tenant), make({ kind: deploymentKind.kind, claimant: context.id }))];
  };

/** One thing after the other: the client asks again. */
const rejectRunning = ({ context }: At): readonly Asked[] => {
  const current = currentPlan(context);
  const what = current === undefined ? 'checks a desired state' : `works on ${current.plan}`;
  return [reject({ code: 'deployment_busy', message: `${context.id} ${what}; try again once that is over` })];
};

const runsAlready = ({ context, event }: At): boolean => {
  const current = currentPlan(context);
  return event.type === 'deployment.execute' && current?.phase === 'applying' && current.digest.startsWith(event.plan);
};

const ofCheck = ({ incoming, id }: DeploymentContext) => {
  if (incoming === null) throw new TypeError(`${id} has nothing to check`);
  const { digest, parts, tenants } = incoming;
  return { deployment: id, digest, parts, tenants };
};

const busy = {
  'deployment.stage': { actions: 'rejectRunning' },
  'deployment.plan': { actions: 'rejectRunning' },
  'deployment.execute': [{ guard: 'runsAlready', actions: 'answerOver' }, { actions: 'rejectRunning' }],
  'deployment.delete': { actions: 'rejectRunning' },
  'quota.granted': {},
} as const;

/** What can be asked of a deployment that does nothing else. */
const free = {
  'deployment.stage': [
    { guard: 'isStageProblem', actions: 'refuseStage' },
    { guard: 'isStaged', actions: 'answerStaged' },
    { guard: 'completes', target: 'checking', actions: 'takePart' },
    { actions: 'takePart' },
  ],
  'deployment.plan': [{ guard: 'isKnownRevision', target: 'planning', actions: 'makePlan' }, { actions: 'refusePlan' }],
  'deployment.execute': [
    { guard: 'isExecuteProblem', actions: 'refuseExecute' },
    { guard: 'isOver', target: 'resting', actions: 'answerOver' },
    { target: 'applying', actions: 'startPlan' },
  ],
  'plan.stands': { actions: 'notePlan' },
  'quota.granted': {},
} as const;

const changed = { target: 'resting', actions: ['takeSpec', 'observe', 'lookAnew', 'answerUpdated'] } as const;
const changedMeanwhile = { actions: ['takeSpec', 'observe', 'lookAnew', 'answerUpdated'] } as const;

export const deploymentMachine = setup({
  types: {
    context: {} as DeploymentContext,
    events: {} as DeploymentEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    ...effectActions(deploymentKind),
    claim: tell(toTenant(quotaClaim)),
    release: tell(toTenant(quotaRelease)),
    refuseStage: tell(messages.refuseStage),
    answerStaged: tell(messages.answerStaged),
    takePart: act(messages.takePart),
    takeChecked: act(messages.takeChecked),
    giveUpCheck: act(messages.giveUpCheck),
    refusePlan: tell(messages.refusePlan),
    makePlan: act(messages.makePlan),
    makeRepair: act(messages.makeRepair),
    askAgain: tell(messages.askAgain),
    notePlan: act(messages.notePlan),
    noteEnd: assign(messages.noteEnd),
    noteNoRepair: assign(messages.noteNoRepair),
    refuseExecute: tell(messages.refuseExecute),
    answerOver: act(messages.answerOver),
    startPlan: act(messages.startPlan),
    startRepair: act(messages.startRepair),
    noteDrift: assign(messages.noteDrift),
    lookAnew: assign(messages.lookAnew),
    rejectRunning: tell(rejectRunning),
    dropPlans: tell(messages.dropPlans),
    dropStranger: tell(messages.dropStranger),
  },
  guards: {
    ...kit.guards,
    isOfSystem,
    isStageProblem: (seen) => messages.stageProblem(seen) !== undefined,
    isStaged: messages.isStaged,
    completes: messages.completes,
    isKnownRevision: messages.isKnownRevision,
    isExecuteProblem: (seen) => messages.executeProblem(seen) !== undefined,
    isOver: messages.isOver,
    isOfCurrent: messages.isOfCurrent,
    mayRepair: messages.mayRepair,
    runsAlready,
    isEnded: (seen) =>
      messages.isOfCurrent(seen) &&
      seen.event.type === 'plan.stands' &&
      !['ready', 'applying'].includes(seen.event.phase),
    isToRepair: (seen) => messages.isDrifted(seen) && specIn(seen.context).mode === 'enforce',
    hasApplied: ({ context }) => context.applied !== null,
  },
  delays: {
    quotaDeadline: 5_000,
    checkDeadline: 60_000,
    planDeadline: 30_000,
    applyReview: 60_000,
    lookBackoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'deployment',
  context: ({ input }) => newDeployment(input.id),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('deployment', 'claiming'),
        'plan.stands': { target: 'gone', actions: 'dropStranger' },
      },
    },
    claiming: {
      description: 'The quota for one more deployment is requested from the tenant. Tenant system has none.',
      entry: [ready('False', 'Claiming'), 'claim'],
      always: { guard: 'isOfSystem', target: 'resting', actions: ['observe', 'answerAll'] },
      on: {
        ...whileDeclaring('deployment', { actions: ['takeSpec', 'awaitAnswer'] }),
        'deployment.delete': { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer', 'release'] },
        'quota.granted': { target: 'resting', actions: ['observe', 'answerAll'] },
        'quota.refused': { target: 'gone', actions: ['rejectAll', 'noteFailure'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    resting: {
      description: 'Transient: a deployment that has carried out a plan follows its objects.',
      tags: 'steady',
      entry: ready('True', 'Accepted'),
      always: [{ guard: 'hasApplied', target: 'watching' }, { target: 'ready' }],
    },
    ready: {
      description: 'Nothing was carried out yet.',
      tags: 'steady',
      entry: ready('True', 'NothingApplied'),
      on: {
        ...whileLiving('deployment', changedMeanwhile),
        ...deletedBy('deployment', { target: 'gone', actions: ['awaitAnswer', 'dropPlans', 'release'] }),
        ...free,
      },
    },
    watching: {
      description: 'The objects are followed. What is not as it was carried out is told, or repaired.',
      tags: 'steady',
      entry: [ready('True', 'Watching'), { type: 'deployment.watch', params: messages.watchParams }],
      on: {
        ...whileLiving('deployment', changed),
        ...deletedBy('deployment', { target: 'gone', actions: ['awaitAnswer', 'dropPlans', 'release'] }),
        ...free,
        'deployment.watch.done': [
          { guard: 'isToRepair', target: 'planning', actions: ['noteDrift', 'makeRepair'] },
          { target: 'watching', reenter: true, actions: 'noteDrift' },
        ],
        'deployment.watch.failed': { target: 'lookBackoff', actions: 'noteFailure' },
        'deployment.watch.unknown': { target: 'lookBackoff', actions: 'noteFailure' },
      },
    },
    lookBackoff: {
      description: 'The objects could not be read. They are read again after 1 to 30 s.',
      entry: ready('False', 'Unread'),
      on: {
        ...whileLiving('deployment', changedMeanwhile),
        ...deletedBy('deployment', { target: 'gone', actions: ['awaitAnswer', 'dropPlans', 'release'] }),
        ...free,
      },
      after: { lookBackoff: { target: 'watching' } },
    },
    checking: {
      description:
        'All parts of a desired state are there: the deployer compares its digest and validates every object.',
      entry: [ready('True', 'Checking'), { type: 'deployment.check', params: ({ context }) => ofCheck(context) }],
      on: {
        ...whileLiving('deployment', changedMeanwhile),
        ...busy,
        'plan.stands': { actions: 'notePlan' },
        'deployment.check.done': { target: 'resting', actions: 'takeChecked' },
        'deployment.check.failed': { target: 'resting', actions: 'giveUpCheck' },
        'deployment.check.unknown': { target: 'resting', actions: 'giveUpCheck' },
      },
      after: { checkDeadline: { target: 'checking', reenter: true } },
    },
    planning: {
      description: 'A plan is being made.',
      entry: ready('True', 'Planning'),
      on: {
        ...whileLiving('deployment', changedMeanwhile),
        ...busy,
        'plan.stands': [
          { guard: 'mayRepair', target: 'applying', actions: 'startRepair' },
          { guard: 'isOfCurrent', target: 'resting', actions: ['noteNoRepair', 'notePlan'] },
          { actions: 'notePlan' },
        ],
      },
      after: { planDeadline: { target: 'planning', reenter: true, actions: 'askAgain' } },
    },
    applying: {
      description: 'A plan is carried out. It says itself how far it is.',
      entry: ready('True', 'Applying'),
      on: {
        ...whileLiving('deployment', changedMeanwhile),
        ...busy,
        'plan.stands': [
          { guard: 'isEnded', target: 'resting', actions: ['noteEnd', 'notePlan'] },
          { actions: 'notePlan' },
        ],
      },
      after: { applyReview: { target: 'applying', reenter: true, actions: 'askAgain' } },
    },
    gone: {
      description: 'The deployment does not exist any more; its objects stay, and nobody manages them.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
