/**
 * How a level of durability is reached on a server: what must be waited for after a script's reply, on the connection
 * that ran it. Pure; commit-lines.ts does the waiting. Upholds G3.
 *
 * WAIT counts replicas for everything this connection has seen up to its last command, also for a command that wrote
 * nothing, so a commit that is sent again is waited for as well (seen with Redis 7.0.15). It may answer with fewer
 * than asked: the number must be compared, always.
 *
 * WAITAOF is taken to be alike, by its documentation. Redis 7.0.15 does not have it, and no newer server has been under
 * this program yet: what is sent and understood here for WAITAOF has not been seen to work.
 */
import { durabilities, type Durability, type DurabilityOffer } from '../contract/durability.ts';
import { PhotonError } from '../contract/errors.ts';
import type { StoreFacts } from './server-facts.ts';

/** Of the replicas the store has, how many must acknowledge; and the level for whoever asks for nothing else. */
export interface DurabilityWish {
  readonly replicas?: number;
  readonly usual?: Durability;
}

export interface DurabilityWait {
  readonly command: readonly string[];
  /** Whether this reply says that enough have it. */
  readonly isEnough: (reply: unknown) => boolean;
}

/** WAIT returns as soon as enough have acknowledged; this only bounds how long a stall goes unnoticed. */
const waitTimeoutMs = '400';
/**
 * Short, and asked again until it is enough: in a trial of the bare command, without this program, on a Valkey 8 with
 * a replica and one commit at a time a long timeout took 1,004 ms each, this one 0.6 ms. Inferred: the replica answers
 * before its fsync, and tells of that only when it is asked again.
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
      command: ['WAITAOF', '1', String(replicas), fileTimeoutMs],
      isEnough: (reply) => {
        const [local = 0, remote = 0] = reply as readonly number[];
        return local >= 1 && remote >= replicas;
      },
    };
  }
  if (level === 'fsync' && !facts.fsyncBeforeReply) return 'impossible';
  if (replicas === 0) return level === 'fsync' ? undefined : 'impossible';
  return {
    command: ['WAIT', String(replicas), waitTimeoutMs],
    isEnough: (reply) => Number(reply) >= replicas,
  };
}

/** @throws PhotonError defeat `durability_not_offered` when the wish cannot be kept by this store */
export function offerOf({ replicas = 0, usual }: DurabilityWish, facts: StoreFacts): DurabilityOffer {
  const offered = durabilities.filter((level) => waitFor(level, replicas, facts) !== 'impossible');
  if (usual !== undefined && !offered.includes(usual)) {
    throw new PhotonError(
      'defeat',
      'durability_not_offered',
      `the store cannot keep durability ${usual} (it keeps ${offered.join(', ')}); ` +
        'configure replicas, set its appendfsync to always, or ask for less',
    );
  }
  return { usual: usual ?? offered.at(-1) ?? 'primary', offered };
}
