/**
 * Goals of the network bench from the samples of its rows. Pure; it measures nothing. Called by the rows.
 */
import { percentile, summarize } from './bench-figures.ts';
import type { Figure, Goal, GoalUnit, RowReport } from './bench-goals.ts';
import { networkLimit } from './product-steps.ts';

/** ms of each round, in the order in which the rounds ran. */
export type Rounds = readonly (readonly number[])[];

const medianOf = (samples: readonly number[]): number => summarize(samples).median;
const mediansOf = (rounds: Rounds): number[] => rounds.map(medianOf);
const p99Of = (rounds: Rounds): number[] => rounds.map((one) => percentile(one, 0.99));
/** Both legs of a round saw the same machine, so each round has a ratio of its own. */
const ratiosOf = (rounds: Rounds, to: Rounds): number[] =>
  rounds.map((one, index) => medianOf(one) / medianOf(to[index] ?? []));

const figure = (name: string, samples: readonly number[], unit: GoalUnit = 'ms'): Figure => ({ name, unit, samples });
const text = (ms: number): string => ms.toFixed(1);

/** @param writes that are synced to the store's disk, bare */
export function commandGoals(latencies: Rounds, rates: readonly number[], writes: Rounds): RowReport {
  return {
    goals: [
      { name: 'port.create acknowledged, p99', unit: 'ms', samples: p99Of(latencies), atMost: 25, note: 'one client' },
      { name: 'port.create, sustained', unit: '/s', samples: rates, atLeast: 200 },
    ],
    figures: [
      figure('port.create acknowledged, p50', mediansOf(latencies)),
      figure("write synced to the store's disk, bare", mediansOf(writes)),
    ],
  };
}

export function networkGoals(product: readonly number[], bare: readonly number[]): RowReport {
  const reference = medianOf(bare);
  return {
    goals: [
      {
        name: 'network and port declared to READY',
        unit: 'ms',
        samples: product,
        atMost: networkLimit.of(reference),
        note: `${networkLimit.rule}; bare ${text(reference)} ms`,
      },
    ],
    figures: [figure('network and port, bare', bare)],
  };
}

export interface RuleRounds {
  /** From the command until the kernel of every host has committed the rules. */
  readonly enforced: Rounds;
  /** From the command until the group says that every host has proven it. */
  readonly observed: Rounds;
  readonly bare: Rounds;
}

export function ruleGoals({ enforced, observed, bare }: RuleRounds, scene: string): RowReport {
  const [ours, reference] = [medianOf(enforced.flat()), medianOf(bare.flat())];
  return {
    goals: [
      {
        name: `rule changed until enforced on ${scene}, p99`,
        unit: 'ms',
        samples: p99Of(enforced),
        // A round has few changes, so that its p99 is its slowest.
        judged: 'largest',
        atMost: 500,
      },
      {
        name: 'rule changed until enforced, against bare nft',
        unit: 'x',
        samples: ratiosOf(enforced, bare),
        atMost: 3,
        note: `${text(ours)} ms, bare ${text(reference)} ms`,
      },
    ],
    figures: [
      figure('rule changed until enforced, p50', mediansOf(enforced)),
      figure('rule changed until observedGeneration', mediansOf(observed)),
      figure('rules of a chain replaced, bare', mediansOf(bare)),
    ],
  };
}

/** @param changed elements that changed in the sets of `groups` groups, for each port that joined */
export function memberGoals(
  changed: readonly number[],
  groups: number,
  product: Rounds,
  bare: Rounds,
  members: number,
): RowReport {
  return {
    goals: [
      {
        name: `port joins a group of ${members}, for each group`,
        unit: 'elements',
        samples: changed.map((count) => count / groups),
        judged: 'largest',
        atMost: 1,
      },
    ],
    figures: [
      figure(`port joins ${groups} groups of ${members}: the section's change`, mediansOf(product)),
      figure('element added to one set, bare', mediansOf(bare)),
      figure('against bare', ratiosOf(product, bare), 'x'),
    ],
  };
}

/** `few` and `many`: beside how many other ports. */
export interface WiringRounds {
  readonly few: { readonly count: number; readonly product: Rounds; readonly bare: Rounds };
  readonly many: { readonly count: number; readonly product: Rounds; readonly bare: Rounds };
}

export function wiringGoals({ few, many }: WiringRounds): RowReport {
  const bare = ratiosOf(many.bare, few.bare);
  const goal: Goal = {
    name: `port wired beside ${many.count} ports, against ${few.count}`,
    unit: 'x',
    samples: ratiosOf(many.product, few.product),
    atMost: 1.5,
    note: `nft alone ${medianOf(bare).toFixed(2)} x`,
  };
  return {
    goals: [goal],
    figures: [few, many].flatMap(({ count, product, bare: reference }) => [
      figure(`port wired beside ${count}`, mediansOf(product)),
      figure(`elements of a port beside ${count}, bare nft`, mediansOf(reference)),
    ]),
  };
}

/** ms of each reboot. */
export interface Reboots {
  /** From the first thing that the worker made until the kernel had all of every port. */
  readonly making: readonly number[];
  /** From the start of the worker's program until then. */
  readonly whole: readonly number[];
  readonly bare: readonly number[];
}

export function rebootGoals({ making, whole, bare }: Reboots, ports: number): RowReport {
  const each = (samples: readonly number[]): Rounds => samples.map((one) => [one]);
  return {
    goals: [
      {
        name: `${ports} ports made again after a reboot, against a bare batch`,
        unit: 'x',
        samples: ratiosOf(each(making), each(bare)),
        atMost: 3,
        note: `${text(medianOf(making))} ms, bare ${text(medianOf(bare))} ms`,
      },
    ],
    figures: [
      figure('made again, from the start of the worker', whole),
      figure('made again, from its first change', making),
      figure('the same in a bare batch', bare),
    ],
  };
}

export function idleGoals(controller: number, worker: number, seconds: number): RowReport {
  return {
    goals: [
      {
        name: 'controller while nothing happens',
        unit: '%',
        samples: [controller],
        atMost: 1,
        note: `of one CPU, over ${seconds} s`,
      },
    ],
    figures: [figure('worker while nothing happens', [worker], '%')],
  };
}
