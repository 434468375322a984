import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { followActor, type LiveActor } from './actor-feed.ts';
import type { ActorDetail, HistoryRow, Hold, InspectorFeed, ListListener } from './inspector-feed.ts';

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

function scripted() {
  let version = 1;
  let failing = false;
  let hold: Hold | null = null;
  let reads = 0;
  const listeners = new Set<ListListener>();
  const row = () => ({ id, version, stateName: 'a', gone: false, waitingOn: [], at: version });
  const feed: InspectorFeed = {
    async get(): Promise<ActorDetail> {
      reads += 1;
      if (failing) throw new Error('not reachable');
      return { ...row(), uid: 'u', state: 'a', spec: {}, status: {}, effects: [], timers: [], hold, raw: {} };
    },
    async history(_id, after): Promise<HistoryRow[]> {
      const steps = Array.from({ length: version }, (_, index) => index + 1).filter((step) => step > after);
      const operated = hold === null ? [] : [operatedRow(version)];
      const rows = steps.map((step): HistoryRow => ({
        version: step,
        at: 0,
        event: { type: `e${step}` },
        cause: '',
        from: 'a',
        to: 'a',
        kind: 'transition',
        asked: [],
        changed: {},
      }));
      return [...rows, ...operated];
    },
    deadLetters: async () => null,
    watch(_filter, listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onHealth: () => () => {},
  };
  return {
    feed,
    listeners,
    reads: () => reads,
    fail: (on: boolean) => (failing = on),
    hold: () => {
      hold = { kind: 'paused', reason: 'looked at', by: 'ann', at: 0 };
      for (const listener of listeners) listener.row({ ...row(), held: 'paused' });
    },
    advance: () => {
      version += 1;
      for (const listener of listeners) listener.row(row());
    },
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('the history has no gaps and no repeats, and a burst of changes causes two reads', async () => {
  const source = scripted();
  const seen: LiveActor[] = [];
  const end = followActor(source.feed, id, (live) => seen.push(live));
  await settled();
  assert.equal(
    seen.at(-1)?.history.map(({ version }) => version),
    [1],
  );
  const before = source.reads();
  for (let step = 0; step < 50; step += 1) source.advance();
  await settled();
  assert.is(seen.at(-1)?.detail?.version, 51);
  assert.equal(
    seen
      .at(-1)
      ?.history.map(({ event }) => event.type)
      .slice(-2),
    ['e50', 'e51'],
  );
  assert.is(new Set(seen.at(-1)?.history.map(({ version }) => version)).size, 51);
  assert.is(source.reads() - before, 2);
  end();
  assert.is(source.listeners.size, 0);
});

test('a hold is shown although the version stays, and its history entry appears once', async () => {
  const source = scripted();
  const seen: LiveActor[] = [];
  const end = followActor(source.feed, id, (live) => seen.push(live));
  await settled();
  source.hold();
  await settled();
  source.hold();
  await settled();
  assert.is(seen.at(-1)?.detail?.hold?.by, 'ann');
  assert.equal(
    seen.at(-1)?.history.map(({ event }) => event.type),
    ['e1', 'actor.pause'],
  );
  end();
});

test('a failed read is shown, and the next change reads again', async () => {
  const source = scripted();
  let live: LiveActor | undefined;
  const end = followActor(source.feed, id, (next) => (live = next));
  await settled();
  source.fail(true);
  source.advance();
  await settled();
  assert.is(live?.failure, 'not reachable');
  assert.is(live?.detail?.version, 1, 'the last read record stays');
  source.fail(false);
  source.advance();
  await settled();
  assert.is(live?.failure, null);
  assert.is(live?.detail?.version, 3);
  end();
});

test.run();
