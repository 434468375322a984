import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../../contract/errors.ts';
import { followActor, type LiveActor } from './actor-feed.ts';
import type { ActorDetail, HistoryPage, HistoryRow, Hold, InspectorFeed, ListListener } from './inspector-feed.ts';

const id = 'job/acme/web-1';

const operatedRow = (version: number): HistoryRow => ({
  version,
  at: 0,
  event: { type: 'actor.pause', principal: 'ann', reason: 'looked at' },
  cause: '',
  from: 'a',
  to: 'a',
  kind: 'operated',
  asked: [],
  changed: {},
});

/** A page of the scripted feed has so many rows. */
const pageRows = 100;

const stepRow = (version: number): HistoryRow => ({
  version,
  at: version,
  event: { type: `e${version}` },
  cause: '',
  from: 'a',
  to: 'a',
  kind: 'transition',
  asked: [],
  changed: {},
});

function scripted() {
  let version = 1;
  let failure: Error | undefined;
  let hold: Hold | null = null;
  let reads = 0;
  const listeners = new Set<ListListener>();
  const row = () => ({ id, version, stateName: 'a', gone: false, waitingOn: [], at: version });
  const feed: InspectorFeed = {
    async get(): Promise<ActorDetail> {
      reads += 1;
      if (failure !== undefined) throw failure;
      return { ...row(), uid: 'u', state: 'a', spec: {}, status: {}, effects: [], timers: [], hold, raw: {} };
    },
    async history(_id, { after = 0, to = Infinity, skip = 0 }): Promise<HistoryPage> {
      const steps = Array.from({ length: version }, (_, index) => stepRow(index + 1));
      const all = hold === null ? steps : [...steps, operatedRow(version)];
      const range = all.filter((one) => one.version > after && one.version <= to);
      const rows = range.slice(0, range.length - skip);
      return { rows: rows.slice(-pageRows), older: rows.length > pageRows ? 'more' : 'none' };
    },
    at: () => Promise.reject(new Error('not asked for')),
    figures: async () => null,
    deadLetters: async () => null,
    watch(_filter, listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onHealth: () => () => {},
    now: () => Date.now(),
  };
  return {
    feed,
    listeners,
    reads: () => reads,
    fail: (error: Error | undefined) => (failure = error),
    hold: () => {
      hold = { kind: 'paused', reason: 'looked at', by: 'ann', at: 0 };
      for (const listener of listeners) listener.row({ ...row(), held: 'paused' });
    },
    advance: (steps = 1) => {
      version += steps;
      for (const listener of listeners) listener.row(row());
    },
  };
}

const entries = (live: LiveActor | undefined): readonly HistoryRow[] =>
  live?.history.toReversed().flatMap(({ rows }) => rows) ?? [];

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('the history has no gaps and no repeats, and a burst of changes causes two reads', async () => {
  const source = scripted();
  const seen: LiveActor[] = [];
  const follower = followActor(source.feed, id, (live) => seen.push(live));
  await settled();
  assert.equal(
    entries(seen.at(-1)).map(({ version }) => version),
    [1],
  );
  const before = source.reads();
  for (let step = 0; step < 50; step += 1) source.advance();
  await settled();
  assert.is(seen.at(-1)?.detail?.version, 51);
  assert.equal(
    entries(seen.at(-1))
      .map(({ event }) => event.type)
      .slice(-2),
    ['e50', 'e51'],
  );
  assert.is(new Set(entries(seen.at(-1)).map(({ version }) => version)).size, 51);
  assert.is(source.reads() - before, 2);
  follower.end();
  assert.is(source.listeners.size, 0);
});

test('a hold is shown although the version stays, and its history entry appears once', async () => {
  const source = scripted();
  const seen: LiveActor[] = [];
  const follower = followActor(source.feed, id, (live) => seen.push(live));
  await settled();
  source.hold();
  await settled();
  source.hold();
  await settled();
  assert.is(seen.at(-1)?.detail?.hold?.by, 'ann');
  assert.equal(
    entries(seen.at(-1)).map(({ event }) => event.type),
    ['e1', 'actor.pause'],
  );
  follower.end();
});

test('a failed read is shown, and the next change reads again', async () => {
  const source = scripted();
  let live: LiveActor | undefined;
  const follower = followActor(source.feed, id, (next) => (live = next));
  await settled();
  source.fail(new Error('not reachable'));
  source.advance();
  await settled();
  assert.is(live?.failure, 'not reachable');
  assert.is(live?.detail?.version, 1, 'the last read record stays');
  source.fail(undefined);
  source.advance();
  await settled();
  assert.is(live?.failure, null);
  assert.is(live?.detail?.version, 3);
  follower.end();
});

test('older steps are read page by page; steps that came while nobody listened leave a gap', async () => {
  const source = scripted();
  source.advance(249);
  let live: LiveActor | undefined;
  const follower = followActor(source.feed, id, (next) => (live = next));
  const ends = (): unknown => live?.history.map(({ rows, older }) => [rows[0]?.version, rows.at(-1)?.version, older]);
  await settled();
  assert.equal(ends(), [[151, 250, 'more']]);
  const read = async (): Promise<void> => {
    const [first] = live?.history.slice(-1) ?? [];
    if (first !== undefined) follower.readOlder(first);
    await settled();
  };
  await read();
  assert.equal(ends(), [[51, 250, 'more']]);
  source.advance();
  await read();
  assert.equal(ends(), [[1, 251, 'none']]);
  source.advance(300);
  await settled();
  assert.equal(ends(), [
    [452, 551, 'more'],
    [1, 251, 'none'],
  ]);
  for (let page = 0; page < 3; page += 1) {
    const [top] = live?.history ?? [];
    if (top !== undefined) follower.readOlder(top);
    await settled();
  }
  assert.equal(ends(), [[1, 551, 'none']]);
  assert.equal(
    entries(live).map(({ version }) => version),
    Array.from({ length: 551 }, (_, index) => index + 1),
  );
  follower.end();
});

test('a version far back is read with the steps around it', async () => {
  const source = scripted();
  source.advance(999);
  let live: LiveActor | undefined;
  const follower = followActor(source.feed, id, (next) => (live = next));
  await settled();
  follower.readAround(300);
  await settled();
  assert.equal(
    live?.history.map(({ rows }) => [rows[0]?.version, rows.at(-1)?.version]),
    [
      [901, 1000],
      [251, 350],
    ],
  );
  follower.readAround(875);
  await settled();
  assert.equal(
    live?.history.map(({ rows }) => [rows[0]?.version, rows.at(-1)?.version]),
    [
      [826, 1000],
      [251, 350],
    ],
    'it overlaps the newest piece',
  );
  follower.end();
});

test('an actor that is not there is missing, and appears when it is created', async () => {
  const source = scripted();
  source.fail(new PhotonError('rejection', 'not_found', 'There is no such actor here.'));
  let live: LiveActor | undefined;
  const follower = followActor(source.feed, id, (next) => (live = next));
  await settled();
  assert.equal([live?.missing, live?.failure], [true, null]);
  source.fail(undefined);
  source.advance();
  await settled();
  assert.equal([live?.missing, live?.detail?.version], [false, 2]);
  follower.end();
});

test.run();
