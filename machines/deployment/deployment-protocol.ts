/** Spec and commands of a deployment: the desired state of a tenant's objects, and what the deployment manages. */
import { z } from 'zod';
import {
  planDrop,
  planMake,
  planStands,
  planStart,
  planStepSchema,
  type PlanOrder,
  type PlanStep,
} from '../plan/plan-protocol.ts';
import { command, declare, defineKind, effect, type EventOf, type SpecOf, type ValueOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';

/** The version of the desired-state document that this program reads. */
export const desiredStateVersion = 1;
/** Of the text of a desired state. */
export const longestPart = 32_768;
export const mostParts = 32;
export const mostObjects = 1_000;

export const deploymentSpec = z
  .strictObject({
    mode: z
      .enum(['report', 'enforce'])
      .default('report')
      .describe(
        'What follows when an object is not declared as applied: the condition InSync says so, or it is repaired, ' +
          'too. What a host has lost it makes again by itself, in both modes.',
      ),
    prune: z
      .boolean()
      .default(false)
      .describe('Whether objects that it manages and that are not declared any more are deleted.'),
    adopt: z
      .boolean()
      .default(false)
      .describe('Whether declared objects that exist already, and that no deployment manages, are taken over.'),
    maxDeletes: z
      .int()
      .min(0)
      .max(mostObjects)
      .default(5)
      .describe('A plan that deletes or replaces more than this, or anything in use, takes an explicit consent.'),
    readyWithinS: z
      .int()
      .min(1)
      .max(3_600)
      .default(300)
      .describe(
        'How long a plan waits for its objects to become ready, in seconds, before it names those that are not.',
      ),
  })
  .meta({ id: 'DeploymentSpec' });

const digest = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower case hex');
const digestBegin = z.string().regex(/^[0-9a-f]{8,64}$/, 'must be the first 8 to 64 characters of a digest');

const stage = command(
  z.strictObject({
    digest: digest.describe('SHA-256 of the whole text.'),
    schemaVersion: z.int().describe(`Of the document; ${desiredStateVersion} here.`),
    part: z.int().min(1).max(mostParts).describe('From 1.'),
    parts: z.int().min(1).max(mostParts),
    tenants: z.enum(['own', 'all']).default('own'),
    text: z.string().min(1).max(longestPart).describe('This part of the canonical JSON of the desired state.'),
  }),
  'Stores a part of a desired state. The last part is answered once all of it is checked; nothing is changed yet.',
  {
    operatorsOnly: ({ tenants }: { readonly tenants?: unknown }) =>
      tenants === 'all'
        ? [{ path: 'tenants', message: 'only operators may stage objects of all tenants; ask an operator' }]
        : [],
  },
);
const plan = command(
  z.strictObject({
    digest: digest.describe('Of a staged desired state.'),
    prune: z.boolean().optional().describe('In place of the spec.'),
    adopt: z.boolean().optional().describe('In place of the spec.'),
  }),
  'Makes a plan of the staged desired state, and answers with its id, digest and counts. Nothing is changed.',
);
const execute = command(
  z.strictObject({
    plan: digestBegin.describe('Digest of the plan.'),
    allowDeletes: z
      .int()
      .min(0)
      .max(mostObjects)
      .optional()
      .describe('Consent to a plan that deletes so many objects, in use or not.'),
  }),
  'Carries out a plan. Answered once it has begun; the plan says how far it is.',
);

/** A step without what only the plan needs. */
export const driftSchema = planStepSchema.pick({ id: true, action: true, changes: true, reason: true });
export type Drift = Pick<PlanStep, 'id' | 'action' | 'changes' | 'reason'>;

/** Something of an object was gone from a host, such as a bridge. The host makes it again by itself. */
export const lossSchema = z.object({
  id: z.string(),
  what: z.string(),
  /** Wall time of the loss, of its end once it is over, ms. */
  since: z.int(),
  isOver: z.boolean(),
});
export type Loss = ValueOf<typeof lossSchema>;

export const deploymentCheck = effect<{
  readonly deployment: string;
  readonly digest: string;
  readonly parts: number;
  readonly tenants: 'own' | 'all';
}>()('deployment.check', 'Reads the staged text, compares its digest, and validates every object.', {
  objects: z.int(),
  /** Empty: it is valid. */
  issues: z.array(z.object({ path: z.string(), message: z.string() })),
  code: z.string(),
});
export const deploymentWatch = effect<{
  readonly order: PlanOrder;
  /** Print of the drift that is known, '' for none; null: it has not been looked yet. */
  readonly known: string | null;
  readonly afterMs: number;
}>()('deployment.watch', 'Follows the objects, and ends once they differ from the applied state in another way.', {
  /** '' when nothing differs. */
  print: z.string(),
  drift: z.array(driftSchema),
  count: z.int(),
  /** The newest first. */
  losses: z.array(lossSchema).optional(),
});

export const deploymentKind = defineKind({
  kind: 'deployment',
  says: 'A desired state of many objects, applied as a whole: planned, carried out in order, watched for drift.',
  placement: 'sharded',
  declared: declare(deploymentSpec, {
    changes: {
      mode: 'in place',
      prune: 'in place',
      adopt: 'in place',
      maxDeletes: 'in place',
      readyWithinS: 'in place',
    },
    parents: ['tenant'],
    inSystemToo: true,
    references: () => [],
    quota: 20,
    columns: {
      mode: ({ mode }) => mode,
      objects: (_, { objects }) => objects,
      drift: (_, { driftCount }) => driftCount,
    },
    says: {
      create: 'Makes an empty deployment. Objects come with stage, plan and execute.',
      update: 'Changes how it deletes, adopts and repairs; what was applied stays as it is.',
      delete: 'Ends the deployment. Its objects stay, and nobody manages them. Rejected while a plan is carried out.',
    },
  }),
  commands: { stage, plan, execute },
  takes: [quotaGranted, quotaRefused, planStands],
  startedBy: [planStands],
  fromNode: [],
  sends: [quotaClaim, quotaRelease, planMake, planStart, planDrop],
  effects: [deploymentCheck, deploymentWatch],
});

export type DeploymentEvent = EventOf<typeof deploymentKind>;
export type DeploymentSpec = SpecOf<typeof deploymentKind>;
