/**
 * Links between nodes over real TLS sockets on loopback: identity, order, coalescing, loss, bounds, hostile frames.
 * The Inlet is a stand-in that records; hosting's own tests cover what it does with messages.
 */
import { createServer, type Server } from 'node:https';
import { createServer as createTcpServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { clientClock } from '../client/client-clock.ts';
import { actorId } from '../contract/identifiers.ts';
import type { Command, Message } from '../contract/envelope.ts';
import { PhotonError, type ErrorGroup } from '../contract/errors.ts';
import type { Delivery, Inlet } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';
import { createTestAuthority } from './certificates-for-tests.ts';
import type { PeerLimits } from './link-limits.ts';
import { peerDialOptions, type PeerTls } from './peer-identity.ts';
import { createPeerLinks, type PeerLinks } from './peer-links.ts';
import { createPeerServer, type PeerServer, type PeerServerOptions } from './peer-server.ts';

const authority = createTestAuthority();
const w1 = authority.issue('w1');
const c1 = authority.issue('c1');
const stranger = createTestAuthority().issue('c1');

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };

const message = (seq: number, text = ''): Message => ({
  to: actorId('vm/acme/web-1'),
  from: actorId('port/acme/web-1.eth0'),
  life: '01J0000000000000000000000',
  era: 1,
  seq,
  after: seq - 1,
  event: { type: 'port.ready', text },
  cause: 'port/acme/web-1.eth0@4',
});
const command = (text: string): Command => ({
  to: actorId('vm/acme/web-1'),
  commandId: 'ann:1',
  digest: 'd',
  principal: 'ann',
  event: { type: 'vm.start', text },
});

interface Side {
  readonly url: string;
  readonly server: Server;
  readonly peers: PeerServer;
  readonly sockets: Set<Socket>;
  stop(): Promise<void>;
}

async function listen(inlet: Inlet, tls: PeerTls = w1, more: Partial<PeerServerOptions> = {}, at = 0): Promise<Side> {
  const server = createServer({ ...tls, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' });
  const peers = createPeerServer({ server, inlet, clock: clientClock, log: quiet, ...more });
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stop = async (): Promise<void> => {
    await peers.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url, server, peers, sockets, stop };
}

const inletOf = (more: Partial<Inlet> = {}): Inlet => ({
  deliver: async () => ({ result: 'applied' }),
  command: async () => ({ ok: true, version: 7, result: { started: true } }),
  ...more,
});

const linksTo = (url: string | undefined, tls: PeerTls = c1, limits: Partial<PeerLimits> = {}): PeerLinks =>
  createPeerLinks({ tls, nodeName: 'c1', addressOf: () => url, clock: clientClock, log: quiet, limits });

async function refusal(work: Promise<unknown>): Promise<{ group: ErrorGroup; code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PhotonError) return error.record;
    throw error;
  }
  throw new Error('expected a refusal');
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + 5_000;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`not within 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('messages arrive in order, answers find their askers, one frame carries a whole tick', async () => {
  const seen: number[] = [];
  const side = await listen(
    inletOf({
      deliver: async ({ seq }) => {
        seen.push(seq);
        // Answered out of order on purpose.
        await new Promise((resolve) => setTimeout(resolve, seq % 3));
        return seq === 5 ? { result: 'gap' } : { result: 'applied' };
      },
    }),
  );
  const links = linksTo(side.url);
  try {
    await links.deliver('w1', message(1));
    let frames = 0;
    const original = WebSocket.prototype.send;
    WebSocket.prototype.send = function send(this: WebSocket, ...args: unknown[]) {
      if (String(args[0]).startsWith('[["m"')) frames += 1;
      return (original as (...all: unknown[]) => void).apply(this, args);
    } as typeof original;
    const answers = await Promise.all(Array.from({ length: 199 }, (_, at) => links.deliver('w1', message(at + 2))));
    WebSocket.prototype.send = original;
    assert.equal(seen, Array.from({ length: 200 }, (_, at) => at + 1));
    assert.equal(answers[3], { result: 'gap' });
    assert.equal(answers[4], { result: 'applied' });
    assert.is(frames, 1);
    assert.equal(links.peers(), ['w1']);
    assert.equal(side.peers.peers(), ['c1']);
  } finally {
    links.close();
    await side.stop();
  }
});

test('commands are answered with the reply, a rejection, or moved', async () => {
  const error = new PhotonError('rejection', 'name_busy', 'The name is taken.').record;
  const side = await listen(
    inletOf({
      command: async ({ event }) => {
        if (event['text'] === 'moved') return { moved: true };
        if (event['text'] === 'no') return { ok: false, version: 3, error };
        return { ok: true, version: 7, result: null };
      },
    }),
  );
  const links = linksTo(side.url);
  try {
    assert.equal(await links.command('w1', command('yes')), { ok: true, version: 7, result: null });
    assert.equal(await links.command('w1', command('moved')), { moved: true });
    assert.equal(await links.command('w1', command('no')), { ok: false, version: 3, error });
  } finally {
    links.close();
    await side.stop();
  }
});

test('a server whose certificate names another node is refused before anything is sent', async () => {
  let reached = 0;
  const inlet = inletOf({
    deliver: async () => {
      reached += 1;
      return { result: 'applied' };
    },
  });
  const side = await listen(inlet);
  const links = linksTo(side.url);
  try {
    const wrong = await refusal(links.deliver('w2', message(1)));
    assert.is(wrong.code, 'peer_unreachable');
    assert.is(wrong.group, 'fault');
    assert.match(wrong.message, 'its certificate names w1, not w2');
    assert.is(reached, 0);
    const again = await refusal(links.get('w2', '/blobs/x'));
    assert.match(again.message, 'its certificate names w1, not w2');
  } finally {
    links.close();
    await side.stop();
  }
});

test('a client without a certificate, or with one of another authority, gets nothing', async () => {
  let reached = 0;
  const side = await listen(
    inletOf({
      deliver: async () => {
        reached += 1;
        return { result: 'applied' };
      },
    }),
    w1,
    { routes: { '/blobs/': (_request, response) => response.end('secret') } },
  );
  const foreign = linksTo(side.url, { ...stranger, ca: authority.ca });
  try {
    assert.is((await refusal(foreign.deliver('w1', message(1)))).code, 'peer_unreachable');
    assert.is((await refusal(foreign.get('w1', '/blobs/a'))).code, 'peer_unreachable');
    const bare = new WebSocket(new URL('/peer', side.url), 'photon.peer', { ca: authority.ca });
    const why = await new Promise<Error>((resolve) => bare.once('error', resolve));
    assert.ok(why instanceof Error);
    assert.is(reached, 0);
  } finally {
    foreign.close();
    await side.stop();
  }
});

test('a certificate of the cluster that is no node is refused when the composition says so', async () => {
  const side = await listen(inletOf(), w1, { admits: (peer) => peer !== 'c1' });
  const links = linksTo(side.url);
  try {
    assert.match((await refusal(links.deliver('w1', message(1)))).message, '403');
  } finally {
    links.close();
    await side.stop();
  }
});

test('a lost link rejects what waits as unknown, and the next request dials again', async () => {
  let hold = true;
  let reached = 0;
  const inlet = inletOf({
    deliver: () => {
      reached += 1;
      return hold ? new Promise<Delivery>(() => {}) : Promise.resolve({ result: 'applied' });
    },
  });
  const side = await listen(inlet);
  const links = linksTo(side.url, c1, { backoffMinMs: 5 });
  try {
    const waiting = links.deliver('w1', message(1));
    await until(() => reached === 1, 'the message has arrived');
    for (const socket of side.sockets) socket.destroy();
    const lost = await refusal(waiting);
    assert.is(lost.group, 'unknown');
    assert.is(lost.code, 'link_lost');
    hold = false;
    let answer: Delivery | undefined;
    for (let tries = 0; answer === undefined && tries < 100; tries += 1) {
      answer = await links.deliver('w1', message(1)).catch((error: PhotonError) => {
        assert.is(error.record.group, 'fault');
        return undefined;
      });
      if (answer === undefined) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(answer, { result: 'applied' });
  } finally {
    links.close();
    await side.stop();
  }
});

test('no address and a refused connection are faults with a pause; nothing hangs', async () => {
  const nowhere = linksTo(undefined);
  assert.is((await refusal(nowhere.deliver('w1', message(1)))).code, 'peer_unreachable');
  const holder = createTcpServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const { port: listenPort } = holder.address() as AddressInfo;
  await new Promise((resolve) => holder.close(resolve));
  const links = linksTo(`https://127.0.0.1:${listenPort}`, c1, { backoffMinMs: 10_000, backoffMaxMs: 10_000 });
  assert.match((await refusal(links.deliver('w1', message(1)))).message, 'ECONNREFUSED');
  const paused = await refusal(links.deliver('w1', message(2)));
  assert.match(paused.message, 'the last attempt failed just now');
  links.close();
});

test('a peer that accepts and never speaks is given up', async () => {
  const mute = createTcpServer();
  const held = new Set<Socket>();
  mute.on('connection', (socket) => held.add(socket));
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  const links = linksTo(`https://127.0.0.1:${(mute.address() as AddressInfo).port}`, c1, { connectTimeoutMs: 150 });
  try {
    const started = performance.now();
    assert.is((await refusal(links.deliver('w1', message(1)))).code, 'peer_unreachable');
    assert.ok(performance.now() - started < 2_000);
  } finally {
    links.close();
    for (const socket of held) socket.destroy();
    await new Promise((resolve) => mute.close(resolve));
  }
});

test('an answer that does not come is unknown, and a silent link is cut', async () => {
  const side = await listen(inletOf({ deliver: () => new Promise<Delivery>(() => {}) }));
  const links = linksTo(side.url, c1, { deliverTimeoutMs: 100 });
  try {
    await links.command('w1', command('open the link'));
    const late = await refusal(links.deliver('w1', message(1)));
    assert.is(late.group, 'unknown');
    await until(() => links.peers().length === 0, 'the silent link is cut');
  } finally {
    links.close();
    await side.stop();
  }
});

test('the heartbeat ends a link whose peer is stopped', async () => {
  const side = await listen(inletOf({ deliver: () => new Promise<Delivery>(() => {}) }));
  // A relay that swallows everything once told so: what a stopped peer looks like.
  let swallow = false;
  const relayed = new Set<Socket>();
  const relay = createTcpServer((near) => {
    const far = connect(Number(new URL(side.url).port), '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]] as const) {
      relayed.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.on('data', (bytes) => swallow || to.write(bytes));
    }
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const links = linksTo(`https://127.0.0.1:${(relay.address() as AddressInfo).port}`, c1, { heartbeatMs: 50 });
  try {
    const waiting = links.deliver('w1', message(1));
    await until(() => side.peers.peers().length === 1, 'link up');
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(links.peers(), ['w1']);
    swallow = true;
    const lost = await refusal(waiting);
    assert.is(lost.code, 'link_lost');
  } finally {
    links.close();
    for (const socket of relayed) socket.destroy();
    await new Promise((resolve) => relay.close(resolve));
    await side.stop();
  }
});

test('too many unanswered requests are answered busy, without growth', async () => {
  const side = await listen(inletOf({ deliver: () => new Promise<Delivery>(() => {}) }));
  const links = linksTo(side.url, c1, { maxInFlight: 10 });
  try {
    const held = Array.from({ length: 10 }, (_, at) => refusal(links.deliver('w1', message(at + 1))));
    assert.equal(await links.deliver('w1', message(11)), { result: 'busy', retryAfterMs: 50 });
    assert.is((await refusal(links.command('w1', command('x')))).code, 'peer_busy');
    links.close();
    await Promise.all(held);
  } finally {
    await side.stop();
  }
});

test('a request larger than a frame is refused at home, large ticks are split into frames', async () => {
  const side = await listen(inletOf());
  const links = linksTo(side.url, c1);
  try {
    const huge = await refusal(links.deliver('w1', message(1, 'x'.repeat(1024 * 1024))));
    assert.is(huge.group, 'defeat');
    assert.is(huge.code, 'message_too_large');
    const many = Array.from({ length: 6 }, (_, at) => links.deliver('w1', message(at + 1, 'y'.repeat(500_000))));
    assert.equal(await Promise.all(many), many.map(() => ({ result: 'applied' })));
  } finally {
    links.close();
    await side.stop();
  }
});

test('an inlet that throws is reported as unknown and the link lives on', async () => {
  let fail = true;
  const side = await listen(
    inletOf({
      deliver: async () => {
        if (fail) throw new Error('the shard is being handed over');
        return { result: 'moved' };
      },
    }),
  );
  const links = linksTo(side.url);
  try {
    const failed = await refusal(links.deliver('w1', message(1)));
    assert.is(failed.group, 'unknown');
    assert.match(failed.message, 'the shard is being handed over');
    fail = false;
    assert.equal(await links.deliver('w1', message(1)), { result: 'moved' });
  } finally {
    links.close();
    await side.stop();
  }
});

test('malformed frames of a peer close the link with a code and reach no actor', async () => {
  let reached = 0;
  const side = await listen(
    inletOf({
      deliver: async () => {
        reached += 1;
        return { result: 'applied' };
      },
    }),
  );
  const good = JSON.stringify(['m', 1, message(1)]);
  const hostile: readonly (readonly [string, readonly (string | Buffer)[], number])[] = [
    ['no hello', [`[${good}]`], 4400],
    ['no version of ours', ['{"hello":{"versions":[99]}}'], 4426],
    ['not JSON', ['{"hello":{"versions":[1]}}', '[['], 4400],
    ['binary', ['{"hello":{"versions":[1]}}', Buffer.from(`[${good}]`)], 4400],
    ['no list', ['{"hello":{"versions":[1]}}', good], 4400],
    ['bad actor id', ['{"hello":{"versions":[1]}}', `[${good.replace('vm/acme/web-1', '../x')}]`], 4400],
    ['negative number', ['{"hello":{"versions":[1]}}', `[${good.replace('"m",1', '"m",-1')}]`], 4400],
    ['deep nesting', ['{"hello":{"versions":[1]}}', '['.repeat(100_000)], 4400],
    ['larger than a frame', ['{"hello":{"versions":[1]}}', ' '.repeat(1024 * 1024 + 1)], 1009],
  ];
  try {
    for (const [name, frames, code] of hostile) {
      const socket = new WebSocket(new URL('/peer', side.url), 'photon.peer', peerDialOptions(c1, 'w1'));
      socket.on('open', () => frames.forEach((frame) => socket.send(frame)));
      socket.on('error', () => {});
      const closed = await new Promise<number>((resolve) => socket.once('close', resolve));
      assert.is(closed, code, name);
    }
    assert.is(reached, 0);
  } finally {
    await side.stop();
  }
});

test('a peer that reads no answers stops being read, and goes on when it reads again', async () => {
  let performed = 0;
  const side = await listen(
    inletOf({
      command: async () => {
        performed += 1;
        return { ok: true, version: 1, result: 'z'.repeat(100_000) };
      },
    }),
    w1,
    { limits: { pauseBytes: 400_000, closeBytes: 2_000_000, maxInFlight: 4 } },
  );
  const socket = new WebSocket(new URL('/peer', side.url), 'photon.peer', peerDialOptions(c1, 'w1'));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => {});
  try {
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send('{"hello":{"versions":[1]}}');
    await new Promise((resolve) => socket.once('message', resolve));
    socket.pause();
    for (let number = 1; number <= 400; number += 1) socket.send(JSON.stringify([['c', number, command('x')]]));
    await until(() => performed >= 5, 'some were performed');
    let before = -1;
    while (before !== performed) {
      before = performed;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(performed < 400, `performed ${performed} of 400 while nobody read`);
    socket.resume();
    await until(() => performed === 400, 'all are performed once the peer reads again');
  } finally {
    socket.terminate();
    await closed;
    await side.stop();
  }
});

test('mounted routes serve peers only, by GET only', async () => {
  const side = await listen(inletOf(), w1, {
    routes: {
      '/blobs/': (request, response, peer) => {
        if (request.url === '/blobs/absent') response.writeHead(404).end();
        else response.end(`${peer} ${request.url}`);
      },
    },
  });
  const links = linksTo(side.url);
  try {
    assert.is((await buffer(await links.get('w1', '/blobs/abc'))).toString(), 'c1 /blobs/abc');
    assert.is((await refusal(links.get('w1', '/blobs/absent'))).code, 'peer_refused');
    assert.is((await refusal(links.get('w1', '/other'))).code, 'peer_refused');
  } finally {
    links.close();
    await side.stop();
  }
});

test('closing tells peers to come again, and a peer that restarts is reached again', async () => {
  const first = await listen(inletOf());
  const listenPort = Number(new URL(first.url).port);
  const links = linksTo(first.url, c1, { backoffMinMs: 5, backoffMaxMs: 20 });
  let second: Side | undefined;
  try {
    assert.equal(await links.deliver('w1', message(1)), { result: 'applied' });
    await first.stop();
    await until(() => links.peers().length === 0, 'the link ended');
    second = await listen(inletOf(), w1, {}, listenPort);
    let answer: Delivery | undefined;
    for (let tries = 0; answer === undefined && tries < 100; tries += 1) {
      answer = await links.deliver('w1', message(2)).catch(() => undefined);
      if (answer === undefined) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(answer, { result: 'applied' });
  } finally {
    links.close();
    await second?.stop();
  }
});

test.run();
