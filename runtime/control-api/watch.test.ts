/**
 * Watches over real sockets: snapshot, changes, resume, coalescing with a slow reader, an expired cursor, a broken
 * feed.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startTestApi, type TestApi, type TestApiOptions } from './api-for-tests.ts';
import { RawClient, until } from './raw-client-for-tests.ts';
import { MemoryStore } from './store-for-tests.ts';

type Frame = {
  type: string;
  n: number;
  cursor?: string;
  dropped?: number;
  actor?: Line;
  actors?: Line[];
  error?: { type: string };
};
type Line = {
  id: string;
  version: number;
  stateName: string;
  lifecycle: string;
  held?: string;
  spec?: { size: number };
};

async function within(
  options: TestApiOptions,
  work: (api: TestApi, store: MemoryStore, client: (token: string) => Promise<RawClient>) => Promise<void>,
): Promise<void> {
  const api = await startTestApi(options);
  const clients: RawClient[] = [];
  try {
    await work(api, api.store, async (token) => {
      const client = await new RawClient(api.url).open(token);
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) await client.close();
    await api.stop();
  }
}

const framesOf = (client: RawClient): Frame[] => client.watched() as unknown as Frame[];
const types = (client: RawClient): string =>
  framesOf(client)
    .map(({ type }) => type)
    .join(' ');
const seen = (client: RawClient, wanted: string): Promise<void> =>
  until(() => types(client) === wanted, wanted).catch(() => assert.is(types(client), wanted));

test('snapshot, synced, then added, changed, removed, numbered without gaps', async () => {
  await within({}, async (_api, store, open) => {
    store.put('box/acme/a', 'open');
    store.put('lid/acme/a', 'open');
    store.put('box/acme/gone', 'open');
    store.remove('box/acme/gone');
    const ann = await open('ann-token');
    await ann.call('watch.open', { kind: 'box' });
    await seen(ann, 'items synced');
    assert.equal(
      framesOf(ann)[0]?.actors?.map(({ id }) => id),
      ['box/acme/a'],
    );
    store.put('box/acme/b', 'open');
    store.put('lid/acme/b', 'open');
    store.put('box/acme/a', 'shut');
    store.remove('box/acme/b');
    await seen(ann, 'items synced added changed removed');
    assert.equal(
      framesOf(ann).map(({ n }) => n),
      [1, 2, 3, 4, 5],
    );
    assert.is(framesOf(ann)[3]?.actor?.stateName, 'shut');
    assert.is(framesOf(ann)[4]?.actor?.lifecycle, 'removed');
  });
});

test('the begin and the end of a hold are sent, although the version stays', async () => {
  await within({}, async (_api, store, open) => {
    store.put('box/acme/a', 'open');
    const ann = await open('ann-token');
    await ann.call('watch.open', { kind: 'box' });
    await seen(ann, 'items synced');
    store.hold('box/acme/a', 'quarantined');
    await seen(ann, 'items synced changed');
    const late = await open('ann-token');
    await late.call('watch.open', { ids: ['box/acme/a'] });
    await seen(late, 'items synced');
    store.hold('box/acme/a', 'quarantined');
    store.hold('box/acme/a', undefined);
    await seen(ann, 'items synced changed changed');
    await seen(late, 'items synced changed');
    assert.match(JSON.stringify(framesOf(late)[0]), '"held":"quarantined"');
    assert.is(framesOf(ann).filter(({ actor }) => actor?.held === 'quarantined').length, 1);
  });
});

test('a principal gets only changes of its scopes, an operator gets all', async () => {
  await within({}, async (_api, store, open) => {
    const ann = await open('ann-token');
    const root = await open('root-token');
    const cat = await open('cat-token');
    await ann.call('watch.open', {});
    await root.call('watch.open', {});
    await cat.call('watch.open', {});
    await seen(ann, 'synced');
    await seen(cat, 'synced');
    await seen(root, 'synced');
    store.put('box/bits/a', 'open');
    store.put('box/acme/a', 'open');
    store.put('box/cups/a', 'open');
    await seen(root, 'synced added added added');
    await seen(ann, 'synced added');
    await seen(cat, 'synced added added');
    assert.is(framesOf(ann)[1]?.actor?.id, 'box/acme/a');
  });
});

test('with detail the lines contain spec and status', async () => {
  await within({}, async (_api, store, open) => {
    store.put('box/acme/a', 'open', 5);
    const ann = await open('ann-token');
    await ann.call('watch.open', { detail: true });
    await seen(ann, 'items synced');
    store.put('box/acme/a', 'open', 6);
    await seen(ann, 'items synced changed');
    assert.equal([framesOf(ann)[0]?.actors?.[0]?.spec, framesOf(ann)[2]?.actor?.spec], [{ size: 5 }, { size: 6 }]);
  });
});

test('ids that do not exist yet can be watched', async () => {
  await within({}, async (_api, store, open) => {
    const ann = await open('ann-token');
    await ann.call('watch.open', { ids: ['box/acme/later'] });
    await seen(ann, 'synced');
    store.put('box/acme/other', 'open');
    store.put('box/acme/later', 'open');
    await seen(ann, 'synced added');
  });
});

test('a watch can resume from the cursor of any frame and misses no change', async () => {
  await within({}, async (_api, store, open) => {
    const ann = await open('ann-token');
    await ann.call('watch.open', {});
    await seen(ann, 'synced');
    for (let round = 1; round <= 10; round += 1) store.put(`box/acme/a${round % 3}`, `s${round}`);
    await until(() => framesOf(ann).length === 11, 'ten changes');
    for (const [at, { cursor }] of framesOf(ann).entries()) {
      const again = await open('ann-token');
      await again.call('watch.open', { since: cursor });
      await until(() => framesOf(again).length === 10 - at, `the rest after ${at}`);
      assert.equal(
        framesOf(again).map(({ actor }) => actor?.stateName),
        Array.from({ length: 10 - at }, (_, more) => `s${at + more + 1}`),
      );
    }
  });
});

test('an expired cursor causes a reset and a new snapshot, or ends a strict watch', async () => {
  await within({}, async (_api, store, open) => {
    store.put('box/acme/a', 'open');
    const early = await store.now();
    store.put('box/acme/a', 'shut');
    store.trim();
    const ann = await open('ann-token');
    await ann.call('watch.open', { since: early });
    await seen(ann, 'reset items synced');
    store.put('box/acme/b', 'open');
    await seen(ann, 'reset items synced added');
    const strict = await open('ann-token');
    await strict.call('watch.open', { since: early, strict: true });
    await seen(strict, 'closed');
    assert.is(framesOf(strict)[0]?.error?.type, 'urn:photon:error:cursor_expired');
    const forged = await open('ann-token');
    await forged.call('watch.open', { since: 'forged', strict: true });
    await seen(forged, 'closed');
  });
});

test('unacknowledged frames are bounded; changes are merged per actor, and the last state arrives', async () => {
  await within({ limits: { watchWindow: 4 } }, async (_api, store, open) => {
    const ann = await open('ann-token');
    const { watch } = await ann.call('watch.open', {});
    await seen(ann, 'synced');
    for (let round = 0; round < 100; round += 1) store.put(`box/acme/a${round % 5}`, `s${round}`);
    await until(() => framesOf(ann).length >= 4, 'the window is used');
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.is(framesOf(ann).length, 4);
    // A cursor of a frame sent while others are pending must lead to those others.
    const middle = framesOf(ann)[3]?.cursor;
    const again = await open('ann-token');
    await again.call('watch.open', { since: middle });
    await until(() => framesOf(again).length === 4, 'the resumed watch uses its window');
    let upTo = 0;
    await until(() => {
      const frames = framesOf(ann);
      const newest = frames.at(-1)?.n ?? 0;
      if (newest > upTo) {
        upTo = newest;
        // The session may be closed by then; the frames decide.
        ann.call('watch.ack', { watch, upTo }).catch(() => undefined);
      }
      const last = new Map(frames.flatMap(({ actor }) => (actor === undefined ? [] : [[actor.id, actor.stateName]])));
      return [0, 1, 2, 3, 4].every((at) => last.get(`box/acme/a${at}`) === `s${95 + at}`);
    }, 'the last state of all five');
    const dropped = framesOf(ann).reduce((sum, frame) => sum + (frame.dropped ?? 0), 0);
    const changes = framesOf(ann).filter(({ actor }) => actor !== undefined).length;
    assert.is(dropped + changes, 100);
    assert.equal(
      framesOf(ann).map(({ n }) => n),
      framesOf(ann).map((_, at) => at + 1),
    );
    assert.is(framesOf(ann).at(-1)?.cursor, await store.now());
    assert.match((await ann.refusal('watch.ack', { watch, upTo: 10_000 })).type, 'ack_ahead');
  });
});

test('a watch that resumes from a cursor within a backlog gets every unsent change', async () => {
  await within({ limits: { watchWindow: 3 } }, async (_api, store, open) => {
    const ann = await open('ann-token');
    const { watch } = await ann.call('watch.open', {});
    await seen(ann, 'synced');
    // a and b are sent, c and d wait; a changes again while they wait.
    for (const name of ['a', 'b', 'c', 'd', 'a']) store.put(`box/acme/${name}`, 'open');
    await seen(ann, 'synced added added');
    const again = await open('ann-token');
    await again.call('watch.open', { since: framesOf(ann).at(-1)?.cursor });
    await until(() => framesOf(again).length >= 3, 'three of them');
    const heard = new Set(framesOf(again).map(({ actor }) => actor?.id));
    assert.ok(heard.has('box/acme/c') && heard.has('box/acme/d'), [...heard].join());
    // One more is let through: c, while d and the second change of a still wait.
    await ann.call('watch.ack', { watch, upTo: 1 });
    await seen(ann, 'synced added added added');
    const third = await open('ann-token');
    await third.call('watch.open', { since: framesOf(ann).at(-1)?.cursor });
    await until(() => framesOf(third).some(({ actor }) => actor?.id === 'box/acme/d'), 'd is not lost');
  });
});

test('a client that does not read is paused, and closed with 4408 at last', async () => {
  const limits = { pauseBytes: 200_000, closeBytes: 4_000_000, slowMs: 400, watchWindow: 1_000_000 };
  await within({ limits }, async ({ api }, store, open) => {
    const ann = await open('ann-token');
    await ann.call('watch.open', {});
    await seen(ann, 'synced');
    ann.socket.pause();
    // More bytes than the socket buffers of both ends can hold.
    const text = 'x'.repeat(2_000);
    let round = 0;
    for (; api.sessions() === 1 && round < 400; round += 1) {
      for (let at = 0; at < 100; at += 1) store.put(`box/acme/a${at}`, `s${round}${text}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await until(() => api.sessions() === 0, 'the slow session is gone');
    ann.socket.resume();
    assert.ok([4408, 1006].includes((await ann.closed).code));
  });
});

test('a feed that breaks is followed again, and the watch misses nothing', async () => {
  await within({}, async (_api, store, open) => {
    const ann = await open('ann-token');
    await ann.call('watch.open', {});
    await seen(ann, 'synced');
    store.put('box/acme/a', 'open');
    await seen(ann, 'synced added');
    store.broken = true;
    store.wake();
    await until(() => store.follows === 0, 'the feed has broken');
    store.put('box/acme/b', 'open');
    store.broken = false;
    await seen(ann, 'synced added added');
  });
});

test('bookmarks move the cursor past changes of other scopes', async () => {
  await within({ limits: { bookmarkMs: 50 } }, async (_api, store, open) => {
    const ann = await open('ann-token');
    await ann.call('watch.open', {});
    await seen(ann, 'synced');
    for (let round = 0; round < 5; round += 1) store.put('box/bits/a', `s${round}`);
    const now = await store.now();
    await until(
      () => framesOf(ann).some(({ type, cursor }) => type === 'bookmark' && cursor === now),
      'a bookmark at the end',
    );
  });
});

test('the number of watches of a session is limited; closed watches leave no feed open', async () => {
  await within({ limits: { maxWatches: 2 } }, async (_api, store, open) => {
    const ann = await open('ann-token');
    const { watch } = await ann.call('watch.open', {});
    await ann.call('watch.open', { since: await store.now() });
    assert.match((await ann.refusal('watch.open', {})).type, 'too_many_watches');
    await until(() => store.follows === 1, 'one feed for both');
    await ann.call('watch.close', { watch });
    assert.match((await ann.refusal('watch.close', { watch })).type, 'watch_not_open');
    const before = framesOf(ann).length;
    store.put('box/acme/a', 'open');
    await until(() => framesOf(ann).length === before + 1, 'only the resumed watch gets it');
    await ann.close();
    await until(() => store.follows === 0, 'no feed');
  });
});

test('a large snapshot is sent in several frames', async () => {
  await within({}, async (_api, store, open) => {
    for (let at = 0; at < 120; at += 1) store.put(`box/acme/a${at}`, 'open');
    const ann = await open('ann-token');
    await ann.call('watch.open', {});
    await seen(ann, 'items items items synced');
    assert.equal(
      framesOf(ann).map(({ actors }) => actors?.length ?? 0),
      [50, 50, 20, 0],
    );
  });
});

test('a kind or a state that does not exist is an error with a suggestion, in lists and in watches', async () => {
  await within({}, async (_api, store, open) => {
    store.put('box/acme/a', 'open');
    const ann = await open('ann-token');
    for (const [method, params, path] of [
      ['watch.open', { kind: 'boxs' }, 'kind'],
      ['actor.list', { kind: 'boxs' }, 'kind'],
      ['watch.open', { ids: ['box/acme/a', 'boxs/acme/b'] }, 'ids.1'],
    ] as const) {
      const refused = await ann.refusal(method, params);
      assert.is(refused.type, 'urn:photon:error:no_such_kind', method);
      assert.is(refused.detail, 'There is no kind boxs; did you mean box?');
      assert.equal(refused.issues, [{ path, message: 'did you mean box?' }]);
    }
    const state = await ann.refusal('actor.list', { kind: 'box', state: 'opne' });
    assert.is(state.type, 'urn:photon:error:no_such_state');
    assert.is(state.detail, 'box has no state opne; did you mean open?');
    assert.is((await ann.refusal('actor.list', { state: 'nowhere' })).type, 'urn:photon:error:no_such_state');
    await ann.call('actor.list', { kind: 'lid', state: 'half.open' });
    assert.equal(types(ann), '');
  });
});

test('an actor that was created again is added, for a live watch, a resumed one and one that is behind', async () => {
  await within({ limits: { watchWindow: 3 } }, async (_api, store, open) => {
    store.put('box/acme/a', 'open');
    const live = await open('ann-token');
    await live.call('watch.open', { kind: 'box' });
    await seen(live, 'items synced');
    const since = framesOf(live)[1]?.cursor;
    store.remove('box/acme/a');
    store.put('box/acme/a', 'open');
    store.put('box/acme/a', 'shut');
    await seen(live, 'items synced removed');
    await live.call('watch.ack', { watch: 'w1', upTo: 3 });
    await seen(live, 'items synced removed coalesced added');
    const back = await open('ann-token');
    await back.call('watch.open', { kind: 'box', since });
    await until(() => framesOf(back).some(({ actor }) => actor?.stateName === 'shut'), 'the newest state');
    const [first, again] = framesOf(back).filter(({ actor }) => actor !== undefined);
    assert.equal([first?.type, again?.type], ['removed', 'added']);
    // Merged with its removal, it is still told as added, and a removal after that is told too.
    store.remove('box/acme/a');
    store.put('box/acme/a', 'open');
    await live.call('watch.ack', { watch: 'w1', upTo: 5 });
    await until(() => framesOf(live).at(-1)?.actor?.stateName === 'open', 'the last state');
    assert.is(framesOf(live).at(-1)?.type, 'added');
  });
});

test.run();
