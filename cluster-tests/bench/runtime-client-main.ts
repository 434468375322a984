/**
 * The client process of the WebSocket row: the product's client library on one socket. Argument: JSON {url, token,
 * actors, lanes}. For every `{forMs}` from its parent it keeps `lanes` commands in flight for that time and answers
 * `{count, cpuUs}`. It ends with its parent.
 */
import { connectPhoton } from '@photoncloud/runtime/client/client';
import { nodeSocketFactory } from '@photoncloud/runtime/client/node-socket';
import { pressStep } from './runtime-kinds.ts';
import { closedLoop } from './runtime-stage.ts';

interface Orders {
  readonly url: string;
  readonly token: string;
  readonly actors: number;
  readonly lanes: number;
}

process.once('disconnect', () => process.exit(0));
const { url, token, actors, lanes } = JSON.parse(process.argv[2] ?? '{}') as Orders;
const client = await connectPhoton({ url, token, openSocket: nodeSocketFactory() });
const steps = new Uint32Array(actors);
let turn = 0;

async function commandOne(): Promise<number> {
  turn += 1;
  const actor = turn % actors;
  const step = steps[actor] ?? 0;
  steps[actor] = step + 1;
  const { command, params } = pressStep(step);
  const name = `commanded${actor}`;
  await client.call(`press.${command}`, { scope: 'bench', name, idempotencyKey: `key-${Date.now()}-${turn}`, params });
  return 1;
}

process.on('message', ({ forMs }: { forMs: number }) => {
  const before = process.cpuUsage();
  void closedLoop(lanes, forMs, commandOne).then((count) => {
    const { user, system } = process.cpuUsage(before);
    process.send?.({ count, cpuUs: user + system });
  });
});
process.send?.({ ready: true });
