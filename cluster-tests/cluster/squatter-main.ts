/**
 * `squatter-main.ts PAUSE_MS ADDRESS:PORT...`: tries to take each address again and again, by turns as it is, as all
 * IPv4 and as all IPv6 addresses, and sharing the port (SO_REUSEPORT); lets go at once of what it got. Started by
 * squatters.ts. Prints `{"tries": N, "taken": N}` as a line whenever it is asked by a line, and ends with its input.
 */
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const [, , pauseMs = '5', ...addresses] = process.argv;
/** For each address; the least of them counts. */
const tries = addresses.map(() => 0);
let taken = 0;

const ways = (host: string) => [
  { host },
  { host, reusePort: true },
  { host: '0.0.0.0', reusePort: true },
  { host: '::', reusePort: true },
  { host: '0.0.0.0' },
];

async function take(host: string, port: number, turn: number): Promise<boolean> {
  const server = createServer();
  const way = ways(host)[turn % ways(host).length];
  const got = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen({ ...way, port }, () => resolve(true));
  });
  if (got) await new Promise((resolve) => server.close(resolve));
  return got;
}

createInterface({ input: process.stdin })
  .on('line', () => console.log(JSON.stringify({ tries: Math.min(...tries), taken })))
  .on('close', () => process.exit());

for (let turn = 0; ; turn += 1) {
  for (const [at, address] of addresses.entries()) {
    const [host = '', port = ''] = address.split(':');
    if (await take(host, Number(port), turn)) taken += 1;
    tries[at] = (tries[at] ?? 0) + 1;
  }
  await pause(Number(pauseMs));
}
