/**
 * A long-lived `ip -batch -`, `bridge -batch -` or `nft -i`: 8 to 67 us a change where a spawned program costs 1.4 to 3 ms.
 * Not a shell: requests are lists of words or statements that were validated before. Called by namespace-link.ts only.
 *
 * How an answer is told apart: the tools print nothing on success, and stdout and stderr share one pipe. So each request is
 * followed by a word the tool cannot know (`zz17`); its complaint marks the end. `ip` and `bridge` also number the
 * lines that failed, so an error always belongs to its own command; one nft request is one line, one transaction.
 * Promise: an answer that does not come is `unknown`; the process is then replaced, never reused.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { programEnv } from './program.ts';

export type Dialect = 'batch' | 'nft';

export interface CoprocessAnswer {
  /** Lines printed by commands that succeeded, in order. */
  readonly printed: readonly string[];
  /** Failed commands: index in the request and what the tool said. For nft the index is always 0. */
  readonly failures: readonly { readonly index: number; readonly text: string }[];
}

interface Pending {
  readonly marker: string;
  readonly firstLine: number;
  readonly resolve: (answer: CoprocessAnswer) => void;
  readonly reject: (error: PhotonError) => void;
  readonly timer: NodeJS.Timeout;
  readonly printed: string[];
  readonly failures: { index: number; text: string }[];
  complaint: string[];
  marked: boolean;
}

const pendingLimit = 4096;
const idleMs = 30_000;
const caretLine = /^\s*[\^~]+\s*$/;

export class Coprocess {
  readonly #what: string;
  readonly #argv: readonly string[];
  readonly #dialect: Dialect;
  #child: ChildProcessWithoutNullStreams | undefined;
  #pending: Pending[] = [];
  #linesSent = 0;
  #requests = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(what: string, argv: readonly string[], dialect: Dialect) {
    this.#what = what;
    this.#argv = argv;
    this.#dialect = dialect;
  }

  /** @param commands one line each, without line breaks. @throws unknown `coprocess_timeout`, `coprocess_died` */
  run(commands: readonly string[], timeoutMs = 10_000): Promise<CoprocessAnswer> {
    if (commands.some((command) => /[\n\r\0]/.test(command))) throw new TypeError(`line break in a command for ${this.#what}`);
    if (this.#pending.length >= pendingLimit) {
      throw new PhotonError('fault', 'kernel_exhausted', `${this.#what} has ${pendingLimit} requests waiting; try again later.`);
    }
    const child = this.#child ?? this.#start();
    clearTimeout(this.#idle);
    this.#requests += 1;
    const marker = `zz${this.#requests}`;
    const answer = new Promise<CoprocessAnswer>((resolve, reject) => {
      const timer = setTimeout(() => this.#fail('coprocess_timeout', `gave no answer within ${timeoutMs} ms`), timeoutMs);
      this.#pending.push({
        marker, firstLine: this.#linesSent + 1, resolve, reject, timer, printed: [], failures: [], complaint: [], marked: false,
      });
    });
    this.#linesSent += commands.length + 1;
    const closing = this.#dialect === 'nft' ? `@${marker}` : marker;
    child.stdin.write([...commands, closing, ''].join('\n'));
    return answer;
  }

  /** Ends the process after what it was given; resolves when it is gone. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.stdin.end();
    const hard = setTimeout(() => child.kill('SIGKILL'), 2000);
    await gone;
    clearTimeout(hard);
  }

  #start(): ChildProcessWithoutNullStreams {
    // one pipe for both streams keeps their order; stdbuf makes answers come line by line
    const child = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', 'stdbuf', '-oL', ...this.#argv], { env: programEnv, stdio: 'pipe' });
    this.#child = child;
    this.#linesSent = 0;
    createInterface({ input: child.stdout }).on('line', (line) => { if (this.#child === child) this.#take(line); });
    child.stderr.resume();
    child.stdin.on('error', (error) => { if (this.#child === child) this.#fail('coprocess_died', error.message); });
    child.on('error', (error) => { if (this.#child === child) this.#fail('coprocess_died', error.message); });
    child.on('exit', (code, signal) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (this.#pending.length > 0) this.#fail('coprocess_died', `ended with ${signal ?? code}: ${this.#pending[0]?.complaint.join(' ')}`);
    });
    return child;
  }

  #take(line: string): void {
    const head = this.#pending[0];
    if (head === undefined) return;
    const ended = this.#dialect === 'nft' ? takeNftLine(head, line) : takeBatchLine(head, line);
    if (!ended) return;
    this.#pending.shift();
    clearTimeout(head.timer);
    head.resolve({ printed: head.printed, failures: head.failures });
    if (this.#pending.length === 0) {
      this.#idle = setTimeout(() => { if (this.#pending.length === 0) this.#child?.stdin.end(); }, idleMs);
      this.#idle.unref();
    }
  }

  #fail(code: string, why: string): void {
    const child = this.#child;
    this.#child = undefined;
    child?.kill('SIGKILL');
    const lost = this.#pending;
    this.#pending = [];
    for (const pending of lost) {
      clearTimeout(pending.timer);
      pending.reject(new PhotonError('unknown', code, `${this.#what} ${why}; what it was asked may or may not have happened.`));
    }
  }
}

/** `ip` and `bridge`: JSON lines are answers, everything else is a complaint that a `Command failed -:<line>` closes. */
function takeBatchLine(head: Pending, line: string): boolean {
  const failed = /^Command failed -:(\d+)$/.exec(line);
  if (failed === null) {
    if (line.startsWith('[')) head.printed.push(line);
    else if (line.startsWith(`Object "${head.marker}" is unknown`)) head.marked = true;
    else if (line.trim() !== '') head.complaint.push(line);
    return false;
  }
  if (head.marked) return true;
  head.failures.push({ index: Number(failed[1]) - head.firstLine, text: head.complaint.join(' ') });
  head.complaint = [];
  return false;
}

/** `nft -i`: everything before the complaint about the marker belongs to the request. */
function takeNftLine(head: Pending, line: string): boolean {
  if (head.marked) return caretLine.test(line);
  if (line === `@${head.marker}`) {
    head.marked = true;
    return false;
  }
  if (line.startsWith('Error: syntax error, unexpected @')) return false;
  if (line.startsWith('Error:')) head.failures.push({ index: 0, text: line });
  else if (!caretLine.test(line)) head.printed.push(line);
  return false;
}
