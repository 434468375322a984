/**
 * Users of the store that a store node starts: one per node, named like it, each with a password of its own. The file
 * `store-users.json` of the store node has their digests; each node has its password in `store.password`. The user
 * `photon`, whose password the store node has, is for operators. Where the store has several hosts, their servers and
 * Sentinels log in at each other as users whose names no node can have, with the same password.
 *
 * A controller may use all keys of its cluster. A worker writes only the shard of its host and the five keys about
 * nodes and their clock that every node writes; of other shards it reads what deduplication needs: outboxes and
 * records. It runs the scripts that others have loaded, and no others. Redis checks the commands inside of a script
 * against the user who runs it, so a worker must have the single commands, too, and can write its own shard without a
 * script.
 * What a stolen worker can do: docs/threats.md#t39.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { keyCommands } from '@photoncloud/runtime/journal/store-rights';

export const storeUsersSchema = z.array(
  z.strictObject({ node: z.string(), role: z.enum(['controller', 'worker']), sha256: z.string() }),
);
export type StoreUser = z.infer<typeof storeUsersSchema>[number];

export const storeUsersFile = 'store-users.json';
export const digestOfPassword = (password: string): string => createHash('sha256').update(password).digest('hex');

const allow = (commands: readonly string[]): string => commands.map((command) => `+${command.toLowerCase()}`).join(' ');

/** Grants what the runtime needs and nothing that could stop or empty the store. */
const everything = '+@all -@admin -@dangerous +info +role +config|get +wait +keys';
const connecting = '-@all +@connection -@admin -@dangerous +info +role +config|get +wait +time +evalsha +script|exists';
const sharedWrites = allow(['hget', 'hmget', 'hgetall', 'hkeys', 'hset', 'hsetnx', 'hincrby', 'hdel', 'evalsha']);
const foreignReads = allow(['hget', 'hmget', 'hgetall', 'hexists']);

/**
 * `off`: nobody can log in as the default user. It still needs every permission, because Redis loads the append-only
 * file as this user and checks its permissions at every EXEC: without them each transaction, and so each commit, is
 * silently dropped at the next start (observed with 7.0.15; docs/decisions/0005-acl-and-replay.md).
 */
const defaultUser = 'user default off ~* &* +@all';

/** The rules of a node's user, each as one argument of ACL SETUSER. */
export function rulesOf({ node, role, sha256 }: StoreUser, cluster: string): readonly string[] {
  const prefix = `ph:${cluster}:`;
  const login = ['on', `#${sha256}`, 'resetchannels'];
  if (role === 'controller')
    return [...login, `~${prefix}*`, ...everything.split(' '), '-keys', '-flushdb', '-flushall'];
  const shared = ['cluster', 'nodes', 'beats', 'map', 'clock'].map((key) => `~${prefix}${key}`).join(' ');
  const foreign = ['q', 'a:*'].map((key) => `%R~${prefix}{*}:${key}`).join(' ');
  const own = `~${prefix}{host:${node}}:*`;
  const here = [own, ...connecting.split(' '), ...allow(keyCommands).split(' ')];
  return [...login, ...here, `(${shared} ${sharedWrites})`, `(${foreign} ${foreignReads})`];
}

/** With which a replica follows its primary, and a Sentinel watches servers and replaces the primary. */
export const replicaUser = 'photon.replica';
export const sentinelUser = 'photon.sentinel';
const sentinelRights =
  '+ping +info +role +subscribe +publish +multi +exec +replicaof +slaveof +config|rewrite +client|setname ' +
  '+client|kill +script|kill';

/** The text of the ACL file. @param operatorPassword of the user `photon` */
export function aclFile(cluster: string, operatorPassword: string, users: readonly StoreUser[]): string {
  const lines = users.map((user) => `user ${user.node} ${rulesOf(user, cluster).join(' ')}`);
  // The store node uses this one, also to add and remove the users of nodes while the store runs.
  const photon = `user photon on ~* &* ${everything} +acl|setuser +acl|deluser >${operatorPassword}`;
  return [defaultUser, photon, ...lines, ''].join('\n');
}

/** The users of a server that has replicas or is one, besides those of `aclFile`. */
export const replicationUsers = (password: string): string =>
  [
    `user ${replicaUser} on resetchannels -@all +ping +psync +replconf #${digestOfPassword(password)}`,
    `user ${sentinelUser} on &* -@all ${sentinelRights} #${digestOfPassword(password)}`,
    '',
  ].join('\n');

/** The rules of a node's user at a Sentinel: it may ask which server is the primary, and which others there are. */
export const sentinelRulesOf = ({ sha256 }: StoreUser): readonly string[] => [
  'on',
  `#${sha256}`,
  'resetchannels',
  '-@all',
  ...'+ping +info +client|setname +sentinel|get-master-addr-by-name +sentinel|sentinels +sentinel|replicas'.split(' '),
];

/** The text of a Sentinel's ACL file. The other Sentinels log in as `photon`. */
export function sentinelAclFile(operatorPassword: string, users: readonly StoreUser[]): string {
  const lines = users.map((user) => `user ${user.node} ${sentinelRulesOf(user).join(' ')}`);
  return ['user default off', `user photon on ~* &* +@all >${operatorPassword}`, ...lines, ''].join('\n');
}
