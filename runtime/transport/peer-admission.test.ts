/** Nodes that are removed while they have links, and certificates that are renewed while links are open. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId } from '../contract/identifiers.ts';
import type { Delivery } from '../contract/link.ts';
import { createTestAuthority } from './certificates-for-tests.ts';
import { c1, inletOf, linksTo, listen, message, refusal, until, w1, worker, authority } from './links-for-tests.ts';
import type { Peer } from './peer-identity.ts';

const ofWorker = { ...message(1), from: actorId('incarnation/acme/web-1@w2') };

test('a removed node loses its links and copies at once and gets no new ones; other nodes keep theirs', async () => {
  const removed = new Set<string>();
  const admits = ({ name }: Peer): boolean => !removed.has(name);
  let held = 0;
  const side = await listen(
    inletOf({
      deliver: ({ seq }) => {
        if (seq !== 7) return Promise.resolve({ result: 'applied' });
        held += 1;
        return new Promise<Delivery>(() => {});
      },
    }),
    w1,
    { admits, routes: { '/blobs/': (_, response) => void response.writeHead(200).write('the first half') } },
  );
  const links = linksTo(side.url);
  const others = linksTo(side.url, worker);
  try {
    await links.deliver('w1', message(1));
    await others.deliver('w1', ofWorker);
    const waiting = refusal(links.deliver('w1', message(7)));
    const copy = await links.get('w1', '/blobs/a');
    const copied = new Promise<Error>((resolve) => copy.resume().once('error', resolve));
    await until(() => held === 1, 'a request is in flight');
    const kept = others.deliver('w1', { ...ofWorker, seq: 2, after: 1 });
    removed.add('c1');
    side.peers.review();
    assert.is((await waiting).code, 'link_lost');
    assert.instance(await copied, Error);
    assert.equal(await kept, { result: 'applied' });
    assert.equal(side.peers.peers(), ['w2']);
    const again = linksTo(side.url);
    assert.match((await refusal(again.deliver('w1', message(2)))).message, '403');
    assert.is((await refusal(again.get('w1', '/blobs/a'))).code, 'peer_refused');
    again.close();
    assert.equal(await others.deliver('w1', { ...ofWorker, seq: 3, after: 2 }), { result: 'applied' });
  } finally {
    links.close();
    others.close();
    await side.stop();
  }
});

test('nothing is sent to a removed node: link and running copy are cut, and no new link is opened', async () => {
  let isRemoved = false;
  let reached = 0;
  const inlet = inletOf({
    deliver: async () => {
      reached += 1;
      return { result: 'applied' };
    },
  });
  const side = await listen(inlet, w1, {
    routes: { '/blobs/': (_, response) => void response.writeHead(200).write('the first half') },
  });
  const links = linksTo(side.url, c1, { backoffMinMs: 1 }, () => !isRemoved);
  try {
    await links.deliver('w1', message(1));
    const copy = await links.get('w1', '/blobs/a');
    const copied = new Promise<Error>((resolve) => copy.resume().once('error', resolve));
    isRemoved = true;
    links.review();
    assert.instance(await copied, Error);
    await until(() => links.peers().length === 0, 'the link is cut');
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.match((await refusal(links.deliver('w1', message(2)))).message, 'its certificate was revoked');
    assert.match((await refusal(links.get('w1', '/blobs/a'))).message, 'its certificate was revoked');
    assert.is(reached, 1);
  } finally {
    links.close();
    await side.stop();
  }
});

test('a removed name is admitted again with a certificate that was issued after the removal', async () => {
  const made = createTestAuthority();
  const server = made.issue('w1');
  const before = made.issue('c1');
  let removedMs = -1;
  const side = await listen(inletOf(), server, {
    admits: ({ name, issuedMs }) => name !== 'c1' || issuedMs > removedMs,
  });
  const first = linksTo(side.url, before);
  try {
    await first.deliver('w1', message(1));
    removedMs = Date.now();
    side.peers.review();
    const refused = linksTo(side.url, before);
    assert.match((await refusal(refused.deliver('w1', message(2)))).message, '403');
    refused.close();
    // Certificates have whole seconds.
    await new Promise((resolve) => setTimeout(resolve, 1_000 - (Date.now() % 1_000) + 1));
    const back = linksTo(side.url, made.issue('c1'));
    assert.equal(await back.deliver('w1', message(3)), { result: 'applied' });
    back.close();
  } finally {
    first.close();
    await side.stop();
  }
});

test('renewed certificates are used by both ends for the next link, while the open link goes on', async () => {
  const serials: string[] = [];
  let mine = c1;
  const side = await listen(inletOf(), w1);
  side.server.on('secureConnection', (socket) => serials.push(socket.getPeerCertificate().serialNumber));
  const links = linksTo(side.url, () => mine);
  try {
    await links.deliver('w1', message(1));
    const [link] = [...side.sockets];
    mine = authority.issue('c1');
    side.server.setSecureContext({ ...authority.issue('w1'), minVersion: 'TLSv1.3' });
    assert.equal(await links.deliver('w1', message(2)), { result: 'applied' });
    assert.is(serials.length, 1, 'still the first link');
    assert.not.ok(link?.destroyed);
    const fresh = linksTo(side.url, () => mine);
    assert.equal(await fresh.deliver('w1', message(3)), { result: 'applied' });
    assert.is(serials.length, 2);
    assert.is.not(serials[0], serials[1]);
    fresh.close();
  } finally {
    links.close();
    await side.stop();
  }
});

test.run();
