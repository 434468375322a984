/** What a deployment notes, answers and sends: pure functions of context and event, named by deployment-machine.ts. */
import { assertEvent } from 'xstate';
import { planDrop, planMake, planStart, type Revision } from '../plan/plan-protocol.ts';
import { withCondition } from '../values/conditions.ts';
import { backoffMs, failureOf } from '../values/failures.ts';
import { partsOfId, systemTenant } from '../values/identifiers.ts';
import { defer, putRow, reject, removeRow, reply, send, type Acted, type Asked } from '../values/telling.ts';
import * as contexts from './deployment-context.ts';
import type { At, DeploymentContext, PlanLine } from './deployment-context.ts';
import { desiredStateVersion, type Drift, type Loss } from './deployment-protocol.ts';

type Done = Acted<DeploymentContext>;
type Change = Partial<DeploymentContext>;

const nothing: Done = { changes: {}, asks: [] };

/** Removes the rows of texts that no revision of the context needs any more. */
function forgetTexts(before: DeploymentContext, after: Change): readonly Asked[] {
  const { incoming, staged, applied } = { ...before, ...after };
  const kept = new Set([incoming?.digest, staged?.digest, applied?.digest]);
  const known = [before.incoming, before.staged, before.applied].filter((one) => one !== null);
  const gone = new Map(known.filter(({ digest }) => !kept.has(digest)).map(({ digest, parts }) => [digest, parts]));
  return [...gone].flatMap(([digest, parts]) =>
    Array.from({ length: parts }, (_, at) => removeRow(contexts.partRows, contexts.partKey(digest, at + 1))),
  );
}

const withRows = (before: DeploymentContext, changes: Change, asks: readonly Asked[] = []): Done => ({
  changes,
  asks: [...asks, ...forgetTexts(before, changes)],
});

// Staging

/** Why a part is refused; undefined: it is taken. */
export function stageProblem({ context, event }: At): { code: string; path: string; message: string } | undefined {
  assertEvent(event, 'deployment.stage');
  const { schemaVersion, part, parts, tenants } = event;
  const problem = (code: string, path: string, message: string) => ({ code, path, message });
  if (schemaVersion !== desiredStateVersion) {
    const text = `is ${schemaVersion}, and this cluster reads ${desiredStateVersion}; write it for that version`;
    return problem('schema_version', 'schemaVersion', text);
  }
  if (part > parts) return problem('part_unknown', 'part', `is ${part} of ${parts}; count from 1 to parts`);
  if (tenants === 'all' && partsOfId(context.id).tenant !== systemTenant) {
    const text = `all takes a deployment of tenant ${systemTenant}; use one there, or stage the objects of one tenant`;
    return problem('tenants_refused', 'tenants', text);
  }
  return undefined;
}

export function refuseStage(seen: At): readonly Asked[] {
  const problem = stageProblem(seen);
  if (problem === undefined) return [];
  const { code, path, message } = problem;
  return [reject({ code, message: `${path} ${message}`, issues: [{ path, message }] })];
}

/** The incoming text with the part of the event. */
function incomingWith({ context, event }: At): contexts.Incoming {
  assertEvent(event, 'deployment.stage');
  const { digest, parts, part, tenants } = event;
  const known = context.incoming;
  const isSame = known?.digest === digest && known.parts === parts && known.tenants === tenants;
  const have = isSame ? known.have : [];
  return { digest, parts, tenants, have: [...new Set([...have, part])].toSorted((a, b) => a - b) };
}

export const completes = (seen: At): boolean => {
  const { have, parts } = incomingWith(seen);
  return have.length === parts;
};

export const isStaged = ({ context, event }: At): boolean =>
  event.type === 'deployment.stage' &&
  context.staged?.digest === event.digest &&
  context.staged.tenants === event.tenants;

const stagedAnswer = ({ digest, objects }: Revision) => ({ digest, objects, missing: 0 });

export const answerStaged = ({ context, event }: At): readonly Asked[] =>
  event.meta.commandId === undefined || context.staged === null
    ? []
    : [reply(event.meta.commandId, stagedAnswer(context.staged))];

export function takePart(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'deployment.stage');
  const incoming = incomingWith(seen);
  const put = putRow(contexts.partRows, contexts.partKey(event.digest, event.part), event.text);
  const missing = incoming.parts - incoming.have.length;
  const { commandId } = event.meta;
  if (missing === 0) return withRows(context, { incoming, asker: commandId ?? null }, [put, defer]);
  const answer = { digest: event.digest, objects: 0, missing };
  return withRows(context, { incoming }, commandId === undefined ? [put] : [put, reply(commandId, answer)]);
}

export function takeChecked({ context, event }: At): Done {
  assertEvent(event, 'deployment.check.done');
  const { incoming, asker } = context;
  if (incoming === null) return nothing;
  const { digest, parts, tenants } = incoming;
  if (event.issues.length > 0) {
    const [first] = event.issues;
    const message = `${first?.path ?? ''}: ${first?.message ?? 'is not valid'}`;
    const refusal = { code: event.code, message, issues: event.issues.slice(0, 32) };
    const asks = asker === null ? [] : [reject({ commandId: asker, ...refusal })];
    return withRows(context, { incoming: null, asker: null }, asks);
  }
  const staged = { digest, parts, tenants, objects: event.objects };
  const asks = asker === null ? [] : [reply(asker, stagedAnswer(staged))];
  return withRows(context, { incoming: null, staged, asker: null }, asks);
}

/** The check itself has failed: the client may send the last part again. */
export function giveUpCheck({ context, event }: At): Done {
  const { asker } = context;
  const error = 'error' in event ? failureOf(event.error) : { code: 'unknown', message: 'gave no answer' };
  const text = `the desired state was not checked: ${error.message}; stage it again`;
  const asks = asker === null ? [] : [reject({ commandId: asker, code: error.code, message: text })];
  return withRows(context, { incoming: null, asker: null }, asks);
}

// Plans

const withPlan = ({ plans }: DeploymentContext, line: PlanLine): readonly PlanLine[] =>
  plans.some(({ plan }) => plan === line.plan)
    ? plans.map((one) => (one.plan === line.plan ? line : one))
    : [...plans, line];

/** Begins another plan, and drops those that are not listed any more. */
function orderPlan(context: DeploymentContext, line: Omit<PlanLine, 'plan'>): Done {
  const order = contexts.orderFor(context, line);
  const plansMade = context.plansMade + 1;
  const plan = contexts.planIdOf(context, plansMade);
  const all = [...context.plans, { ...line, plan }];
  const plans = all.slice(-contexts.plansKept);
  const drops = all.slice(0, -contexts.plansKept).map((one) => send(one.plan, planDrop({})));
  return { changes: { plansMade, plans }, asks: [send(plan, planMake({ order })), ...drops] };
}

const fresh = { digest: '', phase: 'making', counts: null, problems: [], owned: {} } as const;

export const isKnownRevision = ({ context, event }: At): boolean =>
  event.type === 'deployment.plan' && event.digest === context.staged?.digest;

export const refusePlan = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'deployment.plan');
  const has = context.staged === null ? 'has no desired state yet' : `has ${context.staged.digest.slice(0, 12)}`;
  const message = `is ${event.digest.slice(0, 12)}, and ${context.id} ${has}; stage the document first`;
  return [reject({ code: 'revision_unknown', message: `digest ${message}`, issues: [{ path: 'digest', message }] })];
};

export function makePlan({ context, event }: At): Done {
  assertEvent(event, 'deployment.plan');
  const { staged } = context;
  if (staged === null) return nothing;
  const { prune = contexts.specIn(context).prune, adopt = contexts.specIn(context).adopt } = event;
  const { changes, asks } = orderPlan(context, { ...fresh, revision: staged, origin: 'asked', prune, adopt });
  return { changes: { ...changes, asker: event.meta.commandId ?? null }, asks: [...asks, defer] };
}

/** Enforces: a plan of what was applied. */
export function makeRepair({ context }: At): Done {
  const { applied } = context;
  if (applied === null) return nothing;
  const { prune } = contexts.specIn(context);
  return orderPlan(context, { ...fresh, revision: applied, origin: 'drift', prune, adopt: false });
}

export const askAgain = ({ context }: At): readonly Asked[] => {
  const current = contexts.currentPlan(context);
  if (current === undefined) return [];
  const order = contexts.orderFor(context, current);
  return [send(current.plan, current.phase === 'making' ? planMake({ order }) : planStart({}))];
};

export const isOfCurrent = ({ context, event }: At): boolean =>
  event.type === 'plan.stands' && event.plan === contexts.currentPlan(context)?.plan;

/** What a plan says of itself; the client that asked for it is answered once it is made. */
export function notePlan({ context, event }: At): Done {
  assertEvent(event, 'plan.stands');
  const { plan, phase, digest, counts, problems, owned } = event;
  const line = context.plans.find((one) => one.plan === plan);
  if (line === undefined) return { changes: {}, asks: [send(plan, planDrop({}))] };
  // It may repeat that it is ready before it hears that it was begun.
  const isBegun = line.phase === 'applying' && phase === 'ready';
  const known = { phase: isBegun ? line.phase : phase, digest: digest || line.digest };
  const plans = withPlan(context, { ...line, ...known, counts, problems, owned });
  const { asker } = context;
  const isMade = line.phase === 'making' && phase !== 'applying';
  if (!isMade || asker === null) return { changes: { plans }, asks: [] };
  const [problem] = problems;
  const failed = { commandId: asker, code: 'plan_failed', message: `no plan was made: ${problem?.reason ?? ''}` };
  const answer = { plan, digest, phase, counts, revision: line.revision.digest };
  return { changes: { plans, asker: null }, asks: [phase === 'failed' ? reject(failed) : reply(asker, answer)] };
}

// Carrying out

const planNamed = ({ plans }: DeploymentContext, begin: string): PlanLine | undefined =>
  plans.findLast(({ digest, phase }) => phase !== 'making' && digest !== '' && digest.startsWith(begin));

/** Why a plan cannot be carried out; undefined: it can. */
export function executeProblem({ context, event }: At): { code: string; message: string } | undefined {
  assertEvent(event, 'deployment.execute');
  const short = event.plan.slice(0, 12);
  const line = planNamed(context, event.plan);
  const again = 'plan again and carry that one out';
  if (line === undefined)
    return { code: 'plan_unknown', message: `${context.id} has no plan ${short} among its last; ${again}` };
  const { phase, revision, counts, problems } = line;
  if (phase === 'blocked') {
    const [first] = problems;
    const text = `plan ${short} is blocked: ${first?.id ?? ''} ${first?.reason ?? ''}`;
    return { code: 'plan_blocked', message: `${text}; nothing is changed` };
  }
  if (phase === 'stale' || phase === 'failed')
    return { code: 'plan_stale', message: `plan ${short} is ${phase}; ${again}` };
  if (phase === 'ready' && !contexts.sameRevision(revision, context.staged))
    return { code: 'plan_stale', message: `plan ${short} is of an older desired state; ${again}` };
  if (phase !== 'ready' || counts === null) return undefined;
  const why = contexts.guardReason(counts, contexts.specIn(context).maxDeletes, event.allowDeletes);
  if (why === null) return undefined;
  const deletes = counts.delete + counts.replace;
  return {
    code: 'deletes_guarded',
    message: `plan ${short}: ${why}; if that is meant, say --allow-deletes ${deletes}`,
  };
}

export function refuseExecute(seen: At): readonly Asked[] {
  const problem = executeProblem(seen);
  if (problem === undefined) return [];
  return [reject({ ...problem, issues: [{ path: 'plan', message: problem.message }] })];
}

const begun = (line: PlanLine) => ({ plan: line.plan, digest: line.digest, counts: line.counts });

/** The plan has nothing to do, or was carried out already. */
export const isOver = ({ context, event }: At): boolean =>
  event.type === 'deployment.execute' && planNamed(context, event.plan)?.phase !== 'ready';

export function answerOver({ context, event }: At): Done {
  assertEvent(event, 'deployment.execute');
  const line = planNamed(context, event.plan);
  if (line === undefined) return nothing;
  const { commandId } = event.meta;
  const asks = commandId === undefined ? [] : [reply(commandId, begun(line))];
  // An empty plan of a new desired state makes it the applied one: that is what everything is like.
  if (line.phase !== 'empty') return { changes: {}, asks };
  return withRows(context, { applied: line.revision, owned: line.owned }, asks);
}

export function startPlan({ context, event }: At): Done {
  assertEvent(event, 'deployment.execute');
  const line = planNamed(context, event.plan);
  if (line === undefined) return nothing;
  const { commandId } = event.meta;
  const owned = { ...context.owned, ...line.owned };
  const changes = { applied: line.revision, owned, plans: withPlan(context, { ...line, phase: 'applying' }) };
  const answered = commandId === undefined ? [] : [reply(commandId, begun(line))];
  return withRows(context, changes, [...answered, send(line.plan, planStart({}))]);
}

/** Carries out the repair that the deployment has planned by itself. */
export function startRepair({ context, event }: At): Done {
  assertEvent(event, 'plan.stands');
  const line = context.plans.find(({ plan }) => plan === event.plan);
  if (line === undefined) return nothing;
  const { digest, counts, owned } = event;
  const plans = withPlan(context, { ...line, phase: 'applying', digest, counts, owned });
  return { changes: { plans }, asks: [send(line.plan, planStart({}))] };
}

/** A repair that is ready and needs nobody's consent. */
export const mayRepair = (seen: At): boolean => {
  const { context, event } = seen;
  if (event.type !== 'plan.stands' || !isOfCurrent(seen) || event.phase !== 'ready') return false;
  if (contexts.currentPlan(context)?.origin !== 'drift') return false;
  return contexts.guardReason(event.counts, contexts.specIn(context).maxDeletes, undefined) === null;
};

/** What a plan leaves to the deployment at its end. A repair that failed is tried again after a pause. */
export function noteEnd({ context, event }: At): Change {
  assertEvent(event, 'plan.stands');
  const { phase, owned } = event;
  if (phase === 'applied' || phase === 'empty') return { owned, tries: 0, failure: null, print: null };
  return { tries: context.tries + 1, print: null };
}

/** A repair that is not carried out: one that is blocked or guarded waits until something else differs. */
export function noteNoRepair({ context, event }: At): Change {
  assertEvent(event, 'plan.stands');
  const { phase, counts } = event;
  if (contexts.currentPlan(context)?.origin !== 'drift') return {};
  if (phase === 'empty') return { print: null };
  if (phase === 'failed' || phase === 'stale') return { tries: context.tries + 1, print: null };
  const why = contexts.guardReason(counts, contexts.specIn(context).maxDeletes, undefined) ?? 'a step is blocked';
  const message = `is not repaired: ${why}; plan and carry it out by hand`;
  const condition = { type: 'InSync', status: 'False', reason: 'NotRepaired', message } as const;
  return { conditions: withCondition(context.conditions, condition, event.meta.at) };
}

// Drift

export const watchParams = ({ context }: Pick<At, 'context'>) => {
  const { applied, print, tries } = context;
  if (applied === null) throw new TypeError(`${context.id} has applied nothing`);
  const afterMs = tries === 0 ? 0 : backoffMs(tries, 300_000);
  return { order: contexts.repairOf(context, applied), known: print, afterMs };
};

const namedDrift = 3;

export function noteDrift({ context, event }: At): Change {
  assertEvent(event, 'deployment.watch.done');
  const { print, count, losses = [], meta } = event;
  const drift = event.drift as DeploymentContext['drift'];
  const conditions = withCondition(context.conditions, { type: 'InSync', ...inSync(drift, count, losses) }, meta.at);
  return { print, drift, driftCount: count, losses, conditions, failure: null };
}

function inSync(drift: readonly Drift[], count: number, losses: readonly Loss[]) {
  const lost = losses.filter((one) => !one.isOver);
  const named = [
    ...drift.map(({ id, action }) => `${id} (${action})`),
    ...lost.map(({ id, what }) => `${id} (${what})`),
  ].slice(0, namedDrift);
  const left = count + lost.length - named.length;
  if (named.length === 0) return { status: 'True', reason: 'AsApplied' } as const;
  const message = `${named.join(', ')}${left > 0 ? ` and ${left} more` : ''}`;
  return { status: 'False', reason: count > 0 ? 'Drifted' : 'Lost', message } as const;
}

export const isDrifted = ({ event }: At): boolean => event.type === 'deployment.watch.done' && event.count > 0;

/** Another declaration of the deployment itself is looked at anew. */
export const lookAnew = (): Change => ({ print: null });

/** Plans and texts go with the deployment; its objects stay. */
export const dropPlans = ({ context }: At): readonly Asked[] =>
  context.plans.map(({ plan }) => send(plan, planDrop({})));

export function dropStranger({ event }: At): readonly Asked[] {
  return event.meta.from === undefined ? [] : [send(event.meta.from, planDrop({}))];
}
