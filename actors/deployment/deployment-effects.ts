/** The effects of deployments and plans, on the ports of their node. */
import { ownedAfter } from '@photoncloud/machines/deployment/deployment-planner';
import type { deploymentKind } from '@photoncloud/machines/deployment/deployment-protocol';
import type { planKind } from '@photoncloud/machines/plan/plan-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { DeployerPort } from './deployer-port.ts';
import { checkText, DesiredTexts } from './desired-text.ts';
import { watchDrift } from './drift-watch.ts';
import { inTurn, planNow, readBase } from './plan-reading.ts';
import { carryOut, objectsById, settleAll } from './plan-steps.ts';

const pool = 'deploy';

export function deploymentPerformers(port: DeployerPort): PerformersOf<typeof deploymentKind> {
  const texts = new DesiredTexts(port);
  return {
    'deployment.check': {
      timeoutMs: 30_000,
      perform: async ({ deployment, digest, parts, tenants }) => {
        const text = await texts.read(deployment, digest, parts);
        const found = port.digest(text);
        if (found !== digest) {
          const actual = found.slice(0, 12);
          const message = `is ${digest.slice(0, 12)}, and that of the text is ${actual}; stage all parts again`;
          return { objects: 0, code: 'digest_mismatch', issues: [{ path: 'digest', message }] };
        }
        const { objects, code, issues } = checkText(text, deployment, tenants);
        return { objects: objects.length, code, issues: issues.slice(0, 32) };
      },
    },
    'deployment.watch': {
      timeoutMs: null,
      perform: (params, { signal }) => watchDrift(port, texts, params, signal),
    },
  };
}

export function planPerformers(port: DeployerPort): PerformersOf<typeof planKind> {
  const texts = new DesiredTexts(port);
  return {
    'plan.compute': {
      timeoutMs: 120_000,
      pool,
      perform: async ({ order }) => {
        const { digest, steps, input } = await planNow(port, texts, order);
        return { digest, steps: [...steps], owned: ownedAfter(input, steps) };
      },
    },
    'plan.verify': {
      timeoutMs: 60_000,
      pool,
      perform: async ({ bases }) => {
        const moved = await inTurn(Object.entries(bases), async ([id, base]) => {
          const now = await readBase(port, id);
          if (now === base) return [];
          const what =
            now === null ? 'does not exist any more' : base === null ? 'exists meanwhile' : 'was changed meanwhile';
          return [{ id, reason: `${what}; plan again` }];
        });
        return { moved: moved.flat() };
      },
    },
    'plan.apply': {
      timeoutMs: 1_200_000,
      pool,
      perform: async ({ order, key, steps }, { signal }) => {
        const objects = objectsById(await texts.objects(order.deployment, order.revision));
        return { results: await carryOut({ port, order, key, objects, signal }, steps) };
      },
    },
    'plan.settle': {
      timeoutMs: null,
      perform: async ({ ids, until }, { signal }) => ({ unready: await settleAll(port, ids, until, signal) }),
    },
  };
}
