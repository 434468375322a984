/**
 * May the store's user do all that this program will ask of it? Asked once at the start, before anything is written:
 * a script that is refused amid its writes has done half of them, since Redis rolls nothing back. Called by
 * store-connection.ts. Rights that are taken away later are met as refusals (store-errors.ts).
 */
import type { Redis } from 'ioredis';
import { PhotonError } from '../contract/errors.ts';

/** Commands on keys, in scripts and without; held to the scripts by a test. */
export const keyCommands = (
  'HGET HSET HMGET HKEYS HDEL HEXISTS HGETALL HSETNX HINCRBY XADD XDEL XTRIM XRANGE XREVRANGE XLEN ' +
  'SADD SREM SMEMBERS RPUSH LINDEX LPOP GET SET MGET UNLINK'
).split(' ');

/** Every argument is a key of ours, since some commands take several; the check looks at rights, not at the syntax. */
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
    missing = await redis.call('EVAL', [question, 0, `${prefix}{s0}:o`, ...keyCommands]);
  } catch {
    // A user without EVAL is told what else it lacks by the first command that is refused.
    return;
  }
  if (!Array.isArray(missing) || missing.length === 0) return;
  const what = missing.length === keyCommands.length ? 'use' : `run ${missing.join(', ')} on`;
  const text =
    `the store's user may not ${what} keys that start with ${prefix}; ` +
    `grant it ~${prefix}* and those commands in the store's ACL, then start again`;
  throw new PhotonError('defeat', 'store_rights_missing', text);
}
