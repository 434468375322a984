/**
 * What happened in a run, in two forms: the last lines of an event log, for a person who looks into a failed run, and a
 * hash over every event, which is equal for two runs of a seed. Filled by simulation.ts.
 */
import { mixText } from './seeded-random.ts';

const keptLines = 400;

export class RunTrace {
  private readonly lines: string[] = [];
  private hash: readonly [number, number] = [0x811c9dc5, 0x01000193];

  /** Adds a line to the log and to the hash. */
  note(atMs: number, who: string, what: string): void {
    const line = `${(atMs / 1000).toFixed(6).padStart(12)} ${who.padEnd(8)} ${what}`;
    this.mix(line);
    this.lines.push(line);
    if (this.lines.length > keptLines * 2) this.lines.splice(0, keptLines);
  }

  /** Adds a text to the hash alone. */
  mix(text: string): void {
    this.hash = mixText(this.hash, text);
  }

  eventLog(): readonly string[] {
    return this.lines.slice(-keptLines);
  }

  /** Sixteen hexadecimal digits. */
  hashText(): string {
    return this.hash.map((lane) => lane.toString(16).padStart(8, '0')).join('');
  }
}
