/**
 * What must hold of deployments: K28 of docs/promises.md. The records of the store say who manages an object at each
 * moment, and what the steps of a plan are; the histories say which step has deleted an object. Pure. Called by
 * simulation/cloud/cloud-scenario.ts.
 */
import type { HistoryEntry } from '@photoncloud/runtime/contract/journal';
import type { Violation } from './kernel-facts.ts';
import { recordsIn } from './network-promises.ts';
import type { StoreFact } from './store-facts.ts';

const checker = 'K28';

/** An object as it was last recorded. */
interface Known {
  readonly uid: string;
  readonly manager: string | null;
  /** Uid of that deployment when it began to manage the object; undefined: it did not exist. */
  readonly managerUid: string | undefined;
}

/** Who manages what, and what plans do, as far as it was recorded. */
class Managers {
  private readonly objects = new Map<string, Known>();
  private readonly deployments = new Map<string, string>();
  /** Uid of a plan -> the actions of its steps. */
  private readonly plans = new Map<string, readonly string[]>();

  knows(actor: string): Known | undefined {
    return this.objects.get(actor);
  }

  actionOf(plan: string, step: number): string | undefined {
    return this.plans.get(plan)?.[step];
  }

  /** Whether the deployment that manages the object still exists. */
  stands({ manager, managerUid }: Known): boolean {
    return manager !== null && managerUid !== undefined && this.deployments.get(manager) === managerUid;
  }

  /** @returns what is wrong with it */
  note(fact: StoreFact): readonly string[] {
    return [...recordsIn([fact])].flatMap((one) => {
      if (one === 'rolled back') {
        this.objects.clear();
        this.deployments.clear();
        return [];
      }
      const { actor, uid, isLive, context } = one;
      if (!isLive) {
        this.objects.delete(actor);
        this.deployments.delete(actor);
        return [];
      }
      if (actor.startsWith('deployment/')) this.deployments.set(actor, uid);
      if (actor.startsWith('plan/')) this.notePlan(context);
      const { managedBy } = context as { readonly managedBy?: string };
      return this.noteManager(actor, uid, managedBy ?? null);
    });
  }

  private notePlan(context: Readonly<Record<string, unknown>>): void {
    const { uid, steps } = context as { readonly uid: string; readonly steps: readonly { readonly action: string }[] };
    this.plans.set(
      uid,
      steps.map(({ action }) => action),
    );
  }

  private noteManager(actor: string, uid: string, manager: string | null): readonly string[] {
    const known = this.objects.get(actor);
    if (known?.uid === uid && known.manager === manager) return [];
    const isTaken = known?.uid === uid && this.stands(known);
    this.objects.set(actor, { uid, manager, managerUid: this.deployments.get(manager ?? '') });
    return isTaken ? [`${actor} goes from ${known.manager}, which exists, to ${manager ?? 'nobody'}`] : [];
  }
}

/** The deployment and the step of its plan that have deleted something; undefined for every other entry. */
function deletionIn({ cause, event, kind }: HistoryEntry) {
  const { type = '' } = event as { readonly type?: string };
  const [, by, plan = '', step] = /^command:(deployment\/[^:]+):\d+-([^.]+)\.(\d+)\./.exec(cause) ?? [];
  if (by === undefined || kind !== 'transition' || !type.endsWith('.delete')) return undefined;
  return { by, plan, step: Number(step) };
}

/**
 * K28: a deployment prunes only what it manages at that moment; what it replaces is managed by no other one that
 * exists; and an object passes from one deployment to another only after the first has ended: nothing is managed twice.
 */
export function checkManagedObjects(facts: readonly StoreFact[]): Violation[] {
  const managers = new Managers();
  const violations: Violation[] = [];
  /** As they were before this command of the store, which writes the record and the history of a step. */
  let before = new Map<string, { readonly known: Known | undefined; readonly stands: boolean }>();
  let run = -1;
  const look = (actor: string) => {
    const known = managers.knows(actor);
    return { known, stands: known !== undefined && managers.stands(known) };
  };
  for (const fact of facts) {
    if (fact.run !== run) [before, run] = [new Map(), fact.run];
    const { atMs } = fact;
    if (fact.fact === 'record') before.set(fact.actor, before.get(fact.actor) ?? look(fact.actor));
    violations.push(...managers.note(fact).map((what) => ({ checker, atMs, what })));
    if (fact.fact !== 'history') continue;
    const deletion = deletionIn(fact.entry);
    if (deletion === undefined) continue;
    const { by, plan, step } = deletion;
    const { known, stands } = before.get(fact.actor) ?? look(fact.actor);
    const manager = known?.manager ?? 'nobody';
    const isReplaced = managers.actionOf(plan, step) === 'replace' && !stands;
    if (manager !== by && !isReplaced)
      violations.push({ checker, atMs, what: `${by} deletes ${fact.actor}, which ${manager} manages` });
  }
  return violations;
}
