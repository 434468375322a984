/**
 * What stands around a node's addresses while its program is restarted again and again: a squatter, which tries to
 * take them, and a client, which connects to them without a pause. Both count. Used by squatter.test.ts and by the
 * test of socket units (nix-sockets.test.ts).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

export interface SquatterCount {
  /** Of the address that was tried least. */
  readonly tries: number;
  readonly taken: number;
}

export class Squatter {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** @param enter command line that leads into the namespace of the addresses; empty for this one */
  constructor(addresses: readonly string[], enter: readonly string[] = []) {
    const main = join(import.meta.dirname, 'squatter-main.ts');
    const [program = '', ...argv] = [...enter, process.execPath, main, '2', ...addresses];
    this.#child = spawn(program, argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  async count(): Promise<SquatterCount> {
    this.#child.stdin?.write('\n');
    const { value } = (await this.#lines.next()) as { readonly value: string };
    return JSON.parse(value) as SquatterCount;
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
  }
}

export interface ClientCount {
  answered: number;
  /** ECONNREFUSED: nobody had the address. */
  refused: number;
  /** Connections that the service had taken before it ended. */
  reset: number;
  longestMs: number;
}

const isRefused = (error: Error): boolean =>
  error instanceof AggregateError
    ? error.errors.some((one) => isRefused(one as Error))
    : (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';

/** Asks the control API how it is, on a new connection. */
const askHealth = (host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const options = { host, port, path: '/healthz', rejectUnauthorized: false, agent: false, timeout: 60_000 };
    request(options, (response) => response.resume().once('end', resolve).once('error', reject))
      .once('timeout', () => reject(new Error('no answer within a minute')))
      .once('error', reject)
      .end();
  });

/** Connects; peers speak only to those with a certificate. */
const knock = (host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, host, () => {
      socket.destroy();
      resolve();
    }).once('error', reject);
  });

/** Clients of a controller: one request after the other to the API, one connection after the other to the peer port. */
export class Clients {
  readonly count: ClientCount = { answered: 0, refused: 0, reset: 0, longestMs: 0 };
  #isOver = false;
  readonly #loops: Promise<void>[];

  constructor(api: string, peer: string) {
    const visit = async (address: string, call: typeof knock): Promise<void> => {
      const [host = '', port = ''] = address.split(':');
      while (!this.#isOver) {
        const startedMs = performance.now();
        await call(host, Number(port)).then(
          () => (this.count.answered += 1),
          (error: Error) => (this.count[isRefused(error) ? 'refused' : 'reset'] += 1),
        );
        this.count.longestMs = Math.max(this.count.longestMs, performance.now() - startedMs);
        await pause(20);
      }
    };
    this.#loops = [visit(api, askHealth), visit(api, askHealth), visit(peer, knock)];
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#loops);
  }
}
