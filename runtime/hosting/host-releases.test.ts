/**
 * Two releases of a program run mixed on one real Redis; shards go to and fro between their processes. The newer takes
 * up what the older wrote; the older refuses what the newer wrote, that actor only, and nothing is lost or done twice.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Command, Reply } from '../contract/envelope.ts';
import { actorId } from '../contract/identifiers.ts';
import type { HistoryEntry } from '../contract/journal.ts';
import { TestRedis, until } from '../journal/redis-for-tests.ts';
import { shardOf } from '../journal/shard-placement.ts';
import { commandOf, said } from './host-for-tests.ts';

const program = join(import.meta.dirname, 'host-process-for-tests.ts');
const ids = ['counter/t/a', 'counter/t/b', 'relay/t/r', 'sink/t/s', 'shelf/t/x'].map(actorId);

interface Stage {
  redis: TestRedis;
  children: ChildProcess[];
}

const test = suite<Stage>('two releases mixed');

test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  stage.children = [];
});

test.after.each(async ({ redis, children }) => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  await redis.remove();
  await rm(redis.folder, { recursive: true, force: true });
});

type Ask = (to: string, type: string, fields?: Readonly<Record<string, unknown>>) => Promise<unknown>;

/** Starts a process of a release that takes all shards over; the one before lives on and finds itself fenced. */
async function takeOver({ redis, children }: Stage, release: 1 | 2): Promise<Ask> {
  const epoch = children.length + 1;
  const shards = [...new Set(ids.map(shardOf))];
  const orders = { url: redis.url, node: `n${epoch}`, epoch, folder: redis.folder, shards, release };
  const child = fork(program, [JSON.stringify(orders)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  children.push(child);
  const answers = new Map<string, Reply>();
  let ready = false;
  child.on('message', (news: { ready?: true; commandId?: string; answer?: Reply }) => {
    ready ||= news.ready === true;
    if (news.commandId !== undefined && news.answer !== undefined) answers.set(news.commandId, news.answer);
  });
  await until(`the process of release ${release}`, () => ready);
  return async (to, type, fields = {}) => {
    const command: Command = commandOf(to, { type, ...fields });
    child.send(command);
    await until(`an answer to ${type}`, () => answers.has(command.commandId));
    return said(answers.get(command.commandId) as Reply);
  };
}

async function field({ redis }: Stage, id: string, name: string): Promise<Record<string, unknown>> {
  const text = (await redis.ask('HGET', `ph:{${shardOf(actorId(id))}}:a:${id}`, name)) as string;
  return JSON.parse(text) as Record<string, unknown>;
}

async function historyOf({ redis }: Stage, id: string): Promise<HistoryEntry[]> {
  const stream = await redis.ask('XRANGE', `ph:{${shardOf(actorId(id))}}:h:${id}`, '-', '+');
  return (stream as [string, string[]][]).map(([, fields]) => JSON.parse(fields[1] ?? '') as HistoryEntry);
}

test('actors move between releases: upgraded, refused by the older, taken up again by the newer', async (stage) => {
  const old = await takeOver(stage, 1);
  for (const name of ['a', 'b']) await old(`counter/t/${name}`, 'counter.create', { by: 1 });
  for (let sent = 0; sent < 3; sent += 1) await old('relay/t/r', 'relay.send', { to: 'sink/t/s' });
  const items = async (): Promise<unknown> => (await field(stage, 'sink/t/s', 'context'))['items'];
  await until('three items', async () => JSON.stringify(await items()) === '[1,2,3]');

  const fresh = await takeOver(stage, 2);
  assert.is(await fresh('counter/t/a', 'counter.add'), null);
  await fresh('relay/t/r', 'relay.send', { to: 'sink/t/s' });
  await until('four items', async () => JSON.stringify(await items()) === '[1,2,3,4]');
  assert.is((await field(stage, 'counter/t/a', 'head'))['chartVersion'], 2);
  assert.equal(
    (({ total, release }) => ({ total, release }))(await field(stage, 'counter/t/a', 'context')),
    { total: 2, release: 2 },
    'upgraded',
  );
  assert.is((await field(stage, 'counter/t/b', 'head'))['chartVersion'], 1, 'nobody has asked it anything');
  const told = (await historyOf(stage, 'counter/t/a')).find(({ kind }) => kind === 'upgraded');
  assert.equal([told?.version, told?.whole, told?.changed['release']], [1, 2, 2]);

  const back = await takeOver(stage, 1);
  assert.is(await back('counter/t/a', 'counter.add'), 'quarantined');
  assert.is(await back('counter/t/b', 'counter.add'), null, 'what was not upgraded goes on');
  assert.is(await back('shelf/t/x', 'shelf.put', { key: 'k', value: 1 }), null, 'and so does the rest of the shard');
  for (let sent = 0; sent < 3; sent += 1) await back('relay/t/r', 'relay.send', { to: 'sink/t/s' });
  const before = await field(stage, 'counter/t/a', 'context');
  assert.is(before['total'], 2, 'nothing was written by the older release');

  const again = await takeOver(stage, 2);
  assert.is(await again('counter/t/a', 'counter.add'), null);
  assert.is((await field(stage, 'counter/t/a', 'context'))['total'], 3);
  await until('all items', async () => JSON.stringify(await items()) === '[1,2,3,4,5,6,7]');
  assert.is(await again('counter/t/b', 'counter.add'), null);
  assert.equal((await field(stage, 'counter/t/b', 'context'))['release'], 2);
});

test.run();
