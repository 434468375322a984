import { readdir } from 'node:fs/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import { TestRedis, until } from '../journal/redis-for-tests.ts';
import {
  archivingNode,
  climb,
  codeOf,
  contextAt,
  own,
  peerFolders,
  removeFolder,
  tempFolder,
  type ArchivingNode,
} from './history-for-tests.ts';

interface Stage {
  redis: TestRedis;
  nodes: ArchivingNode[];
  folders: string[];
}

const test = suite<Stage>('archived history');
const web = actorId('vm/acme/web');

test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  stage.nodes = [];
  stage.folders = [];
});
test.after.each(async ({ redis, nodes, folders }) => {
  for (const node of nodes) await node.end();
  await redis.remove();
  for (const folder of folders) await removeFolder(folder);
});

async function start(stage: Stage, name: string, folder?: string): Promise<ArchivingNode> {
  const place = folder ?? (await tempFolder());
  if (folder === undefined) stage.folders.push(place);
  const node = await archivingNode(stage.redis.url, name, place);
  stage.nodes.push(node);
  return node;
}

const hot = async (node: ArchivingNode, actor: ActorId): Promise<number> => {
  const keys = await node.store.shared.redis.keys(`*h:${actor}`);
  return node.store.shared.redis.xlen(keys[0] ?? '');
};

const versionsOf = async (node: ArchivingNode, actor: ActorId, to?: number): Promise<number[]> => {
  const page = to === undefined ? { after: 0, limit: 10_000 } : { after: 0, limit: 10_000, to };
  return (await node.historian.history(actor, page)).map(({ version }) => version);
};

const upTo = (count: number, from = 1): number[] => Array.from({ length: count - from + 1 }, (_, at) => from + at);

test('old entries are archived, and history is read in order from store and archive', async (stage) => {
  const node = await start(stage, 'n1');
  await own(node, web, 1);
  await climb(node, web, 1, 300);
  await until('the hot tail is short', async () => (await hot(node, web)) <= 64);
  assert.ok((await hot(node, web)) >= 32, 'the tail stays');
  assert.equal(await versionsOf(node, web), upTo(300));
  assert.equal(await versionsOf(node, web, 120), upTo(120));
  const page = await node.historian.history(web, { after: 90, to: 280, limit: 20 });
  assert.equal(
    page.map(({ version }) => version),
    upTo(280, 261),
  );
  const behind = await node.historian.history(web, { after: 0, to: 280, skip: 20, limit: 3 });
  assert.equal(
    behind.map(({ version }) => version),
    [258, 259, 260],
  );
  for (const version of [1, 2, 3, 31, 200, 268, 300]) {
    const { context, state, chartVersion, entry } = await node.historian.at(web, version);
    assert.equal([context, state, chartVersion, entry.version], [contextAt(version), 'b', 1, version]);
  }
  assert.is(await codeOf(node.historian.at(web, 301)), 'not_found');
  assert.is(await codeOf(node.historian.at(actorId('vm/acme/other'), 1)), 'not_found');
  assert.is(node.archiver.figures().lostVersions, 0);
});

test('the archived run of another actor is not taken for its own', async (stage) => {
  const node = await start(stage, 'n1');
  const other = actorId('vm/acme/other');
  for (const actor of [web, other]) {
    await own(node, actor, 1);
    await climb(node, actor, 1, 300);
    await until('the hot tail is short', async () => (await hot(node, actor)) <= 64);
  }
  const { redis } = node.store.shared;
  const recordOf = async (actor: ActorId): Promise<string> => (await redis.keys(`*a:${actor}`))[0] ?? '';
  const foreign = (await redis.hget(await recordOf(other), 'archived')) ?? '';
  await redis.hset(await recordOf(web), 'archived', foreign);
  assert.is(await codeOf(versionsOf(node, web)), 'history_incomplete');
});

test('each new process goes on archiving where the last one was killed', async (stage) => {
  let node = await start(stage, 'n1');
  await own(node, web, 1);
  for (let round = 0; round < 5; round += 1) {
    await climb(node, web, round * 80 + 1, (round + 1) * 80);
    // Every other process ends before or while it archives.
    if (round % 2 === 0) await until('something is archived', () => node.archiver.figures().archivedEntries > 0);
    await node.end();
    stage.nodes.pop();
    node = await start(stage, 'n1', node.folder);
  }
  assert.equal(await versionsOf(node, web), upTo(400));
  await climb(node, web, 401, 401);
  await until('a look at the actor', async () => (await hot(node, web)) <= 64);
  assert.equal(await versionsOf(node, web), upTo(401));
  assert.ok((await readdir(node.folder)).length > 1);
});

test('history is read across the archives of several nodes', async (stage) => {
  const first = await start(stage, 'n1');
  const second = await start(stage, 'n2');
  await own(first, web, 1);
  await climb(first, web, 1, 150);
  await until('the first node archives', async () => (await hot(first, web)) <= 64);
  await own(second, web, 2);
  await climb(second, web, 151, 300, 2);
  await until('the second node archives', async () => (await hot(second, web)) <= 64);
  await own(first, web, 3);
  await climb(first, web, 301, 450, 3);
  await until('the first node archives again', async () => (await hot(first, web)) <= 64);
  for (const node of [first, second]) assert.equal(await versionsOf(node, web), upTo(450));
  assert.equal((await second.historian.at(web, 17)).context, contextAt(17));
  const folder = peerFolders.get('n2') ?? '';
  peerFolders.delete('n2');
  assert.is(await codeOf(versionsOf(first, web)), 'archive_unreachable');
  assert.is(
    (await first.historian.history(web, { after: 400, limit: 100 })).length,
    50,
    'entries in the store and the own archive need no peer',
  );
  peerFolders.set('n2', folder);
});

test('a former owner of the shard archives nothing', async (stage) => {
  const first = await start(stage, 'n1');
  const second = await start(stage, 'n2');
  await own(first, web, 1);
  await climb(first, web, 1, 100);
  await own(second, web, 2);
  await until('the first has tried', () => first.archiver.figures().waiting === 0);
  await climb(second, web, 101, 200, 2);
  await until('the second archives', async () => (await hot(second, web)) <= 64);
  assert.equal(await versionsOf(second, web), upTo(200));
});

test('entries dropped at the cap are logged, and no version behind the gap is rebuilt', async (stage) => {
  const node = await start(stage, 'n1');
  await own(node, web, 1);
  await climb(node, web, 1, 100);
  await until('a first run', async () => (await hot(node, web)) <= 64);
  await stage.redis.ask('XTRIM', (await node.store.shared.redis.keys(`*h:${web}`))[0] ?? '', 'MAXLEN', '20');
  await climb(node, web, 101, 180);
  await until('the gap is seen', () => node.archiver.figures().lostVersions > 0);
  assert.ok(node.log.lines.some((line) => line.startsWith('error history was dropped at the cap')));
  const newest = (await node.historian.history(web, { after: 0, limit: 1 }))[0]?.version;
  assert.is(newest, 180);
  assert.is(await codeOf(node.historian.at(web, 170)), 'history_incomplete');
  assert.equal((await node.historian.at(web, 40)).context, contextAt(40));
});

test('a corrupt entry in the store damages neither the archive nor other entries', async (stage) => {
  const node = await start(stage, 'n1');
  await own(node, web, 1);
  await climb(node, web, 1, 60);
  const [stream = ''] = await node.store.shared.redis.keys(`*h:${web}`);
  const entries = await node.store.shared.redis.xrange(stream, '-', '+');
  await node.store.shared.redis.del(stream);
  for (const [id, fields] of entries) {
    const text = { '20-0': '{broken', '21-0': '7' }[id] ?? fields[1] ?? '';
    await node.store.shared.redis.xadd(stream, id, 'e', text);
  }
  await climb(node, web, 61, 100);
  await until('they are archived', async () => (await hot(node, web)) <= 64);
  assert.equal(await versionsOf(node, web), upTo(100));
  const [corrupt] = await node.historian.history(web, { after: 19, to: 20, limit: 1 });
  assert.equal(corrupt?.event, { type: 'history.unreadable', text: '{broken' });
  assert.equal((await node.historian.at(web, 19)).context, contextAt(19));
  assert.is(await codeOf(node.historian.at(web, 22)), 'history_incomplete', 'nothing is rebuilt over it');
});

test.run();
