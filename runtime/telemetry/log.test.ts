import { PassThrough } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import { createLog, prettyLine } from './log.ts';
import type { LogOptions } from './log.ts';

function written(options: LogOptions, write: (log: ReturnType<typeof createLog>) => void): string {
  const destination = new PassThrough();
  write(createLog({ ...options, destination }));
  return String(destination.read() ?? '');
}

test('a line is JSON with level, time, fields and message', () => {
  const line = written({ fields: { part: 'journal' } }, (log) => log.info({ shard: 's1' }, 'taken'));
  const { time, ...rest } = JSON.parse(line) as Record<string, unknown>;
  assert.equal(rest, { level: 'info', part: 'journal', shard: 's1', msg: 'taken' });
  assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
});

test('levels below the configured one are dropped, children keep their fields', () => {
  const text = written({ level: 'warn' }, (log) => {
    log.info({}, 'below the level');
    log.child({ actor: 'vm/a/b' }).warn({ n: 1 }, 'written');
  });
  assert.equal(text.trim().split('\n').length, 1);
  assert.match(text, /"actor":"vm\/a\/b","n":1,"msg":"written"/);
});

test('errors are written with their causes', () => {
  const failure = new PhotonError('fault', 'disk_full', 'no room', { cause: new Error('ENOSPC') });
  const text = written({}, (log) => log.error({ failure, plain: new TypeError('slip') }, 'bad'));
  assert.match(text, /"failure":"disk_full: PhotonError: no room <- Error: ENOSPC"/);
  assert.match(text, /"plain":"TypeError: slip"/);
});

test('a line holds no character that a terminal obeys, in both formats, and JSON keeps the value', () => {
  const evil = 'a\u001b[31m\u009b\u202e\n\rb';
  for (const format of ['json', 'pretty'] as const) {
    const text = written({ format }, (log) => log.info({ why: evil }, evil));
    assert.not.match(text.replace(/\n$/, ''), /\p{C}/u);
    if (format === 'json') assert.is((JSON.parse(text) as { why: string }).why, evil);
  }
});

test('pretty format: one aligned line, and text that is no JSON passes unchanged', () => {
  const line = '{"level":"warn","time":"2026-01-02T03:04:05.678Z","actor":"vm/a/b","why":"two words","msg":"slow"}';
  assert.is(prettyLine(line, false), `03:04:05.678 WARN  ${'slow'.padEnd(44)} actor=vm/a/b why="two words"\n`);
  assert.ok(prettyLine(line, true).includes('\x1b['));
  assert.is(prettyLine('panic', false), 'panic\n');
  assert.match(
    written({ format: 'pretty' }, (log) => log.info({}, 'up')),
    /INFO {2}up\n$/,
  );
});

test.run();
