/**
 * A cursor: the position of a watch in all shard feeds as one opaque string. It holds the era and, for every shard, the
 * last ordinal seen. Only the reader makes and reads cursors; clients keep and return them unchanged.
 *
 * Bytes before base64url: format 1, era, 128 positions as varints, then for each host shard its name's length, name,
 * position.
 */
import { reject } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { Cursor } from '../contract/reader.ts';
import { hostOfShard, hostShard, sharedShards } from './shard-placement.ts';

const format = 1;
const maxCursorBytes = 65_536;

export interface FeedPlace {
  readonly era: number;
  readonly positions: Map<ShardId, number>;
}

export function encodeCursor({ era, positions }: FeedPlace): Cursor {
  const bytes: number[] = [format];
  pushVarint(bytes, era);
  for (const shard of sharedShards) pushVarint(bytes, positions.get(shard) ?? 0);
  for (const [shard, position] of positions) {
    const host = hostOfShard(shard);
    if (host === undefined) continue;
    bytes.push(host.length);
    for (let index = 0; index < host.length; index += 1) bytes.push(host.charCodeAt(index));
    pushVarint(bytes, position);
  }
  return Buffer.from(bytes).toString('base64url') as Cursor;
}

function pushVarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
}

/** @throws PhotonError rejection `cursor_invalid` when the text is not one of our cursors */
export function decodeCursor(cursor: string): FeedPlace {
  if (cursor.length > maxCursorBytes || !/^[\w-]+$/.test(cursor)) throw invalid();
  const bytes = Buffer.from(cursor, 'base64url');
  let at = 0;
  const byte = (): number => {
    const value = bytes[at];
    if (value === undefined) throw invalid();
    at += 1;
    return value;
  };
  const varint = (): number => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const next = byte();
      value += (next & 0x7f) * scale;
      if (!Number.isSafeInteger(value)) throw invalid();
      if (next < 0x80) return value;
      scale *= 0x80;
    }
  };
  if (byte() !== format) throw invalid();
  const era = varint();
  const positions = new Map<ShardId, number>();
  for (const shard of sharedShards) positions.set(shard, varint());
  while (at < bytes.length) {
    let host = '';
    for (let left = byte(); left > 0; left -= 1) host += String.fromCharCode(byte());
    positions.set(hostShard(host), varint());
  }
  return { era, positions };
}

const invalid = () =>
  reject('cursor_invalid', 'this cursor is not one of ours; list again and watch from the cursor of that answer');
