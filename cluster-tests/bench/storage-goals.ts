/**
 * Goals of the storage bench from the samples of its legs. Pure; it measures nothing. Called by storage-bench.ts.
 */
import type { Figure, Goal, RowReport } from './bench-goals.ts';

/** How a disk is reached, in the order of a round. */
export const legs = [
  'local',
  'bare socket',
  'shared, same host',
  'bare TLS',
  'shared, other host',
  'bare TCP',
] as const;
export type Leg = (typeof legs)[number];

/** What is done to the disk. */
export const loads = {
  'write 1 MiB': { bytes: 1 << 20, count: 64, depth: 4, writes: true },
  'read 1 MiB': { bytes: 1 << 20, count: 64, depth: 4, writes: false },
  'write 4 KiB': { bytes: 4096, count: 2_000, depth: 32, writes: true },
  'read 4 KiB': { bytes: 4096, count: 2_000, depth: 32, writes: false },
} as const;
export type Load = keyof typeof loads;

/** Requests per second of each round. */
export type LegRounds = Readonly<Record<Load, Readonly<Record<Leg, readonly number[]>>>>;

export interface Visibility {
  /** From the end of a write by one run until another run, on another host, has read it, ms. */
  readonly ms: readonly number[];
  /** Reads that did not show what was written before them. */
  readonly stale: number;
}

/** Both legs of a round saw the same machine, so each round has a ratio of its own. */
const ratios = (one: readonly number[], to: readonly number[]): number[] =>
  one.map((rate, index) => rate / (to[index] ?? NaN));

/** Each leg of ours and the one that it is judged by. */
const judgedBy: readonly (readonly [ours: Leg, bare: Leg, words: string])[] = [
  ['shared, same host', 'bare socket', 'qemu-storage-daemon on a socket'],
  ['shared, other host', 'bare TLS', 'qemu-storage-daemon with TLS'],
];

export function loadReport(load: Load, rounds: LegRounds[Load]): RowReport {
  const { bytes } = loads[load];
  const goals = judgedBy.map(([ours, bare, words]): Goal => ({
    name: `${load}, ${ours}`,
    unit: 'x',
    samples: ratios(rounds[ours], rounds[bare]),
    atLeast: 0.8,
    note: `of a bare ${words}`,
  }));
  const isLarge = bytes >= 1 << 20;
  const figures = legs.flatMap((leg): Figure[] => [
    isLarge
      ? { name: leg, unit: 'MB/s', samples: rounds[leg].map((rate) => (rate * bytes) / 1e6) }
      : { name: leg, unit: '/s', samples: rounds[leg] },
  ]);
  const toLocal = (leg: Leg): Figure => ({
    name: `${leg}, to local`,
    unit: 'x',
    samples: ratios(rounds[leg], rounds.local),
  });
  return { goals, figures: [...figures, toLocal('shared, same host'), toLocal('shared, other host')] };
}

export const visibilityReport = ({ ms, stale }: Visibility): RowReport => ({
  goals: [{ name: 'reads on another host that miss an earlier write', unit: 'elements', samples: [stale], atMost: 0 }],
  figures: [{ name: 'written by one host, read by another', unit: 'ms', samples: ms }],
});
