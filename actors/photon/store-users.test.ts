// test limit: 60 s
/**
 * The users of the store that a store node starts, on the real server: what a worker needs works, also after a restart
 * of the server, and what a stolen worker might try with its password is refused.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { ShardGrant } from '@photoncloud/runtime/contract/journal';
import { joinCluster } from '@photoncloud/runtime/directory/cluster-membership';
import { commitOf, messageOf } from '@photoncloud/runtime/journal/commit-for-tests';
import { ClusterClock } from '@photoncloud/runtime/directory/cluster-clock';
import { createJournal } from '@photoncloud/runtime/journal/redis-journal';
import { createReader } from '@photoncloud/runtime/journal/redis-reader';
import {
  freeListenPort,
  processClock as clock,
  recordedLog,
  until,
} from '@photoncloud/runtime/journal/redis-for-tests';
import { commitScript } from '@photoncloud/runtime/journal/script-library';
import { connectStore } from '@photoncloud/runtime/journal/store-connection';
import { holdersOf } from '@photoncloud/runtime/transport/address-holders';
import { initCluster } from './cluster-init.ts';
import { openNodeFolder, storeUrlOf } from './node-config.ts';
import { superviseStore } from './store-process.ts';

const cleanUp: (() => unknown)[] = [];
test.after(async () => {
  for (const step of cleanUp.toReversed()) await step();
});

const prefix = 'ph:users:';
const bindingId: ActorId = actorId('binding/acme/p1@w1');
let listenPort = 0;
let root = '';
const log = recordedLog();
const folderOf = (node: string) => openNodeFolder(join(root, 'nodes', node));
const urlOf = (node: string): string => storeUrlOf(folderOf(node), undefined);

test.before(async () => {
  root = await mkdtemp(join(tmpdir(), 'photon-users-test-'));
  cleanUp.push(() => rm(root, { recursive: true, force: true }));
  listenPort = await freeListenPort();
  const node = (name: string, role: 'store' | 'controller' | 'worker') => ({ node: name, role, address: '127.0.0.1' });
  const nodes = [node('s1', 'store'), node('c1', 'controller'), node('w1', 'worker'), node('w2', 'worker')];
  const listenPorts = { store: listenPort, sentinel: 26379, peer: 7443, api: 7444 };
  await initCluster({
    folder: root,
    cluster: 'users',
    nodes,
    allowedRoots: [],
    allowedSources: [],
    tenants: [],
    listenPorts,
  });
  const store = superviseStore(folderOf('s1'), log);
  cleanUp.push(() => store.stop());
});

async function joined(name: string, role: 'controller' | 'worker') {
  const store = await connectStore({ url: urlOf(name), prefix, clock, log });
  cleanUp.push(() => store.close());
  const journal = createJournal({ store, clock, log });
  const grants = new Map<string, ShardGrant>();
  const membership = await joinCluster({
    store,
    node: { name, role, peerUrl: '', boot: `boot-${name}` },
    clock: new ClusterClock(clock),
    log,
    identity: 'one',
    onGrant: (grant) => {
      journal.adopt(grant);
      grants.set(grant.shard, grant);
    },
    onLost: () => {},
    onHandover: () => Promise.resolve(),
    onNode: () => {},
    onEra: () => {},
    onHostFenced: () => Promise.resolve(),
    knownEra: 0,
  });
  cleanUp.push(() => membership.leave());
  return { store, journal, grants, membership };
}

test('a store whose address is taken says by whom', async () => {
  await until('the first one serves', () => holdersOf('127.0.0.1', listenPort).length > 0);
  const said = recordedLog();
  const second = superviseStore(folderOf('s1'), said);
  const who = `taken by process \\d+ \\(redis-server 127\\.0\\.0\\.1:${listenPort}`;
  await until('it says so', () => said.lines.some((line) => new RegExp(who).test(line)));
  await second.stop();
});

test('every node has a password of its own, and only the store node knows their digests', () => {
  const passwords = ['s1', 'c1', 'w1', 'w2'].map((node) => folderOf(node).storePassword);
  assert.is(new Set(passwords).size, 4);
  const users = readFileSync(join(root, 'nodes/s1/store-users.json'), 'utf8');
  for (const password of passwords) assert.not.ok(users.includes(password));
});

test('a worker joins, commits in the shard of its host and reads, also after a restart of the store', async () => {
  const c1 = await joined('c1', 'controller');
  await until('the controller has its shards', () => c1.grants.size === 128);
  const vm = actorId('vm/acme/web-1');
  const ofVm = c1.grants.get('s12') as ShardGrant;
  const messages = [messageOf(vm, bindingId, 1)];
  assert.is((await c1.journal.commit(commitOf(vm, 1, { grant: ofVm, messages }))).result, 'committed');

  const w1 = await joined('w1', 'worker');
  await until('the worker has its shard', () => w1.grants.has('host:w1'));
  const grant = w1.grants.get('host:w1') as ShardGrant;
  const commit = async (version: number) => (await w1.journal.commit(commitOf(bindingId, version, { grant }))).result;
  assert.is(await commit(1), 'committed');
  assert.is((await w1.journal.backlog(grant)).outbox.length, 0);
  assert.ok(await w1.journal.isOutstanding(messages[0] as (typeof messages)[0]));
  assert.equal(await w1.journal.endedSequences([`${vm}~u1`], Date.now()), [], 'the sender is still there');
  const reader = createReader({ store: w1.store, clock, log });
  assert.equal(
    (await reader.onHost('w1')).map(({ id }) => id),
    [bindingId],
  );
  await w1.journal.assureStore();

  const started = log.lines.filter((line) => line.includes('the store is started')).at(-1) ?? '';
  process.kill(Number(/"pid":(\d+)/.exec(started)?.[1]), 'SIGKILL');
  assert.is(await commit(2), 'committed', 'the scripts were loaded again, though the worker may not do it');
});

test('with the password of a worker nothing else can be read, written, run or stopped', async () => {
  const store = await connectStore({ url: urlOf('w1'), prefix, clock, log });
  cleanUp.push(() => store.close());
  const thief = store.shared.redis;
  const foreign = `${prefix}{s12}:`;
  const other = `${prefix}{host:w2}:`;
  const forbidden: readonly (readonly [string, ...string[]])[] = [
    ['SET', `${foreign}o`, '9|9|w1'],
    ['SET', `${other}o`, '9|9|w1'],
    ['HSET', `${foreign}a:vm/acme/web-1`, 'version', '9'],
    ['HDEL', `${foreign}q`, 'x'],
    ['EVALSHA', commitScript.sha, '1', `${foreign}o`],
    ['HGETALL', `${foreign}c:network/acme/n:port`],
    ['XRANGE', `${foreign}h:vm/acme/web-1`, '-', '+'],
    ['HGETALL', `${foreign}r:acme`],
    ['SMEMBERS', `${foreign}i`],
    ['XRANGE', `${foreign}f`, '-', '+'],
    ['XADD', `${foreign}x`, '*', 'd', '{}'],
    ['UNLINK', `${prefix}nodes`],
    ['DEL', `${prefix}cluster`],
    ['SET', `${prefix}map`, 'x'],
    ['SET', 'ph:another:cluster', 'x'],
    ['EVAL', 'while true do end', '0'],
    ['SCRIPT', 'LOAD', 'return 1'],
    ['SCRIPT', 'FLUSH'],
    ['SCRIPT', 'KILL'],
    ['FUNCTION', 'FLUSH'],
    ['FUNCTION', 'LOAD', '#!lua name=x\nredis.register_function("x", function() end)'],
    ['FLUSHALL'],
    ['FLUSHDB'],
    ['KEYS', '*'],
    ['SCAN', '0'],
    ['RANDOMKEY'],
    ['SWAPDB', '0', '1'],
    ['CONFIG', 'SET', 'maxmemory', '1'],
    ['ACL', 'LIST'],
    ['CLIENT', 'KILL', 'TYPE', 'normal'],
    ['CLIENT', 'PAUSE', '60000'],
    ['DEBUG', 'SLEEP', '60'],
    ['SHUTDOWN', 'NOSAVE'],
    ['REPLICAOF', '127.0.0.1', '1'],
    ['MONITOR'],
    ['SAVE'],
    ['BGREWRITEAOF'],
    ['PUBLISH', 'x', 'y'],
    ['SUBSCRIBE', 'x'],
  ];
  for (const [name, ...args] of forbidden) {
    const answer = await thief.call(name, [...args]).then(
      (reply) => `taken: ${JSON.stringify(reply)}`,
      (error: Error) => error.message,
    );
    assert.match(answer, /^NOPERM|DEBUG command not allowed/, `${name} ${args.join(' ')}: ${answer}`);
  }
  for (const user of ['photon', 'c1', 'w2', 'default']) {
    const password = folderOf('w1').storePassword;
    const refused = await thief.call('AUTH', [user, password]).catch((error: Error) => error.message);
    assert.match(String(refused), /^WRONGPASS/, user);
  }
});

test('a controller may not empty the store or change it', async () => {
  const store = await connectStore({ url: urlOf('c1'), prefix, clock, log });
  cleanUp.push(() => store.close());
  const thief = store.shared.redis;
  for (const [name, ...args] of [
    ['FLUSHALL'],
    ['CONFIG', 'SET', 'maxmemory', '1'],
    ['ACL', 'LIST'],
    ['SET', 'x', 'y'],
  ]) {
    const answer = await thief.call(name as string, args).catch((error: Error) => error.message);
    assert.match(String(answer), /^NOPERM/, name);
  }
});

test.run();
