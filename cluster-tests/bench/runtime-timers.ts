/**
 * Row of the runtime bench: a node loads 1,000,000 pending timers from the store, and some near ones (fuses) are
 * measured. Lateness is the time from when a timer is due until the commit of its transition is durable. Loading causes
 * one major garbage collection; whether it falls among the fuses or before them is chance, and decides the p99.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Commit } from '@photoncloud/runtime/contract/journal';
import type { RedisJournal } from '@photoncloud/runtime/journal/redis-journal';
import type { Figure, RowReport } from './bench-goals.ts';
import { belfryTimers, benchActor } from './runtime-kinds.ts';
import { Courier, forEachOf, openNode, startRedis, type BenchNode } from './runtime-stage.ts';
import type { RowOptions } from './runtime-throughput.ts';

const lanes = 64;
const firstBurnMs = 3_000;
const spreadMs = 10_000;
const graceMs = 20_000;

/** Records when fuses are due, and how late the commits of their timers become durable. */
class FuseWatch {
  readonly lateMs: number[] = [];
  readonly #due = new Map<string, number>();

  attach(journal: RedisJournal): void {
    const commit = journal.commit.bind(journal);
    journal.commit = async (form) => {
      const outcome = await commit(form);
      if (form.actor.startsWith('fuse/')) this.#note(form);
      return outcome;
    };
  }

  #note({ actor, timersSet, history }: Commit): void {
    for (const timer of timersSet) this.#due.set(actor, timer.dueMs);
    if (history.some(({ cause }) => cause.startsWith('timer:'))) {
      this.lateMs.push(Date.now() - (this.#due.get(actor) ?? Number.NaN));
    }
  }
}

async function lightFuses(node: BenchNode, fuses: number): Promise<void> {
  await forEachOf(fuses, lanes, (index) => {
    const burnMs = firstBurnMs + Math.round((index / fuses) * spreadMs);
    return new Courier(node.host, benchActor('fuse', 'f', index)).send({ type: 'fuse.light', burnMs });
  });
}

export async function timersRow({ quick }: RowOptions): Promise<RowReport> {
  const belfries = (quick ? 20_000 : 1_000_000) / belfryTimers;
  const fuses = quick ? 2_000 : 20_000;
  const redis = await startRedis('everysec');
  try {
    const first = await openNode({ url: redis.url });
    await forEachOf(belfries, lanes, (index) =>
      new Courier(first.host, benchActor('belfry', 'b', index)).send({ type: 'belfry.wind' }),
    );
    await first.close();
    const watch = new FuseWatch();
    const startedMs = performance.now();
    const node = await openNode({ url: redis.url, epoch: 2, onJournal: (journal) => watch.attach(journal) });
    const seconds = (performance.now() - startedMs) / 1000;
    const pending = node.host.figures().timers;
    if (pending !== belfries * belfryTimers) throw new Error(`${pending} timers are pending after the restart`);
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    await lightFuses(node, fuses);
    const endMs = performance.now() + firstBurnMs + spreadMs + graceMs;
    while (watch.lateMs.length < fuses && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    delay.disable();
    const stood: Figure = { name: 'longest the node stood still', unit: 'ms', samples: [delay.max / 1e6] };
    await node.close();
    return reportOf(watch.lateMs, fuses, seconds, stood);
  } finally {
    await redis.remove();
  }
}

function reportOf(lateMs: number[], fuses: number, recoverySeconds: number, stood: Figure): RowReport {
  if (lateMs.length !== fuses) throw new Error(`${lateMs.length} of ${fuses} fuses burnt down`);
  const sorted = lateMs.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(fuses - 1, Math.floor(share * fuses))] ?? Number.NaN;
  return {
    goals: [
      { name: '1,000,000 timers pending: late, p99', unit: 'ms', samples: [at(0.99)], atMost: 50 },
      { name: '1,000,000 timers pending: earliest is never early', unit: 'ms', samples: [at(0)], atLeast: 0 },
    ],
    figures: [
      { name: 'late, p50', unit: 'ms', samples: [at(0.5)] },
      { name: 'late, most', unit: 'ms', samples: [at(1)] },
      { name: 'all timers taken up from the store', unit: 's', samples: [recoverySeconds] },
      stood,
    ],
  };
}
