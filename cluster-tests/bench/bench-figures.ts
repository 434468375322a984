/**
 * Turns samples into figures, compares figures with targets, and prints both as tables. Pure; it measures nothing.
 * Called by bench-main.ts and the legs.
 */

/** Milliseconds unless a figure's unit says otherwise. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** @throws RangeError without samples: a step that was not measured must not read as 0. */
export function summarize(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (index: number): number => {
    const value = sorted[index];
    if (value === undefined) throw new RangeError('no samples: the step was not measured');
    return value;
  };
  return { median: at((sorted.length - 1) >> 1), min: at(0), max: at(sorted.length - 1), count: sorted.length };
}

/** The smallest sample that at least this share of all samples does not exceed. @throws RangeError without samples */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new RangeError('no samples: the step was not measured');
  return value;
}

/** Median of the last tenth over median of the first tenth: how the cost of a step grows with existing objects. */
export function growth(samples: readonly number[]): number {
  const tenth = Math.max(1, Math.floor(samples.length / 10));
  return summarize(samples.slice(-tenth)).median / summarize(samples.slice(0, tenth)).median;
}

export interface Target {
  readonly name: string;
  readonly unit: 'ms' | '%' | 'x';
  readonly product: number;
  /** Null when the target is absolute. */
  readonly bare: number | null;
  /** The product's figure may be at most this. */
  readonly limit: number;
  /** How the limit is computed: `2 x bare + 100 ms`. */
  readonly rule: string;
}

export const holds = (target: Target): boolean => target.product <= target.limit;

const digitsOf = (value: number): number => (value < 10 ? 2 : value < 100 ? 1 : 0);
const number = (value: number | null): string => (value === null ? '-' : value.toFixed(digitsOf(value)));

/** Pads the columns of the first row to their widest cell; lines have no trailing blanks. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Aligned columns, for people. */
export function targetTable(targets: readonly Target[]): string {
  const rows = targets.map((target) => [
    target.name,
    `${number(target.product)} ${target.unit}`,
    number(target.bare),
    target.bare === null ? '-' : `${(target.product / target.bare).toFixed(2)}x`,
    `${number(target.limit)} (${target.rule})`,
    holds(target) ? 'holds' : 'MISSED',
  ]);
  return aligned([['', 'product', 'bare', 'ratio', 'at most', ''], ...rows]);
}

/** Aligned figures of one leg. */
export function figureTable(figures: Readonly<Record<string, readonly number[]>>): string {
  const lines = Object.entries(figures).map(([name, samples]) => {
    const { median, min, max, count } = summarize(samples);
    return `  ${name.padEnd(24)} ${number(median).padStart(8)} ms  [${number(min)} - ${number(max)}]  n=${count}`;
  });
  return lines.join('\n');
}
