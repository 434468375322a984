/**
 * runtime/ as somebody else gets it: packed, installed into an empty folder, run by plain Node and read by a strict
 * compiler. Proves that the package names what it needs; not that the control plane works (the other tests do).
 */
// time limit: 180 s
// test limit: 120 s
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packRuntime } from './runtime-package.ts';

const top = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'photon-pack-'));
const consumer = join(folder, 'consumer');
test.after(() => {
  rmSync(folder, { recursive: true, force: true });
});

const run = (program: string, args: readonly string[]): string => {
  try {
    return execFileSync(program, args, { cwd: consumer, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout ?? ''}${stderr ?? ''}`, { cause: error });
  }
};

test('packs, installs, runs and type-checks elsewhere', () => {
  mkdirSync(consumer);
  const tarball = packRuntime(folder);
  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', type: 'module', private: true }));
  run('npm', ['install', '--prefer-offline', '--ignore-scripts', '--loglevel=error', tarball]);
  writeFileSync(
    join(consumer, 'consumer.ts'),
    `
    import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
    import type { Clock } from '@photoncloud/runtime/contract/clock';
    import { decide } from '@photoncloud/runtime/hosting/decide';
    import '@photoncloud/runtime/journal/redis-journal';
    const clock: Clock = { wallMs: () => 0, monotonicMs: () => 0, after: () => () => undefined };
    const error: PhotonError = reject('busy', 'at ' + clock.wallMs());
    // @ts-expect-error: the declarations are read, and are not any
    const wrong: number = error.record.code;
    console.log(error.record.code, typeof wrong, typeof decide);
  `,
  );
  assert.is(run(process.execPath, ['consumer.ts']).trim(), 'busy string function');
  writeFileSync(
    join(consumer, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        module: 'nodenext',
        target: 'es2024',
        types: ['node'],
        typeRoots: [join(top, 'node_modules/@types')],
      },
      files: ['consumer.ts'],
    }),
  );
  run(join(top, 'node_modules/.bin/tsc'), ['-p', '.']);
});

test.run();
