/**
 * A second host for tests on the real kernel: a network namespace with an underlay address, and in it a process of its
 * own with a dataplane, which this file is, too. Not part of the product.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { HostFacts } from '@photoncloud/machines/values/wiring';
import { makeTestFolder, nextCall, run, testOptions } from './dataplane-for-tests.ts';
import { createDataplane, type Dataplane } from './linux-dataplane.ts';

/** Facts of the hosts of `makeUnderlay`. */
export const twoHosts: readonly [HostFacts, HostFacts] = [
  { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1500 },
  { name: 'w2', index: 2, underlay: '192.0.2.2', underlayMtu: 1500 },
];
const namespace = 'w2';
export const remotePrefix = 'tsu';

type Method = 'realizeSegment' | 'changeSegment' | 'readSegment' | 'wireTap' | 'checkBackends';

/** Connects this namespace, as host w1, with a new one, as host w2. */
export async function makeUnderlay(): Promise<void> {
  const [here, there] = twoHosts;
  await run('ip', 'netns', 'add', namespace);
  await run('ip', 'link', 'add', 'und0', 'type', 'veth', 'peer', 'name', 'und0', 'netns', namespace);
  await run('ip', 'addr', 'add', `${here.underlay}/24`, 'dev', 'und0');
  await run('ip', 'link', 'set', 'und0', 'up');
  await run('ip', '-n', namespace, 'addr', 'add', `${there.underlay}/24`, 'dev', 'und0');
  await run('ip', '-n', namespace, 'link', 'set', 'und0', 'up');
  await run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
}

/** The dataplane of host w2. */
export class RemoteHost {
  readonly network = namespace;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: unknown }) => void>();
  #lastId = 0;

  constructor() {
    this.#child = spawn('nsenter', [`--net=/run/netns/${namespace}`, process.execPath, import.meta.filename]);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as { id: number; result?: unknown; error?: unknown };
      this.#waiting.get(answer.id)?.(answer);
    });
    this.#child.stderr.on('data', (text: Buffer) => console.error(`host w2: ${text.toString()}`));
  }

  /** @throws Error with the record of what it throws */
  async call<M extends Method>(
    method: M,
    ask: Parameters<Dataplane[M]>[0],
  ): Promise<Awaited<ReturnType<Dataplane[M]>>> {
    const id = ++this.#lastId;
    const answer = new Promise<{ result?: unknown; error?: unknown }>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin.write(`${JSON.stringify({ id, method, ask })}\n`);
    const { result, error } = await answer;
    if (error !== undefined) throw new Error(`host w2 ${method}: ${JSON.stringify(error)}`);
    return result as Awaited<ReturnType<Dataplane[M]>>;
  }

  /** As a worker that crashes. */
  async kill(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    await gone;
  }
}

async function serve(): Promise<void> {
  const { folder, remove } = makeTestFolder();
  const host = { prefix: remotePrefix, host: twoHosts[1].name, underlay: twoHosts[1].underlay };
  const dp = await createDataplane(testOptions(folder, host));
  const perform = async (line: string): Promise<void> => {
    const { id, method, ask } = JSON.parse(line) as { id: number; method: Method; ask: never };
    const answer = await dp[method](ask, nextCall()).then(
      (result: unknown) => ({ result }),
      (error: unknown) => ({ error: error instanceof PhotonError ? error.record : String(error) }),
    );
    process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
  };
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => void perform(line));
  lines.on('close', () => {
    void dp.close().then(() => {
      remove();
      process.exit(0);
    });
  });
}

if (import.meta.main) await serve();
