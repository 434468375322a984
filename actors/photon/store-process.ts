/**
 * The store of a cluster without REDIS_URL: redis-server as a child process, with its files in the node's folder, fsync
 * before every reply, and an ACL user for every node; beside it a Sentinel, where the store has several hosts
 * (store-configuration.ts). Each is restarted whenever it ends, and ends with this process, also after kill -9
 * (pdeathsig).
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import { followFile } from '@photoncloud/runtime/control-api/file-watch';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { namedPrimary } from '@photoncloud/runtime/journal/sentinel-boxes';
import { connectForQuestion, parseStoreUrl } from '@photoncloud/runtime/journal/store-address';
import { connectStore, type Store } from '@photoncloud/runtime/journal/store-connection';
import { defaultStoreLimits } from '@photoncloud/runtime/journal/store-memory';
import type { Log } from '@photoncloud/runtime/contract/log';
import { nameHolders } from '@photoncloud/runtime/transport/address-holders';
import { execa } from 'execa';
import { storeUrlOf, type NodeFolder } from './node-config.ts';
import {
  followedBy,
  ownSentinel,
  ownServer,
  redisConfiguration,
  sentinelConfiguration,
  type Server,
} from './store-configuration.ts';
import {
  aclFile,
  replicationUsers,
  rulesOf,
  sentinelAclFile,
  sentinelRulesOf,
  storeUsersFile,
  storeUsersSchema,
  type StoreUser,
} from './store-users.ts';

const restartDelayMs = 200;
const longestRestartDelayMs = 5_000;
/** When redis-server ends sooner than this, the next pause is twice as long as the one before. */
const shortRunMs = 1_000;
/** We give up after this many starts in a row that never served: the configuration is probably wrong. */
const failedStartLimit = 10;

/** A child that is kept running. */
interface Program {
  /** As the log calls it. */
  readonly name: string;
  /** Writes what it reads at its start. @returns its arguments */
  readonly prepare: () => Promise<readonly string[]>;
  /** What it says once it serves. */
  readonly serving: string;
  readonly advice: (output: string) => string;
}

const homeOf = (folder: NodeFolder, program: string): string => {
  const home = join(folder.path, program);
  mkdirSync(home, { recursive: true, mode: 0o700 });
  return home;
};

function writeSecretFile(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  chmodSync(path, 0o600);
}

const writtenBefore = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined);

function redisServer(folder: NodeFolder): Program {
  const { config } = folder;
  const home = homeOf(folder, 'store');
  const path = join(home, 'redis.conf');
  const { memoryBytes } = { ...defaultStoreLimits, ...config.limits.store };
  return {
    name: 'store',
    async prepare() {
      writeUsers(folder);
      const named = await namedPrimary(parseStoreUrl(storeUrlOf(folder, undefined)));
      const follows = followedBy(config, named, writtenBefore(path));
      writeSecretFile(path, redisConfiguration({ config, home, password: folder.storePassword }, memoryBytes, follows));
      return [path];
    },
    serving: 'Ready to accept connections',
    advice: (output) => adviceOn(output, home, ownServer(config)),
  };
}

function sentinel(folder: NodeFolder, own: Server): Program {
  const { config } = folder;
  const home = homeOf(folder, 'sentinel');
  const path = join(home, 'sentinel.conf');
  return {
    name: 'Sentinel',
    prepare() {
      writeUsers(folder);
      const plan = { config, home, password: folder.storePassword };
      writeSecretFile(path, sentinelConfiguration(plan, own.listenPort, writtenBefore(path) ?? ''));
      return Promise.resolve([path, '--sentinel']);
    },
    serving: 'Sentinel ID is',
    advice: (output) => adviceOn(output, home, own),
  };
}

/** Writes the ACL files that redis-server and the Sentinel read at their next start. @returns the users of nodes */
function writeUsers(folder: NodeFolder): readonly StoreUser[] {
  const users = storeUsersSchema.parse(JSON.parse(readFileSync(join(folder.path, storeUsersFile), 'utf8')));
  const { config, storePassword } = folder;
  const hasReplicas = config.store.sentinels.length > 0;
  const ofNodes = aclFile(config.cluster, storePassword, users);
  const others = hasReplicas ? replicationUsers(storePassword) : '';
  writeSecretFile(join(homeOf(folder, 'store'), 'users.acl'), `${ofNodes}${others}`);
  if (hasReplicas)
    writeSecretFile(join(homeOf(folder, 'sentinel'), 'users.acl'), sentinelAclFile(storePassword, users));
  return users;
}

type RulesOf = (user: StoreUser) => readonly string[];

/**
 * Users that were added to the file or removed from it log in, or are shut out, while the store runs. The others are
 * left alone: ACL LOAD would end their connections.
 */
async function takeUsers(folder: NodeFolder, before: readonly StoreUser[]): Promise<readonly StoreUser[]> {
  const users = writeUsers(folder);
  const { config } = folder;
  const own = ownSentinel(config);
  await changeUsers(folder, ownServer(config), (user) => rulesOf(user, config.cluster), users, before);
  if (own !== undefined) await changeUsers(folder, own, sentinelRulesOf, users, before);
  return users;
}

async function changeUsers(
  folder: NodeFolder,
  { address, listenPort }: Server,
  rules: RulesOf,
  users: readonly StoreUser[],
  before: readonly StoreUser[],
): Promise<void> {
  const isIn = (all: readonly StoreUser[], { node, sha256 }: StoreUser): boolean =>
    all.some((user) => user.node === node && user.sha256 === sha256);
  const url = `redis://photon:${encodeURIComponent(folder.storePassword)}@${address}:${listenPort}`;
  const server = connectForQuestion(parseStoreUrl(url));
  try {
    for (const user of users.filter((one) => !isIn(before, one)))
      await server.call('ACL', 'SETUSER', user.node, 'reset', ...rules(user));
    for (const { node } of before.filter((one) => !users.some((user) => user.node === one.node)))
      await server.call('ACL', 'DELUSER', node);
  } finally {
    server.disconnect();
  }
}

export interface StoreProcess {
  /** Rejects when the store cannot be kept running. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

const startRedis = (argv: readonly string[]) =>
  execa('setpriv', ['--pdeathsig', 'KILL', 'redis-server', ...argv], {
    reject: false,
    stdin: 'ignore',
    all: true,
    buffer: false,
  });
type Child = ReturnType<typeof startRedis>;

/** Starts the program again whenever it ends. */
function keepRunning(program: Program, log: Log): StoreProcess {
  const { name } = program;
  let child: Child | undefined;
  let stopping = false;
  const run = async (): Promise<void> => {
    let failedStarts = 0;
    let pauseMs = restartDelayMs;
    while (!stopping) {
      const argv = await program.prepare();
      if (stopping) return;
      const startedAt = performance.now();
      const started = startRedis(argv);
      child = started;
      log.info({ part: 'store', pid: started.pid }, `the ${name} is started`);
      const report = listenTo(started, program.serving);
      const end = await started;
      if (stopping) return;
      const { output, served } = report();
      failedStarts = served ? 0 : failedStarts + 1;
      pauseMs =
        performance.now() - startedAt < shortRunMs ? Math.min(pauseMs * 2, longestRestartDelayMs) : restartDelayMs;
      log.error(
        { part: 'store', exitCode: end.exitCode, signal: end.signal, output },
        `the ${name} ended and is started again: ${program.advice(output)}`,
      );
      if (failedStarts >= failedStartLimit) {
        throw new PhotonError(
          'defeat',
          'store_hopeless',
          `the ${name} ended ${failedStarts} times in a row before it served (${output}); ${program.advice(output)}`,
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

export function superviseStore(folder: NodeFolder, log: Log): StoreProcess {
  const own = ownSentinel(folder.config);
  const programs = [redisServer(folder), ...(own === undefined ? [] : [sentinel(folder, own)])];
  let users = Promise.resolve(writeUsers(folder));
  const running = programs.map((program) => keepRunning(program, log));
  let stopping = false;
  const link = keepScripts(folder, log, () => stopping);
  const usersPath = join(folder.path, storeUsersFile);
  const onUsers = (): void => {
    users = users.then(async (before) => {
      try {
        await link;
        return stopping ? before : await takeUsers(folder, before);
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
  return {
    ended: Promise.race(running.map(({ ended }) => ended)),
    async stop() {
      stopping = true;
      unfollow();
      void link.then((store) => store?.close());
      await Promise.all(running.map((one) => one.stop()));
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
function listenTo(child: Child, serving: string): () => { readonly output: string; readonly served: boolean } {
  let tail = '';
  let served = false;
  child.all?.on('data', (chunk: Buffer) => {
    tail = `${tail}${chunk.toString('utf8')}`.slice(-2_000);
    served ||= tail.includes(serving);
  });
  return () => ({ output: tail.split('\n').slice(-4).join(' | ').trim(), served });
}

/** Redis-server opens its addresses itself; with fsync before every reply, it ends when it cannot write. */
function adviceOn(output: string, home: string, { address, listenPort }: Server): string {
  if (output.includes('Address already in use'))
    return `port ${listenPort} is taken by ${nameHolders(address, listenPort)}; end it, or declare another port`;
  if (/No space left|Short write|AOF write error/.test(output))
    return `it cannot write; free space for ${home}, then it serves again, and nothing acknowledged is lost`;
  return `look at its output, and at ${home}`;
}
