/** Listeners: addresses that are taken, sockets that are held by another process, and descriptors that are not ours. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import { ownDescriptor } from './address-holders.ts';
import { takeInherited } from './inherited-listeners.ts';
import { openListener } from './listener.ts';

async function failure(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof PhotonError) return `${error.record.code}: ${error.message}`;
    throw error;
  }
  return 'none';
}

/** A server of this process, and its address. */
async function heldBy(host: string) {
  const server = createServer();
  server.listen(0, host);
  await once(server, 'listening');
  return { server, listenPort: (server.address() as AddressInfo).port };
}

for (const host of ['127.0.0.1', '0.0.0.0', '::'])
  test(`an address that a server at ${host} has is taken, by the process that is named`, async () => {
    const { server, listenPort } = await heldBy(host);
    const mine = createServer();
    const said = await failure(() => openListener(mine, { name: 'api', address: '127.0.0.1', listenPort }));
    const who = `127.0.0.1:${listenPort} is taken by process ${process.pid} \\(.*node`;
    assert.match(said, new RegExp(`^listener_taken: listener api at ${who}`));
    server.close();
  });

test('an address that this host does not have is said to be that', async () => {
  const said = await failure(() =>
    openListener(createServer(), { name: 'api', address: '192.0.2.77', listenPort: 7444 }),
  );
  assert.match(said, /^listener_failed: .*192\.0\.2\.77:7444.*this host does not have the address/);
});

const service = `
  import { spawnSync } from 'node:child_process';
  import { readlinkSync } from 'node:fs';
  import { createServer } from 'node:net';
  import { openListener } from '${import.meta.dirname}/listener.ts';
  const server = createServer((socket) => socket.end('served'));
  try {
    const listenPort = Number(process.argv[1]);
    await openListener(server, { name: 'api', address: '127.0.0.1', listenPort, descriptor: 3 });
    const { stdout } = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
    console.log('open', stdout.includes(readlinkSync('/proc/self/fd/3')) ? 'and inherited' : 'and kept');
    server.close();
  } catch (error) {
    console.log(error.record.code, error.message);
  }`;

/** What a service prints that gets this descriptor as the declared address. */
async function served(descriptor: number, listenPort: number): Promise<string> {
  const argv = ['--input-type=module-typescript', '-e', service, String(listenPort)];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit', descriptor] });
  return await text(child.stdout as NodeJS.ReadableStream & AsyncIterable<Buffer>);
}

test('a service listens at the socket that is held for it, which outlives it and is not inherited', async () => {
  const { server, listenPort } = await heldBy('127.0.0.1');
  const descriptor = ownDescriptor('127.0.0.1', listenPort) ?? -1;
  assert.is(await served(descriptor, listenPort), 'open and kept\n');
  assert.match(
    await failure(() => openListener(createServer(), { name: 'x', address: '127.0.0.1', listenPort })),
    /taken/,
  );
  server.close();
});

test('a descriptor that is not the declared address is refused', async () => {
  const { server, listenPort } = await heldBy('127.0.0.1');
  const descriptor = ownDescriptor('127.0.0.1', listenPort) ?? -1;
  const other = await served(descriptor, listenPort + 1);
  assert.match(
    other,
    new RegExp(`^listener_mismatch listener api at .*descriptor 3 has 127\\.0\\.0\\.1:${listenPort};`),
  );
  assert.match(await served(openSync('/dev/null', 'r'), listenPort), /^listener_mismatch .*no socket that can listen/);
  server.close();
});

test('descriptors are those of sd_listen_fds, for this process alone, and their variables go', async () => {
  const environment = { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'peer:api', HOME: '/' };
  assert.equal(
    [...takeInherited(environment, 7)],
    [
      ['peer', 3],
      ['api', 4],
    ],
  );
  assert.equal(environment, { HOME: '/' } as unknown as typeof environment);
  const foreign = { LISTEN_PID: '8', LISTEN_FDS: '1', LISTEN_FDNAMES: 'api' };
  assert.equal([takeInherited(foreign, 7).size, foreign], [0, {}]);
  for (const names of ['api', 'api:api', undefined]) {
    const given = { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: names };
    assert.match(await failure(() => takeInherited(given, 7)), /^listener_mismatch/);
  }
});

test.run();
