/**
 * How a level of durability is reached on a server: what must be waited for after a script's reply, on the connection
 * that ran it. Pure; commit-lines.ts does the waiting. Upholds G3.
 *
 * WAIT and WAITAOF may answer with fewer than asked: the number must be compared, always. What they count up to is not
 * the same everywhere: Redis 7.0.15 takes everything its connection has seen, also by a command that wrote nothing;
 * Valkey 8.0.1 only what this connection wrote, and answers a connection that wrote nothing at once. There a batch that
 * is sent again and found applied, or a read, is followed by a write of ours (`barrierWrite`) before it is waited for.
 * Rejected: to write it always; with WAITAOF it makes a commit three times as slow.
 *
 * WAITAOF is asked where the primary syncs before each reply, for the sake of its replicas: it counts only those whose
 * append-only file has it, so that one without a file holds what wants `fsync`, and is told. Each box must have
 * `appendfsync always`; with everysec a Valkey says too early that it has synced (server-facts.ts).
 */
import { durabilities, type Durability, type DurabilityOffer } from '../contract/durability.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { StoreFacts } from './server-facts.ts';
import type { StoreKeys } from './store-keys.ts';

/** Of the replicas the store has, how many must acknowledge; and the level for whoever asks for nothing else. */
export interface DurabilityRequest {
  readonly replicas?: number;
  readonly default?: Durability;
}

export interface DurabilityWait {
  readonly command: readonly string[];
  /** Whether this reply says that enough have it. */
  readonly isEnough: (reply: unknown) => boolean;
}

/** WAIT returns as soon as enough have acknowledged; this only bounds how long a stall goes unnoticed. */
const waitTimeoutMs = '400';
/**
 * Short, and asked again until it is enough: the replica answers before its fsync and tells of that only when it is
 * asked again, or once a second (docs/decisions/0011).
 */
const fileTimeoutMs = '3';

/** @returns undefined when the script's reply is enough, `impossible` when this server cannot keep the level */
export function waitFor(
  level: Durability,
  replicas: number,
  facts: StoreFacts,
): DurabilityWait | 'impossible' | undefined {
  if (level === 'primary') return undefined;
  if (level === 'fsync' && facts.waitsForFile && (replicas > 0 || !facts.fsyncBeforeReply)) {
    return {
      command: ['waitaof', '1', String(replicas), fileTimeoutMs],
      isEnough: (reply) => {
        const [local = 0, remote = 0] = reply as readonly number[];
        return local >= 1 && remote >= replicas;
      },
    };
  }
  if (level === 'fsync' && !facts.fsyncBeforeReply) return 'impossible';
  if (replicas === 0) return level === 'fsync' ? undefined : 'impossible';
  return {
    command: ['wait', String(replicas), waitTimeoutMs],
    isEnough: (reply) => Number(reply) >= replicas,
  };
}

/** Moves what this connection is known to have written past everything it has seen. */
export const barrierWrite = (keys: StoreKeys, shard: ShardId): readonly string[] => [
  'set',
  keys.inShard(shard, 'w'),
  '',
];

/** @throws PhotonError defeat `durability_not_offered` when the request cannot be kept by this store */
export function offerOf({ replicas = 0, default: wanted }: DurabilityRequest, facts: StoreFacts): DurabilityOffer {
  const offered = durabilities.filter((level) => waitFor(level, replicas, facts) !== 'impossible');
  if (wanted !== undefined && !offered.includes(wanted)) {
    throw new PhotonError(
      'defeat',
      'durability_not_offered',
      `the store cannot keep durability ${wanted} (it keeps ${offered.join(', ')}); ` +
        'configure replicas, set its appendfsync to always, or ask for less',
    );
  }
  return { default: wanted ?? offered.at(-1) ?? 'primary', offered };
}
