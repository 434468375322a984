/**
 * Rows of the runtime bench about actors that are not in memory: the activation of one, the recovery of many (each has
 * a pending effect, which the new owner performs again), and what an actor costs in the store and in the node's memory.
 */
import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import type { PerformEffect } from '@photoncloud/runtime/contract/effect';
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import { sharedShards, shardOf } from '@photoncloud/runtime/journal/shard-placement';
import type { RowReport } from './bench-goals.ts';
import { benchActor, benchRegistry, pressStep } from './runtime-kinds.ts';
import {
  Courier,
  forEachOf,
  latencyMs,
  openNode,
  startRedis,
  type BareRedis,
  type BenchNode,
  type NodeOptions,
} from './runtime-stage.ts';
import type { RowOptions } from './runtime-throughput.ts';

const lanes = 64;
const patienceMs = 60_000;

interface Scene {
  readonly bare: BareRedis;
  /** A further node on the same store, one epoch above the last; the one before must be closed. */
  next(options?: Omit<NodeOptions, 'url' | 'epoch'>): Promise<BenchNode>;
}

async function inScene<Result>(work: (scene: Scene) => Promise<Result>): Promise<Result> {
  const redis = await startRedis('everysec');
  const bare = redis.client();
  let epoch = 0;
  try {
    return await work({ bare, next: (options) => openNode({ ...options, url: redis.url, epoch: (epoch += 1) }) });
  } finally {
    bare.disconnect();
    await redis.remove();
  }
}

async function press(node: BenchNode, index: number, step: number): Promise<void> {
  const { command, params } = pressStep(step);
  const courier = new Courier(node.host, benchActor('press', 'cold', index), step);
  await courier.send({ type: `press.${command}`, ...params });
}

async function soon(what: string, check: () => boolean): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (!check()) {
    if (performance.now() > endMs) throw new Error(`waited ${patienceMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Time of a message to an actor that must be loaded, less that to one in memory, less that of one bare HGETALL. */
export function activationRow({ rounds, quick }: RowOptions): Promise<RowReport> {
  return inScene(async ({ bare, next }) => {
    const each = quick ? 200 : 1_000;
    const first = await next();
    await forEachOf(each * rounds, lanes, (index) => press(first, index, 0));
    await first.close();
    const node = await next();
    const taken = { extra: [] as number[], hgetall: [] as number[], cold: [] as number[], warm: [] as number[] };
    for (let round = 0; round < rounds; round += 1) {
      const from = round * each;
      const key = (index: number): string => recordKey(node, benchActor('press', 'cold', from + index));
      const hgetall = await latencyMs(each, (index) => bare.hgetall(key(index)));
      const cold = await latencyMs(each, (index) => press(node, from + index, 1));
      const warm = await latencyMs(each, (index) => press(node, from + index, 2));
      taken.hgetall.push(hgetall);
      taken.cold.push(cold);
      taken.warm.push(warm);
      taken.extra.push(cold - warm - hgetall);
    }
    await node.close();
    const name = 'cold activation, p50, above one bare HGETALL';
    return {
      goals: [{ name, unit: 'ms', samples: taken.extra, atMost: 1 }],
      figures: [
        { name: 'message to a cold actor, p50', unit: 'ms', samples: taken.cold },
        { name: 'message to a warm actor, p50', unit: 'ms', samples: taken.warm },
        { name: 'bare HGETALL, p50', unit: 'ms', samples: taken.hgetall },
      ],
    };
  });
}

const recordKey = (node: BenchNode, id: ActorId): string => node.store.keys.inShard(shardOf(id), `a:${id}`);

/** Time from the start of a node that owns every shard until the last pending effect has been performed again. */
export function recoveryRow({ rounds, quick }: RowOptions): Promise<RowReport> {
  return inScene(async ({ next }) => {
    const beacons = quick ? 5_000 : 100_000;
    let watched = 0;
    const watch: PerformEffect = () => {
      watched += 1;
      return new Promise(() => {});
    };
    const registry = benchRegistry(watch);
    // An actor with a pending effect stays in memory, so the limit must hold all of them.
    const limits = { activations: beacons * 2 };
    const first = await next({ registry, limits });
    await forEachOf(beacons, lanes, (index) =>
      new Courier(first.host, benchActor('beacon', 'b', index)).send({ type: 'beacon.light' }),
    );
    await soon('every beacon watches', () => watched === beacons);
    await first.close();
    const seconds: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      watched = 0;
      const startedMs = performance.now();
      const node = await next({ registry, limits });
      await soon('every beacon watches again', () => watched === beacons);
      seconds.push(((performance.now() - startedMs) / 1000) * (100_000 / beacons));
      await node.close();
    }
    const name = 'recovery of 100,000 actors with a pending effect';
    return { goals: [{ name, unit: 's', samples: seconds, judged: 'largest', atMost: 10 }], figures: [] };
  });
}

const toggleBytes = 1_536;
/** Noise of the heap figures, bytes per actor; an activation takes some thousands of bytes. */
const noticeableBytes = 32;

async function usedBytes(redis: BareRedis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}

/** Bytes of the store per toggle actor, without histories and feeds. */
async function storedBytesPerToggle({ bare, next }: Scene, toggles: number): Promise<number> {
  const empty = await usedBytes(bare);
  const node = await next();
  const { keys } = node.store;
  const ids = Array.from({ length: toggles }, (_, index) => benchActor('toggle', 'small', index));
  await forEachOf(toggles, lanes, (index) =>
    new Courier(node.host, ids[index] as ActorId).send({ type: 'toggle.turn', level: 3 }),
  );
  await node.close();
  for (const id of ids) await bare.del(keys.inShard(shardOf(id), `h:${id}`));
  for (const shard of sharedShards) await bare.del(keys.inShard(shard, 'f'));
  return ((await usedBytes(bare)) - empty) / toggles;
}

function heapBytes(collect: () => void): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

export function memoryRow({ quick }: RowOptions): Promise<RowReport> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  return inScene(async (scene) => {
    const toggles = quick ? 2_000 : 20_000;
    const stored = await storedBytesPerToggle(scene, toggles);
    const node = await scene.next({ limits: { activations: toggles * 2, idleMs: 4_000 } });
    const gone = (): boolean => node.host.figures().activations === 0;
    const visit = (step: number): Promise<void> => forEachOf(toggles, lanes, (index) => press(node, index, step));
    // The first visit grows maps and compiles code; the second is measured.
    await visit(0);
    await soon('the presses leave', gone);
    const before = heapBytes(collect);
    await visit(1);
    const activation = (heapBytes(collect) - before) / toggles;
    await soon('the presses leave again', gone);
    const passivated = (heapBytes(collect) - before) / toggles;
    await node.close();
    return {
      goals: [
        { name: 'bytes in Redis per small idle actor', unit: 'B', samples: [stored], atMost: toggleBytes },
        { name: 'bytes of the node per passivated actor', unit: 'B', samples: [passivated], atMost: noticeableBytes },
      ],
      figures: [{ name: 'heap of the node per active actor', unit: 'B', samples: [activation] }],
    };
  });
}
