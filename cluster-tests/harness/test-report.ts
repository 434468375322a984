/**
 * The lines a test run prints: one aligned line a step, what a failed step said, warnings, and the last line that
 * .ci/run and people look for. Not a log; nothing reads these lines but people and the last line's pattern.
 */
export interface StepResult {
  /** types, lint, dead code, tidy, unit, kernel. */
  readonly stage: string;
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  /** What was skipped and why. */
  readonly skipped: readonly string[];
  readonly warnings: readonly string[];
  readonly elapsedMs: number;
  /** Printed when something failed. */
  readonly output: string;
}

const shownLines = 60;

export function formatStep(result: StepResult, nameWidth: number): string {
  const counts = [
    result.failed > 0 ? `${result.failed} FAILED` : '',
    result.passed > 0 ? `${result.passed} passed` : '',
    result.skipped.length > 0 ? `${result.skipped.length} skipped` : '',
  ]
    .filter((part) => part !== '')
    .join(', ');
  const seconds = (result.elapsedMs / 1000).toFixed(1).padStart(6);
  const lines = [`${result.stage.padEnd(9)} ${result.name.padEnd(nameWidth)} ${seconds} s  ${counts}`];
  for (const reason of result.skipped) lines.push(`          skipped: ${reason}`);
  for (const warning of result.warnings) lines.push(`          warning: ${warning}`);
  if (result.failed > 0) {
    const said = result.output.trimEnd().split('\n');
    if (said.length > shownLines) lines.push(`          | (${said.length - shownLines} earlier lines left out)`);
    for (const line of said.slice(-shownLines)) lines.push(`          | ${line}`);
  }
  return lines.join('\n');
}

/** `7 min 5 s`. */
export function formatDuration(elapsedMs: number): string {
  const seconds = Math.round(elapsedMs / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** The last line of every run: `N passed, N failed, N skipped`. */
export function formatTotals(results: readonly StepResult[]): string {
  const sum = (count: (result: StepResult) => number): number => results.reduce((all, one) => all + count(one), 0);
  const skipped = sum((one) => one.skipped.length);
  return `${sum((one) => one.passed)} passed, ${sum((one) => one.failed)} failed, ${skipped} skipped`;
}
