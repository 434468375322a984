/**
 * Runs one program to its end, or starts one that outlives the worker; no other file of the dataplane does
 * (coprocess.ts and service-check/prober.ts run the long-lived ones that end with the worker).
 * Arguments are an array and no shell is used. Run time, output size and the number of concurrent programs are bounded
 * (promise G11 of docs/promises.md). Called by every noun folder. Promise: a time-out or a kill is `unknown`, never
 * reported as a failure.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { errnoOf, fileError, kernelError } from './kernel-errors.ts';
import type { ErrorRule } from './kernel-errors.ts';

export interface ProgramRequest {
  readonly program: string;
  readonly args: readonly string[];
  /** For the error: `starting dnsmasq of vpc/acme/main`. */
  readonly what: string;
  readonly timeoutMs?: number;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly rules?: readonly ErrorRule[];
  /** Exit codes other than 0 that count as success. */
  readonly acceptedCodes?: readonly number[];
  readonly signal?: AbortSignal;
  /** More than this it may not print. */
  readonly outputCapBytes?: number;
  /** Descriptors of the worker that it gets as 3, 4 and so on; null: /dev/null. */
  readonly files?: readonly (number | null)[];
  /** Runs for minutes: such programs are counted apart, so that others do not wait for them. */
  readonly long?: boolean;
}

export interface ProgramResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** No descriptor, process or memory was left to start a program. */
const startErrors: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM']);
const defaultOutputCapBytes = 1 << 20;
const startedOutputBytes = 64 << 10;
const programsAtOnce = 8;
const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The whole environment of every program we run: nothing is inherited from the worker. */
export const programEnv = { PATH: searchPath, LC_ALL: 'C' } as const;

/** How many programs run at once; the others wait in the order in which they came. */
class Admission {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

const short = new Admission(programsAtOnce);
const long = new Admission(programsAtOnce);

/**
 * @throws PhotonError by the request's rules; fault `kernel_exhausted` when it cannot be started; defeat
 * `program_missing`; unknown `program_timeout`, `program_aborted`
 */
export async function runProgram(request: ProgramRequest): Promise<ProgramResult> {
  const { program, args, what, timeoutMs = 10_000 } = request;
  const result = await (request.long === true ? long : short).run(() =>
    execa(program, args, {
      reject: false,
      timeout: timeoutMs,
      forceKillAfterDelay: 1000,
      maxBuffer: request.outputCapBytes ?? defaultOutputCapBytes,
      extendEnv: false,
      stripFinalNewline: false,
      env: { ...programEnv, ...request.env },
      stdio: [
        request.input === undefined ? 'ignore' : 'pipe',
        'pipe',
        'pipe',
        // The types of execa know the descriptors 3 to 9 only.
        ...(request.files ?? []).map((file) => (file ?? 'ignore') as 3 | 'ignore'),
      ],
      ...(request.input === undefined ? {} : { input: request.input }),
      ...(request.signal === undefined ? {} : { cancelSignal: request.signal }),
    }),
  );
  const { exitCode, stdout, stderr } = result;
  if (result.timedOut)
    throw new PhotonError(
      'unknown',
      'program_timeout',
      `${what}: ${program} did not end within ${timeoutMs} ms; observe the object before the next attempt.`,
    );
  if (result.isCanceled)
    throw new PhotonError(
      'unknown',
      'program_aborted',
      `${what}: ${program} was stopped because the effect was cancelled; observe the object before the next attempt.`,
    );
  if (exitCode === undefined) {
    // It was not started at all, so nothing has happened.
    if (startErrors.has(result.code ?? ''))
      throw kernelError(what, `${result.code} starting ${program}`, request.rules);
    if (result.code === 'ENOENT') throw programMissing(what, program);
    throw new PhotonError(
      'unknown',
      'program_killed',
      `${what}: ${program} was killed by ${result.signal ?? 'an unknown cause'}; observe before the next attempt.`,
    );
  }
  if (exitCode !== 0 && !(request.acceptedCodes ?? []).includes(exitCode)) {
    throw kernelError(what, stderr || `${program} exited with ${exitCode}`, request.rules);
  }
  return { exitCode, stdout, stderr };
}

const programMissing = (what: string, program: string): PhotonError =>
  new PhotonError('defeat', 'program_missing', `${what}: there is no program ${program} on this host; install it.`);

export interface StartedProgram {
  readonly pid: number;
  /** When it ends, with what it wrote to its standard error until then, the last 64 KiB of it. */
  readonly ended: Promise<{ readonly how: string; readonly stderr: string }>;
  /** It is well: its standard error is no longer read, and it no longer keeps this process running. */
  release(): void;
}

/**
 * Starts a program in a session of its own, which goes on when the worker ends.
 * @throws defeat `program_missing`, fault `kernel_exhausted`
 */
export async function startProgram(
  request: Pick<ProgramRequest, 'program' | 'args' | 'what' | 'env'>,
): Promise<StartedProgram> {
  const { program, args, what, env } = request;
  const child = spawn(program, args, {
    detached: true,
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...programEnv, ...env },
  });
  let stderr = '';
  const ended = new Promise<{ how: string; stderr: string }>((resolve) => {
    child.once('close', (code, signal) => resolve({ how: `exited with ${signal ?? code}`, stderr }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) =>
      reject(errnoOf(error) === 'ENOENT' ? programMissing(what, program) : fileError(what, error)),
    );
  });
  // Not before: when no file descriptor is left, spawn makes no streams.
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-startedOutputBytes)));
  const { pid } = child;
  // 0 would stand for this process where a pid is written or a signal sent.
  if (pid === undefined) throw new TypeError(`${program} was started without a pid`);
  return {
    pid,
    ended,
    release() {
      child.stderr.destroy();
      child.unref();
    },
  };
}

/**
 * Follows the output of a program line by line until `seen` finds what it waits for; then it is ended.
 * @returns what was found, undefined when the program ended before
 * @throws the signal's reason; defeat `program_missing`, fault `kernel_exhausted`
 */
export async function followProgram<Found>(
  { program, args, what, signal }: Pick<ProgramRequest, 'program' | 'args' | 'what'> & { readonly signal: AbortSignal },
  seen: (line: string) => Found | undefined,
): Promise<Found | undefined> {
  signal.throwIfAborted();
  // Its output is a pipe: when this process dies, the program dies of it.
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], cwd: '/', env: programEnv });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('close', () => resolve());
    child.once('error', (error) =>
      reject(errnoOf(error) === 'ENOENT' ? programMissing(what, program) : fileError(what, error)),
    );
  });
  const end = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  let found: Found | undefined;
  try {
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on('line', (line) => {
        found ??= seen(line);
        if (found !== undefined) end();
      });
    await ended;
  } finally {
    signal.removeEventListener('abort', end);
  }
  signal.throwIfAborted();
  return found;
}
