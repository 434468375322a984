/**
 * The process that checks backends in one namespace: started with the first check, ended when there was none for a
 * while. It runs as nobody, because it reads what guests answer (docs/threats.md#t66). Called by backend-checks.ts.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { z } from 'zod';
import { fileError } from '../kernel-errors.ts';
import { programEnv } from '../program.ts';
import type { ProbeRequest, ProbeResult } from './probe.ts';

const program = join(import.meta.dirname, 'probe-main.ts');
/** It holds a few connections and no bodies. */
const nodeFlags = ['--max-old-space-size=64', '--max-semi-space-size=1'];
/** Longer than the longest interval between two checks is not worth a process that waits. */
const idleMs = 60_000;
/** After the time-out of a check the process itself must have answered. */
const graceMs = 5_000;

type Child = ChildProcessByStdio<Writable, Readable, null>;

/** It reads what guests answer: what it says is checked like what they say. */
const resultSchema = z.object({ id: z.number(), passed: z.boolean(), detail: z.string().max(300) });

interface Waiting {
  readonly resolve: (result: ProbeResult) => void;
  readonly reject: (error: PhotonError) => void;
  readonly timer: NodeJS.Timeout;
}

/** Tells the process of a namespace from all others: a path below the host's run folder, without a file. */
export const proberMark = (runFolder: string, namespace: string): string => `${runFolder}/checks/${namespace}`;

/** Inode of the namespace that has this name now; 0 without one. */
const inodeOf = (namespace: string): number => {
  try {
    return statSync(`/run/netns/${namespace}`).ino;
  } catch {
    // It is told by whoever needs it.
    return 0;
  }
};

export class Prober {
  readonly #namespace: string;
  readonly #mark: string;
  readonly #inode: number;
  readonly #waiting = new Map<number, Waiting>();
  #child: Child | undefined;
  #idle: NodeJS.Timeout | undefined;
  #ended = false;
  #next = 1;

  constructor(namespace: string, runFolder: string) {
    this.#namespace = namespace;
    this.#mark = proberMark(runFolder, namespace);
    this.#inode = inodeOf(namespace);
  }

  /** False when another namespace has its name by now. */
  get isCurrent(): boolean {
    return this.#inode === inodeOf(this.#namespace);
  }

  /** Undefined while there is no process. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** @throws fault `prober_failed`: the process could not be started, ended or does not answer */
  probe(ask: Omit<ProbeRequest, 'id'>): Promise<ProbeResult> {
    if (this.#ended) return Promise.reject(failed(this.#namespace, 'was ended with its segment'));
    const id = this.#next++;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.close(), idleMs + ask.timeoutMs);
    this.#idle.unref();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(failed(this.#namespace, 'does not answer')), ask.timeoutMs + graceMs);
      this.#waiting.set(id, { resolve, reject, timer });
      try {
        this.#started().stdin.write(`${JSON.stringify({ ...ask, id })}\n`);
      } catch (error) {
        this.#fail(fileError(`starting the checks in ${this.#namespace}`, error));
      }
    });
  }

  #started(): Child {
    if (this.#child !== undefined) return this.#child;
    const inside = `--net=/run/netns/${this.#namespace}`;
    const child = spawn('nsenter', [inside, process.execPath, ...nodeFlags, program, this.#mark], {
      env: programEnv,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.#child = child;
    const ended = (why: string): void => {
      if (this.#child === child) this.#fail(failed(this.#namespace, why));
    };
    child.on('error', (error) => ended(`cannot be started: ${error.message}`));
    child.on('exit', () => ended('has ended'));
    child.stdin.on('error', () => ended('takes no more requests'));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const result = resultOf(line);
      if (result === null) return ended('says what is no result');
      const waiting = this.#waiting.get(result.id);
      if (waiting === undefined) return;
      this.#waiting.delete(result.id);
      clearTimeout(waiting.timer);
      waiting.resolve(result);
    });
    return child;
  }

  /** Whoever waits is told; the next check starts another process. */
  #fail(error: PhotonError): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    void this.close();
    for (const { timer, reject } of waiting) {
      clearTimeout(timer);
      reject(error);
    }
  }

  /** Resolves when the process has ended: until then its namespace lives. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGKILL');
    await gone;
  }

  /** For good: whoever waits is told. */
  async end(): Promise<void> {
    this.#ended = true;
    const closed = this.close();
    this.#fail(failed(this.#namespace, 'was ended with its segment'));
    await closed;
  }
}

function resultOf(line: string): ProbeResult | null {
  try {
    return resultSchema.parse(JSON.parse(line));
  } catch {
    // Not JSON, or not of this form.
    return null;
  }
}

/** The processes of one dataplane, one for each namespace that has checks. */
export class Probers {
  readonly #runFolder: string;
  readonly #probers = new Map<string, Prober>();

  constructor(runFolder: string) {
    this.#runFolder = runFolder;
  }

  async of(namespace: string): Promise<Prober> {
    const known = this.#probers.get(namespace);
    if (known?.isCurrent === true) return known;
    const prober = new Prober(namespace, this.#runFolder);
    this.#probers.set(namespace, prober);
    await known?.end();
    return prober;
  }

  get pids(): readonly number[] {
    return [...this.#probers.values()].flatMap(({ pid }) => pid ?? []);
  }

  async forget(namespace: string): Promise<void> {
    const prober = this.#probers.get(namespace);
    this.#probers.delete(namespace);
    await prober?.end();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#probers.keys()].map((namespace) => this.forget(namespace)));
  }
}

const failed = (namespace: string, why: string): PhotonError =>
  new PhotonError('fault', 'prober_failed', `The process that checks backends in ${namespace} ${why}.`, {
    retryable: true,
  });
