/**
 * The packages as somebody else gets them: packed, installed beside their third-party packages without a registry, run
 * by plain Node and read by a strict compiler; `photon` is called as a command. Proves that the packages name what they
 * need; not that the control plane works (the other tests do).
 */
// time limit: 420 s
// test limit: 240 s
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeFlags } from './node-flags.ts';
import { layProductionCommands, layProductionPackages } from './production-packages.ts';
import { packWorkspaces } from './workspace-packages.ts';

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

test.before(() => {
  mkdirSync(consumer);
  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', type: 'module', private: true }));
  layProductionPackages(top, consumer);
  layProductionCommands(top, consumer);
  const tarballs = Object.values(packWorkspaces(folder));
  const offline = ['--offline', '--cache', join(folder, 'empty-cache')];
  run('npm', ['install', ...offline, '--ignore-scripts', '--engine-strict', '--loglevel=error', ...tarballs]);
});

test('a program elsewhere imports the runtime, and a strict compiler reads its declarations', () => {
  writeFileSync(
    join(consumer, 'consumer.ts'),
    `
    import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
    import type { Clock } from '@photoncloud/runtime/contract/clock';
    import { decide } from '@photoncloud/runtime/hosting/decide';
    import '@photoncloud/runtime/journal/redis-journal';
    import { networkMachine } from '@photoncloud/machines/network/network-machine';
    import { createRegistry } from '@photoncloud/actors/registry';
    const clock: Clock = { wallMs: () => 0, monotonicMs: () => 0, after: () => () => undefined };
    const error: PhotonError = reject('busy', 'at ' + clock.wallMs());
    // @ts-expect-error: the declarations are read, and are not any
    const wrong: number = error.record.code;
    console.log(error.record.code, typeof wrong, typeof decide, networkMachine.id, typeof createRegistry);
  `,
  );
  assert.is(run(process.execPath, ['consumer.ts']).trim(), 'busy string function network function');
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

test('the command photon is installed, says its version and lists its verbs', () => {
  const { version } = JSON.parse(readFileSync(join(top, 'actors/package.json'), 'utf8')) as { version: string };
  const photon = join(consumer, 'node_modules/.bin/photon');
  assert.is(run(photon, ['--version']), `${version}\n`);
  const help = run(photon, ['--help']);
  assert.match(help, /Usage: photon \[options\] \[command\]/);
  for (const verb of ['apply', 'init', 'worker', 'upgrade']) assert.match(help, new RegExp(`^  ${verb} `, 'm'));
});

test('the command starts Node with the flags of the top package.json', () => {
  const [first] = readFileSync(join(top, 'actors/photon/photon-launcher.ts'), 'utf8').split('\n');
  assert.is(first, `#!/usr/bin/env -S node ${nodeFlags.join(' ')}`);
});

test.run();
