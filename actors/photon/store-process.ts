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
const longestRestartDelayMs = 5_000;
/** A life shorter than this is followed by a longer pause than the one before. */
const shortLifeMs = 1_000;
/** Starts in a row that never came to serve before we give up: a wrong configuration does not get better. */
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
    let pauseMs = restartDelayMs;
    while (!stopping) {
      const startedAt = performance.now();
      const started = startRedis(configuration);
      child = started;
      log.info({ part: 'store', pid: started.pid }, 'the store is started');
      const saying = listenTo(started);
      const end = await started;
      if (stopping) return;
      const { said, served } = saying();
      hopeless = served ? 0 : hopeless + 1;
      pauseMs =
        performance.now() - startedAt < shortLifeMs ? Math.min(pauseMs * 2, longestRestartDelayMs) : restartDelayMs;
      log.error(
        { part: 'store', exitCode: end.exitCode, signal: end.signal, said },
        `the store ended and is started again: ${adviceOn(said, folder)}`,
      );
      if (hopeless >= hopelessStarts) {
        throw new PhotonError(
          'defeat',
          'store_hopeless',
          `redis-server ends at once, ${hopeless} times in a row (${said}); ${adviceOn(said, folder)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
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

/** What the child said last, for the log, and whether it came to serve: its output is read and dropped otherwise. */
function listenTo(child: Child): () => { readonly said: string; readonly served: boolean } {
  let tail = '';
  let served = false;
  child.all?.on('data', (chunk: Buffer) => {
    tail = `${tail}${chunk.toString('utf8')}`.slice(-2_000);
    served ||= tail.includes('Ready to accept connections');
  });
  return () => ({ said: tail.split('\n').slice(-4).join(' | ').trim(), served });
}

/** With fsync before every reply it ends rather than answer what it cannot write. */
function adviceOn(said: string, folder: NodeFolder): string {
  const home = join(folder.path, 'store');
  if (/No space left|Short write|AOF write error/.test(said))
    return `it cannot write; free space for ${home}, then it goes on by itself, nothing acknowledged is lost`;
  return `look at what it said, and at ${home}`;
}
