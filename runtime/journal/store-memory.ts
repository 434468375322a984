/**
 * How full the memory of the store is, looked at every few seconds, so that an operator hears of it before the store
 * refuses every write (`OOM` in store-errors.ts). Of a Redis Cluster it is the fullest primary. Told only when it has
 * changed by a step, since what is told becomes part of a history. Called by controllers (actors/photon).
 */
import type { Clock } from '../contract/clock.ts';
import { describeCause } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { serverFields } from './server-facts.ts';
import { clusterOf } from './store-address.ts';
import type { Store } from './store-connection.ts';

export interface StoreLimits {
  /** `maxmemory` of the store that a store node starts. */
  readonly memoryBytes: number;
  /** From this share on the store counts as scarce; it counts as ample again five percent below. */
  readonly scarcePercent: number;
  /** Pause between two looks. */
  readonly lookMs: number;
}

export const defaultStoreLimits: StoreLimits = { memoryBytes: 2_147_483_648, scarcePercent: 80, lookMs: 5_000 };

export interface StoreMemory {
  readonly usedBytes: number;
  /** 0: the server has no limit of its own. */
  readonly limitBytes: number;
  readonly isScarce: boolean;
}

const stepPercent = 5;
const percentOf = ({ usedBytes, limitBytes }: StoreMemory): number =>
  limitBytes === 0 ? 0 : (100 * usedBytes) / limitBytes;

/** Whether what was told is no longer right: the limit, the verdict, or the share by a step. */
export function isNews(told: StoreMemory | undefined, now: StoreMemory): boolean {
  if (told === undefined || told.limitBytes !== now.limitBytes || told.isScarce !== now.isScarce) return true;
  return Math.abs(percentOf(told) - percentOf(now)) >= stepPercent;
}

interface WatchOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: Partial<StoreLimits>;
  /** When it rejects, the same is told again after the next look. */
  readonly tell: (memory: StoreMemory) => Promise<void>;
}

/** @returns ends the watch */
export function watchMemory({ store, clock, log, limits, tell }: WatchOptions): () => void {
  const { scarcePercent, lookMs } = { ...defaultStoreLimits, ...limits };
  let told: StoreMemory | undefined;
  let cancel = (): void => {};
  let isOver = false;
  const look = async (): Promise<void> => {
    const { usedBytes, limitBytes } = await readMemory(store);
    const percent = limitBytes === 0 ? 0 : (100 * usedBytes) / limitBytes;
    const isScarce = percent >= scarcePercent - (told?.isScarce === true ? stepPercent : 0);
    const memory = { usedBytes, limitBytes, isScarce };
    if (!isNews(told, memory)) return;
    if (isScarce && told?.isScarce !== true)
      log.error({ ...memory }, `the store has used ${Math.round(percent)} % of its memory: docs/runbooks/disk-full.md`);
    if (!isScarce && told?.isScarce === true) log.info({ ...memory }, 'the store has enough memory again');
    await tell(memory);
    told = memory;
  };
  const next = (): void => {
    if (isOver) return;
    cancel = clock.after(lookMs, () => {
      look()
        .catch((failure: unknown) => log.debug({ why: describeCause(failure) }, 'the memory of the store is not told'))
        .finally(next);
    });
  };
  next();
  return () => {
    isOver = true;
    cancel();
  };
}

async function readMemory(store: Store): Promise<Omit<StoreMemory, 'isScarce'>> {
  const { redis } = store.shared;
  const servers = clusterOf(redis)?.nodes('master') ?? [redis];
  const all = await Promise.all(servers.map((server) => serverFields(server, 'memory')));
  const memories = all.map((fields) => ({
    usedBytes: Number(fields?.get('used_memory') ?? 0),
    limitBytes: Number(fields?.get('maxmemory') ?? 0),
  }));
  const share = ({ usedBytes, limitBytes }: { usedBytes: number; limitBytes: number }): number =>
    limitBytes === 0 ? 0 : usedBytes / limitBytes;
  return memories.reduce((fullest, one) => (share(one) > share(fullest) ? one : fullest), {
    usedBytes: memories[0]?.usedBytes ?? 0,
    limitBytes: memories[0]?.limitBytes ?? 0,
  });
}
