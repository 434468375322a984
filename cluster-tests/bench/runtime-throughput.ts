/**
 * Rows of the runtime bench with a load: durable messages in-process, eight waiting at once, and one after the other;
 * each is measured in alternating rounds with the bare limits, at everysec and always. A message is durable when the
 * store has answered its receiver's commit. 1,000 presses, 64 messages in flight, one sender per receiver.
 */
import type { Commit } from '@photoncloud/runtime/contract/journal';
import type { RedisJournal } from '@photoncloud/runtime/journal/redis-journal';
import { summarize } from './bench-figures.ts';
import { bareLoads, bareStepper } from './runtime-bare.ts';
import type { Figure, Goal, RowReport } from './bench-goals.ts';
import { benchActor, pressCycleLength, pressStep } from './runtime-kinds.ts';
import {
  closedLoop,
  Courier,
  latencyMs,
  levels,
  openNode,
  priceOf,
  startRedis,
  type BareRedis,
  type BenchNode,
  type Level,
  type Price,
} from './runtime-stage.ts';

export interface RowOptions {
  readonly rounds: number;
  readonly roundMs: number;
  /** Scales the numbers of actors and timers down, to try the bench out. */
  readonly quick: boolean;
}

const actors = 1_000;
const warmMs = 500;

export interface Arena {
  readonly bare: BareRedis;
  readonly node: BenchNode;
  readonly url: string;
  /** The commits of one press, from its creation through one cycle. */
  readonly cycle: readonly Commit[];
}

/** A store and a node on it, with one press led through its cycle. */
export async function inArena<Result>(level: Level, work: (arena: Arena) => Promise<Result>): Promise<Result> {
  const redis = await startRedis(level);
  const bare = redis.client();
  try {
    let taken: Commit[] | undefined = [];
    const cycle = taken;
    const onJournal = (journal: RedisJournal): void => {
      const commit = journal.commit.bind(journal);
      journal.commit = (form) => {
        taken?.push(form);
        return commit(form);
      };
    };
    const node = await openNode({ url: redis.url, onJournal });
    try {
      const send = pressSender(node, 'model', 1);
      for (let n = 0; n < pressCycleLength; n += 1) await send();
      taken = undefined;
      return await work({ bare, node, url: redis.url, cycle });
    } finally {
      await node.close();
    }
  } finally {
    bare.disconnect();
    await redis.remove();
  }
}

/** Sends each press of a group its next event, in turn. */
export function pressSender(node: BenchNode, group: string, count: number, events = 1): () => Promise<number> {
  const presses = Array.from({ length: count }, (_, n) => {
    return { courier: new Courier(node.host, benchActor('press', group, n)), step: 0 };
  });
  let turn = 0;
  const next = (press: { courier: Courier; step: number }, unanswered: number): Promise<void> => {
    const { command, params } = pressStep(press.step);
    press.step += 1;
    return press.courier.send({ type: `press.${command}`, ...params }, unanswered);
  };
  return async () => {
    turn = (turn + 1) % count;
    const press = presses[turn];
    if (press === undefined) throw new Error('there is no press');
    if (events === 1) await next(press, 0);
    else await Promise.all(Array.from({ length: events }, (_, unanswered) => next(press, unanswered)));
    return events;
  };
}

export interface Contest {
  /** By name of the load: its price in each round. */
  readonly prices: Readonly<Record<string, readonly Price[]>>;
  /** Ratio of two loads, round by round; of their rates unless another figure is given. */
  ratio(load: string, other: string, field?: keyof Price): readonly number[];
}

type Loads = Readonly<Record<string, (forMs: number) => Promise<number>>>;

/** Runs every load in every round, after a warm-up. */
export async function contest(bare: BareRedis, loads: Loads, options: RowOptions): Promise<Contest> {
  for (const load of Object.values(loads)) await load(warmMs);
  const prices: Record<string, Price[]> = {};
  for (let round = 0; round < options.rounds; round += 1) {
    for (const [name, load] of Object.entries(loads)) {
      (prices[name] ??= []).push(await priceOf(bare, () => load(options.roundMs)));
    }
  }
  return {
    prices,
    ratio: (load, other, field = 'perSecond') => {
      const base = pick(prices[other], field);
      return pick(prices[load], field).map((taken, round) => taken / (base[round] ?? Number.NaN));
    },
  };
}

export const pick = (prices: readonly Price[] | undefined, field: keyof Price): readonly number[] =>
  (prices ?? []).map((price) => price[field]);

export function priceFigures(level: Level, prices: Contest['prices']): Figure[] {
  return Object.entries(prices).flatMap(([name, taken]): Figure[] => [
    { name: `${level}, ${name}: rate`, unit: '/s', samples: pick(taken, 'perSecond') },
    { name: `${level}, ${name}: CPU of this process`, unit: 'us', samples: pick(taken, 'nodeUs') },
    { name: `${level}, ${name}: CPU of redis`, unit: 'us', samples: pick(taken, 'redisUs') },
  ]);
}

/** us of the reference script on the machine where the bounds were set: docs/decisions/0013-cpu-of-the-reference.md. */
const referenceThen = { nodeUs: 7.1, redisUs: 10.7 } as const;

/**
 * CPU of a process per commit at everysec, as a multiple of what the reference script costs it in the same round.
 * @param us the bound on the machine where it was set
 */
export function cpuGoal(
  name: string,
  result: Contest,
  load: string,
  field: keyof typeof referenceThen,
  us: number,
): Goal {
  const median = (of: string): string => summarize(pick(result.prices[of], field)).median.toFixed(1);
  return {
    name: `everysec: ${name}, of the reference`,
    unit: 'x',
    samples: result.ratio(load, 'reference', field),
    atMost: Number((us / referenceThen[field]).toFixed(2)),
    note: `${median(load)} us of ${median('reference')}`,
  };
}

/** Shares of the bare limits to reach. */
const shares = {
  everysec: { grouped: 0.7, single: 0.9 },
  always: { grouped: 0.9, single: 1.15 },
} as const;

export async function throughputRow(options: RowOptions): Promise<RowReport> {
  const goals: Goal[] = [];
  const figures: Figure[] = [];
  for (const level of levels) {
    await inArena(level, async ({ bare, node, cycle }) => {
      const { single, grouped, reference } = await bareLoads(bare, cycle, actors);
      const send = pressSender(node, 'throughput', actors);
      const product = (forMs: number): Promise<number> => closedLoop(64, forMs, send);
      const result = await contest(bare, { single, grouped, reference, product }, options);
      figures.push(...priceFigures(level, result.prices));
      for (const limit of ['grouped', 'single'] as const) {
        const samples = result.ratio('product', limit);
        goals.push({
          name: `${level}: in-process, of bare ${limit}`,
          unit: 'x',
          samples,
          atLeast: shares[level][limit],
        });
      }
      if (level === 'always') return;
      goals.push(cpuGoal('CPU of the node per message in-process', result, 'product', 'nodeUs', 14));
      goals.push(cpuGoal('CPU of redis per commit', result, 'product', 'redisUs', 15));
    });
  }
  return { goals, figures };
}

/** Eight events waiting for each actor become one commit. */
export async function backlogRow(options: RowOptions): Promise<RowReport> {
  return inArena('everysec', async ({ bare, node }) => {
    const one = pressSender(node, 'one', actors);
    const eight = pressSender(node, 'eight', actors, 8);
    const loads = {
      'one event': (forMs: number) => closedLoop(64, forMs, one),
      'eight events': (forMs: number) => closedLoop(64, forMs, eight),
    };
    const { prices, ratio } = await contest(bare, loads, options);
    const samples = ratio('eight events', 'one event');
    const name = 'eight events waiting, of the single-event rate';
    return { goals: [{ name, unit: 'x', samples, atLeast: 2 }], figures: priceFigures('everysec', prices) };
  });
}

/** One actor, one message after the other, against one bare evaluation after the other. */
export async function latencyRow(options: RowOptions): Promise<RowReport> {
  const goals: Goal[] = [];
  const figures: Figure[] = [];
  for (const level of levels) {
    await inArena(level, async ({ bare, node, cycle }) => {
      await bareLoads(bare, cycle, 32);
      const evaluate = bareStepper(bare, cycle);
      const send = pressSender(node, 'awaited', 1);
      const times = options.quick ? 300 : 1_500;
      const taken: { bare: number[]; product: number[] } = { bare: [], product: [] };
      await latencyMs(300, send);
      await latencyMs(300, evaluate);
      for (let round = 0; round < options.rounds; round += 1) {
        taken.bare.push(await latencyMs(times, evaluate));
        taken.product.push(await latencyMs(times, send));
      }
      const samples = taken.product.map((ms, round) => ms / (taken.bare[round] ?? Number.NaN));
      goals.push({ name: `${level}: one actor awaited, p50, of one bare script call`, unit: 'x', samples, atMost: 2 });
      figures.push({ name: `${level}: one bare script call, p50`, unit: 'ms', samples: taken.bare });
      figures.push({ name: `${level}: one actor awaited, p50`, unit: 'ms', samples: taken.product });
    });
  }
  return { goals, figures };
}
