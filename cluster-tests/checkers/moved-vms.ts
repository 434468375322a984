/**
 * What must hold of VMs that move between hosts: K25 of docs/promises.md, in every record that is ever committed, and
 * for the settled cloud that nothing is left of a migration. That never two runs of a VM run is K1, which an observer
 * of the hosts judges. Pure. Called by simulation/cloud/cloud-scenario.ts and settled-cloud.ts.
 */
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import type { Violation } from './kernel-facts.ts';
import { recordsIn } from './network-promises.ts';
import type { StoreFact } from './store-facts.ts';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

interface Known {
  readonly uid: string;
  readonly runEpoch: number;
  readonly host: unknown;
}

/** K25: the run epoch of a VM only rises, and its run changes the host only with a later one. */
export function checkRunEpochs(facts: readonly StoreFact[]): Violation[] {
  const vms = new Map<string, Known>();
  const violations: Violation[] = [];
  for (const one of recordsIn(facts)) {
    if (one === 'rolled back') vms.clear();
    else if (one.actor.startsWith('vm/') && one.isLive) {
      const { atMs, actor, uid, context } = one;
      const runEpoch = Number(context['runEpoch']);
      const host = fields(context['host'])['name'];
      const before = vms.get(actor);
      const broken = (what: string): void => void violations.push({ checker: 'K25', atMs, what: `${actor} ${what}` });
      if (before?.uid === uid) {
        if (runEpoch < before.runEpoch) broken(`went from run ${before.runEpoch} back to run ${runEpoch}`);
        const hasMoved = before.host !== undefined && host !== undefined && host !== before.host;
        if (hasMoved && runEpoch <= before.runEpoch)
          broken(`went from ${String(before.host)} to ${String(host)} in run ${runEpoch}`);
      }
      vms.set(actor, { uid, runEpoch, host });
    }
  }
  return violations;
}

/** Of a settled cloud: second places of ports and volumes that no migration has a use for any more. */
export function leftOfMoves(live: ReadonlyMap<string, StoredActor>): readonly string[] {
  const moves = (vm: string): boolean => live.has(vm.replace(/^vm\//, 'migration/'));
  return [...live.values()].flatMap(({ id, context }) => {
    const { holder, standby } = fields(context);
    const isSecond = id.startsWith('volume/') || id.startsWith('port/');
    if (!isSecond || standby === null || standby === undefined) return [];
    // The port of no VM was prepared by an operator.
    if (typeof holder !== 'string') return id.startsWith('volume/') ? [`${id} of no VM has a second place`] : [];
    return moves(holder) ? [] : [`${id} has a second place, and ${holder} does not move`];
  });
}
