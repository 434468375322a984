/**
 * Bad input on the real store: what a hand or a disk has spoilt there, charts that throw where nobody asks again. The
 * one actor or row is set apart with the reason, whoever shares its shard goes on, and an operator gets it out (G8).
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assign, setup } from 'xstate';
import { z } from 'zod';
import type { ActorDefinition } from '../contract/actor-definition.ts';
import type { ActorEvent, Reply } from '../contract/envelope.ts';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import { messageOf } from '../journal/commit-for-tests.ts';
import { own } from '../journal/journal-for-tests.ts';
import { createJournal, type RedisJournal } from '../journal/redis-journal.ts';
import { createReader, type RedisReader } from '../journal/redis-reader.ts';
import { processClock as clock, recordedLog, TestRedis, until, type RecordedLog } from '../journal/redis-for-tests.ts';
import { shardOf } from '../journal/shard-placement.ts';
import { connectStore, type Store } from '../journal/store-connection.ts';
import { ask, commandOf, said } from './host-for-tests.ts';
import { createHost, type Host } from './host.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import { createSystemRandom } from './system-random.ts';

interface Stage {
  redis: TestRedis;
  store: Store;
  journal: RedisJournal;
  reader: RedisReader;
  log: RecordedLog;
  host: Host;
  epoch: number;
}

const test = suite<Stage>('bad input on the real store');
const reason = 'looked at';

/** Two counters, a shelf and one of a kind that nobody knows, all of one shard. */
const [a, b, shelf, ufo] = (() => {
  const shard = shardOf(actorId('counter/t/a'));
  const near = (kind: string, from: number): ActorId => {
    for (let n = from; ; n += 1) if (shardOf(actorId(`${kind}/t/n${n}`)) === shard) return actorId(`${kind}/t/n${n}`);
  };
  return [actorId('counter/t/a'), near('counter', 0), near('shelf', 0), near('ufo', 0)] as const;
})();
const shard = shardOf(a);
const key = (what: string): string => `ph:{${shard}}:${what}`;

/** Throws in a guard, in an entry action after a timer, and on nothing else. */
const bomb: ActorDefinition = {
  kind: 'bomb',
  chartVersion: 1,
  placement: 'sharded',
  createdBy: [],
  effects: {},
  view: () => ({ spec: {}, status: {} }),
  input: () => undefined,
  commands: {
    arm: { params: z.any(), permission: 'scope', creates: true, description: 'light the fuse' },
    weigh: { params: z.any(), permission: 'scope', creates: false, description: 'look at it' },
  },
  machine: setup({
    types: { context: {} as { bangs: number }, events: {} as { type: string } },
    guards: {
      heavy: () => {
        throw new Error('the guard failed');
      },
    },
    actions: {
      explode: assign(() => {
        throw new Error('the entry action failed');
      }),
    },
    delays: { fuse: 20 },
  }).createMachine({
    context: { bangs: 0 },
    initial: 'safe',
    states: {
      safe: { description: 'Waits.', on: { 'bomb.arm': 'armed', 'bomb.weigh': { guard: 'heavy', target: 'armed' } } },
      armed: { description: 'Burns.', after: { fuse: 'gone' } },
      gone: { description: 'Is no more.', entry: 'explode' },
    },
  }),
};

const eventFor = (id: ActorId): ActorEvent =>
  id === shelf ? { type: 'shelf.put', key: 'one', value: 1 } : { type: 'counter.add' };

async function takeOver(stage: Stage): Promise<void> {
  stage.epoch += 1;
  const { journal, log } = stage;
  const known = plainRegistry().kinds;
  stage.host = createHost({
    registry: { kinds: new Map([...known, [bomb.kind, bomb]]) },
    journal,
    directory: { ownerOf: () => 'n1', refresh: async () => {} },
    outlet: { deliver: () => Promise.reject(new Error('alone')), command: () => Promise.reject(new Error('alone')) },
    nodeName: 'n1',
    clock,
    random: createSystemRandom(),
    log,
  });
  const shards = new Set([shard, ...['bomb/t/g', 'bomb/t/e'].map((id) => shardOf(actorId(id)))]);
  for (const one of shards) {
    const grant: ShardGrant = { shard: one, node: 'n1', era: 1, ownerEpoch: stage.epoch };
    await own(stage, grant);
    await stage.host.grant(grant);
  }
}

test.before(async (stage) => {
  stage.redis = await TestRedis.start();
});
test.after(({ redis }) => redis.remove());

test.before.each(async (stage) => {
  await stage.redis.ask('FLUSHALL');
  stage.log = recordedLog();
  stage.store = await connectStore({ url: stage.redis.url, clock, log: stage.log });
  stage.journal = createJournal({ store: stage.store, clock, log: stage.log });
  stage.reader = createReader({ store: stage.store, clock, log: stage.log });
  stage.epoch = 0;
  await takeOver(stage);
  for (const id of [a, b]) assert.ok((await ask(stage.host, id, { type: 'counter.create' })).ok);
});

test.after.each(async ({ host, journal, reader, store }) => {
  await host.drain();
  journal.close();
  reader.close();
  store.close();
});

test('a record that is spoilt quarantines its actor alone, and it is resumed once it is mended', async (stage) => {
  const { redis, reader } = stage;
  await ask(stage.host, a, { type: 'counter.add' });
  const whole = (await redis.ask('HGETALL', key(`a:${a}`))) as string[];
  const field = (name: string): string => whole[whole.indexOf(name) + 1] ?? '';
  const spoilt: readonly (readonly [string, ...string[]])[] = [
    ['HSET', key(`a:${a}`), 'context', '{"total":'],
    ['HSET', key(`a:${a}`), 'context', '7'],
    ['HSET', key(`a:${a}`), 'context', 'null'],
    ['HSET', key(`a:${a}`), 'head', field('head').replace('"state":"counting"', '"state":[1]')],
    ['HSET', key(`a:${a}`), 'head', field('head').replace('"state":"counting"', '"state":"dreaming"')],
    ['HSET', key(`a:${a}`), 'head', '{'],
    ['HSET', key(`a:${a}`), 'head', 'null'],
    ['HSET', key(`a:${a}`), 'head', '{}'],
    ['HSET', key(`a:${a}`), 'head', field('head').replace('"chartVersion":1', '"chartVersion":99')],
    ['HSET', key(`a:${a}`), 'head', field('head').replace('"lastSeq":0', '"lastSeq":"x"')],
    ['HSET', key(`a:${a}`), 'version', 'two'],
    ['HDEL', key(`a:${a}`), 'head'],
    ['HDEL', key(`a:${a}`), 'version'],
    ['SET', key(`a:${a}`), 'foreign'],
  ];
  for (const command of spoilt) {
    const what = command.slice(2).join(' ').slice(0, 60);
    await stage.host.drain();
    await redis.ask(...command);
    await takeOver(stage);
    const [spoiltReply, neighbour] = await Promise.all([
      ask(stage.host, a, { type: 'counter.add' }),
      ask(stage.host, b, { type: 'counter.add' }),
    ]);
    assert.is(said(spoiltReply), 'quarantined', what);
    assert.ok(neighbour.ok, `the neighbour of ${what}`);
    assert.equal(
      stage.host.figures().held.map(({ actor }) => actor),
      [a],
      what,
    );
    assert.is(said(await ask(stage.host, a, { type: 'actor.resume', reason })), 'quarantined', 'not mended yet');
    await redis.ask('DEL', key(`a:${a}`));
    await redis.ask('HSET', key(`a:${a}`), ...whole);
    assert.equal(said(await ask(stage.host, a, { type: 'actor.resume', reason })), { held: null }, what);
    const { items } = await reader.list({});
    assert.equal(
      items.map(({ id }) => id),
      [a, b].toSorted(),
    );
  }
});

test('a key that only commits touch and that is not ours quarantines its actor alone', async (stage) => {
  const { redis, host, reader } = stage;
  await redis.ask('RENAME', key(`h:${a}`), 'kept');
  await redis.ask('SET', key(`h:${a}`), 'foreign');
  const [refused, ...others] = await Promise.all([a, b, shelf].map((id) => ask(host, id, eventFor(id))));
  assert.is(said(refused as Reply), 'quarantined');
  assert.match(host.figures().held[0]?.reason ?? '', /is not of our type/);
  for (const other of others) assert.ok(other.ok, 'a neighbour');
  assert.equal(said(await ask(host, a, { type: 'actor.resume', reason })), 'quarantined', 'not removed yet');
  await redis.ask('RENAME', 'kept', key(`h:${a}`));
  assert.equal(said(await ask(host, a, { type: 'actor.resume', reason })), { held: null });
  assert.ok((await ask(host, a, eventFor(a))).ok);
  const pastOf = async (id: ActorId) => (await reader.history(id, 0, 10)).map(({ kind }) => kind);
  assert.equal(await pastOf(a), ['transition', 'operated', 'transition']);
  assert.equal(await pastOf(b), ['transition', 'transition'], 'what was sent again was not applied again');
});

test('what is spoilt is seen in lists, and hides nothing else there', async (stage) => {
  const { redis, reader } = stage;
  await redis.ask('HSET', key(`a:${a}`), 'head', 'null');
  await redis.ask('SADD', key('i'), 'nonsense');
  const { items } = await reader.list({ held: true });
  assert.equal(
    items.map(({ id, stateName, held }) => [id, stateName, held]),
    [[a, 'unreadable', 'quarantined']],
  );
  assert.is((await reader.list({})).items.length, 2);

  await redis.ask('XADD', key(`h:${b}`), '2-0', 'e', '{broken');
  const past = await reader.history(b, 0, 10);
  assert.equal(
    past.map(({ version, event }) => [version, (event as { type: string }).type]),
    [
      [1, 'counter.create'],
      [2, 'history.unreadable'],
    ],
  );

  await stage.host.deliver(messageOf(actorId('relay/t/x'), ufo, 1));
  await redis.ask('XADD', key('x'), '*', 'd', '{broken');
  await redis.ask('XADD', key('x'), '*', 'd', '[]');
  await stage.host.deliver({ ...messageOf(actorId('relay/t/y'), shelf, 1), event: { type: 'shelf.put' } });
  const deadLetters = await reader.deadLetters();
  assert.equal(
    deadLetters.map(({ actor, reason: why }) => [actor, why]),
    [
      [ufo, 'unknown_kind'],
      [shelf, 'no_such_actor'],
    ],
  );
  assert.is((await stage.journal.deadLetters(shelf)).length, 1);
  assert.ok(stage.log.lines.some((line) => line.includes('dead letter cannot be read')));
});

test('rows of a shard that are spoilt are left where they are, and the shard is taken up', async (stage) => {
  const { redis } = stage;
  await stage.host.drain();
  const good = messageOf(actorId('relay/t/x'), actorId('sink/t/s'), 1);
  const rows: readonly (readonly [string, string, string, string?])[] = [
    ['HSET', 'q', 'relay/t/x|2', '{broken'],
    ['HSET', 'q', 'relay/t/x|3', '5'],
    ['HSET', 'q', 'relay/t/x|4', JSON.stringify({ ...good, to: 'nonsense' })],
    ['HSET', 'q', 'relay/t/x|5', JSON.stringify(good)],
    ['HSET', 't', 'nonsense', '5 x'],
    ['HSET', 't', `${a}|wake`, 'soon x'],
    ['HSET', 't', `${a}|nap`, '5'],
    ['SADD', 'b', 'nonsense'],
  ];
  for (const [verb, what, ...rest] of rows) await redis.ask(verb, key(what), ...(rest as string[]));
  await takeOver(stage);
  assert.ok((await ask(stage.host, b, { type: 'counter.add' })).ok);
  const told = stage.log.lines.filter((line) => line.includes('a row of a shard cannot be read'));
  assert.is(told.length, rows.length);
  for (const [, what, field] of rows)
    assert.ok(
      told.some((line) => line.includes(JSON.stringify({ key: key(what), field }))),
      `${what} ${field}`,
    );
  assert.equal([await redis.ask('HLEN', key('q')), await redis.ask('HLEN', key('t'))], [4, 3], 'nothing is removed');
});

test('an actor whose rows are spoilt is quarantined by what needs them, until they are mended', async (stage) => {
  const { redis, host } = stage;
  assert.ok((await ask(host, shelf, { type: 'shelf.put', key: 'one', value: 1 })).ok);
  await redis.ask('HSET', key(`c:${shelf}:books`), 'two', '{broken');
  assert.is(said(await ask(host, shelf, { type: 'shelf.show', key: 'one' })), 1, 'what is whole is read');
  assert.is(said(await ask(host, shelf, { type: 'shelf.show', key: 'two' })), 'chart_failed');
  assert.match(host.figures().held[0]?.reason ?? '', /row books\/two of .* is not readable/);
  assert.ok((await ask(host, b, { type: 'counter.add' })).ok);
  await redis.ask('HDEL', key(`c:${shelf}:books`), 'two');
  assert.ok((await ask(host, shelf, { type: 'actor.resume', reason })).ok);
  assert.is(said(await ask(host, shelf, { type: 'shelf.show', key: 'two' })), null);
});

test('a receipt that is spoilt: the command is neither done again nor called failed', async (stage) => {
  const { redis } = stage;
  const add = commandOf(a, { type: 'counter.add' });
  assert.ok((await stage.host.ask(add)).ok);
  await stage.host.drain();
  await redis.ask('HSET', key(`r:${a.split('/')[1]}`), `${a}|${add.commandId}`, '{broken');
  await takeOver(stage);
  const again = await stage.host.ask(add);
  assert.ok(!again.ok && again.error.group === 'unknown' && again.error.code === 'receipt_unreadable');
  const read = said(await ask(stage.host, a, { type: 'counter.read' })) as { total: number };
  assert.is(read.total, 2, 'once');
});

test('a guard that throws, and an entry action behind a timer', async ({ host, redis }) => {
  const [guarded, timed] = ['bomb/t/g', 'bomb/t/e'].map(actorId) as [ActorId, ActorId];
  // Nobody is there yet: the command is refused, and nothing is kept of it.
  assert.is(said(await ask(host, guarded, { type: 'bomb.weigh' })), 'not_found');
  assert.ok((await ask(host, timed, { type: 'bomb.arm' })).ok);
  await until('the timer has been parked', () => host.figures().held.length === 1);
  assert.match(host.figures().held[0]?.reason ?? '', /the entry action failed/);
  const place = `ph:{${shardOf(timed)}}:`;
  const [[, deadLetter]] = (await redis.ask('XRANGE', `${place}x`, '-', '+')) as [[string, string[]]];
  const lies = JSON.parse(deadLetter[1] ?? '') as { cause: string; reason: string; state: unknown };
  assert.match(lies.cause, /^timer:/);
  assert.match(lies.reason, /the entry action failed/);
  assert.is(lies.state, 'armed', 'as the input found it');
  assert.is(await redis.ask('HLEN', `${place}t`), 0, 'it does not fire again');
  assert.is((said(await ask(host, timed, { type: 'actor.redrive', reason })) as { left: number }).left, 0);
  assert.is(host.figures().held.length, 1, 'it fails again, and is held again');
  const plan = said(await ask(host, timed, { type: 'actor.reset', reason, to: 'safe' })) as { to: string };
  assert.is(plan.to, 'safe');
  assert.is(said(await ask(host, timed, { type: 'bomb.weigh' })), 'chart_failed');
  assert.match(host.figures().held[0]?.reason ?? '', /the guard failed/);
  assert.ok((await ask(host, timed, { type: 'actor.skip', reason })).ok);
  assert.is(said(await ask(host, timed, { type: 'bomb.weigh' })), 'chart_failed', 'it is asked again');
});

test.run();
