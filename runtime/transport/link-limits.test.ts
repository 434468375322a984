/** Limits of links that no other test reaches: who gets busy, which link is cut, which request stays unknown. */
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket, WebSocketServer } from 'ws';
import type { Reply } from '../contract/envelope.ts';
import type { Delivery } from '../contract/link.ts';
import { c1, command, inletOf, linksTo, listen, message, refusal, until, w1 } from './links-for-tests.ts';
import { peerDialOptions } from './peer-identity.ts';

interface Dialled {
  readonly socket: WebSocket;
  readonly closed: Promise<number>;
}

async function dialled(url: string): Promise<Dialled> {
  const socket = new WebSocket(new URL('/peer', url), 'photon.peer', peerDialOptions(c1, 'w1'));
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return { socket, closed };
}

test('a peer over its number of links has the oldest one closed', async () => {
  const side = await listen(inletOf(), w1, { limits: { maxLinksPerPeer: 2 } });
  const held = [await dialled(side.url), await dialled(side.url), await dialled(side.url)];
  try {
    assert.is(await held[0]?.closed, 4409);
    assert.equal(
      held.map(({ socket }) => socket.readyState === WebSocket.OPEN),
      [false, true, true],
    );
  } finally {
    for (const { socket } of held) socket.terminate();
    await side.stop();
  }
});

test('a command without an answer is unknown after its timeout', async () => {
  const side = await listen(inletOf({ command: () => new Promise<Reply>(() => {}) }));
  const links = linksTo(side.url, c1, { commandTimeoutMs: 60 });
  try {
    const late = await refusal(links.command('w1', command('x')));
    assert.equal([late.group, late.code], ['unknown', 'peer_timeout']);
  } finally {
    links.close();
    await side.stop();
  }
});

test('the link of a peer that does not read its answers is cut when too many are unsent', async () => {
  const due: ((reply: Reply) => void)[] = [];
  const side = await listen(inletOf({ command: () => new Promise<Reply>((resolve) => due.push(resolve)) }), w1, {
    limits: { pauseBytes: 200_000, closeBytes: 400_000 },
  });
  const { socket, closed } = await dialled(side.url);
  try {
    socket.send('{"hello":{"versions":[1]}}');
    await new Promise((resolve) => socket.once('message', resolve));
    for (let number = 1; number <= 10; number += 1) socket.send(JSON.stringify([['c', number, command('x')]]));
    await until(() => due.length === 10, 'all are being performed');
    for (const answer of due) answer({ ok: true, version: 1, result: 'z'.repeat(100_000) });
    assert.is(await closed, 1006);
  } finally {
    socket.terminate();
    await side.stop();
  }
});

/** A node that answers the hello, reads one message, and then reads nothing more. */
async function deafNode(): Promise<{ url: string; stop(): Promise<void> }> {
  const server = createServer({ ...w1, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' });
  const acceptor = new WebSocketServer({ server, path: '/peer' });
  const streams = new Set<Socket>();
  server.on('connection', (stream: Socket) => streams.add(stream));
  acceptor.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.once('message', () => {
      socket.send('{"hello":{"version":1}}');
      socket.once('message', (bytes) => {
        const [[, number] = []] = JSON.parse(String(bytes)) as [unknown, number][];
        socket.send(JSON.stringify([['r', number, { result: 'applied' }]]));
        socket.pause();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      acceptor.close();
      for (const stream of streams) stream.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('senders to a peer that reads nothing get busy', async () => {
  const node = await deafNode();
  // More than the kernel buffers of both ends hold.
  const text = 'x'.repeat(500_000);
  const links = linksTo(node.url, c1, { pauseBytes: 1_000_000 });
  try {
    await links.deliver('w1', message(1));
    const sent: Promise<unknown>[] = [];
    let answer: Delivery | undefined;
    for (let seq = 2; answer === undefined && seq < 400; seq += 1) {
      const delivery = links.deliver('w1', message(seq, text));
      sent.push(delivery);
      answer = await Promise.race([
        delivery,
        new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined))),
      ]);
    }
    assert.equal(answer, { result: 'busy', retryAfterMs: 50 });
    links.close();
    await Promise.allSettled(sent);
  } finally {
    links.close();
    await node.stop();
  }
});

test.run();
