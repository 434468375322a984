/**
 * The store when none is given: redis-server as our child, its files in the node's folder, fsync before every reply,
 * one ACL user with a password. It is started again whenever it ends; it ends when we do (even by kill -9: pdeathsig).
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Log } from '@photoncloud/runtime/contract/log';
import { execa } from 'execa';
import type { NodeFolder } from './node-config.ts';

const restartDelayMs = 200;
/** Starts in a row that ended within a second before we give up: a wrong configuration does not get better. */
const hopelessStarts = 10;

/** Everything the runtime needs and nothing that could end or empty the store. */
const aclRules = 'on ~* &* +@all -@admin -@dangerous +info +role +config|get +wait +keys';
/**
 * `off`: nobody can log in as it. It keeps every permission all the same, because Redis reads the append-only file as
 * this user and asks its permissions again at every EXEC: without them each transaction, which is each commit, is
 * dropped at the next start, in silence (seen with 7.0.15).
 */
const defaultUser = 'user default off ~* &* +@all';

function writeConfiguration(folder: NodeFolder): string {
  const home = join(folder.path, 'store');
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const { address, listenPort } = folder.config.store;
  const lines = [
    `bind ${[...new Set(['127.0.0.1', address])].join(' ')}`,
    `port ${listenPort}`,
    `dir ${home}`,
    'appendonly yes',
    'appendfsync always',
    'aof-load-truncated yes',
    'save ""',
    'maxmemory-policy noeviction',
    'daemonize no',
    'tcp-backlog 128',
    `aclfile ${join(home, 'users.acl')}`,
  ];
  writeFileSync(join(home, 'users.acl'), `${defaultUser}\nuser photon ${aclRules} >${folder.storePassword}\n`, {
    mode: 0o600,
  });
  chmodSync(join(home, 'users.acl'), 0o600);
  const path = join(home, 'redis.conf');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

export interface StoreProcess {
  /** Rejects when it cannot be kept running. */
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
    let hopeless = 0;
    while (!stopping) {
      const startedAt = performance.now();
      const started = startRedis(configuration);
      child = started;
      log.info({ part: 'store', pid: started.pid }, 'the store is started');
      const last = lastLines(started);
      const end = await started;
      if (stopping) return;
      hopeless = performance.now() - startedAt < 1_000 ? hopeless + 1 : 0;
      log.error(
        { part: 'store', exitCode: end.exitCode, signal: end.signal, said: last() },
        'the store ended and is started again',
      );
      if (hopeless >= hopelessStarts) {
        throw new PhotonError(
          'defeat',
          'store_hopeless',
          `redis-server ends at once, ${hopeless} times in a row: ${last()}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, restartDelayMs));
    }
  };
  return {
    ended: run(),
    async stop() {
      stopping = true;
      child?.kill('SIGTERM');
      await child;
    },
  };
}

/** What the child said last, for the log: its output is read and dropped otherwise. */
function lastLines(child: Child): () => string {
  let tail = '';
  child.all?.on('data', (chunk: Buffer) => {
    tail = `${tail}${chunk.toString('utf8')}`.slice(-2_000);
  });
  return () => tail.split('\n').slice(-4).join(' | ').trim();
}
