/**
 * The answers to the operator verbs as text: the result, and the next command to run. Pure; the answers come from
 * runtime/hosting/operator-verbs.ts and reset-plan.ts. Called by operator-commands.ts.
 */
import { askedText } from '@photoncloud/runtime/inspector/asked-text';
import { stateText } from './describe-actor.ts';
import { nextStep } from './held-actors.ts';

export type Verb = 'pause' | 'resume' | 'skip' | 'redrive' | 'reset';

export interface VerbAnswer {
  readonly id: string;
  readonly version: number;
  readonly result: unknown;
}

export interface VerbText {
  readonly text: string;
  /** The verb was carried out, but did not reach its aim: the exit code means failure. */
  readonly failed: boolean;
}

interface Plan {
  readonly from: unknown;
  readonly to: unknown;
  readonly removes: boolean;
  readonly effectsStarted: readonly string[];
  readonly effectsCancelled: readonly string[];
  readonly timersSet: readonly string[];
  readonly timersCancelled: readonly string[];
  readonly messages: readonly { readonly to: string; readonly type: string }[];
  readonly rows: readonly string[];
  readonly changed: readonly string[];
}

const deadLetterCount = (count: number): string => `${count} dead letter${count === 1 ? '' : 's'}`;

export function verbText(verb: Verb, { id, version, result }: VerbAnswer, dryRun: boolean): VerbText {
  switch (verb) {
    case 'pause':
      return succeeded(pauseText(id, (result as { held: string }).held));
    case 'resume': {
      const { held } = result as { held: string | null };
      return succeeded(held === null ? `${id} was not held; nothing has changed` : `${id} resumed; it was ${held}`);
    }
    case 'skip': {
      const { skipped } = result as { skipped: readonly string[] };
      if (skipped.length === 0) {
        return succeeded(
          `nothing was dropped: ${id} is not quarantined; name dead letters with --dead-letter, or all with --all`,
        );
      }
      return succeeded(`${deadLetterCount(skipped.length)} of ${id} dropped: ${skipped.join(', ')}`);
    }
    case 'redrive':
      return redriveText(id, result as { redriven: readonly string[]; left: number; quarantined?: string });
    case 'reset':
      return succeeded(planText(id, version, result as Plan, dryRun));
  }
}

const succeeded = (text: string): VerbText => ({ text, failed: false });

const pauseText = (id: string, held: string): string =>
  held === 'paused'
    ? `${id} is paused: it processes no messages, and its effects are cancelled\n  next: ${nextStep(id, held)}`
    : `${id} is already ${held}, so it processes no messages anyway\n  next: ${nextStep(id, held)}`;

function redriveText(
  id: string,
  { redriven, left, quarantined }: { redriven: readonly string[]; left: number; quarantined?: string },
): VerbText {
  if (redriven.length === 0 && left === 0 && quarantined === undefined) {
    return succeeded(`${id} has no dead letter to deliver; nothing has changed`);
  }
  const lines = [`${deadLetterCount(redriven.length)} of ${id} delivered again, ${left} left`];
  if (quarantined !== undefined) lines.push(`  the actor is quarantined: ${quarantined}`);
  return { text: lines.join('\n'), failed: quarantined !== undefined };
}

/** One line per kind of change; kinds without changes are left out. */
function planText(id: string, version: number, plan: Plan, dryRun: boolean): string {
  const lines: string[] = [];
  const line = (what: string, items: readonly string[]): void => {
    if (items.length > 0) lines.push(`  ${what.padEnd(16)}  ${items.join(', ')}`);
  };
  const timers = (ids: readonly string[]): readonly string[] =>
    ids.map((timer) => askedText(`timer:${timer}`).slice(6));
  line('starts effects', plan.effectsStarted);
  line('cancels effects', plan.effectsCancelled);
  line('sets timers', timers(plan.timersSet));
  line('cancels timers', timers(plan.timersCancelled));
  line(
    'sends',
    plan.messages.map(({ to, type }) => `${type} to ${to}`),
  );
  line('writes rows', plan.rows);
  line('changes fields', plan.changed);
  if (plan.removes) lines.push('  removes the actor');
  const step = `${stateText(plan.from)} -> ${stateText(plan.to)}`;
  const head = dryRun
    ? `${id} would be reset from version ${version}: ${step}`
    : `${id} was reset: ${step}, version ${version}`;
  const end = dryRun ? ['nothing was changed; run the command without --dry-run to apply this'] : [];
  return [head, ...lines, ...end].join('\n');
}
