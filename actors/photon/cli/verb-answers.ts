/**
 * What the verbs of operators answer, as sentences: what is so now, and the command that comes next. Pure; the answers
 * are those of runtime/hosting/operator-verbs.ts and reset-plan.ts. Called by operator-commands.ts.
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

export interface Told {
  readonly text: string;
  /** What was asked for did not come about, though the verb was carried out. */
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

export function verbText(verb: Verb, { id, version, result }: VerbAnswer, dryRun: boolean): Told {
  switch (verb) {
    case 'pause':
      return told(pauseText(id, (result as { held: string }).held));
    case 'resume': {
      const { held } = result as { held: string | null };
      return told(held === null ? `${id} was not held; nothing has changed` : `${id} goes on; it was ${held}`);
    }
    case 'skip': {
      const { skipped } = result as { skipped: readonly string[] };
      if (skipped.length === 0) {
        return told(
          `nothing was dropped: ${id} is not quarantined; name deadLetters with --dead-letter, or all with --all`,
        );
      }
      return told(`${deadLetterCount(skipped.length)} of ${id} dropped: ${skipped.join(', ')}`);
    }
    case 'redrive':
      return redriveText(id, result as { redriven: readonly string[]; left: number; quarantined?: string });
    case 'reset':
      return told(planText(id, version, result as Plan, dryRun));
  }
}

const told = (text: string): Told => ({ text, failed: false });

const pauseText = (id: string, held: string): string =>
  held === 'paused'
    ? `${id} is paused: it takes no inputs and its effects rest\n  next: ${nextStep(id, held)}`
    : `${id} is ${held} already, which holds it as well\n  next: ${nextStep(id, held)}`;

function redriveText(
  id: string,
  { redriven, left, quarantined }: { redriven: readonly string[]; left: number; quarantined?: string },
): Told {
  if (redriven.length === 0 && left === 0 && quarantined === undefined) {
    return told(`${id} has no dead letter to deliver; nothing has changed`);
  }
  const lines = [`${deadLetterCount(redriven.length)} of ${id} delivered again, ${left} left`];
  if (quarantined !== undefined) lines.push(`  it is held: ${quarantined}`);
  return { text: lines.join('\n'), failed: quarantined !== undefined };
}

/** Only what does change, a line each. */
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
  const way = `${stateText(plan.from)} -> ${stateText(plan.to)}`;
  const head = dryRun
    ? `${id} would go from version ${version}: ${way}`
    : `${id} was reset: ${way}, version ${version}`;
  const end = dryRun ? ['nothing was changed; the same without --dry-run does it'] : [];
  return [head, ...lines, ...end].join('\n');
}
