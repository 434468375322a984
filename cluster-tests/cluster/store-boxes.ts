/**
 * A store of three boxes: each box is a node with a redis-server and a Sentinel, quorum 2. This is the layout for
 * clusters that must not lose acknowledged commits. Programs find it by a `redis+sentinel://` URL. Used by
 * cluster-launch.ts and by the faults of nemesis.ts that hit the primary.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Topology } from './cluster-topology.ts';
import { logPath, startProgram } from './node-program.ts';
import { until } from './process-identity.ts';
import { insideFolder } from './topology-record.ts';

const redisListenPort = '6379';
const sentinelListenPort = '26379';
const masterName = 'main';

/** The name of the redis-server of a box among the programs of its node. */
export const boxProgram = 'redis';
const sentinelProgram = 'sentinel';

// No password: only the cluster's own nodes reach the underlay, and access rights are tested elsewhere. Short delays
// and timeouts, so that replicas sync at once and a silent peer is noticed soon.
const redisOptions = `--port ${redisListenPort} --bind * --protected-mode no --dir ${insideFolder} --save
  --appendonly yes --appendfsync always --maxmemory-policy noeviction
  --min-replicas-to-write 1 --min-replicas-max-lag 3
  --repl-diskless-sync-delay 0 --repl-ping-replica-period 1 --repl-timeout 5`;

const redisCommand = (primary: string | undefined): string[] => [
  'redis-server',
  ...redisOptions.split(/\s+/).flatMap((word) => (word === '--save' ? [word, ''] : [word])),
  ...(primary === undefined ? [] : ['--replicaof', primary, redisListenPort]),
];

const sentinelLines = (primary: string): string[] => [
  `port ${sentinelListenPort}`,
  'bind *',
  'protected-mode no',
  `dir ${insideFolder}`,
  `sentinel monitor ${masterName} ${primary} ${redisListenPort} 2`,
  `sentinel down-after-milliseconds ${masterName} 1000`,
  `sentinel failover-timeout ${masterName} 4000`,
  `sentinel parallel-syncs ${masterName} 1`,
];

/**
 * By default a Sentinel polls servers every 10 s and other Sentinels every 2 s, and it waits four such periods before
 * it demotes an old primary: a test would wait 10 s for what takes 2 s with these values.
 */
const sentinelPeriods = ['sentinel', 'debug', 'info-period', '1000', 'publish-period', '500'];

/** Runs redis-cli in the box. @throws execFile's error when the server does not answer */
async function ask(topology: Topology, box: string, port: string, ...command: readonly string[]): Promise<string[]> {
  const argv = ['timeout', '2', 'redis-cli', '-p', port, ...command];
  return (await topology.exec(box, argv)).trim().split(/\r?\n/);
}

/** The fields of INFO of the Redis of a box; empty while it does not answer. */
async function factsOf(topology: Topology, box: string): Promise<ReadonlyMap<string, string>> {
  const lines = await ask(topology, box, redisListenPort, 'info').catch(() => []);
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

/** Starts the redis-server of a box, for the first time or again. The Sentinels soon make it primary or replica. */
export async function startBox(topology: Topology, box: string, primary?: string): Promise<void> {
  await startProgram(topology, box, boxProgram, redisCommand(primary));
}

/** @returns the URL for programs, once all replicas are in sync and every Sentinel knows the others */
export async function startBoxes(topology: Topology, boxes: readonly string[]): Promise<string> {
  const [first = '', ...others] = boxes;
  const primary = topology.node(first).address;
  await startBox(topology, first);
  for (const box of others) await startBox(topology, box, primary);
  const follow = (): Promise<boolean> => isInSync(topology, first, others.length);
  await until(`all other boxes follow ${first}`, follow);
  for (const box of boxes) {
    writeFileSync(join(topology.node(box).folder, 'sentinel.conf'), `${sentinelLines(primary).join('\n')}\n`);
    await startProgram(topology, box, sentinelProgram, [
      'redis-server',
      join(insideFolder, 'sentinel.conf'),
      '--sentinel',
    ]);
    const isSet = async (): Promise<boolean> => {
      const answer = await ask(topology, box, sentinelListenPort, ...sentinelPeriods).catch(() => ['']);
      return answer[0] === 'OK';
    };
    await until(`the Sentinel of ${box} has its periods set`, isSet);
  }
  const known = `slaves=${others.length},sentinels=${boxes.length}`;
  await until(
    'every Sentinel knows the others',
    async () => {
      const infos = boxes.map((box) => ask(topology, box, sentinelListenPort, 'info', 'sentinel').catch(() => []));
      return (await Promise.all(infos)).every((lines) => lines.some((line) => line.endsWith(known)));
    },
    60_000,
  );
  const endpoints = boxes.map((box) => `${topology.node(box).address}:${sentinelListenPort}`);
  return `redis+sentinel://${endpoints.join(',')}/${masterName}`;
}

async function isInSync(topology: Topology, primary: string, replicas: number): Promise<boolean> {
  const facts = await factsOf(topology, primary);
  const online = [...facts].filter(([field, text]) => /^slave\d+$/.test(field) && text.includes('state=online'));
  return facts.get('role') === 'master' && online.length >= replicas;
}

/** The box that most Sentinels name as primary, if its own role is master. */
async function namedPrimary(topology: Topology, boxes: readonly string[]): Promise<string | undefined> {
  const named = async (box: string): Promise<string | undefined> => {
    const command = ['sentinel', 'get-master-addr-by-name', masterName];
    return (await ask(topology, box, sentinelListenPort, ...command).catch(() => []))[0];
  };
  const votes = await Promise.all(boxes.map(named));
  const found = boxes.find((box) => isMost(votes, topology.node(box).address));
  return found !== undefined && (await factsOf(topology, found)).get('role') === 'master' ? found : undefined;
}

const isMost = (votes: readonly unknown[], one: string): boolean =>
  votes.filter((vote) => vote === one).length * 2 > votes.length;

/** As `namedPrimary`, and waits for one. @throws Error after 30 s */
export async function primaryBox(topology: Topology, boxes: readonly string[]): Promise<string> {
  let found: string | undefined;
  const isNamed = async (): Promise<boolean> => (found = await namedPrimary(topology, boxes)) !== undefined;
  await until('most Sentinels name one primary', isNamed);
  return found as string;
}

/**
 * Resolves when all other boxes are in sync with the primary, whichever box that is by then: on a busy machine the
 * Sentinels may take a silence of one second for a death and replace the primary meanwhile.
 */
export async function allInSync(topology: Topology, boxes: readonly string[]): Promise<void> {
  const holds = async (): Promise<boolean> => {
    const primary = await namedPrimary(topology, boxes);
    return primary !== undefined && isInSync(topology, primary, boxes.length - 1);
  };
  await until('all other boxes are in sync with the primary of the store', holds, 30_000).catch(
    async (error: Error) => {
      const states = await Promise.all(boxes.map((box) => describeBox(topology, box)));
      throw new Error(`${error.message}\n${states.join('\n')}`, { cause: error });
    },
  );
}

/** The replication fields of a box's Redis and the end of its Sentinel's log, for an error. */
async function describeBox(topology: Topology, box: string): Promise<string> {
  const facts = await factsOf(topology, box);
  const ofPlace = /^(role|master_host|master_link_status|master_sync_in_progress|slave\d+)$/;
  const words = [...facts].flatMap(([field, text]) => (ofPlace.test(field) ? [`${field}=${text}`] : []));
  const log = readFileSync(logPath(topology, box, sentinelProgram), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(-15);
  return [`${box}, ${topology.node(box).address}: ${words.join(' ')}`, ...log.map((line) => `  ${line}`)].join('\n');
}

/** Asks the Sentinels to promote another box, as an operator does before work on a box. */
export async function askFailover(topology: Topology, box: string): Promise<void> {
  await ask(topology, box, sentinelListenPort, 'sentinel', 'failover', masterName);
}
