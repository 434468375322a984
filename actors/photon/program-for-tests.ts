/**
 * Test support: `photon` controllers as processes of their own on the loopback interface, with a store that the test
 * started (REDIS_URL). Their folders are made by `photon init`; tests use the typed client over the unix sockets. There
 * are no workers, which need root and the kernel: cluster-tests/cluster starts whole clusters.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connectPhoton, type PhotonClient } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { freeListenPort, until } from '@photoncloud/runtime/journal/redis-for-tests';
import { apiSocketName } from './controller-node.ts';

const program = join(import.meta.dirname, 'photon-main.ts');
const run = promisify(execFile);
const askAgainMs = 1_000;

/** A node behind `photon supervise`, which starts it again. */
export class HeldProgram {
  readonly #child: ChildProcess;
  #output = '';

  /** @param enter command line that leads into namespaces of its own; empty for those of this process */
  constructor(argv: readonly string[], environment: NodeJS.ProcessEnv, enter: readonly string[]) {
    const [command = '', ...words] = [...enter, process.execPath, ...argv];
    this.#child = spawn(command, words, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (text: Buffer) => (this.#output += text.toString('utf8')));
  }

  output(): string {
    return this.#output;
  }

  /** Of `photon supervise`. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when the program has been ready so many times. */
  async ready(times: number): Promise<void> {
    const isReady = (): boolean => {
      if (this.#child.exitCode !== null) throw new Error(`photon supervise ended with ${this.#child.exitCode}`);
      return this.#output.split('"msg":"ready"').length > times;
    };
    await until(`the program is ready ${times} times`, isReady, 120_000).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#output.slice(-8_000)}`, { cause: error });
    });
  }

  /** Of the program that runs now, or did last. */
  programPid(): number {
    const [, pid] = /^.*"pid":(\d+),"msg":"starting"/.exec(this.#output.split('\n').findLast(isStart) ?? '') ?? [];
    return Number(pid);
  }

  signal(name: 'SIGHUP'): void {
    this.#child.kill(name);
  }

  /** Withdraws the addresses: the program hands over and ends, then what holds them. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await gone;
  }
}

const isStart = (line: string): boolean => line.includes('"msg":"starting"');

export class TestProgram {
  readonly cluster = 'unit';
  readonly #storeUrl: string;
  readonly #folder: string;
  readonly #children = new Map<string, ChildProcess>();
  readonly #clients: PhotonClient[] = [];
  readonly #held: HeldProgram[] = [];

  private constructor(storeUrl: string, folder: string) {
    this.#storeUrl = storeUrl;
    this.#folder = folder;
  }

  /** @param controllers names; all are started, unless `launches` is false; workers are not */
  static async start(
    storeUrl: string,
    controllers: readonly string[],
    { launches = true, workers = [] }: { readonly launches?: boolean; readonly workers?: readonly string[] } = {},
  ): Promise<TestProgram> {
    const made = new TestProgram(storeUrl, await mkdtemp(join(tmpdir(), 'photon-program-test-')));
    try {
      const names = [
        ...controllers.flatMap((name) => ['--controller', `${name}=127.0.0.1`]),
        ...workers.flatMap((name) => ['--worker', `${name}=127.0.0.1`]),
      ];
      const where = ['--dir', join(made.#folder, 'init'), '--cluster', made.cluster];
      await made.photon('init', ...where, '--store', 's1=127.0.0.1', ...names);
      for (const name of [...controllers, ...workers]) await made.givePorts(name);
      if (launches) await Promise.all(controllers.map((name) => made.launch(name)));
      return made;
    } catch (error) {
      await made.remove();
      throw error;
    }
  }

  /** What `photon init` made. */
  get initFolder(): string {
    return join(this.#folder, 'init');
  }

  nodeFolder(name: string): string {
    return join(this.initFolder, 'nodes', name);
  }

  /** The status with which the controller has ended by itself; undefined while it runs. */
  statusOf(name: string): number | undefined {
    return this.#children.get(name)?.exitCode ?? undefined;
  }

  /** Runs the program until it ends. @throws execFile's error, with stdout and stderr, for an exit status above 0 */
  async photon(...argv: readonly string[]): Promise<string> {
    const environment = { ...process.env, REDIS_URL: this.#storeUrl };
    return (await run(process.execPath, [program, ...argv], { env: environment, timeout: 90_000 })).stdout;
  }

  /** All nodes have the same address, so each needs its own ports. */
  async givePorts(name: string): Promise<void> {
    const path = join(this.nodeFolder(name), 'node.json');
    const [peerListenPort, apiListenPort] = [await freeListenPort(), await freeListenPort()];
    const config = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...config, peerListenPort, apiListenPort }));
  }

  /** Resolves when the controller has logged `ready`. */
  async launch(name: string): Promise<void> {
    const child = spawn(process.execPath, [program, 'controller', '--dir', this.nodeFolder(name)], {
      env: { ...process.env, REDIS_URL: this.#storeUrl, PHOTON_CACHE: join(this.#folder, 'pages') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.set(name, child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text: Buffer) => (output = `${output}${text.toString('utf8')}`.slice(-8_000)));
    await until(
      `${name} is ready`,
      () => {
        if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}:\n${output}`);
        return output.includes('"ready"');
      },
      60_000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${output}`, { cause: error });
    });
  }

  /** `address:port` of a controller's listeners. */
  addresses(name: string): { readonly peer: string; readonly api: string } {
    const { peerListenPort, apiListenPort } = JSON.parse(
      readFileSync(join(this.nodeFolder(name), 'node.json'), 'utf8'),
    ) as { peerListenPort: number; apiListenPort: number };
    return { peer: `127.0.0.1:${peerListenPort}`, api: `127.0.0.1:${apiListenPort}` };
  }

  /** Starts `photon supervise` for a node. @param entry the program, as it is called; in `enter`: HeldProgram */
  hold(name: string, entry: string = program, storeUrl = this.#storeUrl, enter: readonly string[] = []): HeldProgram {
    const environment = { ...process.env, REDIS_URL: storeUrl, PHOTON_CACHE: join(this.#folder, 'pages') };
    const held = new HeldProgram([entry, 'supervise', '--dir', this.nodeFolder(name)], environment, enter);
    this.#held.push(held);
    return held;
  }

  async kill(name: string): Promise<void> {
    const child = this.#children.get(name) as ChildProcess;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    // What held the lock of its folder ends by itself after it, and would outlive a test that has ended.
    await run('flock', ['-w', '10', join(this.nodeFolder(name), 'lock'), 'true']);
  }

  /** Where a program speaks to this controller over TLS, as the operator. */
  tlsAddress(name: string): { readonly url: string; readonly token: string; readonly caFile: string } {
    const folder = join(this.#folder, 'init/clients');
    const file = JSON.parse(readFileSync(join(folder, 'operator.json'), 'utf8')) as { token: string; caFile: string };
    const node = JSON.parse(readFileSync(join(this.nodeFolder(name), 'node.json'), 'utf8')) as {
      apiListenPort: number;
    };
    const url = `wss://127.0.0.1:${node.apiListenPort}/api`;
    return { url, token: file.token, caFile: join(folder, file.caFile) };
  }

  /** A session of the operator with this controller; closed with the rest. */
  async session(name: string): Promise<PhotonClient> {
    const { token } = JSON.parse(readFileSync(join(this.#folder, 'init/clients/operator.json'), 'utf8')) as {
      token: string;
    };
    const openSocket = nodeSocketFactory({ socketPath: join(this.nodeFolder(name), apiSocketName) });
    const client = await connectPhoton({ url: 'ws://localhost/api', token, openSocket });
    this.#clients.push(client);
    return client;
  }

  async remove(): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const held of this.#held) await held.end();
    for (const [name, child] of this.#children)
      if (child.exitCode === null && child.signalCode === null) await this.kill(name);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Makes a tenant. Without an answer it sends the same command with the same key again, through the next session. */
export async function createTenant(name: string, sessions: readonly PhotonClient[]): Promise<void> {
  const command = { scope: name, name, idempotencyKey: `create-${name}`, params: {} };
  for (let at = 0; ; at += 1) {
    const session = sessions[at % sessions.length] as PhotonClient;
    try {
      await session.call('tenant.create', command, { timeoutMs: askAgainMs });
      return;
    } catch (error) {
      if (!(error instanceof PhotonError) || !error.record.retryable) throw error;
      await new Promise((resolve) => setTimeout(resolve, error.record.retryAfterMs ?? 50));
    }
  }
}
