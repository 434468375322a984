/** The kinds `deployment` and `plan`: the desired state of a tenant, and what a revision of it would change. */
import { deploymentMachine } from '@photoncloud/machines/deployment/deployment-machine';
import { deploymentKind } from '@photoncloud/machines/deployment/deployment-protocol';
import type { DeploymentContext } from '@photoncloud/machines/deployment/deployment-context';
import { planMachine, type PlanContext } from '@photoncloud/machines/plan/plan-machine';
import { planKind } from '@photoncloud/machines/plan/plan-protocol';
import { countsOf } from '@photoncloud/machines/plan/plan-counts';
import { reasonOf } from '@photoncloud/machines/values/conditions';
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { defineActor } from '../kind/kind-definition.ts';
import type { DeployerPort } from './deployer-port.ts';
import { deploymentPerformers, planPerformers } from './deployment-effects.ts';

/** What differs, before anything else. */
function whyNot(context: DeploymentContext): string | null {
  const inSync = context.conditions.find(({ type }) => type === 'InSync');
  if (inSync?.status === 'False') return `drift: ${inSync.message}`;
  const last = context.plans.at(-1);
  const [problem] = last?.phase === 'failed' || last?.phase === 'stale' ? last.problems : [];
  return problem === undefined ? reasonOf(context) : `${last?.plan}: ${problem.id} ${problem.reason}`;
}

export const deploymentDefinition = (port: DeployerPort): ActorDefinition =>
  defineActor(deploymentKind, {
    chartVersion: 1,
    machine: deploymentMachine,
    performers: deploymentPerformers(port),
    status: ({ staged, applied, owned, plans, drift, driftCount, losses = [] }: DeploymentContext) => ({
      staged,
      applied,
      objects: Object.keys(owned).length,
      plans: plans.map(({ plan, digest, phase, counts, origin }) => ({ plan, digest, phase, counts, origin })),
      drift,
      driftCount,
      losses,
    }),
    reason: whyNot,
    ignored: ['quota.granted', 'quota.refused', 'plan.stands'],
  });

/** What the deployment manages, does not declare any more, and would delete if it pruned. */
function keptBy({ steps, owned }: Pick<PlanContext, 'steps' | 'owned'>): readonly string[] {
  const named = new Set(steps.map(({ id }) => id));
  return Object.keys(owned).filter((id) => owned[id] === 'delete' && !named.has(id));
}

export const planDefinition = (port: DeployerPort): ActorDefinition =>
  defineActor(planKind, {
    chartVersion: 1,
    machine: planMachine,
    performers: planPerformers(port),
    spec: ({ order }: PlanContext) =>
      order === null
        ? {}
        : { deployment: order.deployment, revision: order.revision.digest, prune: order.prune, adopt: order.adopt },
    status: ({ digest, steps, owned, outcomes, problems, madeAt, startedAt, endedAt, failure }: PlanContext) => ({
      digest,
      kept: keptBy({ steps, owned }),
      counts: countsOf(steps),
      steps: steps.map((step, at) => ({ ...step, outcome: outcomes[at] ?? null })),
      problems,
      madeAt,
      startedAt,
      endedAt,
      failure,
    }),
    reason: ({ problems: [first], failure }: PlanContext) =>
      first === undefined ? (failure?.message ?? null) : `${first.id} ${first.reason}`,
    ignored: ['plan.make', 'plan.start', 'plan.drop'],
  });
