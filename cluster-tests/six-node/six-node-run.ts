/**
 * Runs the steps of a verb of `npm run cluster` and leaves a record of the run: a table on the terminal, report.json
 * beside it, and, when a step failed, the logs of all programs. Records are in .cache/cluster-runs; the newest twenty
 * are kept.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { checkout } from '../cluster/photon-commands.ts';
import { readRecord } from '../cluster/topology-record.ts';
import { runSteps, seconds, stepTable, type Step } from './step-list.ts';

const runsFolder = join(checkout, '.cache/cluster-runs');
const keptRuns = 20;

export class RunRecord {
  readonly #verb: string;
  readonly #folder: string;
  readonly #startedAt = new Date();
  readonly #load = loadavg()[0] ?? 0;
  #cluster: string | null = null;

  constructor(verb: string) {
    mkdirSync(runsFolder, { recursive: true });
    const stamp = this.#startedAt.toISOString().replaceAll(/[-:]|\.\d+/g, '');
    this.#verb = verb;
    this.#folder = join(runsFolder, `${stamp}-${verb}-${process.pid}`);
    mkdirSync(this.#folder);
    // Names begin with the time.
    const older = readdirSync(runsFolder).sort().slice(0, -keptRuns);
    for (const name of older) rmSync(join(runsFolder, name), { recursive: true, force: true });
  }

  /** The cluster that the run is about. */
  of(prefix: string): void {
    this.#cluster = prefix;
  }

  /** Copies the logs of every program of the cluster, before it is removed. */
  keepLogs(prefix: string): void {
    for (const { name, folder } of readRecord(prefix)?.nodes ?? []) {
      const log = join(folder, 'log');
      if (existsSync(log)) cpSync(log, join(this.#logs, name), { recursive: true });
    }
  }

  get #logs(): string {
    return join(this.#folder, 'logs');
  }

  /** Runs the steps and prints how they went. @returns whether all were run and none failed */
  async run(steps: readonly Step[], print: (line: string) => void): Promise<boolean> {
    const at = performance.now();
    const results = await runSteps(steps, print);
    const tookMs = performance.now() - at;
    const passed = results.every(({ outcome }) => outcome === 'passed');
    if (!passed && this.#cluster !== null) this.keepLogs(this.#cluster);
    const logs = existsSync(this.#logs) ? this.#logs : null;
    const report = join(this.#folder, 'report.json');
    const summary = {
      verb: this.#verb,
      cluster: this.#cluster,
      startedAt: this.#startedAt.toISOString(),
      tookMs: Math.round(tookMs),
      passed,
      machine: { cpus: availableParallelism(), loadAtStart: this.#load },
      steps: results.map((one) => ({ ...one, tookMs: Math.round(one.tookMs) })),
      logs,
    };
    writeFileSync(report, `${JSON.stringify(summary, null, 2)}\n`);
    print(`\n${stepTable(results)}`);
    print(`${this.#verb} ${passed ? 'passed' : 'FAILED'} in ${seconds(tookMs)}`);
    print(`report  ${report}`);
    if (logs !== null) print(`logs    ${logs}`);
    return passed;
  }
}
