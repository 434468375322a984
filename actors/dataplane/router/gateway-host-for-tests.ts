/**
 * A host for tests: a dataplane in a process of its own, which was started in the network namespace that stands for the
 * host, with a private /run. Each line on standard input calls a method: `{id, method, params}`, `{id, abort}` aborts
 * one; each answer is a line: `{id, value}` or `{id, error}`. Used by gateway-scene-for-tests.ts.
 */
import { createInterface } from 'node:readline';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Call } from '../contract/call-contract.ts';
import { makeTestFolder, nextCall, testOptions } from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';

interface Line {
  readonly id: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly recovered?: boolean;
  readonly abort?: number;
}

const { host = 'w1', underlay = '127.0.0.1' } = JSON.parse(process.argv[2] ?? '{}') as Record<string, string>;
const { folder, remove } = makeTestFolder();
process.once('exit', remove);
const dataplane = await createDataplane(testOptions(folder, { host, underlay }));
type Methods = Readonly<Record<string, (params: unknown, call: Call) => Promise<unknown>>>;
const methods: Methods = {
  ...(dataplane as unknown as Methods),
  /** As on a host whose actors are all gone. */
  sweepAll: (_, call) => dataplane.sweep({ owners: async () => [] }, call),
};
const running = new Map<number, AbortController>();

async function answer({ id, method = '', params, recovered = false }: Line): Promise<void> {
  const ended = new AbortController();
  running.set(id, ended);
  const outcome = await Promise.resolve()
    .then(() => methods[method]?.(params, { ...nextCall({}, ended.signal), recovered }))
    .then(
      (value) => ({ id, value }),
      (error: unknown) => ({
        id,
        error: error instanceof PhotonError ? error.record : { group: 'bug', code: 'thrown', message: String(error) },
      }),
    );
  running.delete(id);
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

createInterface({ input: process.stdin })
  .on('line', (text) => {
    const line = JSON.parse(text) as Line;
    if (line.abort === undefined) void answer(line);
    else running.get(line.abort)?.abort(new Error('aborted by the test'));
  })
  .on('close', () => process.exit(0));
process.stdout.write('{"id":0,"value":"open"}\n');
