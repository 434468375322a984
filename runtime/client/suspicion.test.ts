/**
 * A request that ends its connection. The server is a stand-in that says hello and answers, because the real one ends a
 * connection only for frames that the client no longer sends; a proxy, or a server with a defect, still may.
 */
import type { AddressInfo } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocketServer, type WebSocket } from 'ws';
import { PhotonError, type ErrorRecord } from '../contract/errors.ts';
import { connectPhoton, type PhotonClient } from './client.ts';
import { nodeSocketFactory } from './node-socket.ts';

const openSocket = nodeSocketFactory();

interface Asked {
  readonly id: number;
  readonly method: string;
  readonly params: { readonly name?: string };
}

interface StandIn {
  readonly url: string;
  /** Names (or methods) of what it was asked, in order. */
  readonly received: string[];
  readonly connections: () => number;
  stop(): Promise<void>;
}

/** @param onPoison called for each request with the name `poison`; it is not answered */
async function standIn(onPoison: (socket: WebSocket) => void): Promise<StandIn> {
  const received: string[] = [];
  let connections = 0;
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'photon.v1' });
  await new Promise<void>((resolve) => server.once('listening', resolve));
  server.on('connection', (socket) => {
    connections += 1;
    const say = (frame: object): void => socket.send(JSON.stringify({ jsonrpc: '2.0', ...frame }));
    say({ method: 'hello', params: { features: ['batch'], maxFrameBytes: 65_536, heartbeatMs: 20_000 } });
    const answer = ({ id, method, params }: Asked): void => {
      const name = params.name ?? method;
      received.push(name);
      if (name === 'poison') onPoison(socket);
      // A command takes a moment, so that it is in flight when another one ends the connection.
      else if (socket.readyState === socket.OPEN)
        setTimeout(() => say({ id, result: { id: name } }), method === 'auth' ? 0 : 20);
    };
    socket.on('message', (bytes) => {
      const frame = JSON.parse(String(bytes)) as Asked | Asked[];
      for (const each of [frame].flat()) answer(each);
    });
  });
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/api`,
    received,
    connections: () => connections,
    async stop() {
      for (const socket of server.clients) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function refused(work: Promise<unknown>): Promise<ErrorRecord> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PhotonError) return error.record;
    throw error;
  }
  throw new Error('expected a refusal');
}

const create = (client: PhotonClient, name: string): Promise<{ readonly id?: string | undefined }> =>
  client.call('box.create', { scope: 'acme', name, idempotencyKey: name, params: {} });

async function poisonAmongOthers(
  onPoison: (socket: WebSocket) => void,
  sent: number,
  group: ErrorRecord['group'],
): Promise<void> {
  const server = await standIn(onPoison);
  const client = await connectPhoton({ url: server.url, token: 't', openSocket, fraction: () => 0 });
  try {
    const names = Array.from({ length: 20 }, (_, at) => `n${at}`);
    const before = names.slice(0, 10).map((name) => create(client, name));
    const poison = refused(create(client, 'poison'));
    const after = names.slice(10).map((name) => create(client, name));
    const { code, group: given, message } = await poison;
    assert.equal([code, given], ['request_ends_connection', group]);
    assert.match(message, 'box.create is not sent again');
    const answers = await Promise.all([...before, ...after]);
    assert.equal(
      answers.map(({ id }) => id),
      names,
    );
    assert.is(server.received.filter((name) => name === 'poison').length, sent);
    assert.is(server.connections(), sent + 1);
    await create(client, 'later');
    assert.is(server.connections(), sent + 1, 'the connection stays');
  } finally {
    client.close();
    await server.stop();
  }
}

test('a call upon which the server closes with 1009 is sent twice, then refused; the others are answered', () =>
  poisonAmongOthers((socket) => socket.close(1009, 'too large'), 2, 'rejection'));

test('the same for a frame that the server calls malformed', () =>
  poisonAmongOthers((socket) => socket.close(4400, 'not JSON'), 2, 'rejection'));

test('a call upon which the connection breaks is sent four times, then reported as unknown', () =>
  poisonAmongOthers((socket) => socket.terminate(), 4, 'unknown'));

test('a restart of the server says nothing against the calls in flight', async () => {
  let restarts = 0;
  const server = await standIn((socket) => {
    restarts += 1;
    if (restarts <= 5) socket.close(1012, 'restarting');
    else socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { id: 'poison' } }));
  });
  const client = await connectPhoton({ url: server.url, token: 't', openSocket, fraction: () => 0 });
  try {
    assert.is((await create(client, 'poison')).id, 'poison');
    assert.is(restarts, 6);
  } finally {
    client.close();
    await server.stop();
  }
});

test('a watch whose opening ends the connection ends with the reason; calls go on', async () => {
  const server = await standIn((socket) => socket.close(1009, 'too large'));
  const client = await connectPhoton({ url: server.url, token: 't', openSocket, fraction: () => 0 });
  try {
    const ended = refused(client.watch({ scope: 'acme', name: 'poison' } as never).next());
    assert.is((await create(client, 'n1')).id, 'n1');
    assert.is((await ended).code, 'request_ends_connection');
    assert.is((await create(client, 'n2')).id, 'n2');
    assert.is(server.received.filter((name) => name === 'poison').length, 2);
  } finally {
    client.close();
    await server.stop();
  }
});

test.run();
