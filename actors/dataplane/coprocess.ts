/**
 * A long-lived `ip -batch -`, `bridge -batch -` or `nft -i`: 8 to 67 us a change where a spawned program costs 1.4 to
 * 3 ms. Not a shell: requests are lists of words or statements that were validated before. Called by
 * namespace-link.ts only.
 *
 * How an answer is told apart: the tools print nothing on success, and stdout and stderr share one pipe. So each
 * request is followed by a word the tool cannot know (`zz17`); its complaint marks the end. `ip` and `bridge` also
 * number the lines that failed, so an error always belongs to its own command; one nft request is one line, one
 * transaction. `ip` and `bridge` remember the index behind a device's name for as long as they live: see `renew`.
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
const closeGraceMs = 2000;
const caretLine = /^\s*[\^~]+\s*$/;

export class Coprocess {
  readonly #what: string;
  readonly #argv: readonly string[];
  readonly #dialect: Dialect;
  readonly #ending = new Set<Promise<void>>();
  #session: Session | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(what: string, argv: readonly string[], dialect: Dialect) {
    this.#what = what;
    this.#argv = argv;
    this.#dialect = dialect;
  }

  /** @param commands one line each, without line breaks. @throws unknown `coprocess_timeout`, `coprocess_died` */
  async run(commands: readonly string[], timeoutMs = 10_000): Promise<CoprocessAnswer> {
    if (commands.some((command) => /[\n\r\0]/.test(command))) {
      throw new TypeError(`line break in a command for ${this.#what}`);
    }
    if (this.#session === undefined || this.#session.ended)
      this.#session = new Session(this.#what, this.#argv, this.#dialect);
    const session = this.#session;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.renew(), idleMs + timeoutMs);
    this.#idle.unref();
    return session.ask(commands, timeoutMs);
  }

  /** The next request gets a new process; what the old one was given it still answers, then it ends. */
  renew(): void {
    clearTimeout(this.#idle);
    if (this.#session === undefined) return;
    const ending = this.#session.finish();
    this.#session = undefined;
    this.#ending.add(ending);
    void ending.then(() => this.#ending.delete(ending));
  }

  /** Ends the process after what it was given; resolves when it is gone. */
  async close(): Promise<void> {
    this.renew();
    await Promise.all(this.#ending);
  }
}

/** One life of the tool. */
class Session {
  readonly #what: string;
  readonly #dialect: Dialect;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #gone: Promise<void>;
  #pending: Pending[] = [];
  #linesSent = 0;
  #requests = 0;
  ended = false;

  constructor(what: string, argv: readonly string[], dialect: Dialect) {
    this.#what = what;
    this.#dialect = dialect;
    // one pipe for both streams keeps their order; stdbuf makes answers come line by line
    const child = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', 'stdbuf', '-oL', ...argv], {
      env: programEnv,
      stdio: 'pipe',
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.#take(line));
    child.stderr.resume();
    child.stdin.on('error', (error) => this.#fail('coprocess_died', error.message));
    this.#gone = new Promise((resolve) => {
      child.on('error', (error) => {
        this.#fail('coprocess_died', error.message);
        resolve();
      });
      child.on('close', (code, signal) => {
        this.#fail('coprocess_died', `ended with ${signal ?? code}`);
        resolve();
      });
    });
  }

  ask(commands: readonly string[], timeoutMs: number): Promise<CoprocessAnswer> {
    if (this.#pending.length >= pendingLimit) {
      const why = `${this.#what} has ${pendingLimit} requests waiting; try again later.`;
      throw new PhotonError('fault', 'kernel_exhausted', why);
    }
    this.#requests += 1;
    const marker = `zz${this.#requests}`;
    const firstLine = this.#linesSent + 1;
    this.#linesSent += commands.length + 1;
    const answer = new Promise<CoprocessAnswer>((resolve, reject) => {
      const silent = (): void => this.#fail('coprocess_timeout', `gave no answer within ${timeoutMs} ms`);
      const timer = setTimeout(silent, timeoutMs);
      const pending = {
        marker,
        firstLine,
        resolve,
        reject,
        timer,
        printed: [],
        failures: [],
        complaint: [],
        marked: false,
      };
      this.#pending.push(pending);
    });
    this.#child.stdin.write([...commands, this.#dialect === 'nft' ? `@${marker}` : marker, ''].join('\n'));
    return answer;
  }

  async finish(): Promise<void> {
    this.#child.stdin.end();
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), closeGraceMs);
    await this.#gone;
    clearTimeout(hard);
  }

  #take(line: string): void {
    const [head] = this.#pending;
    if (head === undefined) return;
    const whole = this.#dialect === 'nft' ? takeNftLine(head, line) : takeBatchLine(head, line);
    if (!whole) return;
    this.#pending.shift();
    clearTimeout(head.timer);
    head.resolve({ printed: head.printed, failures: head.failures });
  }

  /** Everything that waits gets the same word; the process is not used again. */
  #fail(code: string, why: string): void {
    this.ended = true;
    this.#child.kill('SIGKILL');
    const lost = this.#pending;
    this.#pending = [];
    const said = lost[0]?.complaint.join(' ') ?? '';
    for (const pending of lost) {
      clearTimeout(pending.timer);
      const message = `${this.#what} ${why}${said === '' ? '' : ` (${said})`}; what it was asked may have happened.`;
      pending.reject(new PhotonError('unknown', code, message));
    }
  }
}

/** `ip` and `bridge`: JSON lines are answers, the rest is a complaint that a `Command failed -:<line>` closes. */
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
