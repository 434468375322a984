/**
 * The ordinal of a shard counts its commits. It is the sequence number in the ids of the feed's entries (`0-1`, `0-2`,
 * ...), which Redis assigns, so no commit has to store it anywhere else.
 */
import type { ShardId } from '../contract/identifiers.ts';
import type { StoreKeys } from './store-keys.ts';

export const ordinalOf = (streamId: string): number => Number(streamId.slice('0-'.length));

export const lastOrdinalCommand = (keys: StoreKeys, shard: ShardId): readonly string[] => [
  'xrevrange',
  keys.inShard(shard, 'f'),
  '+',
  '-',
  'count',
  '1',
];

/** @param reply of `lastOrdinalCommand` @returns 0 for a shard without commits */
export function lastOrdinalOf(reply: unknown): number {
  const [last] = reply as readonly (readonly [id: string, fields: readonly string[]])[];
  return last === undefined ? 0 : ordinalOf(last[0]);
}
