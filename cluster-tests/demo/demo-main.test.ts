/** What `npm run demo` says before it starts anything. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const run = (...argv: readonly string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, 'demo-main.ts'), ...argv], { encoding: 'utf8' });

test('--help explains the options, and an unknown option is a usage error without a stack trace', () => {
  const help = run('--help');
  assert.equal([help.status, help.stderr], [0, '']);
  assert.match(help.stdout, /^usage: npm run demo/);
  const wrong = run('--onec');
  assert.is(wrong.status, 2);
  assert.match(wrong.stderr, /Unknown option '--onec'[^]*usage: npm run demo/);
  assert.not.match(wrong.stderr, /\n\s+at /);
});

test.run();
