/** The commands of Redis for hashes, for the simulated store. Called through store-commands.ts. */
import { ReplyFault, StatusReply, wholeNumber, wrongArguments, type StoreCommand } from './keyspace.ts';

const scanKeys: StoreCommand = ({ space }, [key = '']) => [...(space.hash(key)?.keys() ?? [])];

function put(name: string): StoreCommand {
  return ({ space }, args) => {
    const [key = '', ...pairs] = args;
    if (pairs.length === 0 || pairs.length % 2 !== 0) throw wrongArguments(name);
    const fields = space.hashForWriting(key);
    let added = 0;
    for (let at = 0; at < pairs.length; at += 2) {
      const field = pairs[at] as string;
      if (!fields.has(field)) added += 1;
      fields.set(field, pairs[at + 1] as string);
    }
    space.wrote('HSET', ...args);
    return name === 'hmset' ? new StatusReply('OK') : added;
  };
}

export const hashCommands: Readonly<Record<string, StoreCommand>> = {
  hset: put('hset'),
  hmset: put('hmset'),
  hsetnx({ space }, [key = '', field = '', value = '']) {
    if (space.hash(key)?.has(field) === true) return 0;
    space.hashForWriting(key).set(field, value);
    space.wrote('HSET', key, field, value);
    return 1;
  },
  hget: ({ space }, [key = '', field = '']) => space.hash(key)?.get(field) ?? null,
  hmget({ space }, [key = '', ...names]) {
    if (names.length === 0) throw wrongArguments('hmget');
    const fields = space.hash(key);
    return names.map((field) => fields?.get(field) ?? null);
  },
  hgetall: ({ space }, [key = '']) => [...(space.hash(key) ?? [])].flat(),
  hkeys: scanKeys,
  hvals: ({ space }, [key = '']) => [...(space.hash(key)?.values() ?? [])],
  hlen: ({ space }, [key = '']) => space.hash(key)?.size ?? 0,
  hexists: ({ space }, [key = '', field = '']) => (space.hash(key)?.has(field) === true ? 1 : 0),
  hstrlen: ({ space }, [key = '', field = '']) => (space.hash(key)?.get(field) ?? '').length,
  hdel({ space }, args) {
    const [key = '', ...names] = args;
    if (names.length === 0) throw wrongArguments('hdel');
    const fields = space.hash(key);
    let removed = 0;
    for (const field of names) if (fields?.delete(field) === true) removed += 1;
    if (removed > 0) space.wrote('HDEL', ...args);
    space.dropIfEmpty(key);
    return removed;
  },
  hincrby({ space }, [key = '', field = '', by]) {
    const step = wholeNumber(by);
    const before = space.hash(key)?.get(field) ?? '0';
    if (!/^-?\d+$/.test(before)) throw new ReplyFault('ERR hash value is not an integer');
    const after = Number(before) + step;
    space.hashForWriting(key).set(field, String(after));
    space.wrote('HSET', key, field, String(after));
    return after;
  },
};
