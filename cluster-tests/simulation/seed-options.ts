/**
 * Expands a seed to the options of a run: number of nodes, delays and losses, armed faults, limits. The options are
 * printed with every failure. Some seeds have no faults, some have one kind of fault, some have all.
 */
import type { HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import type { DurabilityRequest } from '@photoncloud/runtime/journal/durability-plan';
import { Chance } from './seeded-random.ts';
import type { ReplicaOptions } from './store/simulated-store.ts';

export interface ReplicatedStore extends ReplicaOptions {
  readonly durability: Required<DurabilityRequest>;
  /** Commands ask for a durability of their own: some for `primary`, some for `replicas`. */
  readonly commandsAskLevels: boolean;
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
  /** Armed kinds of faults, each with the mean pause between two faults of the kind, ms. */
  readonly faults: Readonly<Record<string, number>>;
  readonly limits: Partial<HostLimits>;
  /** Bytes of receipts that a scope may have in one shard. */
  readonly receiptBytes: number;
  /** Nodes archive old history on disks of their own; when undefined, the commit trims it. */
  readonly archive: { readonly diskDelayMs: number } | undefined;
  /** Replicas and Sentinels of the store; undefined when the store is a single server. */
  readonly replicas: ReplicatedStore | undefined;
  /** Mean pause between two commands, ms. */
  readonly commandEveryMs: number;
  /** The run exceeds the fault budget: the store may lose acknowledged commits. */
  readonly beyondBudget: boolean;
}

const faultKinds = {
  kill: 40_000,
  pause: 45_000,
  'graceful stop': 90_000,
  partition: 45_000,
  'partition one way': 60_000,
  'link stall': 30_000,
  'store restart': 90_000,
  'store pause': 60_000,
  'store unreachable': 60_000,
  'store refuses': 90_000,
  'connection reset': 20_000,
  'wall clock step': 60_000,
} as const;

/** Armed only where nodes have an archive; drawn from a random stream of their own. */
const diskFaultKinds = { 'host power cut': 50_000, 'disk fault': 40_000 } as const;

/** Armed only where the store has replicas; drawn from a random stream of their own. */
const replicaFaultKinds = {
  'store failover': 25_000,
  'store switchover': 25_000,
  'store primary isolated': 30_000,
  'store replica cut off': 20_000,
} as const;

/** Drawn from a random stream of its own. */
const storeClockFaultKinds = { 'store clock step': 20_000 } as const;

/** Every kind of fault that a seed may arm by itself, as tallies name them. */
export const armableFaults: readonly string[] = [
  faultKinds,
  diskFaultKinds,
  replicaFaultKinds,
  storeClockFaultKinds,
].flatMap(Object.keys);

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
    commandsAskLevels: chance.happens(0.5),
  };
}

/** Whether a failover may lose acknowledged commits, because some are acknowledged before a replica has them. */
export const mayLose = ({ replicas, beyondBudget }: SeedOptions): boolean =>
  beyondBudget || (replicas !== undefined && (replicas.commandsAskLevels || replicas.durability.default === 'primary'));

/** @param beyondBudget arms power cuts that lose acknowledged commits; no seed does so by itself */
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
  const storeClock = chance.split('store clock');
  for (const [kind, everyMs] of Object.entries(storeClockFaultKinds)) {
    if (storeClock.happens(0.5)) faults[kind] = Math.round(everyMs * storeClock.between(0.3, 2));
  }
  if (beyondBudget) faults['store power cut'] = 40_000;
  const tight = chance.happens(0.3);
  const forWatermarks = chance.split('watermarks');
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
    // A lost command breaks its connection with everything in flight on it. At 1 % almost no commit succeeds.
    store: {
      delayMs: chance.pick([0.1, 0.5, 3, 20]),
      lostRequest: armed(0.3, chance.between(0, 0.004)),
      lostReply: armed(0.3, chance.between(0, 0.01)),
    },
    faults,
    limits: {
      idleMs: chance.pick([2_000, 10_000, 60_000]),
      watermarks: forWatermarks.pick([2, 2, 8, 1_000]),
      watermarkGraceMs: forWatermarks.pick([1, 1, 5_000]),
      ...(tight
        ? { mailboxDepth: 8, outboxDepth: 16, receiptsRemembered: 4, effects: 4, activations: 12, loads: 2 }
        : {}),
      ...(chance.happens(0.3) ? { eventsPerCommit: chance.pick([1, 2, 4]) } : {}),
      ...(chance.happens(0.3) ? { commitsInFlight: chance.pick([1, 3]) } : {}),
    },
    receiptBytes: chance.split('receipts').pick([4_000, 12_000, 1_048_576]),
    archive,
    replicas,
    commandEveryMs: chance.pick([60, 120, 300]),
    beyondBudget,
  };
}

/**
 * Store commands for one commit that waits for replicas: the script, WAIT, ROLE, and on Valkey one write of the
 * connection's own, because its WAIT counts only these.
 */
const commandsPerWait = 4;

/**
 * Options of a cloud run. Where the store has replicas, every commit waits for them, so a failover loses no
 * acknowledged commit. At durability `primary` it would, and by then charts that act on hosts have made taps and QEMU
 * processes that no record mentions. A real cloud recovers from that with a new era and the help of operators
 * (docs/decisions/0007); the simulated cloud has neither and would go on from the older store as if nothing had been
 * lost.
 *
 * Losses per store command are lower with replicas, so that a commit breaks its connection as often as without them:
 * charts of the cloud need about twenty commits for one client command (at a loss of 1 %, 48 of 588 were answered ok).
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
    replicas: { ...replicas, durability, commandsAskLevels: false },
    store: { ...store, lostRequest, lostReply },
  };
}
