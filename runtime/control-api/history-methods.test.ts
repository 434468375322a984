/** Reading history over real sockets: which principal sees what; the historian is a test double. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reject } from '../contract/errors.ts';
import { actorId } from '../contract/identifiers.ts';
import type { Historian, HistoryPage, RebuiltActor } from '../contract/historian.ts';
import type { HistoryEntry } from '../contract/journal.ts';
import { startTestApi } from './api-for-tests.ts';
import { differencesOf } from './history-methods.ts';
import { RawClient } from './raw-client-for-tests.ts';
import { MemoryStore } from './store-for-tests.ts';

const entryOf = (version: number): HistoryEntry => ({
  version,
  at: version,
  event: { type: 'box.poke' },
  cause: 'command:ann:1',
  from: 'open',
  to: 'open',
  kind: 'transition',
  asked: [],
  changed: { spec: { size: version } },
  ...(version === 1 ? { whole: 1 } : { gone: ['lid'] }),
});

function historianOf(pages: HistoryPage[]): Historian {
  return {
    async history(_, page) {
      pages.push(page);
      return [entryOf(1), entryOf(2)];
    },
    async at(id, version): Promise<RebuiltActor> {
      if (version > 3) throw reject('not_found', `${id} has no version ${version} yet.`);
      if (version === 3) return { id, version, entry: entryOf(3), chartVersion: 1, state: null, context: null };
      const context = { spec: { size: version }, secret: `of ${version}` };
      return { id, version, entry: entryOf(version), chartVersion: 1, state: 'open', context };
    },
    status: () => ({ archivedEntries: 5, waiting: 1, nearCap: 0, lostVersions: 0 }),
  };
}

test('history, versions and differences: a scope sees state and view, an operator the context too', async () => {
  const store = new MemoryStore();
  store.put('box/acme/a', 'open', 7);
  const pages: HistoryPage[] = [];
  const api = await startTestApi({ store, more: { historian: historianOf(pages) } });
  try {
    const id = 'box/acme/a';
    const ann = await new RawClient(api.url).open('ann-token');
    const { entries } = await ann.call('actor.history', { id, after: 4, to: 9, limit: 2 });
    assert.equal(
      pages,
      [{ after: 4, skip: 0, to: 9, limit: 3 }],
      'one entry more shows whether there is an older page',
    );
    const kept = (given: unknown): unknown =>
      (given as { changed: object; gone?: string[]; whole?: number }[]).map(({ changed, gone, whole }) => [
        Object.keys(changed),
        gone ?? null,
        whole ?? null,
      ]);
    assert.equal(kept(entries), [
      [['spec'], null, null],
      [['spec'], null, null],
    ]);
    const seen = await ann.call('actor.at', { id, version: 2 });
    assert.equal([seen['stateName'], seen['spec'], seen['context']], ['open', { size: 2 }, undefined]);
    assert.equal((await ann.call('actor.diff', { id, from: 1, to: 2 }))['differences'], [
      { path: 'spec.size', before: 1, after: 2 },
    ]);
    const gone = (await ann.call('actor.diff', { id, from: 2, to: 3 }))['differences'] as { path: string }[];
    assert.equal(
      gone.map(({ path }) => path),
      ['state', 'spec', 'status'],
    );
    assert.match((await ann.refusal('actor.at', { id, version: 4 })).type, /not_found/);
    assert.match((await ann.refusal('actor.at', { id, version: 0 })).type, /params_invalid/);
    assert.match((await ann.refusal('archive.status')).type, /forbidden/);
    const bob = await new RawClient(api.url).open('bob-token');
    for (const [method, params] of [
      ['actor.at', { id, version: 1 }],
      ['actor.diff', { id, from: 1, to: 2 }],
    ] as const) {
      assert.match((await bob.refusal(method, params)).type, /not_found/);
    }
    const root = await new RawClient(api.url).open('root-token');
    assert.equal((await root.call('actor.at', { id, version: 2 }))['context'], { spec: { size: 2 }, secret: 'of 2' });
    const status = await root.call('archive.status');
    assert.equal([status['node'], status['archivedEntries']], ['c1', 5]);
    for (const client of [ann, bob, root]) await client.close();
  } finally {
    await api.stop();
  }
});

test('pages of history lead to its begin, also through a version with more entries than a page', async () => {
  const store = new MemoryStore();
  const id = actorId('box/acme/a');
  for (const size of [1, 2, 3]) store.put(id, 'open', size);
  const [first, second, third] = store.past.get(id) as [HistoryEntry, HistoryEntry, HistoryEntry];
  const refused = Array.from({ length: 5 }, (_, at): HistoryEntry => ({ ...second, kind: 'rejected', at }));
  store.past.set(id, [first, second, ...refused, third]);
  const api = await startTestApi({ store });
  try {
    const ann = await new RawClient(api.url).open('ann-token');
    const seen: string[] = [];
    let range: object = {};
    for (let page = 0; page < 10; page += 1) {
      const answer = await ann.call('actor.history', { id, limit: 2, ...range });
      const entries = answer['entries'] as HistoryEntry[];
      seen.unshift(...entries.map(({ version, kind, at }) => `${version} ${kind === 'rejected' ? at : kind}`));
      if (answer['older'] !== 'more') {
        seen.unshift(String(answer['older']));
        break;
      }
      const oldest = entries[0]?.version ?? 0;
      const skip = seen.filter((line) => line.startsWith(`${oldest} `)).length;
      range = { to: oldest, skip };
    }
    const notes = [0, 1, 2, 3, 4].map((at) => `2 ${at}`);
    assert.equal(seen, ['none', '1 transition', '2 transition', ...notes, '3 transition']);
    store.past.set(id, [second, third]);
    assert.is((await ann.call('actor.history', { id }))['older'], 'not_archived', 'version 1 is gone');
    assert.is((await ann.call('actor.history', { id, after: 1 }))['older'], 'none', 'all that was asked for');
    await ann.close();
  } finally {
    await api.stop();
  }
});

test('a node without an archive returns the entries in the store, and refuses to rebuild a version', async () => {
  const store = new MemoryStore();
  for (const size of [1, 2, 3]) store.put('box/acme/a', 'open', size);
  const api = await startTestApi({ store });
  try {
    const ann = await new RawClient(api.url).open('ann-token');
    const { entries } = await ann.call('actor.history', { id: 'box/acme/a', to: 2 });
    assert.equal(
      (entries as { version: number }[]).map(({ version }) => version),
      [1, 2],
    );
    assert.match((await ann.refusal('actor.at', { id: 'box/acme/a', version: 1 })).type, /no_archive/);
    await ann.close();
  } finally {
    await api.stop();
  }
});

test('differences name each changed field once; lists are compared as a whole', () => {
  const before = { state: 'a', spec: { cpus: 1, disks: [1, 2], labels: { x: 'y' } }, old: null };
  const after = { state: 'a', spec: { cpus: 2, disks: [1, 3], labels: null }, fresh: [] };
  assert.equal(differencesOf(before, after), [
    { path: 'spec.cpus', before: 1, after: 2 },
    { path: 'spec.disks', before: [1, 2], after: [1, 3] },
    { path: 'spec.labels', before: { x: 'y' }, after: null },
    { path: 'old', before: null },
    { path: 'fresh', after: [] },
  ]);
  assert.equal(differencesOf(before, structuredClone(before)), []);
});

test.run();
