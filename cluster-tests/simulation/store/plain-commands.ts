/**
 * The commands of Redis for keys, strings, sets, lists and sorted sets, for the simulated store (store-commands.ts).
 */
import { ReplyFault, StatusReply, wholeNumber, wrongArguments, type StoreCommand } from './keyspace.ts';

function remove(verb: 'DEL' | 'UNLINK'): StoreCommand {
  return ({ space }, keys) => {
    let removed = 0;
    for (const key of keys) if (space.keys.delete(key)) removed += 1;
    if (removed > 0) space.wrote(verb, ...keys);
    return removed;
  };
}

const keyCommands: Readonly<Record<string, StoreCommand>> = {
  del: remove('DEL'),
  unlink: remove('UNLINK'),
  exists: ({ space }, keys) => keys.filter((key) => space.keys.has(key)).length,
  type: ({ space }, [key = '']) => new StatusReply(space.keys.get(key)?.type ?? 'none'),
  keys: ({ space }, [pattern = '*']) => {
    const start = pattern.endsWith('*') ? pattern.slice(0, -1) : undefined;
    return [...space.keys.keys()].filter((key) => (start === undefined ? key === pattern : key.startsWith(start)));
  },
  get: ({ space }, [key = '']) => space.text(key) ?? null,
  // As in Redis, a key of another type counts as missing.
  mget: ({ space }, keys) =>
    keys.map((key) => (space.keys.get(key)?.type === 'string' ? (space.text(key) ?? null) : null)),
  set({ space }, args) {
    const [key = '', value = '', ...rest] = args;
    const flags = rest.map((word) => word.toLowerCase());
    if (flags.some((flag) => flag !== 'nx')) throw new ReplyFault('ERR syntax error');
    if (flags.includes('nx') && space.keys.has(key)) return null;
    space.setText(key, value);
    space.wrote('SET', key, value);
    return new StatusReply('OK');
  },
  incr({ space }, [key = '']) {
    const after = wholeNumber(space.text(key) ?? '0') + 1;
    space.setText(key, String(after));
    space.wrote('SET', key, String(after));
    return after;
  },
  time({ wallMs }) {
    const us = Math.floor(wallMs * 1000);
    return [String(Math.floor(us / 1_000_000)), String(us % 1_000_000)];
  },
  rename({ space }, [from = '', to = '']) {
    const value = space.keys.get(from);
    if (value === undefined) throw new ReplyFault('ERR no such key');
    space.keys.delete(from);
    space.keys.set(to, value);
    space.wrote('RENAME', from, to);
    return new StatusReply('OK');
  },
  flushall({ space }) {
    space.keys.clear();
    space.wrote('FLUSHALL');
    return new StatusReply('OK');
  },
};

const setCommands: Readonly<Record<string, StoreCommand>> = {
  sadd({ space }, args) {
    const [key = '', ...members] = args;
    if (members.length === 0) throw wrongArguments('sadd');
    const known = space.setForWriting(key);
    const before = known.size;
    for (const member of members) known.add(member);
    if (known.size > before) space.wrote('SADD', ...args);
    return known.size - before;
  },
  srem({ space }, args) {
    const [key = '', ...members] = args;
    const known = space.set(key);
    let removed = 0;
    for (const member of members) if (known?.delete(member) === true) removed += 1;
    if (removed > 0) space.wrote('SREM', ...args);
    space.dropIfEmpty(key);
    return removed;
  },
  smembers: ({ space }, [key = '']) => [...(space.set(key) ?? [])],
  sismember: ({ space }, [key = '', member = '']) => (space.set(key)?.has(member) === true ? 1 : 0),
  scard: ({ space }, [key = '']) => space.set(key)?.size ?? 0,
};

const listCommands: Readonly<Record<string, StoreCommand>> = {
  rpush({ space }, args) {
    const [key = '', ...items] = args;
    if (items.length === 0) throw wrongArguments('rpush');
    const list = space.listForWriting(key);
    list.push(...items);
    space.wrote('RPUSH', ...args);
    return list.length;
  },
  lpop({ space }, [key = '']) {
    const item = space.list(key)?.shift();
    if (item !== undefined) space.wrote('LPOP', key);
    space.dropIfEmpty(key);
    return item ?? null;
  },
  llen: ({ space }, [key = '']) => space.list(key)?.length ?? 0,
  lindex({ space }, [key = '', at]) {
    return space.list(key)?.at(wholeNumber(at)) ?? null;
  },
  lrange({ space }, [key = '', from, to]) {
    const list = space.list(key) ?? [];
    const end = wholeNumber(to);
    return list.slice(wholeNumber(from), end < 0 ? list.length + end + 1 : end + 1);
  },
};

const sorted = (scores: ReadonlyMap<string, number> | undefined): [string, number][] =>
  [...(scores ?? [])].sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1));

const scoreBound = (text: string): number => (text === '+inf' ? Infinity : text === '-inf' ? -Infinity : Number(text));

const scoreCommands: Readonly<Record<string, StoreCommand>> = {
  zadd({ space }, args) {
    const [key = '', ...pairs] = args;
    if (pairs.length === 0 || pairs.length % 2 !== 0) throw wrongArguments('zadd');
    const scores = space.scoresForWriting(key);
    const before = scores.size;
    for (let at = 0; at < pairs.length; at += 2) scores.set(pairs[at + 1] as string, Number(pairs[at]));
    space.wrote('ZADD', ...args);
    return scores.size - before;
  },
  zrem({ space }, args) {
    const [key = '', ...members] = args;
    const scores = space.scores(key);
    let removed = 0;
    for (const member of members) if (scores?.delete(member) === true) removed += 1;
    if (removed > 0) space.wrote('ZREM', ...args);
    space.dropIfEmpty(key);
    return removed;
  },
  zcard: ({ space }, [key = '']) => space.scores(key)?.size ?? 0,
  zscore({ space }, [key = '', member = '']) {
    const score = space.scores(key)?.get(member);
    return score === undefined ? null : String(score);
  },
  zrangebyscore({ space }, [key = '', from = '-inf', to = '+inf']) {
    const [low, high] = [scoreBound(from), scoreBound(to)];
    return sorted(space.scores(key)).flatMap(([member, score]) => (score >= low && score <= high ? [member] : []));
  },
};

export const plainCommands: Readonly<Record<string, StoreCommand>> = {
  ...keyCommands,
  ...setCommands,
  ...listCommands,
  ...scoreCommands,
};
