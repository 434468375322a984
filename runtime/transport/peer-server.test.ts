/** Links from the accepting side: who is admitted, what hostile or slow peers can do, mounted routes. */
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { reject } from '../contract/errors.ts';
import { actorId } from '../contract/identifiers.ts';
import { peerDialOptions } from './peer-identity.ts';
import type { PeerLinks } from './peer-links.ts';
import {
  authority,
  w1,
  c1,
  worker,
  stranger,
  message,
  command,
  listen,
  inletOf,
  linksTo,
  refusal,
  until,
} from './links-for-tests.ts';

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

test('a client without a certificate, or with one of another authority, is refused', async () => {
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

test("with rejectUnauthorized false nobody is admitted without the cluster's certificate", async () => {
  const side = await listen(
    inletOf(),
    w1,
    { routes: { '/blobs/': (_, response) => response.end('secret') } },
    0,
    false,
  );
  const foreign = linksTo(side.url, { ...stranger, ca: authority.ca });
  try {
    assert.match((await refusal(foreign.deliver('w1', message(1)))).message, '403');
    assert.is((await refusal(foreign.get('w1', '/blobs/a'))).code, 'peer_refused');
  } finally {
    foreign.close();
    await side.stop();
  }
});

test('a worker may send messages of actors pinned to it, of no others, and no commands', async () => {
  const reached: string[] = [];
  const inlet = inletOf({
    deliver: async ({ from }) => {
      reached.push(from);
      return { result: 'applied' };
    },
    command: async ({ principal }) => {
      reached.push(principal);
      return { ok: true, version: 1, result: null };
    },
  });
  const side = await listen(inlet);
  const says = (from: string) => ({ ...message(1), from: actorId(from) });
  // A separate link for each case: a forged sender closes the link, and the next dial would wait.
  const lie = async (tell: (links: PeerLinks) => Promise<unknown>, tls = worker): Promise<void> => {
    const links = linksTo(side.url, tls);
    await refusal(tell(links));
    links.close();
  };
  const honest = linksTo(side.url, worker);
  try {
    await honest.deliver('w1', says('incarnation/acme/web-1@w2'));
    await lie((links) => links.deliver('w1', says('incarnation/acme/web-1@w1')));
    await lie((links) => links.deliver('w1', says('port/acme/web-1.eth0')));
    await lie((links) => links.command('w1', command('as ann')));
    await lie((links) => links.command('w1', { ...command('x'), principal: 'system' }));
    const noRole = authority.issue('c1', 'operator');
    await lie((links) => links.deliver('w1', message(1)), noRole);
    await lie((links) => links.command('w1', command('as ann')), noRole);
    assert.equal(reached, ['incarnation/acme/web-1@w2']);
  } finally {
    honest.close();
    await side.stop();
  }
});

test('a certificate of the cluster whose name is no node is refused by admits', async () => {
  const side = await listen(inletOf(), w1, { admits: ({ name }) => name !== 'c1' });
  const links = linksTo(side.url);
  try {
    assert.match((await refusal(links.deliver('w1', message(1)))).message, '403');
  } finally {
    links.close();
    await side.stop();
  }
});

test('malformed frames close the link with a code and reach no actor', async () => {
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

test('requests of a peer that reads no answers wait until it reads again', async () => {
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
    assert.ok(performed < 400, `performed ${performed} of 400 while no answer was read`);
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

test('a stream carries bytes both ways, is refused with a reason, and ends with either end', async () => {
  const far: PassThrough[] = [];
  const streams = {
    '/echo/': async (path: string) => {
      if (path !== '/echo/a') throw reject('no_echo', 'there is no echo here');
      const stream = new PassThrough();
      far.push(stream);
      return stream;
    },
  };
  const side = await listen(inletOf(), w1, { streams });
  const links = linksTo(side.url);
  const strange = linksTo(side.url, { ...stranger, ca: authority.ca });
  try {
    const stream = await links.stream('w1', '/echo/a');
    let read = '';
    stream.on('data', (bytes: Buffer) => (read += String(bytes)));
    stream.write('a\u0000b');
    await until(() => read === 'a\u0000b', 'the bytes came back');
    stream.destroy();
    await until(() => far[0]?.destroyed === true, 'the far end is closed');
    const other = await links.stream('w1', '/echo/a');
    other.resume();
    const ended = new Promise((resolve) => other.once('close', resolve));
    far[1]?.end('bye');
    far[1]?.destroy();
    await ended;
    const none = await refusal(links.stream('w1', '/echo/b'));
    assert.equal([none.group, none.code, none.message], ['rejection', 'no_echo', 'there is no echo here']);
    assert.is((await refusal(links.stream('w1', '/nothing'))).code, 'peer_failed');
    assert.is((await refusal(strange.stream('w1', '/echo/a'))).code, 'peer_unreachable');
    assert.is(far.length, 2);
  } finally {
    links.close();
    strange.close();
    await side.stop();
  }
});

test.run();
