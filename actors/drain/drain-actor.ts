/** The kind `drain`: the VMs of a host move to others. Its host starts it. */
import { drainMachine, type DrainContext } from '@photoncloud/machines/drain/drain-machine';
import { drainKind } from '@photoncloud/machines/drain/drain-protocol';
import { defineActor } from '../kind/kind-definition.ts';

/** The first of those that stay. */
function whyNot({ waiting: [first, ...others] }: DrainContext): string | null {
  if (first === undefined) return null;
  return others.length === 0 ? first.message : `${first.message} (and ${others.length} more VMs stay)`;
}

export const drainDefinition = defineActor(drainKind, {
  chartVersion: 1,
  machine: drainMachine,
  spec: ({ host, limits }: DrainContext) => ({ host, limits }),
  status: ({ since, moved, left, moving, pending, waiting }: DrainContext) => ({
    since,
    moved: moved + left.length,
    moving,
    pending,
    waiting,
  }),
  reason: whyNot,
  ignored: ['drain.start', 'drain.cancel', 'occupants', 'vm.evacuation'],
});
