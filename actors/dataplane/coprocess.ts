/**
 * A long-lived `ip -batch -`, `bridge -batch -` or `nft -i`. One change costs 8 to 67 us; starting a program for it
 * costs 1.4 to 3 ms. No shell is involved: requests are commands or statements that the caller has validated.
 * Called by namespace-link.ts only.
 *
 * How the end of an answer is found: the tools print nothing on success, and stdout and stderr share one pipe. So each
 * request is followed by a word that the tool does not know (`zz17`); the tool's error message about this word marks
 * the end. `ip` and `bridge` also print the number of the line that failed, so every error is assigned to its own
 * command. One nft request is one line and one transaction. `ip` and `bridge` cache the interface index of a device
 * name for the life of the process: see `renew`.
 * Promise: a missing answer is `unknown`; the process is then replaced and never used again. A process that cannot be
 * started is a fault.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { fileError } from './kernel-errors.ts';
import { programEnv } from './program.ts';

export type Dialect = 'batch' | 'nft';

interface Failed {
  readonly index: number;
  readonly text: string;
  readonly column?: number;
}

export interface CoprocessAnswer {
  /** Lines printed by commands that succeeded, in order. */
  readonly printed: readonly string[];
  /**
   * Failed commands: index in the request and the tool's message. For nft, whose request is one line, the index is
   * always 0, and the column says where in the line.
   */
  readonly failures: readonly Failed[];
}

interface Pending {
  readonly marker: string;
  readonly firstLine: number;
  readonly resolve: (answer: CoprocessAnswer) => void;
  readonly reject: (error: PhotonError) => void;
  readonly timer: NodeJS.Timeout;
  readonly printed: string[];
  readonly failures: Failed[];
  message: string[];
  markerSeen: boolean;
}

const pendingLimit = 4096;
const idleMs = 30_000;
/** `nft -i` keeps what it was told and looks through all of it at each line, so another one starts after so many. */
const nftRequests = 500;
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

  /**
   * @param commands one line each, without line breaks
   * @throws unknown `coprocess_timeout`, `coprocess_died`; fault `kernel_exhausted` when the tool cannot be started
   */
  async run(commands: readonly string[], timeoutMs = 10_000): Promise<CoprocessAnswer> {
    if (commands.some((command) => /[\n\r\0]/.test(command))) {
      throw new TypeError(`line break in a command for ${this.#what}`);
    }
    // A worn process ends when it has answered: beside it, another one would overtake what still waits there.
    while (this.#session?.isWorn === true && this.#session.isBusy) await this.#session.answered();
    return this.#running(timeoutMs).ask(commands, timeoutMs);
  }

  /** Before the first request, which then need not wait for it. */
  start(): void {
    this.#running(0);
  }

  #running(timeoutMs: number): Session {
    if (this.#session?.isWorn === true) this.renew();
    if (this.#session === undefined || this.#session.ended)
      this.#session = new Session(this.#what, this.#argv, this.#dialect);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.renew(), idleMs + timeoutMs);
    this.#idle.unref();
    return this.#session;
  }

  /** Of the process that answered the last request; undefined when none runs. */
  get pid(): number | undefined {
    return this.#session?.ended === false ? this.#session.pid : undefined;
  }

  /** The next request starts a new process; the old one answers the requests it already has, then ends. */
  renew(): void {
    clearTimeout(this.#idle);
    if (this.#session === undefined) return;
    const ending = this.#session.finish();
    this.#session = undefined;
    this.#ending.add(ending);
    void ending.then(() => this.#ending.delete(ending));
  }

  /** Ends the process after the requests it already has; resolves when it has ended. */
  async close(): Promise<void> {
    this.renew();
    await Promise.all(this.#ending);
  }
}

const hasStreams = (child: Partial<ChildProcessWithoutNullStreams>): boolean => child.stdin !== undefined;

/** One process of the tool. */
class Session {
  readonly #what: string;
  readonly #dialect: Dialect;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #gone: Promise<void>;
  #pending: Pending[] = [];
  #waiting: (() => void)[] = [];
  #linesSent = 0;
  #requests = 0;
  ended = false;

  constructor(what: string, argv: readonly string[], dialect: Dialect) {
    this.#what = what;
    this.#dialect = dialect;
    // One pipe for both streams keeps their order; stdbuf makes the tool flush after every line.
    const child = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', 'stdbuf', '-oL', ...argv], {
      env: programEnv,
      stdio: 'pipe',
    });
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.on('error', (error) => {
        if (child.pid === undefined) this.#failAll(fileError(`starting ${what}`, error));
        else this.#fail('coprocess_died', error.message);
        resolve();
      });
      child.on('close', (code, signal) => {
        this.#fail('coprocess_died', `ended with ${signal ?? code}`);
        resolve();
      });
    });
    // When no file descriptor is left, spawn makes no streams, and the error event follows.
    if (!hasStreams(child)) return;
    createInterface({ input: child.stdout }).on('line', (line) => this.#readLine(line));
    child.stderr.resume();
    child.stdin.on('error', (error) => this.#fail('coprocess_died', error.message));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get isWorn(): boolean {
    return this.#dialect === 'nft' && this.#requests >= nftRequests && !this.ended;
  }

  get isBusy(): boolean {
    return this.#pending.length > 0;
  }

  /** Resolves when no request waits any more. */
  answered(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
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
        message: [],
        markerSeen: false,
      };
      this.#pending.push(pending);
    });
    if (hasStreams(this.#child))
      this.#child.stdin.write([...commands, this.#dialect === 'nft' ? `@${marker}` : marker, ''].join('\n'));
    return answer;
  }

  async finish(): Promise<void> {
    if (hasStreams(this.#child)) this.#child.stdin.end();
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), closeGraceMs);
    await this.#gone;
    clearTimeout(hard);
  }

  #readLine(line: string): void {
    const [head] = this.#pending;
    if (head === undefined) return;
    const whole = this.#dialect === 'nft' ? readNftLine(head, line) : readBatchLine(head, line);
    if (!whole) return;
    this.#pending.shift();
    clearTimeout(head.timer);
    head.resolve({ printed: head.printed, failures: head.failures });
    if (!this.isBusy) this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #fail(code: string, why: string): void {
    const printed = this.#pending[0]?.message.join(' ') ?? '';
    const message = `${this.#what} ${why}${printed === '' ? '' : ` (${printed})`}; the change may have been made.`;
    this.#failAll(new PhotonError('unknown', code, message));
  }

  /** Rejects every waiting request with the same error; the process is not used again. */
  #failAll(error: PhotonError): void {
    this.ended = true;
    this.#child.kill('SIGKILL');
    const lost = this.#pending;
    this.#pending = [];
    for (const pending of lost) {
      clearTimeout(pending.timer);
      pending.reject(error);
    }
    this.#wake();
  }
}

/**
 * `ip` and `bridge`: a JSON line is an answer; other lines are an error message, ended by `Command failed -:<line>`.
 */
function readBatchLine(head: Pending, line: string): boolean {
  const failed = /^Command failed -:(\d+)$/.exec(line);
  if (failed === null) {
    if (line.startsWith('[')) head.printed.push(line);
    else if (line.startsWith(`Object "${head.marker}" is unknown`)) head.markerSeen = true;
    else if (line.trim() !== '') head.message.push(line);
    return false;
  }
  if (head.markerSeen) return true;
  head.failures.push({ index: Number(failed[1]) - head.firstLine, text: head.message.join(' ') });
  head.message = [];
  return false;
}

/** `nft -i`: every line before the error message about the marker belongs to the request. */
function readNftLine(head: Pending, line: string): boolean {
  if (head.markerSeen) return caretLine.test(line);
  if (line === `@${head.marker}`) {
    head.markerSeen = true;
    return false;
  }
  if (line.startsWith('Error: syntax error, unexpected @')) return false;
  if (line.startsWith('Error:')) head.failures.push({ index: 0, text: line });
  else if (!caretLine.test(line)) head.printed.push(line);
  else markColumn(head, line);
  return false;
}

/** The line below an error and its statement points at the place: `   ^^^^^`. */
function markColumn({ failures }: Pending, line: string): void {
  const last = failures.at(-1);
  if (last !== undefined && last.column === undefined)
    failures[failures.length - 1] = { ...last, column: line.search(/[\^~]/) };
}
