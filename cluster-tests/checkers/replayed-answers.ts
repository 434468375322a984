/**
 * K5 as clients see it: a command that was answered `ok` is answered the same for ever, however often its key is sent
 * again. The door may refuse before the receipt is looked at (what the command names is gone); that is no answer.
 * A pure function of the answers clients have got.
 */
import type { Violation } from './kernel-facts.ts';

export interface ClientAnswer {
  readonly atMs: number;
  readonly tenant: string;
  readonly method: string;
  readonly name: string;
  readonly key: string;
  readonly outcome: 'ok' | 'rejected' | 'unknown';
  /** The result, or the error's code. */
  readonly said: unknown;
}

const doorRefusals = new Set<unknown>(['reference_not_found', 'overloaded']);

export function checkReplayedAnswers(answers: readonly ClientAnswer[]): Violation[] {
  const first = new Map<string, string>();
  return answers.flatMap((answer) => {
    const { atMs, tenant, method, name, key, outcome, said } = answer;
    const asked = `${method} ${tenant}/${name} (${key})`;
    const before = first.get(asked);
    const text = JSON.stringify(said);
    if (before === undefined) {
      if (outcome === 'ok') first.set(asked, text);
      return [];
    }
    if (outcome === 'unknown' || doorRefusals.has(said) || before === text) return [];
    return [{ checker: 'K5', atMs, what: `${asked} was answered ${before}, then ${text}` }];
  });
}
