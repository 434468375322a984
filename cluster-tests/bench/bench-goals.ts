/**
 * Compares figures of a bench with its goals, as a table and as a verdict for the exit status. Pure; it measures
 * nothing. Used by the rows of the runtime and network benches, which make goals, and by bench-report.ts.
 */
import { aligned, summarize } from './bench-figures.ts';

export type GoalUnit = 'x' | 'us' | 'ms' | 's' | 'B' | 'MB/s' | '/s' | '%' | 'elements';

/** One goal. `samples` has one value per round; the median is judged unless `judged` is `largest`. */
export interface Goal {
  readonly name: string;
  readonly unit: GoalUnit;
  readonly samples: readonly number[];
  readonly judged?: 'median' | 'largest';
  readonly atLeast?: number;
  readonly atMost?: number;
  /** How the figure is computed, when the name does not say it. */
  readonly note?: string;
}

/** A figure without a goal: references, CPU, rates. */
export interface Figure {
  readonly name: string;
  readonly unit: GoalUnit;
  readonly samples: readonly number[];
}

export interface RowReport {
  readonly goals: readonly Goal[];
  readonly figures: readonly Figure[];
}

export interface Judged extends Goal {
  readonly value: number;
  readonly holds: boolean;
}

export function judge(goal: Goal): Judged {
  const { median, max } = summarize(goal.samples);
  const value = goal.judged === 'largest' ? max : median;
  const holds = value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity);
  return { ...goal, value, holds };
}

function number(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
  return value.toFixed(size < 10 ? 2 : 1);
}

/** A bound that was computed from other figures has more digits than anybody wants to read. */
const boundText = (bound: number | undefined): string =>
  bound === undefined || String(bound).length <= 5 ? String(bound) : number(bound);

const shown = (value: number, unit: GoalUnit): string => `${number(value)} ${unit}`;

const spread = (samples: readonly number[]): string => {
  const { min, max, count } = summarize(samples);
  return count === 1 ? '' : `[${number(min)} - ${number(max)}] n=${count}`;
};

export function goalTable(goals: readonly Judged[]): string {
  const rows = goals.map((goal) => {
    const bound = goal.atLeast === undefined ? `<= ${boundText(goal.atMost)}` : `>= ${boundText(goal.atLeast)}`;
    const verdict = goal.holds ? 'holds' : 'MISSED';
    return [goal.name, shown(goal.value, goal.unit), spread(goal.samples), bound, verdict, goal.note ?? ''];
  });
  return aligned([['to reach', 'measured', 'rounds', 'bound', '', ''], ...rows]);
}

export function figureLines(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { median } = summarize(figure.samples);
    return [`  ${figure.name}`, shown(median, figure.unit), spread(figure.samples)];
  });
  return aligned(rows);
}
