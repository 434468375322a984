// servers: redis valkey
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { processClock as clock, recordedLog, TestRedis, until } from './redis-for-tests.ts';
import { connectStore } from './store-connection.ts';
import { troubleOf } from './store-errors.ts';
import { StoreLink } from './store-link.ts';

interface Refusal {
  record: { code: string; message: string };
}

const test = suite('store connection');

const refused = (promise: Promise<unknown>): Promise<Refusal> =>
  promise.then(
    () => assert.unreachable('it connected') as never,
    (error: Refusal) => error,
  );

test('a wrong password is logged with advice, and connecting gives up', async () => {
  const redis = await TestRedis.start(['--requirepass', 'secret']);
  try {
    for (const [login, advice] of [
      ['', 'wants a password'],
      [':wrong@', 'password of the store URL is wrong'],
    ] as const) {
      const log = recordedLog();
      const url = redis.url.replace('//', `//${login}`);
      const { record } = await refused(connectStore({ url, clock, log, connectTimeoutMs: 700 }));
      assert.is(record.code, 'store_unreachable');
      assert.ok(
        log.lines.some((line) => line.includes(advice)),
        `${advice} in ${log.lines.join('\n')}`,
      );
      assert.not.ok(
        log.lines.some((line) => line.includes('wrong@')),
        'the password is not logged',
      );
    }
    const store = await connectStore({ url: redis.url.replace('//', '//:secret@'), clock, log: recordedLog() });
    store.close();
  } finally {
    await redis.remove();
  }
});

test('a replica is refused', async () => {
  const primary = await TestRedis.start();
  const replica = await TestRedis.start(['--replicaof', '127.0.0.1', String(primary.listenPort)]);
  try {
    const log = recordedLog();
    await refused(connectStore({ url: replica.url, clock, log, connectTimeoutMs: 700 }));
    assert.ok(
      log.lines.some((line) => line.includes('is a replica')),
      log.lines.join('\n'),
    );
  } finally {
    await replica.remove();
    await primary.remove();
  }
});

test('connecting to a closed port gives up with the cause', async () => {
  const log = recordedLog();
  const { record } = await refused(connectStore({ url: 'redis://127.0.0.1:1', clock, log, connectTimeoutMs: 500 }));
  assert.is(record.code, 'store_unreachable');
  assert.ok(record.message.includes('ECONNREFUSED'), record.message);
});

test('a connection to a server that hangs is replaced', async () => {
  const redis = await TestRedis.start();
  try {
    const store = await connectStore({ url: redis.url, clock, log: recordedLog(), commandTimeoutMs: 200 });
    const { generation } = store.shared;
    redis.signal('SIGSTOP');
    const asked = store.shared.run((client) => client.get('nothing'));
    await until('the connection is given up', () => store.shared.generation > generation, 1_000);
    redis.signal('SIGCONT');
    assert.is(await asked, null);
    store.close();
  } finally {
    await redis.remove();
  }
});

/** A proxy to the store with this latency each way, which cuts its first connection during the first questions. */
async function slowWay(
  redis: TestRedis,
  delayMs: number,
  cutAfterMs: number,
): Promise<{ way: Server; taken: Socket[] }> {
  const later = (from: Socket, to: Socket): void => {
    from.on('data', (bytes) => void setTimeout(() => to.writable && to.write(bytes), delayMs));
    from.on('close', () => to.destroy());
    from.on('error', () => to.destroy());
  };
  const taken: Socket[] = [];
  const way = createServer((client) => {
    const server = connect(redis.listenPort, '127.0.0.1');
    later(client, server);
    later(server, client);
    if (taken.push(client) === 1) setTimeout(() => client.destroy(), cutAfterMs);
  });
  await new Promise<void>((resolve) => way.listen(0, '127.0.0.1', resolve));
  return { way, taken };
}

test('a connection lost while it is examined does not close the next one', async () => {
  const redis = await TestRedis.start();
  const { way, taken } = await slowWay(redis, 40, 100);
  try {
    const { port } = way.address() as AddressInfo;
    const url = `redis://127.0.0.1:${port}`;
    // Four questions of 80 ms each: longer than the pause after which a failed connection is dropped.
    const store = await connectStore({ url, clock, log: recordedLog() });
    store.close();
    assert.is(taken.length, 2, 'connections until the store could be used');
  } finally {
    way.close();
    await redis.remove();
  }
});

test('two alternating problems are logged once each, not at every try', () => {
  const log = recordedLog();
  const client = Object.assign(new EventEmitter(), { status: 'connecting', disconnect: () => undefined });
  const connectStandIn = (): Redis => client as unknown as Redis;
  const address = { kind: 'single', url: 'redis://127.0.0.1' } as const;
  const link = new StoreLink({ address, purpose: 'commits', isNode: false, clock, log, connect: connectStandIn });
  for (let tries = 0; tries < 20; tries += 1) {
    client.emit('error', new Error('connect ECONNREFUSED 127.0.0.1:6379'));
    client.emit('error', new Error('All sentinels are unreachable. Retrying from scratch after 100ms.'));
  }
  link.close();
  assert.is(log.lines.length, 2, log.lines.join('\n'));
});

test('errors of the store are classified', () => {
  const kind = (text: string): string => troubleOf(new Error(text)).kind;
  assert.is(kind('Connection is closed.'), 'lost');
  assert.is(kind('Command timed out'), 'lost');
  assert.is(kind("Stream isn't writeable and enableOfflineQueue options is false"), 'lost');
  assert.is(kind('NOSCRIPT No matching script. Please use EVAL.'), 'no_script');
  assert.is(kind("OOM command not allowed when used memory > 'maxmemory'."), 'refused');
  assert.is(
    kind("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."),
    'refused',
  );
  assert.is(kind("READONLY You can't write against a read only replica. script: 4b8a, on @user_script:1."), 'refused');
  assert.is(
    kind('UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)'),
    'refused',
  );
  assert.is(kind('ERR WAIT cannot be used with replica instances. Please also note that if a replica'), 'refused');
  assert.is(kind("ERR The user executing the script can't run this command or subcommand script: 4b8a"), 'refused');
  assert.is(kind("ERR ACL failure in script: User photon has no permissions to run the 'xadd' command"), 'refused');
  assert.is(kind('WRONGTYPE Operation against a key holding the wrong kind of value'), 'bug');
  assert.is(kind('ERR user_script:3: attempt to index a nil value script: 4b8a'), 'bug');
});

test.run();
