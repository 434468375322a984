/** Context of a deployment, and what it tells and asks of its plans. */
import type { Owned, PlanCounts, PlanOrder, PlanPhase, PlanProblem, Revision } from '../plan/plan-protocol.ts';
import { newDeclared, type DeclaredContext } from '../values/declared.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import {
  deploymentSpec,
  type DeploymentEvent,
  type DeploymentSpec,
  type Drift,
  type Loss,
} from './deployment-protocol.ts';
import type { Seen } from '../values/telling.ts';

/** Parts of a desired state that are there; it is a revision once all of them are, and are checked. */
export interface Incoming {
  readonly digest: string;
  readonly tenants: 'own' | 'all';
  readonly parts: number;
  readonly have: readonly number[];
}

/** A plan as its deployment knows it. */
export interface PlanLine {
  readonly plan: string;
  readonly digest: string;
  readonly phase: PlanPhase | 'making';
  readonly counts: PlanCounts | null;
  readonly problems: readonly PlanProblem[];
  readonly revision: Revision;
  /** `drift`: the deployment has made it by itself. */
  readonly origin: 'asked' | 'drift';
  readonly owned: Owned;
  readonly prune: boolean;
  readonly adopt: boolean;
}

export interface DeploymentContext extends DeclaredContext<DeploymentSpec> {
  readonly incoming: Incoming | null;
  /** The newest complete desired state. */
  readonly staged: Revision | null;
  /** The one that was last carried out: the state that drift is measured by. */
  readonly applied: Revision | null;
  readonly owned: Owned;
  /** The newest plans, the oldest first. */
  readonly plans: readonly PlanLine[];
  readonly plansMade: number;
  /** Command that waits for a check or a plan. */
  readonly asker: string | null;
  /** Of the drift that is known, '' for none; null: it has not been looked yet. */
  readonly print: string | null;
  readonly drift: readonly Drift[];
  readonly driftCount: number;
  /** What hosts have lost of its objects, the newest first; absent in older snapshots. */
  readonly losses?: readonly Loss[];
}

export const newDeployment = (id: string): DeploymentContext => ({
  ...newDeclared(id),
  incoming: null,
  staged: null,
  applied: null,
  owned: {},
  plans: [],
  plansMade: 0,
  asker: null,
  print: null,
  drift: [],
  driftCount: 0,
});

export type At = Seen<DeploymentContext, DeploymentEvent>;

/** Plans that a deployment lists, the current one among them. */
export const plansKept = 5;

export const specIn = ({ spec }: DeploymentContext): DeploymentSpec => spec ?? deploymentSpec.parse({});

/** The plan that is being made or carried out. */
export const currentPlan = ({ plans }: DeploymentContext): PlanLine | undefined =>
  plans.findLast(({ phase }) => phase === 'making' || phase === 'applying');

export const planIdOf = ({ id }: DeploymentContext, number: number): string => {
  const { tenant, name } = partsOfId(id);
  return idOf('plan', tenant, `${name}.p${number}`);
};

export function orderFor(
  context: DeploymentContext,
  { revision, prune, adopt }: Pick<PlanLine, 'revision' | 'prune' | 'adopt'>,
): PlanOrder {
  const { maxDeletes, readyWithinS } = specIn(context);
  return { deployment: context.id, revision, prune, adopt, maxDeletes, readyWithinS, owned: context.owned };
}

/** What drift is measured by; objects that others have made are never taken over by itself. */
export const repairOf = (context: DeploymentContext, applied: Revision): PlanOrder =>
  orderFor(context, { revision: applied, prune: specIn(context).prune, adopt: false });

/** Rows of a text. */
export const partRows = 'part';
export const partKey = (digest: string, part: number): string => `${digest}.${part}`;

export const sameRevision = (a: Revision | null, b: Revision | null): boolean => a?.digest === b?.digest;

/** Why a plan may not be carried out without consent; null: it may. */
export function guardReason(counts: PlanCounts, maxDeletes: number, allowed: number | undefined): string | null {
  const deletes = counts.delete + counts.replace;
  if (deletes === 0 || (allowed !== undefined && allowed >= deletes)) return null;
  if (deletes > maxDeletes) return `it deletes ${deletes} objects, more than maxDeletes ${maxDeletes}`;
  return counts.inUse === 0 ? null : `it deletes ${deletes} objects, of which ${counts.inUse} are in use`;
}
