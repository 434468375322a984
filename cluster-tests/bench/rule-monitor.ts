/**
 * Notes when the kernel of a host tells that rules of a chain have been committed, as `nft monitor` prints it: the
 * moment from which packets meet them, without a program that has to start first. Used by network-rows.ts.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

/** Until a monitor that has started listens; it does not say when. */
const listensAfterMs = 500;
const lateMs = 10_000;

export class RuleMonitor {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #where: string;
  readonly #committed = new Map<string, number>();
  readonly #waiting = new Map<string, (atMs: number) => void>();

  private constructor(where: string, argv: readonly string[], chain: string) {
    this.#where = where;
    const [program = '', ...rest] = argv;
    this.#child = spawn(program, rest);
    const added = `add rule inet sg ${chain} `;
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      if (!line.startsWith(added)) return;
      const rule = line
        .slice(added.length)
        .replace(/ # handle \d+$/, '')
        .trim();
      const atMs = performance.now();
      this.#committed.set(rule, atMs);
      this.#waiting.get(rule)?.(atMs);
    });
    this.#child.stderr.resume();
  }

  /** @param inside runs a program in the namespace */
  static async open(where: string, inside: readonly string[], chain: string): Promise<RuleMonitor> {
    // Without stdbuf nft keeps its lines until it has many.
    const monitor = new RuleMonitor(where, [...inside, 'stdbuf', '-oL', 'nft', '-n', 'monitor', 'rules'], chain);
    await pause(listensAfterMs);
    if (monitor.#child.exitCode !== null) throw new Error(`nft monitor ended on ${where}`);
    return monitor;
  }

  /** When the rule was committed, ms of `performance.now()`. @throws Error when it does not come */
  async committedAt(rule: string): Promise<number> {
    const known = this.#committed.get(rule);
    if (known !== undefined) return known;
    return await new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`${this.#where} did not commit "${rule}" within ${lateMs} ms`));
      const timer = setTimeout(late, lateMs);
      this.#waiting.set(rule, (atMs) => (clearTimeout(timer), resolve(atMs)));
    });
  }

  /** nft itself ends with its node: what enters a node's process namespace is the child of nsenter. */
  close(): void {
    this.#child.kill();
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }
}
