/**
 * A real redis-server child process for tests: its own temporary folder, a listen port from the kernel, appendfsync
 * always. It is the host's Redis, or the program in PHOTON_STORE_SERVER (npm test sets Valkey for files that ask for
 * it). Also the clock and the log that tests pass in. Stores of several servers: redis-topologies-for-tests.ts. Never
 * used outside of tests.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { SharedClock } from '../contract/clock.ts';
import type { Log } from '../contract/log.ts';
import { patienceMs } from '../contract/patience-for-tests.ts';

const startTimeoutMs = 10_000;
const pollMs = 10;
const lowestDrawn = 10_240;
const lowestOutgoing = 32_768;

export const processClock: SharedClock = {
  wallMs: () => Date.now(),
  sharedMs: () => Date.now(),
  sharedAtMostMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

export interface RecordedLog extends Log {
  readonly lines: string[];
}

/** Keeps log lines for a test to search; prints nothing. */
export function recordedLog(lines: string[] = []): RecordedLog {
  const note = (level: string) => (fields: Readonly<Record<string, unknown>>, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  };
  return {
    lines,
    debug: note('debug'),
    info: note('info'),
    warn: note('warn'),
    error: note('error'),
    child: () => recordedLog(lines),
  };
}

/** @throws Error naming what was awaited */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  timeoutMs = patienceMs(),
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/**
 * A listen port that nobody has. It is drawn below the range from which kernels take the ports of outgoing connections:
 * those of other tests would take it between this answer and its use, and while its server is killed and started again.
 */
export async function freeListenPort(): Promise<number> {
  const listenPort = lowestDrawn + Math.floor(Math.random() * (lowestOutgoing - lowestDrawn));
  const server = createServer();
  server.listen(listenPort, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return freeListenPort();
    throw error;
  }
  server.close();
  await once(server, 'close');
  return listenPort;
}

/** The last lines of a log; empty when there is none. */
const endOf = (path: string): string =>
  existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n').slice(-5).join('\n') : '';

/** Builds the command line of a server from its listen port and its folder. */
export type ServerArguments = (listenPort: number, folder: string) => readonly string[];

export const durableServer =
  (extra: readonly string[]): ServerArguments =>
  (listenPort, folder) => {
    const place = ['--port', String(listenPort), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
    return [...place, '--appendonly', 'yes', '--appendfsync', 'always', ...extra];
  };

const serverProgram = process.env['PHOTON_STORE_SERVER'] ?? 'redis-server';
const serverLibraries = process.env['PHOTON_STORE_LIBRARIES'] ?? '';
/** Whether the servers of this run are Valkey, which is compatible with Redis 7.2 and knows WAITAOF. */
export const isValkey = serverProgram.endsWith('valkey-server');

export class TestRedis {
  readonly listenPort: number;
  readonly folder: string;
  #child: ChildProcess | undefined;
  #arguments: ServerArguments;
  /** So that a failed or stopped test leaves neither the process nor the folder. */
  #onExit = (): void => {
    this.#child?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  };
  #onSignal = (): void => process.exit(1);

  private constructor(listenPort: number, folder: string, given: ServerArguments) {
    this.listenPort = listenPort;
    this.folder = folder;
    this.#arguments = given;
    process.on('exit', this.#onExit);
    process.on('SIGTERM', this.#onSignal);
    process.on('SIGINT', this.#onSignal);
  }

  static start(extra: readonly string[] = []): Promise<TestRedis> {
    return TestRedis.startWith(durableServer(extra));
  }

  static async startWith(given: ServerArguments): Promise<TestRedis> {
    const folder = await mkdtemp(join(tmpdir(), 'photon-journal-test-'));
    const server = new TestRedis(await freeListenPort(), folder, given);
    try {
      await server.launch();
    } catch (error) {
      await server.remove();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.listenPort}`;
  }

  /** Starts it, or starts it again after `kill`. @param extra options of this start only; the last one counts */
  async launch(extra: readonly string[] = []): Promise<void> {
    const logFile = join(this.folder, 'server.log');
    const own = this.#arguments(this.listenPort, this.folder);
    const child = spawn(serverProgram, [...own, '--logfile', logFile, ...extra], {
      stdio: 'ignore',
      env: { ...process.env, ...(serverLibraries === '' ? {} : { LD_LIBRARY_PATH: serverLibraries }) },
    });
    this.#child = child;
    await until(
      'redis-server accepts commands',
      () => {
        if (child.exitCode !== null)
          throw new Error(`redis-server ended at once with ${child.exitCode}; its log ends:\n${endOf(logFile)}`);
        return this.#answers();
      },
      startTimeoutMs,
    );
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async #answers(): Promise<boolean> {
    const client = this.client();
    try {
      return (await client.ping()) === 'PONG';
    } catch (error) {
      if (String(error).includes('NOAUTH')) return true;
      return false;
    } finally {
      client.disconnect();
    }
  }

  /** A plain client, to inspect the stored data. The caller disconnects it. */
  client(): Redis {
    const brief = { retryStrategy: () => null, maxRetriesPerRequest: 0, disconnectTimeout: 100 };
    const client = new Redis(this.url, { protocol: 2, ...brief });
    client.on('error', () => {});
    return client;
  }

  /** Runs one command on a connection of its own. */
  async ask(...command: readonly string[]): Promise<unknown> {
    const client = this.client();
    try {
      const [name = '', ...args] = command;
      return await client.call(name, ...args);
    } finally {
      client.disconnect();
    }
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** Stops and continues the process, like a host that hangs. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  async remove(): Promise<void> {
    await this.kill();
    process.off('exit', this.#onExit);
    process.off('SIGTERM', this.#onSignal);
    process.off('SIGINT', this.#onSignal);
    await rm(this.folder, { recursive: true, force: true });
  }
}
