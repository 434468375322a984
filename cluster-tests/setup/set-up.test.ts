/**
 * The parts of set-up that can go wrong without anybody seeing: where Debian's mirror is read from, which Node is new
 * enough, and what the next run does with a download that was cut off. The whole of set-up is proved by npm test
 * itself.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const here = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), 'photon-set-up-'));
test.after(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Runs shell text with the functions of one set-up file at hand. */
const shell = (file: string, text: string): string =>
  execFileSync('sh', ['-c', `set -u; apt_folder=${folder}/apt; . ${join(here, file)}; ${text}`], {
    encoding: 'utf8',
    stdio: 'pipe',
  }).trim();

const withSources = (files: Readonly<Record<string, string>>): void => {
  rmSync(join(folder, 'apt'), { recursive: true, force: true });
  mkdirSync(join(folder, 'apt/sources.list.d'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'apt', name), text);
};

test('the mirror is found in a deb822 file, with its key, past disabled and other sources', () => {
  withSources({
    'sources.list.d/a.sources':
      'Types: deb\nURIs: http://a.example/off\nSuites: bookworm\nEnabled: no\n\n' +
      'Types: deb-src\nURIs: http://a.example/src\nSuites: bookworm\nComponents: main\n',
    'sources.list.d/b.sources':
      '# comment\nTypes: deb deb-src\n# comment inside\nURIs: http://b.example/debian\n' +
      'Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/b.gpg\n',
  });
  assert.is(shell('unpacked-packages.sh', 'host_source bookworm'), 'http://b.example/debian /usr/share/keyrings/b.gpg');
  assert.is(shell('unpacked-packages.sh', 'host_source bookworm-security'), '');
});

test('the mirror is found in one-line files, with and without options', () => {
  withSources({
    'sources.list':
      '# deb http://no.example/debian bookworm main\ndeb-src http://no.example/debian bookworm main\n' +
      'deb [arch=amd64 signed-by=/k.gpg] http://c.example/debian bookworm main contrib\n',
    'sources.list.d/s.list': 'deb http://d.example/security bookworm-security main\n',
  });
  assert.is(shell('unpacked-packages.sh', 'one_line_source bookworm'), 'http://c.example/debian /k.gpg');
  assert.is(shell('unpacked-packages.sh', 'one_line_source bookworm-security'), 'http://d.example/security -');
});

test('Node is new enough from 24.11 on', () => {
  const fake = join(folder, 'node');
  const answers = { '20.20.2': 'no', '24.9.0': 'no', '24.11.0': 'yes', '26.0.1': 'yes', '': 'no' };
  for (const [version, answer] of Object.entries(answers)) {
    writeFileSync(fake, `#!/bin/sh\necho ${version}\n`);
    chmodSync(fake, 0o755);
    assert.is(shell('node-runtime.sh', `is_new_enough ${fake} 2>/dev/null && echo yes || echo no`), answer, version);
  }
});

test('a QEMU is new enough from the floor on', () => {
  const fake = join(folder, 'qemu');
  const answers = { '7.2.0': 'no', '10.0.2': 'no', '10.0.13': 'yes', '10.1.0': 'yes', '11.0.0': 'yes', '': 'no' };
  for (const [version, answer] of Object.entries(answers)) {
    writeFileSync(fake, `#!/bin/sh\necho 'QEMU emulator version ${version} (Debian 1:${version}+ds)'\n`);
    chmodSync(fake, 0o755);
    assert.is(shell('unpacked-packages.sh', `is_qemu_from ${fake} 10.0.13 && echo yes || echo no`), answer, version);
  }
});

test('a download that was cut off is removed, and a missing entry is named', () => {
  const checkout = join(folder, 'checkout');
  mkdirSync(join(checkout, '.cache/qemu.partial'), { recursive: true });
  mkdirSync(join(checkout, 'node_modules'), { recursive: true });
  mkdirSync(join(checkout, 'cluster-tests'), { recursive: true });
  execFileSync('cp', ['-r', here, join(checkout, 'cluster-tests/setup')]);
  writeFileSync(join(checkout, 'package-lock.json'), '{}');
  writeFileSync(join(checkout, 'node_modules/.lock-digest'), execFileSync('cksum', { input: '{}' }));
  const start = ['cluster-tests/setup/run.sh', 'node', 'no-such-entry.ts'];
  const run = spawnSync('sh', start, { cwd: checkout, encoding: 'utf8' });
  assert.not.ok(existsSync(join(checkout, '.cache/qemu.partial')));
  assert.match(run.stderr, /no-such-entry\.ts/);
  assert.is.not(run.status, 0);
});

test.run();
