/** The door before an HTTPS server: who only connects is bounded, and keeps nobody out. */
import { createServer } from 'node:https';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clientClock } from '../client/client-clock.ts';
import { createTestAuthority } from './certificates-for-tests.ts';
import { until } from './links-for-tests.ts';
import { createSocketDoor, type SocketDoor } from './socket-door.ts';

const tls = createTestAuthority().issue('c1');

interface Scene {
  readonly door: SocketDoor;
  readonly dial: () => Socket;
  /** A connection with TLS. */
  readonly open: () => Socket;
  /** The answer of the server to a GET on a new connection. */
  readonly get: () => Promise<string>;
  readonly handedOver: () => number;
}

async function within(
  given: Partial<Parameters<typeof createSocketDoor>[0]>,
  work: (scene: Scene) => Promise<void>,
): Promise<void> {
  const times = { headersTimeout: 300, connectionsCheckingInterval: 50 };
  const server = createServer({ ...tls, ...times }, (_, response) => response.end('here'));
  let handed = 0;
  server.prependListener('connection', () => (handed += 1));
  server.on('upgrade', (_, stream) => stream.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'));
  const options = { server, provenBy: 'upgrade', maxIdleSockets: 20, firstByteMs: 60_000, clock: clientClock } as const;
  const door = createSocketDoor({ ...options, ...given });
  const listenPort = await door.listen({ name: 'test', address: '127.0.0.1', listenPort: 0 });
  const sockets: Socket[] = [];
  const keep = <S extends Socket>(socket: S): S => {
    socket.on('error', () => {});
    sockets.push(socket);
    return socket;
  };
  const open = (): Socket => keep(connectTls({ port: listenPort, host: '127.0.0.1', ca: tls.ca }));
  try {
    await work({
      door,
      dial: () => keep(connect(listenPort, '127.0.0.1')),
      open,
      handedOver: () => handed,
      get: () =>
        new Promise((resolve, reject) => {
          let text = '';
          const socket = open();
          socket.on('data', (bytes) => (text += String(bytes)));
          socket.once('close', () => resolve(text));
          socket.once('error', reject);
          socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
        }),
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    door.close();
    server.close();
    server.closeAllConnections();
  }
}

test('idle sockets never reach TLS and are bounded; a client that speaks is served all the same', async () => {
  await within({}, async ({ door, dial, get, handedOver }) => {
    const idle = Array.from({ length: 100 }, dial);
    await until(() => idle.filter((socket) => socket.closed).length === 80, 'all but twenty are closed');
    assert.is(door.idle(), 20);
    assert.is(idle.slice(-20).filter((socket) => socket.closed).length, 0, 'those that are open longest are closed');
    assert.is(handedOver(), 0);
    assert.match(await get(), 'here');
    assert.is(handedOver(), 1);
  });
});

test('a socket that never speaks is closed in time', async () => {
  await within({ firstByteMs: 50 }, async ({ door, dial }) => {
    const socket = dial();
    await until(() => door.idle() === 1, 'it is counted');
    await until(() => socket.closed && door.idle() === 0, 'it is closed');
  });
});

test('a socket that asks nothing after its handshake is closed in time', async () => {
  await within({}, async ({ door, open }) => {
    const socket = open().resume();
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    await until(() => socket.closed && door.idle() === 0, 'it is closed');
  });
});

test('a socket that has proven itself is not counted, and stays when idle ones crowd the door', async () => {
  await within({ maxIdleSockets: 1, provenBy: 'secureConnection' }, async ({ door, dial, open, handedOver }) => {
    const proven = open();
    await until(() => handedOver() === 1 && door.idle() === 0, 'it is not counted');
    const idle = [dial(), dial(), dial()];
    await until(() => idle.filter((socket) => socket.closed).length === 2, 'only one idle socket is kept');
    assert.not.ok(proven.closed);
  });
});

test('handshakes that arrive together are begun a few per turn of the event loop', async () => {
  await within({ maxIdleSockets: 100 }, async ({ door, dial, handedOver }) => {
    const sockets = Array.from({ length: 60 }, dial);
    await until(() => door.idle() === 60, 'all are connected');
    let [before, most, turns, watching] = [0, 0, 0, true];
    const turn = (): void => {
      const now = handedOver();
      most = Math.max(most, now - before);
      if (now > before) turns += 1;
      before = now;
      if (watching) setImmediate(turn);
    };
    turn();
    for (const socket of sockets) socket.write('no TLS at all');
    await until(() => handedOver() === 60, 'all are handed over');
    watching = false;
    assert.ok(most <= 8, `${most} in one turn`);
    assert.ok(turns >= 8, `in ${turns} turns`);
  });
});

test.run();
