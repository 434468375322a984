/**
 * Checks at the start that the store's user may run every command this program needs, before anything is written: a
 * script that is refused in the middle has done half of its writes, since Redis rolls nothing back. Called by
 * store-connection.ts. Rights that are revoked later cause refusals (NOPERM in store-errors.ts).
 */
import type { Redis } from 'ioredis';
import { PhotonError } from '../contract/errors.ts';

/** All commands used on keys, in scripts and outside; a test compares the list with the scripts. */
export const keyCommands = (
  'HGET HSET HMGET HKEYS HDEL HEXISTS HGETALL HSETNX HINCRBY XADD XDEL XTRIM XRANGE XREVRANGE XLEN ' +
  'SADD SREM SMEMBERS GET SET MGET UNLINK RENAME'
).split(' ');

/** Commands of scripts that name no key. */
export const keylessCommands: readonly string[] = ['TIME'];

/** Passes one of our keys for every argument, since some commands take several keys; only rights are checked. */
const question = `
local missing = {}
for at = 2, #ARGV do
  local command = ARGV[at]
  if not redis.acl_check_cmd(command, ARGV[1], ARGV[1], ARGV[1], ARGV[1]) then missing[#missing + 1] = command end
end
return missing`;

/** @throws PhotonError defeat `store_rights_missing` */
export async function checkRights(redis: Redis, prefix: string): Promise<void> {
  let missing: unknown;
  try {
    missing = await redis.call('EVAL', [question, 0, `${prefix}{s0}:o`, ...keyCommands, ...keylessCommands]);
  } catch {
    // Without the right to EVAL nothing can be checked; the first refused command will say what is missing.
    return;
  }
  if (!Array.isArray(missing) || missing.length === 0) return;
  const what = keyCommands.every((name) => missing.includes(name)) ? 'use' : `run ${missing.join(', ')} on`;
  const text =
    `the store's user may not ${what} keys that start with ${prefix}; ` +
    `grant it ~${prefix}* and those commands in the store's ACL, then start again`;
  throw new PhotonError('defeat', 'store_rights_missing', text);
}
