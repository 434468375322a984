/** The judge finds every kind of violation in hand-made records, and none in correct ones. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CommandRecord } from './command-load.ts';
import { invalidity, wrongsOf, type PortNow } from './load-judge.ts';

const created = (port: string, uid: string, address: string, atMs: number): CommandRecord => ({
  port,
  command: 'create',
  key: `k-${uid}`,
  invokedMs: atMs,
  answeredMs: atMs + 5,
  unknowns: 0,
  overloads: 0,
  answer: { ok: true, result: { id: `port/acme/${port}`, version: 3, result: { uid, address } } },
});
const deleted = (port: string, atMs: number): CommandRecord => ({
  ...created(port, '', '', atMs),
  command: 'delete',
  key: `d-${port}-${atMs}`,
  answer: { ok: true, result: { id: `port/acme/${port}`, version: 6, result: null } },
});
const there = (uid: string, versions = [1, 2, 2, 3]): PortNow => ({ uid, stateName: 'unbound', versions });

const good = [
  created('p0', 'u0', '10.0.0.5', 0),
  deleted('p0', 10),
  created('p1', 'u1', '10.0.0.5', 20),
  created('p0', 'u2', '10.0.0.6', 30),
];
const now = new Map([
  ['p0', there('u2')],
  ['p1', there('u1')],
]);

test('correct records have no violation', () => {
  const again = { ...(good[0] as CommandRecord), again: (good[0] as CommandRecord).answer };
  assert.equal(wrongsOf([again, ...good.slice(1)], now), []);
});

const broken: readonly [what: string, records: readonly CommandRecord[], now: ReadonlyMap<string, PortNow>, RegExp][] =
  [
    [
      'an answered creation is lost',
      good,
      new Map([['p1', there('u1')]]),
      /p0: the last answer said u2, there is nothing/,
    ],
    [
      'an answered deletion is lost',
      [...good, deleted('p1', 40)],
      now,
      /p1: the last answer said deleted, there is u1/,
    ],
    ['a creation was applied again', good, new Map([...now, ['p0', there('u9')]]), /said u2, there is u9/],
    [
      'an address belongs to two at once',
      [...good, created('p2', 'u3', '10.0.0.6', 40)],
      new Map([...now, ['p2', there('u3')]]),
      /10\.0\.0\.6 was p0's and p2's at once/,
    ],
    [
      'a key has two answers',
      good.map((record, at) => (at === 0 ? { ...record, again: { ok: false, code: 'in_use' } } : record)),
      now,
      /create p0 key k-u0: answered .* then/,
    ],
    [
      'a command is refused for what it did before',
      [...good, { ...deleted('p1', 40), answer: { ok: false, code: 'not_found' } }],
      new Map([['p0', there('u2')]]),
      /delete p1 was refused: not_found/,
    ],
    ['a version is missing', good, new Map([...now, ['p0', there('u2', [1, 2, 4])]]), /jumps from version 2 to 4/],
    [
      'two creations have one uid',
      [...good, deleted('p1', 40), created('p1', 'u1', '10.0.0.7', 50)],
      now,
      /p1: two creations gave the uid u1/,
    ],
  ];
for (const [what, records, at, words] of broken) {
  test(`broken: ${what}`, () => assert.match(wrongsOf(records, at).join('\n'), words));
}

test('a run with too few commands or too few answers is invalid', () => {
  const figures = { asked: 1_000, ok: 299, rejected: 0, unknown: 701, overloaded: 0, seconds: 4, longestSilenceMs: 9 };
  assert.match(invalidity(figures, 200) ?? '', /only 30 % of the answers were ok/);
  assert.match(invalidity({ ...figures, ok: 900, seconds: 10 }, 200) ?? '', /only 100 commands\/s were asked/);
  assert.is(invalidity({ ...figures, ok: 900 }, 200), undefined);
});

test.run();
