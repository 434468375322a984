/** Sums over the runs so far: a progress line every few seconds, and the summary at the end. */
import type { RunResult } from './simulation-run.ts';

const progressEveryMs = 5_000;

export class SeedTally {
  runs = 0;
  virtualMs = 0;
  asked = 0;
  ok = 0;
  events = 0;
  longestSettleMs = 0;
  readonly faults = new Map<string, number>();
  readonly reached = new Map<string, number>();
  private readonly planned: number;
  private readonly startedMs = performance.now();
  private toldMs = performance.now();

  constructor(planned: number) {
    this.planned = planned;
  }

  add(result: RunResult): void {
    this.runs += 1;
    this.virtualMs += result.virtualMs;
    this.asked += result.asked;
    this.ok += result.ok;
    this.events += result.events;
    this.longestSettleMs = Math.max(this.longestSettleMs, result.settledAfterMs);
    for (const [kind, count] of result.faults) this.faults.set(kind, (this.faults.get(kind) ?? 0) + count);
    for (const [what, count] of result.reached) this.reached.set(what, (this.reached.get(what) ?? 0) + count);
    if (performance.now() - this.toldMs < progressEveryMs) return;
    this.toldMs = performance.now();
    console.log(this.line());
  }

  private line(): string {
    const seconds = (performance.now() - this.startedMs) / 1000;
    const faults = [...this.faults.values()].reduce((sum, count) => sum + count, 0);
    return (
      `${this.runs} of ${this.planned} runs, ${(this.runs / seconds).toFixed(2)} runs/s, ` +
      `${(this.virtualMs / 3_600_000).toFixed(2)} simulated hours ` +
      `(${(this.virtualMs / 1000 / seconds).toFixed(0)} x real time), ` +
      `${faults} faults, ${this.asked} commands, ${((100 * this.ok) / Math.max(1, this.asked)).toFixed(0)} % ok`
    );
  }

  summary(): string {
    const list = (counts: ReadonlyMap<string, number>): string =>
      [...counts]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, count]) => `  ${String(count).padStart(8)} ${name}`)
        .join('\n');
    return (
      `faults\n${list(this.faults)}\nreached\n${list(this.reached)}\n` +
      `${this.events} events; longest time to settle after healing ${(this.longestSettleMs / 1000).toFixed(1)} s\n` +
      `${this.moves()}${this.line()}`
    );
  }

  /** How many moves of VMs did what was asked for; empty for a scenario without VMs. */
  private moves(): string {
    const endedAs = (how: string): number => this.reached.get(`a move of a VM has ended as ${how}`) ?? 0;
    const [moved, back, refused] = [endedAs('moved'), endedAs('rolled-back'), endedAs('refused')];
    const all = moved + back + refused;
    if (all === 0) return '';
    const share = ((100 * moved) / all).toFixed(0);
    return `${all} moves of VMs: ${moved} moved (${share} %), ${back} rolled back, ${refused} found no host\n`;
  }
}
