import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorDefinition } from '../contract/actor-definition.ts';
import { PhotonError } from '../contract/errors.ts';
import { actorId } from '../contract/identifiers.ts';
import type { StoredActor } from '../contract/journal.ts';
import type { Reader } from '../contract/reader.ts';
import { counter, registryOf, relay } from './kinds-for-tests.ts';
import { checkPopulation } from './population-check.ts';
import { schemaHashOf } from './schema-hash.ts';

const storedAs = (id: string, definition: ActorDefinition, more: Partial<StoredActor> = {}): StoredActor => ({
  id: actorId(id),
  uid: 'u',
  status: 'live',
  version: 3,
  chartVersion: definition.chartVersion,
  schemaHash: schemaHashOf(definition),
  state: 'counting',
  context: { id, total: 1, uid: 'u' },
  effects: [],
  timers: [],
  deferred: {},
  lastSeq: 0,
  watermarks: {},
  prunedUid: '',
  ...more,
});

const newer: ActorDefinition = {
  ...counter,
  chartVersion: 3,
  upgrades: {
    2: (form) => {
      if ((form.context as { total: number }).total < 0) throw new Error('a counter below zero');
      return form;
    },
  },
};

test('every actor is judged as a load would judge it, counted by kind, version and state', async () => {
  const population = [
    storedAs('counter/t/a', newer),
    storedAs('counter/t/b', newer),
    storedAs('counter/t/c', newer, { chartVersion: 2 }),
    storedAs('counter/t/d', newer, { chartVersion: 2, context: { total: -1 } }),
    storedAs('counter/t/e', newer, { chartVersion: 1 }),
    storedAs('counter/t/f', newer, { chartVersion: 4 }),
    storedAs('counter/t/g', newer, { schemaHash: 'other' }),
    storedAs('counter/t/h', newer, { state: { nowhere: 'at all' } }),
    storedAs('ghost/t/i', newer),
    storedAs('relay/t/j', relay, { state: 'ready', context: { sent: 0 } }),
    storedAs('counter/t/k', newer, { status: 'removed' }),
  ];
  const torn = actorId('counter/t/torn');
  const reader = {
    list: async () => ({ items: [...population, { id: torn }], cursor: '' }),
    get: async (id: string) => {
      if (id === torn) throw new PhotonError('bug', 'record_unreadable', `${id} is not readable`);
      return population.find((stored) => stored.id === id);
    },
  } as unknown as Reader;
  const { rows, refused } = await checkPopulation(reader, registryOf(newer, relay));
  assert.equal(
    rows.map(({ kind, storedVersion, programVersion, stateName, verdict, actors }) =>
      [kind, storedVersion, programVersion ?? '-', stateName, verdict, actors].join(' '),
    ),
    [
      'counter 0 3 unreadable refused 1',
      'counter 1 3 counting refused 1',
      'counter 2 3 counting upgraded 1',
      'counter 2 3 counting refused 1',
      'counter 3 3 counting exact 2',
      'counter 3 3 counting refused 1',
      'counter 3 3 nowhere.at all refused 1',
      'counter 4 3 counting refused 1',
      'ghost 3 - counting refused 1',
      'relay 1 1 ready exact 1',
    ],
  );
  const reasonOf = (id: string): string => refused.find(({ actor }) => actor === id)?.reason ?? '';
  assert.is(refused.length, 7);
  assert.match(reasonOf('counter/t/d'), /upgrade from version 2 failed.*a counter below zero/);
  assert.match(reasonOf('counter/t/e'), /no upgrade from version 1/);
  assert.match(reasonOf('counter/t/f'), /chart is of version 3/);
  assert.match(reasonOf('counter/t/g'), /its version was not raised/);
  assert.match(reasonOf('counter/t/h'), /no such state/);
  assert.match(reasonOf('ghost/t/i'), /kind is not registered/);
  assert.match(reasonOf(torn), /not readable/);
});

test.run();
