/** The token file: its format, that it is read again, and that an invalid one does not lock everybody out. */
import { createHash } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { clientClock } from '../client/client-clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { until } from './raw-client-for-tests.ts';
import { openTokenFile, parseTokens } from './token-file.ts';

const entry = (token: string, name: string, scope: unknown, admin = false): object => ({
  name,
  sha256: createHash('sha256').update(token).digest('hex'),
  scope,
  admin,
});

test('tokens are found by their digests, read again when replaced, kept when the file is invalid', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'photon-tokens-'));
  const path = join(folder, 'tokens.json');
  const errors: string[] = [];
  const log: Log = { debug() {}, info() {}, warn() {}, error: (_, text) => errors.push(text), child: () => log };
  const write = (value: unknown): void => {
    writeFileSync(`${path}.new`, typeof value === 'string' ? value : JSON.stringify(value));
    renameSync(`${path}.new`, path);
  };
  write([entry('t1', 'ann', 'acme'), entry('t2', 'root', '*', true), entry('t3', 'cat', ['acme', 'bits'])]);
  const file = openTokenFile({ path, log, clock: clientClock, pollMs: 20 });
  try {
    const ann = file.byToken('t1');
    assert.equal([ann?.name, ann?.scopes, ann?.admin], ['ann', ['acme'], false]);
    assert.equal([file.byToken('t2')?.scopes, file.byToken('t2')?.admin], ['*', true]);
    assert.equal(file.byToken('t3')?.scopes, ['acme', 'bits']);
    assert.is(file.byToken('t4'), undefined);
    assert.is(file.byToken(''), undefined);
    assert.is(file.byId(ann?.id ?? ''), ann);
    let changes = 0;
    file.onChange?.(() => (changes += 1));
    write([entry('t1', 'ann', 'acme', true), entry('t4', 'bob', 'bits')]);
    await until(() => file.byToken('t4') !== undefined, 'the new token');
    assert.is(changes, 1);
    assert.is(file.byToken('t2'), undefined);
    // An entry with other rights is another credential, so the old one's sessions end.
    assert.is(file.byId(ann?.id ?? ''), undefined);
    assert.is(file.byToken('t1')?.admin, true);
    write('[{"name": "ann"');
    await until(() => errors.length > 0, 'the first error in the log');
    assert.is(changes, 1, 'nothing was revoked');
    assert.is(file.byToken('t4')?.name, 'bob');
    rmSync(path);
    await until(() => errors.length > 1, 'the second error in the log');
    assert.is(file.byToken('t4')?.name, 'bob');
  } finally {
    file.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a token is refused when it has expired, or was issued up to a revocation of its name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'photon-tokens-'));
  const path = join(folder, 'tokens.json');
  const day = (number: number): string => `2026-01-0${number}T00:00:00Z`;
  const dated = (token: string, issued: string): object => ({
    ...entry(token, 'ann', 'acme'),
    issued,
    expires: day(9),
  });
  writeFileSync(path, JSON.stringify([dated('old', day(2)), dated('new', day(4)), entry('undated', 'ann', 'acme')]));
  const log: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
  let nowMs = Date.parse(day(5));
  let revokedMs = -1;
  const file = openTokenFile({
    path,
    log,
    clock: { ...clientClock, wallMs: () => nowMs },
    isRevoked: (name, issuedMs) => name === 'ann' && issuedMs <= revokedMs,
  });
  const inForce = (): string[] => ['old', 'new', 'undated'].filter((token) => file.byToken(token) !== undefined);
  try {
    assert.equal(inForce(), ['old', 'new', 'undated']);
    const old = file.byToken('old');
    revokedMs = Date.parse(day(3));
    assert.equal(inForce(), ['new']);
    assert.is(file.byId(old?.id ?? ''), undefined, 'the sessions of the revoked token end');
    nowMs = Date.parse(day(9));
    assert.equal(inForce(), []);
  } finally {
    file.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the error of an invalid file names the invalid field', () => {
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    ['{', /is not JSON/],
    [{}, /is wrong/],
    [[{ ...entry('t', 'ann', 'acme'), sha256: 'abc' }], /SHA-256 of the token/],
    [[{ ...entry('t', 'ann', 'acme'), extra: 1 }], /extra/],
    [[entry('t', 'Ann', 'acme')], /name/],
    [[entry('t', 'ann', [])], /scope/],
  ];
  for (const [value, pattern] of wrong) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    try {
      parseTokens(text, 'tokens.json');
      assert.unreachable(text);
    } catch (error) {
      assert.instance(error, PhotonError);
      assert.match((error as Error).message, pattern);
    }
  }
});

test.run();
