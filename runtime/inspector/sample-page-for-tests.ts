/**
 * The pages with a scripted feed, for viewing them and for the browser test; the product does not serve it.
 * It has 313 actors; `window.advance()` moves `job/acme/web-1` by one step.
 */
import { showPages } from './pages/page-root.tsx';
import type {
  ActorDetail,
  ActorRow,
  DeadLetter,
  HeldKind,
  HistoryRow,
  Hold,
  InspectorFeed,
  ListListener,
  Waiting,
} from './pages/inspector-feed.ts';

const startedAt = Date.now() - 95_000;
const live = 'job/acme/web-1';

type Change = Readonly<Record<string, unknown>>;
const script: readonly (readonly [string, unknown, readonly string[], Change])[] = [
  [
    'job.create',
    'placing',
    ['send host/system/main', 'timer placeDeadline'],
    { spec: { cpus: 2, memoryMib: 512 }, tries: 0 },
  ],
  ['host.placed', { preparing: 'fetching' }, ['image.fetch', 'timer bootDeadline'], { host: 'w1', runEpoch: 1 }],
  [
    'image.fetch.done',
    { preparing: 'plugging' },
    ['slot.make', 'send slot/acme/web-1.a'],
    { image: { sha256: 'ab12'.repeat(16) } },
  ],
  ['job.update', { preparing: 'plugging' }, ['reply'], { spec: { cpus: 4, memoryMib: 512 } }],
  ['slot.make.done', 'starting', ['process.start', 'timer bootDeadline'], { slots: ['tap-5f2c'] }],
  ['process.start.done', { running: 'healthy' }, ['process.watch', 'row.put members/web-1', 'reply'], { pid: 4711 }],
  ['child.silent', { running: 'unresponsive' }, ['timer quietPeriod'], {}],
  ['child.heartbeat', { running: 'healthy' }, [], {}],
  ['job.migrate', { running: { migrating: 'copying' } }, ['migration.copy'], { target: 'w2' }],
  [
    'migration.copy.failed',
    { running: 'healthy' },
    [],
    { target: undefined, error: { code: 'target_full', message: 'w2 has no room' } },
  ],
];

/** `?held=paused`, `quarantined` or `version` holds the actor `job/acme/web-1` that way. */
const held = new URLSearchParams(location.search).get('held') as Hold['kind'] | null;
const chartFailed = "chart_failed: TypeError: Cannot read properties of null (reading 'address')";
const reasons = {
  paused: 'its disk is being copied',
  quarantined: chartFailed,
  version: 'it is stored by chart version 3, which this node (version 2) cannot read; ask a node of that version.',
};
const hold: Hold | null =
  held === null
    ? null
    : { kind: held, reason: reasons[held], by: held === 'paused' ? 'ann' : 'host', at: startedAt + 70_000 };
const heldRow: { held?: HeldKind } = held === null || held === 'version' ? {} : { held };
const deadLetters: readonly DeadLetter[] =
  held === 'quarantined'
    ? [
        {
          deadLetterId: '01JDQ60000000000000000000A',
          type: 'slot.plugged',
          reason: chartFailed,
          from: 'slot/acme/web-1.a',
          version: 7,
          at: startedAt + 70_000,
        },
      ]
    : [];

const figures = {
  figures: { allocatedBytes: 12_582_912, readOperations: 4_096 },
  facts: [{ name: 'interface eth0', values: ['02:00:00:00:00:01', '10.0.0.2/24'] }],
  complete: false,
};

/** The history entry of a hold. */
function heldHistory(version: number, at: unknown): HistoryRow[] {
  const step = { version, at: startedAt + 70_000, cause: 'command:ann:key-9', from: at, to: at, changed: {} };
  if (held === 'paused') {
    const event = { type: 'actor.pause', principal: 'ann', reason: reasons.paused };
    return [{ ...step, event, kind: 'operated', asked: [] }];
  }
  if (held !== 'quarantined') return [];
  return [{ ...step, event: { type: 'slot.plugged' }, kind: 'dropped', asked: [chartFailed] }];
}

const stateNameOf = (value: unknown): string =>
  typeof value === 'string'
    ? value
    : Object.entries(value as object)
        .map(([key, inner]) => `${key}.${stateNameOf(inner)}`)
        .join(' + ');

/** What the chart took on the way, by the place in the script; the others took what their event says. */
const takenAt: Readonly<Record<number, readonly string[]>> = {
  0: [],
  3: [],
  4: ['preparing.plugging:slot.make.done', 'preparing:xstate.done.state'],
  5: ['starting:process.start.done'],
};

const takenBy = (index: number): readonly string[] =>
  takenAt[index] ?? [`${stateNameOf(script[index - 1]?.[1])}:${script[index]?.[0]}`];

function historyUpTo(steps: number): HistoryRow[] {
  return script.slice(0, steps).map(([type, to, asked, changed], index) => ({
    version: index + 1,
    at: startedAt + index * 9_500,
    event: { type, meta: { at: startedAt + index * 9_500, ulid: '01JDQ0000000000000000000' } },
    cause:
      index === 1
        ? 'message:host/system/main:41@17'
        : type.includes('.done')
          ? `effect:${live}#${index}.0`
          : `command:key-${index}`,
    from: index === 0 ? 'placing' : script[index - 1]?.[1],
    to,
    kind: type === 'job.update' ? 'ignored' : 'transition',
    asked,
    taken: takenBy(index),
    changed,
  }));
}

function createSampleFeed(): { feed: InspectorFeed; advance: () => number } {
  let steps = Number(new URLSearchParams(location.search).get('steps') ?? 6);
  const listeners = new Set<ListListener>();
  const row = (): ActorRow => {
    const last = historyUpTo(steps).at(-1) as HistoryRow;
    return {
      id: live,
      version: last.version,
      stateName: stateNameOf(last.to),
      gone: false,
      waitingOn: ['effect', 'timer'],
      at: last.at,
      ...heldRow,
    };
  };
  const advance = (): number => {
    steps = Math.min(script.length, steps + 1);
    for (const listener of listeners) listener.row({ ...row(), at: Date.now() });
    return steps;
  };
  const detail = (id: string): ActorDetail => {
    const last = historyUpTo(steps).at(-1) as HistoryRow;
    const base = {
      ...row(),
      id,
      uid: '01JDQ5Z6V8K3M2N4P7R9S0T1AB',
      state: last.to,
      spec: { cpus: 4 },
      status: {
        host: 'w1',
        conditions: [{ type: 'Ready', status: 'False', reason: 'Migrating', message: 'to w2', since: 0 }],
        hosts: [
          { host: 'w1', sections: { routes: { published: 7, proven: 7, failure: null } } },
          { host: 'w2', sections: { routes: { published: 7, proven: 5, failure: { message: 'the link is down' } } } },
        ],
      },
    };
    const effects = [{ type: 'process.watch', effectId: `${live}#6.0`, stateId: 'running' }];
    const timers = [
      { timerId: 'a', eventType: 'xstate.after.quietPeriod.job.running.unresponsive', dueMs: Date.now() + 83_000 },
    ];
    return { ...base, effects, timers, hold, raw: { ...base, effects, timers } };
  };
  const feed: InspectorFeed = {
    get: async (id) => detail(id),
    history: async (_id, { after = 0, to = Infinity }) => {
      const rows = historyUpTo(steps);
      const last = rows.at(-1);
      const all = last === undefined ? rows : [...rows, ...heldHistory(last.version, last.to)];
      return { rows: all.filter(({ version }) => version > after && version <= to), older: 'none' };
    },
    at: async (id, version) => {
      const entry = historyUpTo(steps).find((one) => one.version === version);
      if (entry === undefined) throw new Error(`${id} has no version ${version}`);
      const status = { host: 'w1', conditions: [] };
      return { version, state: entry.to, status, entry, raw: { id, version, state: entry.to, status } };
    },
    figures: async () => figures,
    deadLetters: async () => deadLetters,
    watch(filter, listener) {
      if (filter.ids === undefined) for (const other of crowd()) listener.row(other);
      listener.row(row());
      listener.synced();
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onHealth(listener) {
      listener({ state: 'live' });
      return () => {};
    },
    now: () => Date.now(),
  };
  return { feed, advance };
}

const longName = 'a-name-that-is-as-long-as-a-name-may-be.a-name-that-is-as-long-as-a-name-may-be';

function crowd(): ActorRow[] {
  const kinds = [
    ['job', ['running.healthy', 'stopped', 'failed', 'preparing.plugging']],
    ['mesh', ['plane.there + members.some']],
    ['binding', ['wired', 'wiring', 'failed']],
  ] as const;
  const rows: ActorRow[] = [];
  for (const scope of ['acme', 'globex', 'initech']) {
    for (let index = 0; index < 104; index += 1) {
      const [kind, states] = kinds[index % kinds.length] as (typeof kinds)[number];
      const host = kind === 'binding' ? `@w${(index % 4) + 1}` : '';
      const stateName = states[index % states.length] as string;
      const waitingOn: Waiting[] = stateName.includes('ing.')
        ? ['effect', 'timer']
        : stateName === 'failed'
          ? ['timer']
          : ['event'];
      const name = scope === 'initech' && index === 3 ? longName : `${kind}-${index}`;
      rows.push({
        id: `${kind}/${scope}/${name}${host}`,
        version: 3 + (index % 17),
        stateName,
        gone: false,
        waitingOn,
        at: Date.now() - index * 7_777,
      });
    }
  }
  return rows;
}

const { feed, advance } = createSampleFeed();
Object.assign(window, { advance });
showPages(feed);
