/** A rebuilt version equals the committed snapshot: for every version of actors with random events, and an upgrade. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { assign, setup } from 'xstate';
import type { ActorDefinition } from '../contract/actor-definition.ts';
import type { ActorEvent } from '../contract/envelope.ts';
import { actorId } from '../contract/identifiers.ts';
import type { Commit, HistoryEntry } from '../contract/journal.ts';
import { ask, ownerOn } from '../hosting/host-for-tests.ts';
import { counter, registryOf } from '../hosting/kinds-for-tests.ts';
import { MemoryJournal } from '../hosting/memory-journal.ts';
import { isBase, rebuild } from './history-fold.ts';

type Values = Readonly<Record<string, unknown>>;
type PadEvent = { type: string; values?: Values };
const keys = ['a', 'b', 'c'] as const;

/** A note pad chart: stores any values, also undefined, under three keys. */
function pad(chartVersion: number): ActorDefinition {
  const machine = setup({
    types: { context: {} as Values, events: {} as PadEvent },
    actions: { write: assign(({ event }) => ({ ...event.values })) },
  }).createMachine({
    context: chartVersion === 1 ? { a: undefined, old: 1 } : { a: undefined, fresh: [1] },
    initial: 'absent',
    states: {
      absent: { description: 'Not there.', on: { 'pad.create': { target: 'open', actions: 'write' } } },
      open: { description: 'Open.', on: { 'pad.write': { actions: 'write' }, 'pad.shut': 'shut', 'pad.end': 'gone' } },
      shut: { description: 'Shut.', on: { 'pad.open': { target: 'open', actions: 'write' }, 'pad.end': 'gone' } },
      gone: { description: 'Gone.', type: 'final' },
    },
  });
  const [create, other] = [counter.commands['create'], counter.commands['add']];
  if (create === undefined || other === undefined) throw new Error('the counter has lost its commands');
  return {
    ...counter,
    kind: 'pad',
    chartVersion,
    createdBy: [],
    input: () => undefined,
    ignored: [],
    machine,
    commands: { create, write: other, shut: other, open: other, end: other },
    upgrades: {
      1: ({ state, context }) => {
        const { old: _, ...rest } = context as Record<string, unknown>;
        return { state, context: { ...rest, fresh: [1] } };
      },
    },
  };
}

const value = fc.oneof(fc.constant(undefined), fc.constant(null), fc.integer(), fc.string(), fc.array(fc.integer()));
const values = fc.dictionary(fc.constantFrom(...keys), value);
const word = fc.constantFrom('create', 'write', 'write', 'write', 'shut', 'open', 'end');
const performer = fc.array(fc.record({ word, values }), { minLength: 1, maxLength: 25 });

const id = actorId('pad/t/p');

/** The entries that the historian folds for a version. */
function entriesFor(history: readonly HistoryEntry[], version: number): readonly HistoryEntry[] {
  const known = history.filter((entry) => entry.version <= version);
  return known.slice(known.findLastIndex(isBase));
}

/** The snapshot of a commit, upgraded if an upgrade followed at the same version. */
function formOf(commit: Commit, upgraded: boolean): { state: unknown; context: unknown } {
  const form = { state: JSON.parse(commit.state) as unknown, context: JSON.parse(commit.context) as unknown };
  const upgrade = pad(2).upgrades?.[1];
  return upgraded && commit.chartVersion === 1 && upgrade !== undefined ? upgrade(form) : form;
}

async function perform(journal: MemoryJournal, chartVersion: number, list: readonly ActorEvent[]): Promise<void> {
  const host = await ownerOn(journal, { registry: registryOf(pad(chartVersion)) });
  for (const event of list) await ask(host, id, event);
  await host.drain();
}

test('every version rebuilt from history equals the committed snapshot', async () => {
  let [compared, upgrades] = [0, 0];
  await fc.assert(
    fc.asyncProperty(performer, performer, async (before, after) => {
      const journal = new MemoryJournal();
      const events = (list: typeof before): ActorEvent[] =>
        list.map((doing) => ({ type: `pad.${doing.word}`, values: doing.values }));
      await perform(journal, 1, [{ type: 'pad.create', values: {} }, ...events(before)]);
      await perform(journal, 2, events(after));
      const history = journal.history.get(id) ?? [];
      // The last commit of each version. An upgrade entry bears the version it found and is written by the next commit.
      const last = new Map(journal.commits.map((commit) => [commit.version, commit]));
      for (const [version, commit] of last) {
        const rebuilt = rebuild(id, entriesFor(history, version));
        compared += 1;
        assert.equal(rebuilt.version, version);
        if (commit.status === 'removed') continue;
        const upgraded = rebuilt.entry.kind === 'upgraded';
        const { state, context } = formOf(commit, upgraded);
        assert.equal([rebuilt.state, rebuilt.context], [state, context]);
        assert.is(rebuilt.chartVersion, upgraded ? 2 : commit.chartVersion);
        upgrades += upgraded ? 1 : 0;
      }
    }),
    { numRuns: 250 },
  );
  assert.ok(compared > 1_000 && upgrades > 50, `${compared} versions were compared, ${upgrades} behind an upgrade`);
});

test('a rebuild across missing versions fails and names them', () => {
  const entry = (version: number, more: Partial<HistoryEntry> = {}): HistoryEntry => ({
    version,
    at: version,
    event: { type: 'x' },
    cause: 'command:c',
    from: 'a',
    to: 'b',
    kind: 'transition',
    asked: [],
    changed: {},
    ...more,
  });
  const born = entry(4, { whole: 1, changed: { n: 1 } });
  assert.throws(() => rebuild(id, []), /incomplete/);
  assert.throws(() => rebuild(id, [entry(4), entry(5)]), /nothing is known before version 4/);
  assert.throws(() => rebuild(id, [born, entry(5), entry(8)]), /versions 6 to 7 are missing/);
  assert.equal(rebuild(id, [born, entry(5, { changed: { n: 2 } }), entry(5)]).context, { n: 2 });
});

test.run();
