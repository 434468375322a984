/**
 * A seed expanded to the options of a run: how many nodes, how slow and lossy everything is, which faults are armed,
 * how tight the limits are. Printed with every failure; some seeds are calm, some are bad at one thing, some at all.
 */
import type { HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import type { DurabilityRequest } from '@photoncloud/runtime/journal/durability-plan';
import { Chance } from './seeded-random.ts';
import type { ReplicaOptions } from './store/simulated-store.ts';

export interface ReplicatedStore extends ReplicaOptions {
  readonly durability: Required<DurabilityRequest>;
  /** Some commands ask for `primary`, some for `replicas`. */
  readonly levelsAsked: boolean;
}

export interface SeedOptions {
  readonly seed: string;
  readonly minutes: number;
  readonly controllers: number;
  readonly network: {
    readonly delayMs: number;
    readonly lostRequest: number;
    readonly lostAnswer: number;
    readonly duplicate: number;
  };
  readonly store: { readonly delayMs: number; readonly lostRequest: number; readonly lostReply: number };
  /** Mean pause between two faults of a kind, ms; a kind that is not armed is not there. */
  readonly faults: Readonly<Record<string, number>>;
  readonly limits: Partial<HostLimits>;
  /** Nodes keep old history on disks of their own; without, the commit trims it. */
  readonly archive: { readonly diskDelayMs: number } | undefined;
  /** The store has replicas, and Sentinels. */
  readonly replicas: ReplicatedStore | undefined;
  /** Clients ask this often, mean, ms. */
  readonly askEveryMs: number;
  /** Beyond the fault budget: the store may lose acknowledged commits. */
  readonly beyondBudget: boolean;
}

const faultKinds = {
  kill: 40_000,
  pause: 45_000,
  'stop gently': 90_000,
  partition: 45_000,
  'partition one way': 60_000,
  clog: 30_000,
  'store restart': 90_000,
  'store pause': 60_000,
  'store cut off': 60_000,
  'store refuses': 90_000,
  'connection reset': 20_000,
  'wall step': 60_000,
} as const;

/** Armed only where there is an archive, from a stream of their own. */
const diskFaultKinds = { 'host power cut': 50_000, 'disk trouble': 40_000 } as const;

/** Armed only where the store has replicas. */
const replicaFaultKinds = {
  'store failover': 25_000,
  'store switch over': 25_000,
  'store primary isolated': 30_000,
  'store replica cut off': 20_000,
} as const;

/** Every kind of fault that a seed may arm by itself, as tallies name them. */
export const armableFaults: readonly string[] = [faultKinds, diskFaultKinds, replicaFaultKinds].flatMap(Object.keys);

/** From a stream of its own. */
function expandReplicas(chance: Chance): ReplicatedStore | undefined {
  if (!chance.happens(0.3)) return undefined;
  const count = chance.whole(1, 2);
  return {
    count,
    lagMs: chance.pick([0.2, 2, 30]),
    isValkey: chance.happens(0.5),
    durability: {
      replicas: chance.whole(1, count),
      default: chance.pick(['primary', 'replicas', 'replicas', 'replicas']),
    },
    levelsAsked: chance.happens(0.5),
  };
}

/** Whether a failover may take away what was acknowledged: something is acknowledged before the replicas have it. */
export const mayLose = ({ replicas, beyondBudget }: SeedOptions): boolean =>
  beyondBudget || (replicas !== undefined && (replicas.levelsAsked || replicas.durability.default === 'primary'));

/** @param beyondBudget the store may lose what it has acknowledged, as no seed does by itself */
export function expandSeed(seed: string, minutes: number, beyondBudget = false): SeedOptions {
  const chance = new Chance(`options ${seed}`);
  const armed = (probability: number, value: number): number => (chance.happens(probability) ? value : 0);
  const faults: Record<string, number> = {};
  for (const [kind, everyMs] of Object.entries(faultKinds)) {
    if (chance.happens(0.5)) faults[kind] = Math.round(everyMs * chance.between(0.3, 2));
  }
  const disks = chance.split('disks');
  const archive = disks.happens(0.7) ? { diskDelayMs: disks.pick([0.5, 5, 80]) } : undefined;
  for (const [kind, everyMs] of Object.entries(diskFaultKinds)) {
    if (archive !== undefined && disks.happens(0.6)) faults[kind] = Math.round(everyMs * disks.between(0.3, 2));
  }
  const replicated = chance.split('replicas');
  const replicas = beyondBudget ? undefined : expandReplicas(replicated);
  for (const [kind, everyMs] of Object.entries(replicaFaultKinds)) {
    if (replicas !== undefined && replicated.happens(0.6))
      faults[kind] = Math.round(everyMs * replicated.between(0.3, 2));
  }
  if (beyondBudget) faults['store power cut'] = 40_000;
  const tight = chance.happens(0.3);
  const marked = chance.split('watermarks');
  return {
    seed,
    minutes,
    controllers: chance.whole(1, 3),
    network: {
      delayMs: chance.pick([0.2, 1, 5, 40]),
      lostRequest: armed(0.4, chance.between(0, 0.1)),
      lostAnswer: armed(0.4, chance.between(0, 0.1)),
      duplicate: armed(0.4, chance.between(0, 0.2)),
    },
    // A command that is lost breaks the connection with all that is on it: at one in a hundred nothing gets through.
    store: {
      delayMs: chance.pick([0.1, 0.5, 3, 20]),
      lostRequest: armed(0.3, chance.between(0, 0.004)),
      lostReply: armed(0.3, chance.between(0, 0.01)),
    },
    faults,
    limits: {
      idleMs: chance.pick([2_000, 10_000, 60_000]),
      watermarks: marked.pick([2, 2, 8, 1_000]),
      watermarkGraceMs: marked.pick([1, 1, 5_000]),
      ...(tight
        ? { mailboxDepth: 8, outboxDepth: 16, receiptsRemembered: 4, effects: 2, activations: 12, loads: 2 }
        : {}),
      ...(chance.happens(0.3) ? { eventsPerCommit: chance.pick([1, 2, 4]) } : {}),
      ...(chance.happens(0.3) ? { commitsInFlight: chance.pick([1, 3]) } : {}),
    },
    archive,
    replicas,
    askEveryMs: chance.pick([60, 120, 300]),
    beyondBudget,
  };
}

/**
 * Commands of the store for one commit that waits for replicas: the script, WAIT, ROLE, and on a Valkey a watermark.
 */
const commandsPerWait = 4;

/**
 * A seed of the cloud: where its store has replicas, every commit waits for them, so that a failover loses nothing that
 * was acknowledged. At `primary` it does, and charts that act on hosts have by then made taps and QEMUs that no record
 * tells of: what a cloud promises after that it promises through eras and what operators do (docs/decisions/0007),
 * neither of which its simulated nodes have. They would go on with the older store as if it were the newest.
 *
 * Commands of such a store are lost more rarely, so that a commit breaks its connection as often as without replicas:
 * charts of the cloud need some twenty commits for one command of a client (at a hundredth 48 of 588 were answered ok).
 */
export function expandCloudSeed(seed: string, minutes: number, beyondBudget = false): SeedOptions {
  const options = expandSeed(seed, minutes, beyondBudget);
  const { replicas, store } = options;
  if (replicas === undefined) return options;
  const durability = { ...replicas.durability, default: 'replicas' as const };
  const lostRequest = store.lostRequest / commandsPerWait;
  const lostReply = store.lostReply / commandsPerWait;
  return {
    ...options,
    replicas: { ...replicas, durability, levelsAsked: false },
    store: { ...store, lostRequest, lostReply },
  };
}
