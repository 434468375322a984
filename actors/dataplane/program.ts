/**
 * Runs one program to its end: the only place of the dataplane that does (long-lived ones live in coprocess.ts).
 * Argument arrays only, never a shell; a time-out, an output cap and a limit of programs at once (G11).
 * Called by every noun folder. Promise: time-outs and kills are `unknown`, never reported as a failure.
 */
import { execa } from 'execa';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { kernelError } from './kernel-errors.ts';
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
  /** Exit codes that are no failure; 0 always is none. */
  readonly acceptedCodes?: readonly number[];
  readonly signal?: AbortSignal;
}

export interface ProgramResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const outputCapBytes = 1 << 20;
const programsAtOnce = 8;
const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What every program of ours sees: nothing of the worker's own environment. */
export const programEnv = { PATH: searchPath, LC_ALL: 'C' } as const;

let running = 0;
const waiting: (() => void)[] = [];

async function admitted<Result>(work: () => Promise<Result>): Promise<Result> {
  if (running >= programsAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
  else running += 1;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

/**
 * @throws PhotonError by the request's rules; defeat `program_missing`; unknown `program_timeout`, `program_aborted`
 */
export async function runProgram(request: ProgramRequest): Promise<ProgramResult> {
  const { program, args, what, timeoutMs = 10_000 } = request;
  const result = await admitted(() =>
    execa(program, args, {
      reject: false,
      timeout: timeoutMs,
      forceKillAfterDelay: 1000,
      maxBuffer: outputCapBytes,
      extendEnv: false,
      stripFinalNewline: false,
      env: { ...programEnv, ...request.env },
      ...(request.input === undefined ? { stdin: 'ignore' as const } : { input: request.input }),
      ...(request.signal === undefined ? {} : { cancelSignal: request.signal }),
    }),
  );
  const { exitCode, stdout, stderr } = result;
  if (result.timedOut)
    throw new PhotonError(
      'unknown',
      'program_timeout',
      `${what}: ${program} gave no answer within ${timeoutMs} ms; observe first.`,
    );
  if (result.isCanceled)
    throw new PhotonError(
      'unknown',
      'program_aborted',
      `${what}: ${program} was cut off because the effect ended; observe first.`,
    );
  if (exitCode === undefined) {
    if (result.code === 'ENOENT') {
      throw new PhotonError(
        'defeat',
        'program_missing',
        `${what}: there is no program ${program} on this host; install it.`,
      );
    }
    throw new PhotonError(
      'unknown',
      'program_killed',
      `${what}: ${program} ended by ${result.signal ?? 'an unknown cause'}; observe first.`,
    );
  }
  if (exitCode !== 0 && !(request.acceptedCodes ?? []).includes(exitCode)) {
    throw kernelError(what, stderr || `${program} exited with ${exitCode}`, request.rules);
  }
  return { exitCode, stdout, stderr };
}
