/**
 * The store of a cluster without REDIS_URL: redis-server as a child process, with its files in the node's folder, fsync
 * before every reply, and an ACL user for every node. It is restarted whenever it ends, and it ends with this
 * process, also after kill -9 (pdeathsig).
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import { followFile } from '@photoncloud/runtime/control-api/file-watch';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { connectStore, type Store } from '@photoncloud/runtime/journal/store-connection';
import { defaultStoreLimits } from '@photoncloud/runtime/journal/store-memory';
import type { Log } from '@photoncloud/runtime/contract/log';
import { nameHolders } from '@photoncloud/runtime/transport/address-holders';
import { execa } from 'execa';
import { storeUrlOf, type NodeFolder } from './node-config.ts';
import { aclFile, rulesOf, storeUsersFile, storeUsersSchema, type StoreUser } from './store-users.ts';

const restartDelayMs = 200;
const longestRestartDelayMs = 5_000;
/** When redis-server ends sooner than this, the next pause is twice as long as the one before. */
const shortRunMs = 1_000;
/** We give up after this many starts in a row that never served: the configuration is probably wrong. */
const failedStartLimit = 10;

function writeConfiguration(folder: NodeFolder): string {
  const home = join(folder.path, 'store');
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const { address, listenPort } = folder.config.store;
  const { memoryBytes } = { ...defaultStoreLimits, ...folder.config.limits.store };
  const lines = [
    `bind ${[...new Set(['127.0.0.1', address])].join(' ')}`,
    `port ${listenPort}`,
    `dir ${home}`,
    'appendonly yes',
    'appendfsync always',
    'aof-load-truncated yes',
    'save ""',
    // At this size it refuses writes (OOM in store-errors.ts); controllers watch it (store-memory.ts).
    `maxmemory ${memoryBytes}`,
    'maxmemory-policy noeviction',
    'daemonize no',
    'tcp-backlog 128',
    `aclfile ${join(home, 'users.acl')}`,
  ];
  writeUsers(folder);
  const path = join(home, 'redis.conf');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

/** Writes the ACL file that redis-server reads at its next start. @returns its users */
function writeUsers(folder: NodeFolder): readonly StoreUser[] {
  const users = storeUsersSchema.parse(JSON.parse(readFileSync(join(folder.path, storeUsersFile), 'utf8')));
  const path = join(folder.path, 'store', 'users.acl');
  writeFileSync(path, aclFile(folder.config.cluster, folder.storePassword, users), { mode: 0o600 });
  chmodSync(path, 0o600);
  return users;
}

/**
 * Users that were added to the file or removed from it log in, or are shut out, while the store runs. The others are
 * left alone: ACL LOAD would end their connections.
 */
async function takeUsers(
  folder: NodeFolder,
  store: Store,
  before: readonly StoreUser[],
): Promise<readonly StoreUser[]> {
  const users = writeUsers(folder);
  const isIn = (all: readonly StoreUser[], { node, sha256 }: StoreUser): boolean =>
    all.some((user) => user.node === node && user.sha256 === sha256);
  for (const user of users.filter((one) => !isIn(before, one)))
    await store.shared.redis.call('ACL', 'SETUSER', user.node, 'reset', ...rulesOf(user, folder.config.cluster));
  for (const { node } of before.filter((one) => !users.some((user) => user.node === one.node)))
    await store.shared.redis.call('ACL', 'DELUSER', node);
  return users;
}

export interface StoreProcess {
  /** Rejects when the store cannot be kept running. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

const startRedis = (configuration: string) =>
  execa('setpriv', ['--pdeathsig', 'KILL', 'redis-server', configuration], {
    reject: false,
    stdin: 'ignore',
    all: true,
    buffer: false,
  });
type Child = ReturnType<typeof startRedis>;

export function superviseStore(folder: NodeFolder, log: Log): StoreProcess {
  const configuration = writeConfiguration(folder);
  let child: Child | undefined;
  let stopping = false;
  const run = async (): Promise<void> => {
    let failedStarts = 0;
    let pauseMs = restartDelayMs;
    while (!stopping) {
      const startedAt = performance.now();
      const started = startRedis(configuration);
      child = started;
      log.info({ part: 'store', pid: started.pid }, 'the store is started');
      const report = listenTo(started);
      const end = await started;
      if (stopping) return;
      const { output, served } = report();
      failedStarts = served ? 0 : failedStarts + 1;
      pauseMs =
        performance.now() - startedAt < shortRunMs ? Math.min(pauseMs * 2, longestRestartDelayMs) : restartDelayMs;
      log.error(
        { part: 'store', exitCode: end.exitCode, signal: end.signal, output },
        `the store ended and is started again: ${adviceOn(output, folder)}`,
      );
      if (failedStarts >= failedStartLimit) {
        throw new PhotonError(
          'defeat',
          'store_hopeless',
          `redis-server ended ${failedStarts} times in a row before it served (${output}); ${adviceOn(output, folder)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  const link = keepScripts(folder, log, () => stopping);
  const usersPath = join(folder.path, storeUsersFile);
  const onUsers = (): void => {
    users = users.then(async (before) => {
      try {
        const store = await link;
        return store === undefined ? before : await takeUsers(folder, store, before);
      } catch (failure) {
        log.error(
          { part: 'store', path: usersPath, why: describeCause(failure) },
          'the users of the store stay as they are',
        );
        return before;
      }
    });
  };
  const unfollow = followFile(usersPath, 1_000, systemClock, onUsers);
  let users = Promise.resolve(writeUsers(folder));
  return {
    ended: run(),
    async stop() {
      stopping = true;
      unfollow();
      void link.then((store) => store?.close());
      child?.kill('SIGTERM');
      await child;
    },
  };
}

/**
 * Keeps a connection to the store, which loads the scripts again after each start of redis-server: workers may not, and
 * must be able to go on when no controller is there.
 */
async function keepScripts(folder: NodeFolder, log: Log, isOver: () => boolean): Promise<Store | undefined> {
  const url = storeUrlOf(folder, undefined);
  while (!isOver()) {
    try {
      return await connectStore({ url, prefix: `ph:${folder.config.cluster}:`, clock: systemClock, log });
    } catch (failure) {
      log.warn({ part: 'store', why: describeCause(failure) }, 'the scripts are not loaded yet; trying again');
    }
  }
  return undefined;
}

/** Reads the child's output; keeps its last lines for the log, and whether it accepted connections. */
function listenTo(child: Child): () => { readonly output: string; readonly served: boolean } {
  let tail = '';
  let served = false;
  child.all?.on('data', (chunk: Buffer) => {
    tail = `${tail}${chunk.toString('utf8')}`.slice(-2_000);
    served ||= tail.includes('Ready to accept connections');
  });
  return () => ({ output: tail.split('\n').slice(-4).join(' | ').trim(), served });
}

/** Redis-server opens its addresses itself; with fsync before every reply, it ends when it cannot write. */
function adviceOn(output: string, folder: NodeFolder): string {
  const home = join(folder.path, 'store');
  const { address, listenPort } = folder.config.store;
  if (output.includes('Address already in use'))
    return `port ${listenPort} is taken by ${nameHolders(address, listenPort)}; end it, or declare another port`;
  if (/No space left|Short write|AOF write error/.test(output))
    return `it cannot write; free space for ${home}, then it serves again, and nothing acknowledged is lost`;
  return `look at its output, and at ${home}`;
}
