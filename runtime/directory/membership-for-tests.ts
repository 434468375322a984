/**
 * Test support: nodes of a cluster in one process on a real store, each with membership and journal but without actors,
 * and a record of the callbacks of each. Called by the tests of this folder. Never used in production.
 */
import { suite, type Test } from 'uvu';
import type { Clock } from '../contract/clock.ts';
import type { ShardGrant } from '../contract/journal.ts';
import { processClock as clock, recordedLog, TestRedis } from '../journal/redis-for-tests.ts';
import { createJournal, type RedisJournal } from '../journal/redis-journal.ts';
import { connectStore, type Store } from '../journal/store-connection.ts';
import { ClusterClock } from './cluster-clock.ts';
import { joinCluster, type Membership, type NodeEvent, type NodeRecord } from './cluster-membership.ts';

export interface Stage {
  redis: TestRedis;
  nodes: TestNode[];
}

export interface TestNode {
  readonly store: Store;
  readonly journal: RedisJournal;
  readonly membership: Membership;
  readonly granted: ShardGrant[];
  readonly lost: string[];
  readonly retired: string[];
  /** Arguments of the calls of `onHostFenced`. */
  readonly fenced: string[];
  /** While set, emptying the node fails. */
  full: boolean;
  readonly events: string[];
  /** Ages, ms, of beats that have reached the store. */
  readonly beats: number[];
  readonly log: ReturnType<typeof recordedLog>;
  /** Ends the node like a crash: no shard is handed over. */
  die(): void;
  /** Stops the timers of the node, as if its process hung; its connections stay open. */
  freeze(): void;
  thaw(): void;
}

export const beatMs = 50;
export const silenceMs = 400;

/** A suite in which each test has its own store, and nodes end with their test. */
export function stagedSuite(name: string): Test<Stage> {
  const test = suite<Stage>(name);
  test.before.each(async (stage) => {
    stage.redis = await TestRedis.start();
    stage.nodes = [];
  });
  test.after.each(async ({ redis, nodes }) => {
    for (const node of nodes) node.die();
    await redis.remove();
  });
  return test;
}

function haltingClock(): { clock: Clock; freeze: () => void; thaw: () => void } {
  let frozen = false;
  const held: (() => void)[] = [];
  return {
    clock: {
      ...clock,
      after: (delayMs, task) => clock.after(delayMs, () => (frozen ? void held.push(task) : task())),
    },
    freeze: () => void (frozen = true),
    thaw: () => {
      frozen = false;
      for (const task of held.splice(0)) task();
    },
  };
}

export async function startNode(
  stage: Stage,
  name: string,
  role: NodeRecord['role'] = 'controller',
  boot = `${name}-1`,
  certificate?: () => { readonly issuedMs: number; readonly expiresMs: number },
): Promise<TestNode> {
  const log = recordedLog();
  const store = await connectStore({ url: stage.redis.url, clock, log });
  const journal = createJournal({ store, clock, log });
  const granted: ShardGrant[] = [];
  const lost: string[] = [];
  const retired: string[] = [];
  const fenced: string[] = [];
  const events: string[] = [];
  const beats: number[] = [];
  const timers = haltingClock();
  const membership = await joinCluster({
    store,
    node: { name, role, peerUrl: `wss://${name}`, boot },
    clock: new ClusterClock(timers.clock),
    log,
    onGrant: (grant) => {
      granted.push(grant);
      journal.adopt(grant);
    },
    onLost: (shard) => {
      lost.push(shard);
      journal.drop(shard);
    },
    onHandover: async (shards) => void retired.push(...shards),
    onHostFenced: async (had) => {
      fenced.push(had);
      if (started.full) throw new Error('something is left');
    },
    onBeat: (agoMs) => beats.push(agoMs),
    onNode: ({ event, node }: NodeEvent) => events.push(`${event} ${node.name}`),
    ...(certificate === undefined ? {} : { certificate }),
    onRevoked: (_, who) => events.push(`revoked ${who}`),
    beatMs,
    silenceMs,
  });
  journal.onFenced((shard) => void membership.verify(shard));
  const die = (): void => {
    journal.close();
    store.close();
  };
  const started: TestNode = {
    store,
    journal,
    membership,
    granted,
    lost,
    retired,
    fenced,
    full: false,
    events,
    beats,
    log,
    die,
    freeze: timers.freeze,
    thaw: timers.thaw,
  };
  stage.nodes.push(started);
  return started;
}
