/** Goals of the VM bench from the samples of its legs. Pure; it measures nothing. Called by vm-bench.ts. */
import { percentile } from './bench-figures.ts';
import type { Figure, Goal, RowReport } from './bench-goals.ts';

/** ms of each round. */
export interface Boots {
  /** From declaring a volume and a VM until its page answers, and bare, on a blank volume. */
  readonly declared: readonly number[];
  readonly bareFirst: readonly number[];
  /** From the command until the page of the new run answers, and bare, on a volume that was used before. */
  readonly restarted: readonly number[];
  readonly bareAgain: readonly number[];
}

/** ms, one for each move. */
export interface Moves {
  /** From the command until the guest goes on and its address leads there. */
  readonly total: readonly number[];
  /** The longest time between two answers to a ping every 20 ms. */
  readonly gap: readonly number[];
  /** From the stop of the guest until it goes on. */
  readonly pause: readonly number[];
}

export interface MoveRounds {
  readonly product: Moves;
  readonly bare: Moves;
  /** Encrypted, as the product does it: shown, and not what it is judged by. */
  readonly bareTls: Moves;
}

/** ms of each round. */
export interface Losses {
  /** From the kill of a host until the VM gives up its run there, and until the page of its new run answers. */
  readonly left: readonly number[];
  readonly answered: readonly number[];
  /** A bare boot on a volume that was used before. */
  readonly bareBoot: readonly number[];
}

const ratios = (product: readonly number[], bare: readonly number[]): number[] =>
  product.map((ms, round) => ms / (bare[round] ?? NaN));
const ms = (name: string, samples: readonly number[]): Figure => ({ name, unit: 'ms', samples });

export function bootReport({ declared, bareFirst, restarted, bareAgain }: Boots): RowReport {
  const goal = (name: string, samples: readonly number[]): Goal => ({ name, unit: 'x', samples, atMost: 1.15 });
  return {
    goals: [
      goal('VM declared to its page, against bare', ratios(declared, bareFirst)),
      goal('VM restarted to its page, against bare', ratios(restarted, bareAgain)),
    ],
    figures: [
      ms('declared to page', declared),
      ms('bare, blank volume', bareFirst),
      ms('restarted to page', restarted),
      ms('bare, used volume', bareAgain),
    ],
  };
}

export function moveReport({ product, bare, bareTls }: MoveRounds): RowReport {
  return {
    goals: [
      { name: 'gap of a move, against bare', unit: 'x', samples: ratios(product.gap, bare.gap), atMost: 1.3 },
      { name: 'gap of a move, p99', unit: 'ms', samples: [percentile(product.gap, 0.99)], atMost: 300 },
      { name: 'whole move, against bare', unit: 'x', samples: ratios(product.total, bare.total), atMost: 1.5 },
    ],
    figures: [
      ms('gap', product.gap),
      ms('gap, bare', bare.gap),
      ms('gap, bare with TLS', bareTls.gap),
      ms('pause', product.pause),
      ms('pause, bare', bare.pause),
      ms('whole move', product.total),
      ms('whole move, bare', bare.total),
      ms('whole move, bare with TLS', bareTls.total),
    ],
  };
}

export function lossReport({ left, answered, bareBoot }: Losses): RowReport {
  const without = answered.map((each, round) => (each - (bareBoot[round] ?? NaN)) / 1_000);
  const name = 'host killed to page elsewhere, without the boot, p95';
  return {
    goals: [{ name, unit: 's', samples: [percentile(without, 0.95)], atMost: 30, note: 'the boot: a bare one' }],
    figures: [ms('until its run is given up', left), ms('until its page', answered), ms('bare boot', bareBoot)],
  };
}
