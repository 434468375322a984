/** Numbers of a plan's steps by what they do. */
import type { PlanCounts, PlanStep } from './plan-protocol.ts';

export function countsOf(steps: readonly PlanStep[]): PlanCounts {
  const of = (...actions: readonly PlanStep['action'][]): number =>
    steps.filter(({ action }) => actions.includes(action)).length;
  return {
    create: of('create'),
    update: of('update', 'next start'),
    replace: of('replace'),
    delete: of('delete'),
    adopt: of('adopt'),
    noOp: of('no-op'),
    blocked: of('blocked'),
    inUse: steps.filter(({ inUse }) => inUse).length,
  };
}
