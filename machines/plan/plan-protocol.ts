/** Messages, effects and steps of a plan: what one revision of a deployment would change, carried out at most once. */
import { z } from 'zod';
import { defineKind, effect, message, type EventOf, type SpecChange, type ValueOf } from '../values/kind.ts';

/** `next start`: accepted at once, and true of the object after its next start. */
export const planActions = [
  'create',
  'update',
  'next start',
  'replace',
  'delete',
  'adopt',
  'no-op',
  'blocked',
] as const;
export const planActionSchema = z.enum(planActions);
export type PlanAction = ValueOf<typeof planActionSchema>;

const changeSchema = z.object({
  path: z.string(),
  before: z.unknown(),
  after: z.unknown(),
  change: z.enum(['in place', 'next start', 'replace']),
  of: z.enum(['addition', 'removal', 'order']).optional(),
});

export const planStepSchema = z.object({
  /** Actor id of the object. */
  id: z.string(),
  action: planActionSchema,
  /** Steps of a lower level are done before: what others refer to, or what refers to others for a deletion. */
  level: z.int(),
  /** What was read of the object, as a text that changes with its declaration; null: it does not exist. */
  base: z.string().nullable(),
  changes: z.array(changeSchema),
  /** Why it is blocked, or what a person should know of the step. */
  reason: z.string().nullable(),
  /** Of a creation: the object that it takes the place of, which another step deletes. */
  movedFrom: z.string().nullable(),
  /** Of a deletion or replacement: guests or clients use the object now. */
  inUse: z.boolean(),
});

export interface PlanStep extends Omit<ValueOf<typeof planStepSchema>, 'changes'> {
  readonly changes: readonly SpecChange[];
}

/** A complete desired state that a deployment keeps. */
export const revisionSchema = z.object({
  /** SHA-256 of its canonical text, hex. */
  digest: z.string(),
  /** In how many rows the deployment keeps the text. */
  parts: z.int(),
  /** `all`: an operator staged it, and it may declare objects of every tenant. */
  tenants: z.enum(['own', 'all']),
  objects: z.int(),
});
export type Revision = ValueOf<typeof revisionSchema>;

/** What becomes of an object that the deployment does not declare any more. */
export const ownedSchema = z.record(z.string(), z.enum(['delete', 'retain']));
export type Owned = ValueOf<typeof ownedSchema>;

/** What a plan is made from, beside the objects themselves. */
export const planOrderSchema = z.object({
  /** Actor id. */
  deployment: z.string(),
  revision: revisionSchema,
  prune: z.boolean(),
  adopt: z.boolean(),
  maxDeletes: z.int(),
  readyWithinS: z.int(),
  owned: ownedSchema,
});
export type PlanOrder = ValueOf<typeof planOrderSchema>;

export const planPhaseSchema = z.enum(['empty', 'ready', 'blocked', 'applying', 'applied', 'failed', 'stale']);
export type PlanPhase = ValueOf<typeof planPhaseSchema>;

export const planProblemSchema = z.object({ id: z.string(), reason: z.string() });
export type PlanProblem = ValueOf<typeof planProblemSchema>;

/** Steps by what they do; `inUse` of those that delete or replace. */
export const planCountsSchema = z.object({
  create: z.int(),
  update: z.int(),
  replace: z.int(),
  delete: z.int(),
  adopt: z.int(),
  noOp: z.int(),
  blocked: z.int(),
  inUse: z.int(),
});
export type PlanCounts = ValueOf<typeof planCountsSchema>;

const plannedFields = { digest: z.string(), steps: z.array(planStepSchema), owned: ownedSchema };

export const planMake = message('plan.make', 'A plan is to be made of a revision. Repeated, it is answered again.', {
  order: planOrderSchema,
});
export const planStart = message('plan.start', 'The plan is to be carried out. Repeated, it is answered again.', {});
export const planDrop = message('plan.drop', 'The deployment does not list the plan any more.', {});
export const planStands = message('plan.stands', 'How far a plan is: made, carried out, failed or out of date.', {
  plan: z.string(),
  phase: planPhaseSchema,
  /** Of what the plan does and of what it was made from, hex; empty when it could not be made. */
  digest: z.string(),
  counts: planCountsSchema,
  /** The first of what is blocked, was refused, has moved, or is not ready. */
  problems: z.array(planProblemSchema),
  /** What the deployment manages once the plan is carried out. */
  owned: ownedSchema,
});

/** What became of a step. `moved`: the object is not as it was when the plan was made. */
export const stepResultSchema = z.object({
  step: z.int(),
  result: z.enum(['done', 'refused', 'moved']),
  reason: z.string().nullable(),
});
export type StepResult = ValueOf<typeof stepResultSchema>;

/** A step as the deployer carries it out. */
export interface StepOrder extends Pick<PlanStep, 'id' | 'action' | 'base'> {
  readonly step: number;
}

export const planCompute = effect<{ readonly order: PlanOrder }>()(
  'plan.compute',
  'Reads the objects of a revision and says what is to be done to each.',
  plannedFields,
);
export const planVerify = effect<{
  readonly order: PlanOrder;
  readonly bases: Readonly<Record<string, string | null>>;
}>()('plan.verify', 'Reads the objects again and names those that are not as the plan has read them.', {
  moved: z.array(planProblemSchema),
});
export const planApply = effect<{
  readonly order: PlanOrder;
  readonly key: string;
  readonly steps: readonly StepOrder[];
}>()('plan.apply', 'Carries out steps that do not depend on each other. Repeated, it does nothing twice.', {
  results: z.array(stepResultSchema),
});
export const planSettle = effect<{
  readonly order: PlanOrder;
  readonly ids: readonly string[];
  readonly until: number;
}>()('plan.settle', 'Waits until what was declared is ready, and names what is not in time.', {
  unready: z.array(planProblemSchema),
});

export const planKind = defineKind({
  kind: 'plan',
  says: 'What a revision of a deployment would change, computed once and carried out at most once. It never changes.',
  placement: 'sharded',
  commands: {},
  takes: [planMake, planStart, planDrop],
  startedBy: [planMake, planStart, planDrop],
  fromNode: [],
  sends: [planStands],
  effects: [planCompute, planVerify, planApply, planSettle],
});

export type PlanEvent = EventOf<typeof planKind>;
