/** Links from the dialling side: order, coalescing, loss, bounds, silence, over real TLS sockets on loopback. */
import { createServer as createTcpServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { backoffOf } from '../contract/backoff.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Delivery } from '../contract/link.ts';
import { w1, c1, message, command, type Side, listen, inletOf, linksTo, refusal, until } from './links-for-tests.ts';

test('messages arrive in order, answers reach their callers, one frame carries a whole tick', async () => {
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
    assert.equal(
      seen,
      Array.from({ length: 200 }, (_, at) => at + 1),
    );
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

test('a lost link rejects waiting requests as unknown, and the next request dials again', async () => {
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

test('an unknown address and a refused connection are faults with retryAfterMs; nothing hangs', async () => {
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
  links.retry('w1');
  assert.match((await refusal(links.deliver('w1', message(3)))).message, 'ECONNREFUSED', 'it is dialled at once');
  links.close();
});

test('a peer that ends each link at once is dialled ever more rarely, and not by all nodes at once', async () => {
  let accepted = 0;
  const side = await listen(inletOf({ deliver: () => new Promise<Delivery>(() => {}) }));
  side.server.on('upgrade', (_request, stream) => {
    accepted += 1;
    setTimeout(() => stream.destroy(), 5);
  });
  const links = linksTo(side.url, c1, { backoffMinMs: 10 });
  try {
    const endMs = performance.now() + 1_000;
    while (performance.now() < endMs) {
      assert.ok(await refusal(links.deliver('w1', message(1))));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.ok(accepted >= 2 && accepted <= 9, `${accepted} links within a second`);
  } finally {
    links.close();
    await side.stop();
  }
  const pauses = [0.1, 0.9].map((fraction) => backoffOf({ minMs: 100, maxMs: 5_000, failures: 3, fraction }));
  assert.equal(pauses, [80, 720]);
});

test('dialling a peer that accepts but never answers gives up', async () => {
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

test('a request without an answer is unknown, and a silent link is cut', async () => {
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

test('an answer that comes after its timeout is not given to another request', async () => {
  const answers: ((delivery: Delivery) => void)[] = [];
  const side = await listen(inletOf({ deliver: () => new Promise((resolve) => answers.push(resolve)) }));
  // The commands in between keep the link from being cut for silence.
  const links = linksTo(side.url, c1, { deliverTimeoutMs: 100 });
  try {
    await links.command('w1', command('first'));
    const late = refusal(links.deliver('w1', message(1)));
    await until(() => answers.length === 1, 'the first is there');
    await links.command('w1', command('second'));
    assert.is((await late).code, 'peer_timeout');
    const next = links.deliver('w1', message(2));
    await until(() => answers.length === 2, 'the second is there');
    answers[0]?.({ result: 'gap' });
    answers[1]?.({ result: 'applied' });
    assert.equal(await next, { result: 'applied' });
  } finally {
    links.close();
    await side.stop();
  }
});

test('the heartbeat ends a link whose peer is stopped', async () => {
  const side = await listen(inletOf({ deliver: () => new Promise<Delivery>(() => {}) }));
  // A relay that drops everything once switched, like a peer process that is stopped.
  let swallow = false;
  const relayed = new Set<Socket>();
  const relay = createTcpServer((near) => {
    const far = connect(Number(new URL(side.url).port), '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      relayed.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      // The link opens later than its first beat is due.
      setTimeout(() => from.on('data', (bytes) => swallow || to.write(bytes)), 120);
    }
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const links = linksTo(`https://127.0.0.1:${(relay.address() as AddressInfo).port}`, c1, {
    heartbeatMs: 50,
    silenceMs: 100,
  });
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

test('with too many unanswered requests further ones get busy, and nothing grows', async () => {
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

test('a request larger than a frame is refused locally, large ticks are split into frames', async () => {
  const side = await listen(inletOf());
  const links = linksTo(side.url, c1);
  try {
    const huge = await refusal(links.deliver('w1', message(1, 'x'.repeat(1024 * 1024))));
    assert.is(huge.group, 'defeat');
    assert.is(huge.code, 'message_too_large');
    const many = Array.from({ length: 6 }, (_, at) => links.deliver('w1', message(at + 1, 'y'.repeat(500_000))));
    assert.equal(
      await Promise.all(many),
      many.map(() => ({ result: 'applied' })),
    );
  } finally {
    links.close();
    await side.stop();
  }
});

test('an inlet that throws yields unknown, and the link stays open', async () => {
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

test('closing a server ends links as restarting, and the restarted peer is reached again', async () => {
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
      // Refused until the pause before the next dial is over.
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
