/**
 * Consoles over WebSocket on a real server: who gets one, tokens of one use, slow clients, the end of a credential.
 * The node at the far end is a stream that sends back what it is sent; the real one is in
 * cluster-tests/cluster/console.test.ts.
 */
import { PassThrough, type Duplex } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { PhotonError, reject } from '../contract/errors.ts';
import type { OutputPlace } from '../contract/actor-definition.ts';
import { connectPhoton, type PhotonClient } from '../client/client.ts';
import { nodeSocketFactory } from '../client/node-socket.ts';
import { openConsole } from '../client/node-console.ts';
import { startTestApi, type TestApi } from './api-for-tests.ts';
import { consoleProtocol } from './console-door.ts';
import { testRegistry } from './store-for-tests.ts';

const id = 'box/acme/a';
/** Boxes print, except those without output. */
const kinds = new Map(
  [...testRegistry.kinds].map(([kind, definition]) => [
    kind,
    { ...definition, output: (of: string): OutputPlace => ({ node: 'w1', path: `/consoles/${of}` }) },
  ]),
);

interface Scene {
  readonly api: TestApi;
  readonly ann: PhotonClient;
  readonly bob: PhotonClient;
  readonly opened: { readonly place: OutputPlace; readonly stream: Duplex }[];
  open(grant: { path: string; token: string }): {
    readonly text: () => string;
    readonly isOpen: () => boolean;
    readonly console: ReturnType<typeof openConsole>;
  };
}

async function inScene(openStream: (place: OutputPlace) => Promise<Duplex>, body: (scene: Scene) => Promise<void>) {
  const opened: { place: OutputPlace; stream: Duplex }[] = [];
  const more = {
    registry: { kinds },
    openStream: async (place: OutputPlace) => {
      const stream = await openStream(place);
      opened.push({ place, stream });
      return stream;
    },
  };
  const api = await startTestApi({ more });
  const as = (name: string) => connectPhoton({ url: api.url, token: `${name}-token`, openSocket: nodeSocketFactory() });
  const [ann, bob] = await Promise.all([as('ann'), as('bob')]);
  api.store.put(id, 'open');
  const open: Scene['open'] = (grant) => {
    let text = '';
    let isOpen = false;
    const console = openConsole({}, api.url, grant, { onBytes: (bytes) => (text += bytes.toString('latin1')) });
    console.onOpen(() => (isOpen = true));
    // Each test that closes or loses a console looks at `ended` itself.
    console.ended.catch(() => {});
    return { text: () => text, isOpen: () => isOpen, console };
  };
  try {
    await body({ api, ann, bob, opened, open });
  } finally {
    ann.close();
    bob.close();
    await api.stop();
  }
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const endMs = performance.now() + 15_000;
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const echo = async (): Promise<Duplex> => new PassThrough();
const why = (ended: Promise<string>): Promise<string> =>
  ended.then(
    (text) => `ended: ${text}`,
    (error: unknown) => (error as PhotonError).record.message,
  );

test('a token opens the console of its object once; bytes go both ways as they are', async () => {
  await inScene(echo, async ({ ann, bob, opened, open }) => {
    const grant = await ann.call('actor.console', { id });
    assert.equal([grant.path, grant.expiresInMs], ['/console', 60_000]);
    const one = open(grant);
    await until('it is open', one.isOpen);
    assert.equal(opened[0]?.place, { node: 'w1', path: `/consoles/${id}` });
    const bytes = '\u001b[2J\u0000\u00ff';
    one.console.write(Buffer.from(bytes, 'latin1'));
    await until('it is sent back', () => one.text() === bytes);
    one.console.write(Buffer.alloc(100_000, 'x'));
    await until('all of it', () => one.text().length === bytes.length + 100_000);
    const again = await why(open(grant).console.ended);
    assert.is(again, 'the console token was used already; ask for another one');
    one.console.close();
    await until('the stream is closed', () => opened[0]?.stream.destroyed === true);
    const wrong = await why(open({ ...grant, token: 'x'.repeat(32) }).console.ended);
    assert.is(wrong, 'this node has given out no such console token; ask for another one');
    const foreign = await bob.call('actor.console', { id }).catch((error: PhotonError) => error.record.code);
    assert.is(foreign, 'not_found');
    assert.is(opened.length, 1);
  });
});

test('what the node refuses is the reason of the close; a fault does not name the host', async () => {
  const refusals = [
    reject('console_busy', 'another client has this console'),
    new PhotonError('fault', 'peer_unreachable', 'Node w1 cannot be reached'),
  ];
  await inScene(
    () => Promise.reject(refusals.shift() as Error),
    async ({ ann, open }) => {
      const said = [];
      for (const _ of [1, 2]) said.push(await why(open(await ann.call('actor.console', { id })).console.ended));
      assert.equal(said, ['another client has this console', 'the host of the object cannot be reached; try again']);
    },
  );
});

test('the end of the run, and of the credential, end the console', async () => {
  await inScene(echo, async ({ api, ann, opened, open }) => {
    const one = open(await ann.call('actor.console', { id }));
    await until('it is open', one.isOpen);
    opened[0]?.stream.end();
    assert.is(await why(one.console.ended), 'ended: the run has ended');
    const two = open(await ann.call('actor.console', { id }));
    await until('it is open', two.isOpen);
    const unused = await ann.call('actor.console', { id });
    api.principals.people.delete('ann');
    api.api.review();
    assert.is(await why(two.console.ended), 'the credential is no longer valid');
    await until('the stream is closed', () => opened[1]?.stream.destroyed === true);
    assert.match(await why(open(unused).console.ended), 'the credential that got the console token has ended');
  });
});

test('a client that does not read is cut, and holds no more than a bounded part', async () => {
  await inScene(echo, async ({ api, ann, opened }) => {
    const { path, token } = await ann.call('actor.console', { id });
    const socket = new WebSocket(new URL(path, api.url), consoleProtocol);
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send(JSON.stringify({ token }));
    await new Promise((resolve) => socket.once('message', resolve));
    socket.pause();
    const stream = opened[0]?.stream as PassThrough;
    let pushed = 0;
    const fill = setInterval(() => {
      while (!stream.destroyed && pushed < 64 << 20 && stream.write(Buffer.alloc(64 << 10))) pushed += 64 << 10;
    }, 5);
    await until('it is cut', () => stream.destroyed).finally(() => clearInterval(fill));
    assert.ok(pushed < 32 << 20, `${pushed} bytes were taken`);
    socket.terminate();
  });
});

test('a client that sends no token in time, or another protocol, gets nothing', async () => {
  await inScene(echo, async ({ api }) => {
    const other = new WebSocket(new URL('/console', api.url), 'photon.v1');
    const refused = await new Promise<Error>((resolve) => other.once('error', resolve));
    assert.match(refused.message, '426');
    const mute = new WebSocket(new URL('/console', api.url), consoleProtocol);
    const code = await new Promise((resolve) => mute.once('close', resolve));
    assert.is(code, 4401);
  });
});

test.run();
