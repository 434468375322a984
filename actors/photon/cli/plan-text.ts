/** Plans and drift as text that reads like a diff. What is as declared is counted and not listed. */
import type { Loss } from '@photoncloud/machines/deployment/deployment-protocol';
import type { PlanCounts, PlanStep } from '@photoncloud/machines/plan/plan-protocol';
import { changeLines } from './change-text.ts';

export interface ShownStep extends PlanStep {
  readonly outcome: { readonly result: 'done' | 'refused' | 'moved'; readonly reason: string | null } | null;
}

const namedKept = 5;

const signs: Readonly<Record<PlanStep['action'], string>> = {
  create: '+',
  update: '~',
  'next start': '~',
  adopt: '~',
  replace: '!',
  delete: '-',
  blocked: 'x',
  'no-op': '=',
};

function saidOf({ action, reason, inUse }: Pick<PlanStep, 'action' | 'reason'> & { readonly inUse?: boolean }): string {
  const used = inUse === true ? ', and it is in use' : '';
  if (action === 'blocked') return `blocked: it ${reason ?? 'cannot be made as declared'}`;
  if (action === 'replace') return `replace: ${reason ?? ''}${used}`;
  if (action === 'adopt') return 'adopt';
  if (action === 'next start') return 'update, at its next start';
  return `${action}${used}`;
}

/** A step and its changed fields. */
export function stepText(
  step: Pick<PlanStep, 'id' | 'action' | 'changes' | 'reason'> & Partial<Pick<PlanStep, 'movedFrom' | 'inUse'>>,
): string {
  const { id, action, movedFrom = null } = step;
  const from = movedFrom === null ? '' : `  moved from ${movedFrom}`;
  return [`${signs[action]} ${id}  ${saidOf(step)}${from}`, ...changeLines(step.changes)].join('\n');
}

export function countsLine({ create, update, adopt, replace, delete: gone, noOp, blocked }: PlanCounts): string {
  const parts: readonly (readonly [number, string])[] = [
    [create, 'to create'],
    [update, 'to change'],
    [adopt, 'to adopt'],
    [replace, 'to replace'],
    [gone, 'to delete'],
    [blocked, 'blocked'],
    [noOp, 'as declared'],
  ];
  const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return said.length === 0 ? 'nothing is declared' : said.join(', ');
}

/** What is managed, would be deleted with `--prune`, and is said so that nobody takes it for deleted. */
export function keptLines(kept: readonly string[]): readonly string[] {
  if (kept.length === 0) return [];
  const named = kept.slice(0, namedKept).join(', ');
  const more = kept.length > namedKept ? ` and ${kept.length - namedKept} more` : '';
  return [`not declared any more, and kept without --prune: ${named}${more}`];
}

/** A rename is one line: the deletion of the old object is said beside the new one. */
export function planLines(steps: readonly ShownStep[]): readonly string[] {
  const moved = new Set(steps.map(({ movedFrom }) => movedFrom));
  return steps
    .filter(({ action, id }) => action !== 'no-op' && !(action === 'delete' && moved.has(id)))
    .map((step) => stepText(step));
}

/** What a host has lost of an object, and when it had it again. */
export function lossText({ id, what, since, isOver }: Loss): string {
  const at = new Date(since).toISOString();
  return isOver ? `= ${id}  ${what}  (${at})` : `! ${id}  ${what} Its host makes it again.  (since ${at})`;
}

/** What became of a step, for the progress of an apply. */
export function outcomeText({ id, action, outcome }: ShownStep): string {
  const past = { create: 'created', delete: 'deleted', replace: 'replaced', adopt: 'adopted' } as const;
  const said = outcome?.result === 'done' ? (past[action as keyof typeof past] ?? 'updated') : (outcome?.result ?? '');
  const why = outcome?.reason === null || outcome?.reason === undefined ? '' : `  ${outcome.reason}`;
  return `${said.padEnd(9)}  ${id}${why}`;
}
