/**
 * Random store commands of the kinds that our journal, reader and directory use, on few keys so that commands meet;
 * some are wrong on purpose. Drawn from a seed, so that both stores get the same ones. Used by
 * store-conformance.test.ts.
 */
import type { Chance } from '../simulation/seeded-random.ts';

export function randomCommand(chance: Chance): string[] {
  const name = (letter: string): string => `${letter}${chance.whole(1, 3)}`;
  // Sometimes a key of another type.
  const key = (letter: string): string => name(chance.happens(0.02) ? chance.pick(['h', 's', 'l', 'x', 't']) : letter);
  const field = (): string => `f${chance.whole(1, 8)}`;
  const word = (): string => chance.pick(['1', '7', 'word', '{"a":"ü"}', '']);
  const some = <Item>(make: () => Item, most: number): Item[] => Array.from({ length: chance.whole(1, most) }, make);
  const id = (): string =>
    chance.pick(['*', '0-*', `${chance.whole(1, 40)}-*`, `${chance.whole(1, 40)}-${chance.whole(0, 3)}`]);
  const makers: readonly (() => string[])[] = [
    () => ['HSET', key('h'), ...some(() => [field(), word()], 3).flat()],
    () => ['HSETNX', key('h'), field(), word()],
    () => ['HGET', key('h'), field()],
    () => ['HMGET', key('h'), ...some(field, 3)],
    () => ['HDEL', key('h'), ...some(field, 3)],
    () => ['HKEYS', key('h')],
    () => ['HVALS', key('h')],
    () => ['HLEN', key('h')],
    () => ['HEXISTS', key('h'), field()],
    () => ['HGETALL', key('h')],
    () => ['HINCRBY', key('h'), `n${chance.whole(1, 2)}`, String(chance.whole(-3, 3))],
    () => ['SADD', key('s'), ...some(field, 3)],
    () => ['SREM', key('s'), ...some(field, 3)],
    () => ['SMEMBERS', key('s')],
    () => ['SISMEMBER', key('s'), field()],
    () => ['SCARD', key('s')],
    () => ['RPUSH', key('l'), ...some(word, 2)],
    () => ['LPOP', key('l')],
    () => ['LLEN', key('l')],
    () => ['LINDEX', key('l'), String(chance.whole(-3, 3))],
    () => ['LRANGE', key('l'), '0', String(chance.whole(-1, 4))],
    // The clocks of both stores differ, so ids have a fixed time; only their sequence number may be open.
    () => [
      'XADD',
      key('x'),
      id()
        .replace('*', chance.happens(0.5) ? '*' : '1')
        .replace(/^\*$/, '50-*'),
      'e',
      word(),
    ],
    () => ['XLEN', key('x')],
    () => ['XRANGE', key('x'), chance.pick(['-', '3', '5-1', '(5-0']), chance.pick(['+', '20', '30-1'])],
    () => ['XREVRANGE', key('x'), '+', '-', 'COUNT', String(chance.whole(1, 3))],
    () => ['XREVRANGE', key('x'), chance.pick(['+', '25']), chance.pick(['-', '4-0']), 'COUNT', '5'],
    () => ['XTRIM', key('x'), 'MINID', chance.pick(['3', '5-1', '30-2', 'word'])],
    () => ['XREAD', 'COUNT', '3', 'STREAMS', name('x'), name('x'), '0-0', '7-0'],
    () => ['DEL', key(chance.pick(['h', 's', 'l', 'x', 't']))],
    () => ['UNLINK', key(chance.pick(['h', 's']))],
    () => ['EXISTS', key('h'), key('s')],
    () => ['TYPE', key(chance.pick(['h', 's', 'l', 'x', 't']))],
    () => ['SET', name('t'), word()],
    () => ['GET', key('t')],
    () => ['MGET', key('t'), key('h'), key('t')],
    () => ['INCR', key('t')],
    () => ['ZADD', key('z'), String(chance.whole(0, 9)), field()],
    () => ['ZREM', key('z'), field()],
    () => ['ZRANGEBYSCORE', key('z'), '-inf', String(chance.whole(0, 9))],
    () => ['ZCARD', key('z')],
    () => ['HSET', key('h')],
    () => ['RPUSH', key('l')],
  ];
  return chance.pick(makers)();
}
