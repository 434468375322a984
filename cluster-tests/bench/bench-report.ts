/**
 * What a bench of rows prints: figures of each row as it ends, then all goals as one table and, as the last line, JSON
 * with the machine and its load. Called by runtime-bench.ts and network-bench.ts.
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { figureLines, goalTable, judge, type RowReport } from './bench-goals.ts';

export class BenchReport {
  readonly #bench: string;
  readonly #crowdedBy = loadavg()[0] ?? 0;
  readonly #reports: Record<string, RowReport> = {};
  readonly #unmeasured: Record<string, string> = {};

  /** @param whenCrowded what is wrong with the figures while others use the machine */
  constructor(bench: string, whenCrowded: string) {
    this.#bench = bench;
    if (this.#crowdedBy > 1)
      process.stderr.write(`bench: others keep ${this.#crowdedBy.toFixed(1)} processes busy here: ${whenCrowded}\n`);
  }

  add(name: string, report: RowReport): void {
    this.#reports[name] = report;
    if (report.figures.length > 0) process.stdout.write(`${name}\n${figureLines(report.figures)}\n`);
  }

  unmeasured(name: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#unmeasured[name] = why;
    process.stderr.write(`bench: ${name}: ${why}\n`);
  }

  /**
   * @param json file that gets the last line, too
   * @returns the exit status: 0 when every goal holds, 1 when one is missed, 2 when one could not be measured
   */
  print(options: object, json: string | undefined): number {
    const goals = Object.values(this.#reports).flatMap((report) => report.goals.map(judge));
    const unmeasured = Object.entries(this.#unmeasured);
    process.stdout.write(`\n${goalTable(goals)}\n`);
    for (const [name, why] of unmeasured) process.stdout.write(`${name}: not measured: ${why}\n`);
    const figures = Object.fromEntries(Object.entries(this.#reports).map(([name, report]) => [name, report.figures]));
    const [cpu] = cpus();
    const machine = {
      cpus: cpus().length,
      loadBefore: this.#crowdedBy,
      model: cpu?.model ?? '',
      node: process.version,
    };
    const text = JSON.stringify({
      bench: this.#bench,
      machine,
      options,
      goals,
      figures,
      unmeasured: this.#unmeasured,
    });
    if (json !== undefined) writeFileSync(json, `${text}\n`);
    process.stdout.write(`${text}\n`);
    if (unmeasured.length > 0) return 2;
    return goals.every((goal) => goal.holds) ? 0 : 1;
  }
}
