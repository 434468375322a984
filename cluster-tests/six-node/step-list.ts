/**
 * Runs named steps one after the other and says how each went: a line a step as it ends, a table of all at the end.
 * After a step that failed the others are not run. It knows nothing of clusters; six-node-run.ts gives it the steps.
 */
import { aligned } from '../bench/bench-figures.ts';

export type Outcome = 'passed' | 'failed' | 'not run';

export interface Step {
  readonly name: string;
  /** @param say prints a line of progress @returns what was seen, for the table */
  readonly work: (say: (line: string) => void) => Promise<string>;
}

export interface StepResult {
  readonly name: string;
  readonly outcome: Outcome;
  /** ms. */
  readonly tookMs: number;
  /** What was seen; the reason when it did not pass. */
  readonly seen: string;
}

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const firstLine = (text: string): string => text.split('\n')[0] ?? '';

async function outcomeOf(step: Step, say: (line: string) => void): Promise<readonly [Outcome, string]> {
  try {
    return ['passed', await step.work(say)];
  } catch (error) {
    return ['failed', messageOf(error)];
  }
}

/** @param print a whole line, which begins with the time since the run began */
export async function runSteps(steps: readonly Step[], print: (line: string) => void): Promise<StepResult[]> {
  const results: StepResult[] = [];
  const startedAt = performance.now();
  const stamp = (): string => `[${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s]`;
  for (const step of steps) {
    if (results.some(({ outcome }) => outcome === 'failed')) {
      results.push({ name: step.name, outcome: 'not run', tookMs: 0, seen: '' });
      continue;
    }
    const at = performance.now();
    const [outcome, seen] = await outcomeOf(step, (line) => print(`${stamp()}          ${line}`));
    const tookMs = performance.now() - at;
    results.push({ name: step.name, outcome, tookMs, seen });
    const word = { passed: 'ok', failed: 'FAILED', 'not run': '' }[outcome];
    print(
      `${stamp()} ${seconds(tookMs).padStart(7)}  ${word}  ${step.name}${seen === '' ? '' : `: ${firstLine(seen)}`}`,
    );
    // The first line is above; what follows it is the detail of an error.
    for (const line of seen.split('\n').slice(1)) print(`                     ${line}`);
  }
  return results;
}

/** A line for each step, and how many there are of each outcome. */
export function stepTable(results: readonly StepResult[]): string {
  const rows = results.map(({ name, outcome, tookMs, seen }) => [
    outcome,
    outcome === 'not run' ? '' : seconds(tookMs),
    name,
    firstLine(seen),
  ]);
  return `${aligned([['result', 'time', 'step', 'seen'], ...rows])}\n\n${totals(results)}`;
}

/** `12 passed, 0 failed`, with what was not run where there is some. */
export function totals(results: readonly StepResult[]): string {
  const count = (outcome: Outcome): number => results.filter((one) => one.outcome === outcome).length;
  const shown: readonly Outcome[] = ['passed', 'failed', ...(count('not run') > 0 ? (['not run'] as const) : [])];
  return shown.map((outcome) => `${count(outcome)} ${outcome}`).join(', ');
}
