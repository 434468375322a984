import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { SocketFactory } from '../../client/client-socket.ts';
import { nodeSocketFactory } from '../../client/node-socket.ts';
import { startTestApi, testClock } from '../../control-api/api-for-tests.ts';
import { until } from '../../control-api/raw-client-for-tests.ts';
import { followActor, type LiveActor } from './actor-feed.ts';
import { createClientFeed } from './client-feed.ts';
import type { FeedHealth, ListListener } from './inspector-feed.ts';

const openSocket = nodeSocketFactory();
const id = 'box/acme/one';

function recorder(): { seen: string[]; listener: ListListener } {
  const seen: string[] = [];
  return {
    seen,
    listener: {
      row: (row) => seen.push(`${row.id} ${row.version} ${row.stateName}`),
      removed: (gone) => seen.push(`removed ${gone}`),
      synced: () => seen.push('synced'),
      reset: () => seen.push('reset'),
      refused: (reason) => seen.push(`refused ${reason}`),
    },
  };
}

test('the watch delivers snapshot, change and removal from the real control API', async () => {
  const api = await startTestApi();
  api.store.put(id, 'open');
  const feed = createClientFeed({ url: api.url, openSocket, token: 'ann-token' });
  const { seen, listener } = recorder();
  const end = feed.watch({}, listener);
  await until(() => seen.includes('synced'), 'the snapshot');
  api.store.put(id, 'shut');
  api.store.put('box/bits/foreign', 'open');
  await until(() => seen.length >= 3, 'the change');
  api.store.remove(id);
  await until(() => seen.length >= 4, 'the removal');
  assert.equal(seen, [`${id} 1 open`, 'synced', `${id} 2 shut`, `removed ${id}`]);
  end();
  feed.close();
  await api.stop();
});

test('an actor is read with its history; after removal and creation it has a new history', async () => {
  const api = await startTestApi();
  api.store.put(id, 'open');
  api.store.put(id, 'shut');
  const feed = createClientFeed({ url: api.url, openSocket, token: 'ann-token' });
  let live: LiveActor | undefined;
  const follower = followActor(feed, id, (next) => (live = next));
  await until(() => live?.detail?.version === 2 && live.history[0]?.rows.length === 2, 'two steps');
  assert.is(live?.detail?.stateName, 'shut');
  assert.equal(live?.history[0]?.rows[1]?.event, { type: 'box.poke' });
  api.store.remove(id);
  await until(() => live?.gone === true && live.detail?.version === 3, 'the removal');
  api.store.past.set(id as never, []);
  api.store.put(id, 'open');
  await until(() => live?.gone === false && live.history[0]?.rows.length === 1, 'the new history');
  follower.end();
  feed.close();
  await api.stop();
});

test('a lost connection is reported and restored; a refusal is final', async () => {
  const first = await startTestApi();
  first.store.put(id, 'open');
  const feed = createClientFeed({ url: first.url, openSocket, token: 'ann-token' });
  const states: string[] = [];
  feed.onHealth((health: FeedHealth) => states.push(health.state));
  const { seen, listener } = recorder();
  const end = feed.watch({ kind: 'box' }, listener);
  await until(() => seen.includes('synced'), 'the snapshot');
  await first.stop();
  await until(() => states.at(-1) === 'connecting', 'the loss');
  const second = await startTestApi({ store: first.store, listenPort: first.listenPort });
  second.store.put(id, 'shut');
  await until(() => seen.includes(`${id} 2 shut`), 'the change after the restart');
  assert.is(states.at(-1), 'live');
  assert.equal(seen.slice(0, 2), [`${id} 1 open`, 'synced']);
  end();
  feed.close();

  const stranger = createClientFeed({ url: second.url, openSocket, token: 'nobody' });
  let refused: FeedHealth | undefined;
  stranger.onHealth((health) => (refused = health));
  await until(() => refused?.state === 'refused', 'the refusal');
  let message = '';
  await stranger.get(id).catch((error: Error) => (message = error.message));
  assert.match(message, /not valid/);
  stranger.close();
  await second.stop();
});

test('a server that stands still is noticed, and so is that it goes on', async () => {
  const api = await startTestApi();
  let stands = false;
  const openStanding: SocketFactory = (url, protocol, listener) => {
    const kept: string[] = [];
    const onText = (text: string): void => {
      // Frames stay in the socket of a process that is stopped, and arrive when it continues.
      kept.push(text);
      if (!stands) for (const one of kept.splice(0)) listener.onText(one);
    };
    return openSocket(url, protocol, { ...listener, onText });
  };
  const feed = createClientFeed({ url: api.url, openSocket: openStanding, token: 'ann-token', silentMs: 200 });
  const seen: FeedHealth[] = [];
  feed.onHealth((health: FeedHealth) => seen.push(health));
  await until(() => seen.at(-1)?.state === 'live', 'the connection');
  const liveAt = Date.now();
  stands = true;
  await until(() => seen.at(-1)?.state === 'connecting', 'the silence');
  const silent = seen.at(-1);
  assert.ok(silent?.state === 'connecting' && /has not answered/.test(silent.reason ?? ''));
  assert.ok((silent.asOf ?? 0) <= Date.now() && (silent.asOf ?? 0) >= liveAt - 1_000, 'from when the page is');
  stands = false;
  api.store.put(id, 'open');
  const { listener } = recorder();
  const end = feed.watch({}, listener);
  await until(() => seen.at(-1)?.state === 'live', 'the answer');
  end();
  feed.close();
  await api.stop();
});

test("the feed knows the cluster's time, though the viewer's clock is two hours ahead", async () => {
  const clock = { ...testClock, sharedMs: () => Date.now() - 7_200_000 };
  const api = await startTestApi({ more: { clock } });
  const feed = createClientFeed({ url: api.url, openSocket, token: 'ann-token', silentMs: 100 });
  await until(() => Math.abs(feed.now() - clock.sharedMs()) < 1_000, 'an answer to a ping');
  let lost: FeedHealth | undefined;
  feed.onHealth((health) => (lost = health));
  await api.stop();
  await until(() => lost?.state === 'connecting', 'the loss');
  assert.ok(lost?.state === 'connecting' && Math.abs((lost.asOf ?? 0) - clock.sharedMs()) < 5_000, 'since when');
  feed.close();
});

test('a watch that the server refuses is reported, not silently ended', async () => {
  const api = await startTestApi({ limits: { maxWatches: 1 } });
  const feed = createClientFeed({ url: api.url, openSocket, token: 'ann-token' });
  const first = recorder();
  const ends = [feed.watch({}, first.listener)];
  await until(() => first.seen.includes('synced'), 'the first watch');
  const second = recorder();
  ends.push(feed.watch({}, second.listener));
  await until(() => second.seen.length > 0, 'the refusal');
  assert.match(second.seen[0] ?? '', /^refused This session has 1 watches open/);
  for (const end of ends) end();
  feed.close();
  await api.stop();
});

test('the feed retries until the node is started', async () => {
  const place = await startTestApi();
  const { listenPort } = place;
  await place.stop();
  const feed = createClientFeed({ url: `ws://127.0.0.1:${listenPort}/api`, openSocket, token: 'ann-token' });
  let health: FeedHealth | undefined;
  feed.onHealth((next) => (health = next));
  await until(() => health?.state === 'connecting' && 'reason' in health, 'the first failure');
  const api = await startTestApi({ listenPort });
  await until(() => health?.state === 'live', 'the connection');
  feed.close();
  await api.stop();
});

test.run();
