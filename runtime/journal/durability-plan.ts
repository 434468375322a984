/**
 * How a level of durability is reached on a server: which command must be answered after a script's reply, on the
 * connection that ran the script. Pure; commit-connections.ts sends the command. Upholds G3. What the servers do was
 * measured in docs/decisions/0011.
 *
 * WAIT and WAITAOF may answer with fewer replicas than asked for, so the number must always be compared. They also
 * differ in the offset they wait for. Redis 7.0.15 waits for everything that its connection has seen, also after a
 * command that wrote nothing. Valkey 8.0.1 waits only for what the connection wrote, and answers at once on a
 * connection that wrote nothing. There a read, or a resent batch that was found applied, is followed by a small write
 * (`barrierWrite`) before the wait. Rejected: to send that write always; with WAITAOF a commit takes three times as
 * long.
 *
 * WAITAOF is used even where the primary syncs before each reply, because of the replicas: it counts only those with
 * the data in their append-only file. A replica without such a file holds back commits of level `fsync`, and the log
 * says so. Each server must have `appendfsync always`; with everysec a Valkey acknowledges before its fsync
 * (server-facts.ts).
 */
import { durabilities, type Durability, type DurabilityOffer } from '../contract/durability.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { StoreFacts } from './server-facts.ts';
import type { StoreKeys } from './store-keys.ts';

/** How many replicas must acknowledge at least; and the level of a commit that names none. */
export interface DurabilityRequest {
  readonly replicas?: number;
  readonly default?: Durability;
}

export interface DurabilityWait {
  readonly command: readonly string[];
  /** Whether this reply says that enough servers have the data. */
  readonly isEnough: (reply: unknown) => boolean;
}

/** WAIT returns as soon as enough replicas have acknowledged; this only bounds how long a stall goes unnoticed. */
const waitTimeoutMs = '400';
/**
 * Short, and repeated until it is enough: a replica acknowledges before its fsync, and reports the fsync only when it
 * is asked again, or once a second (docs/decisions/0011).
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

/** A write that moves the offset this connection waits for past everything it has read. */
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
