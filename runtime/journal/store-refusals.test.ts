// servers: redis valkey
/**
 * A store that runs but refuses commits: no commit is acknowledged meanwhile, the log says what to do, and after that
 * is done the commits go on, none lost or applied twice. And conditions under which a node refuses to start.
 */
import { mkdir, rmdir } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import { grantFor } from './commit-for-tests.ts';
import { actors, checkAll, commitTurns, turns } from './commit-turns-for-tests.ts';
import { own } from './journal-for-tests.ts';
import { createJournal, type RedisJournal } from './redis-journal.ts';
import { processClock as clock, recordedLog, TestRedis, until } from './redis-for-tests.ts';
import { connectStore, type Store } from './store-connection.ts';

interface Stage {
  redis: TestRedis;
  store: Store;
  journal: RedisJournal;
  lines: string[];
}

interface Refusal {
  readonly name: string;
  /** What the log must say. */
  readonly logged: RegExp;
  readonly extra?: readonly string[];
  begin(redis: TestRedis): Promise<unknown>;
  end(redis: TestRedis): Promise<unknown>;
}

const test = suite<Stage>('a store that refuses');

async function start(stage: Stage, extra: readonly string[] = []): Promise<void> {
  const log = recordedLog();
  stage.lines = log.lines;
  stage.redis = await TestRedis.start(extra);
  stage.store = await connectStore({ url: stage.redis.url, clock, log, commandTimeoutMs: 1_000 });
  stage.journal = createJournal({ store: stage.store, clock, log });
  for (const id of actors) await own(stage, grantFor(id));
}

test.after.each(async ({ redis, store, journal }) => {
  journal.close();
  store.close();
  await redis.remove();
});

const config = (name: string, value: string) => (redis: TestRedis) => redis.ask('CONFIG', 'SET', name, value);
const snapshotName = (redis: TestRedis): string => join(redis.folder, 'dump.rdb');

async function saved(redis: TestRedis, status: 'ok' | 'err'): Promise<void> {
  await until('it may save', async () => !String(await redis.ask('INFO')).includes('bgsave_in_progress:1'));
  await redis.ask('BGSAVE');
  await until(`saving is ${status}`, async () => String(await redis.ask('INFO')).includes(`bgsave_status:${status}`));
}

const refusals: readonly Refusal[] = [
  {
    name: 'out of memory',
    logged: /OOM .*|raise it \(CONFIG SET maxmemory\)/,
    begin: config('maxmemory', '1'),
    end: config('maxmemory', '0'),
  },
  {
    name: 'appendfsync no longer always',
    logged: /set its appendfsync to always/,
    async begin(redis) {
      await redis.ask('CONFIG', 'SET', 'appendfsync', 'everysec');
      await redis.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    },
    end: config('appendfsync', 'always'),
  },
  {
    name: 'MISCONF: the store cannot save',
    logged: /free space and look at its log/,
    extra: ['--save', '3600 1000000'],
    async begin(redis) {
      await mkdir(snapshotName(redis));
      await saved(redis, 'err');
    },
    async end(redis) {
      await rmdir(snapshotName(redis));
      await saved(redis, 'ok');
    },
  },
  {
    name: 'made a replica',
    logged: /point the nodes at the primary, or promote it/,
    begin: (redis) => redis.ask('REPLICAOF', '127.0.0.1', '1'),
    end: (redis) => redis.ask('REPLICAOF', 'NO', 'ONE'),
  },
  {
    name: 'too few replicas',
    logged: /lower min-replicas-to-write/,
    begin: config('min-replicas-to-write', '1'),
    end: config('min-replicas-to-write', '0'),
  },
  {
    name: 'rights taken away',
    logged: /grant it in the store's ACL/,
    begin: (redis) => redis.ask('ACL', 'SETUSER', 'default', '-evalsha'),
    end: (redis) => redis.ask('ACL', 'SETUSER', 'default', '+evalsha'),
  },
];

for (const { name, logged, extra, begin, end } of refusals) {
  test(`${name}: commits wait, and go on afterwards`, async (stage) => {
    await start(stage, extra);
    let acknowledged = 0;
    const run = (from: number, to: number): Promise<unknown> => {
      const all = actors.slice(from, to).map((id) => commitTurns(stage.journal, id, 2, () => (acknowledged += 1)));
      const ended = Promise.all(all);
      ended.catch(() => undefined); // awaited below, unless the test fails first
      return ended;
    };
    await run(0, 10);
    const amid = run(10, 30);
    await begin(stage.redis);
    const behind = run(30, actors.length);
    await until('the log says what to do', () => stage.lines.some((line) => logged.test(line)));
    const before = acknowledged;
    const startMs = performance.now();
    await until('some retries are over', () => performance.now() - startMs > 700);
    assert.is(acknowledged, before, 'nothing is acknowledged meanwhile');
    const reports = stage.lines.filter((line) => logged.test(line) || line.startsWith('warn'));
    // One for each of two lost connections, and one with the reason.
    assert.ok(reports.length <= 3, `logged once, not at every try:\n${reports.join('\n')}`);
    await end(stage.redis);
    await Promise.all([amid, behind]);
    assert.is(acknowledged, actors.length * turns);
    await checkAll(stage.store);
  });
}

/**
 * A stand-in for servers that are not available here: one that is too old, one that loads its files for long, and one
 * that finishes loading between two questions. It answers the questions of store-link.ts before a connection is ready.
 *
 * @param infos the answers to INFO, one after the other; the last one is repeated
 */
async function standIn(
  infos: readonly (readonly string[])[],
  toScripts: string,
): Promise<{ url: string; close: () => void }> {
  const sockets = new Set<Socket>();
  const left = infos.map((fields) => ['# Server', ...fields, ''].join('\r\n'));
  const replyTo = (name: string): string => {
    const info = (name === 'info' && left.length > 1 ? left.shift() : left[0]) ?? '';
    const replies: Readonly<Record<string, string>> = {
      info: `$${info.length}\r\n${info}`,
      role: '*3\r\n$6\r\nmaster\r\n:0\r\n*0',
      config: '*2\r\n$11\r\nappendfsync\r\n$6\r\nalways',
      script: toScripts,
    };
    return replies[name] ?? '+OK';
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (asked: Buffer) => {
      for (const [, name = ''] of asked.toString().matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g))
        socket.write(`${replyTo(name.toLowerCase())}\r\n`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

test('a store that may not be used is refused at the start, with advice', async (stage) => {
  await start(stage);
  const { redis } = stage;
  const refused = async (url: string): Promise<string> => {
    const given = { url, prefix: 'ph:unit:', clock, log: recordedLog(), connectTimeoutMs: 500 };
    const error = await connectStore(given).then(
      (store) => store.close(),
      (cause: unknown) => cause,
    );
    return error instanceof PhotonError ? `${error.record.code} ${error.message}` : 'it connected';
  };
  const old = await standIn([['redis_version:6.2.14']], '+OK');
  assert.match(await refused(old.url), /^store_unreachable .*6\.2\.14.*install Redis 7\.0 or newer/);
  old.close();
  const reading = await standIn([['redis_version:7.0.15']], '-LOADING Redis is loading the dataset in memory');
  assert.match(await refused(reading.url), /^store_unreachable .*LOADING.*is reading its files; wait/);
  reading.close();

  const user = redis.url.replace('//', '//photon:pw@');
  await redis.ask('ACL', 'SETUSER', 'photon', 'on', '>pw', '~ph:other:*', '+@all');
  assert.match(await refused(user), /^store_rights_missing .*may not use keys that start with ph:unit:; grant/);
  await redis.ask('ACL', 'SETUSER', 'photon', 'resetkeys', '~ph:unit:*', '-xadd', '-hset');
  assert.match(await refused(user), /^store_rights_missing .*may not run HSET, XADD on keys/);
  await redis.ask('ACL', 'SETUSER', 'photon', '+xadd', '+hset');
  assert.is(await refused(user), 'it connected');

  await redis.ask('CONFIG', 'SET', 'maxmemory', '1gb');
  await redis.ask('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  assert.match(await refused(redis.url), /^store_unreachable .*allkeys-lru.*maxmemory-policy to noeviction/);
});

test('the facts of a server that is loading its files are not used', async (stage) => {
  await start(stage);
  const version = 'redis_version:7.0.15';
  const server = await standIn(
    [
      [version, 'loading:1', 'aof_enabled:0'],
      [version, 'loading:0', 'aof_enabled:1'],
    ],
    '+OK',
  );
  const store = await connectStore({ url: server.url, clock, log: recordedLog() }).finally(server.close);
  assert.is(store.shared.facts.fsyncBeforeReply, true);
  store.close();
});

test.run();
