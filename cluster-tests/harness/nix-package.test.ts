/**
 * The Nix rooms, as far as they can be proved without nixpkgs: the files parse (where nix-instantiate is installed),
 * and the layout that nix/package.nix makes runs, laid out here from the same lock by the same rule.
 * Does not prove that the package builds in nixpkgs or that the module boots a host.
 */
// time limit: 120 s
// test limit: 60 s
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { listFiles } from './tidy-sources.ts';

const top = join(import.meta.dirname, '../..');
const share = mkdtempSync(join(tmpdir(), 'photon-share-'));
const nixFiles = listFiles(top).filter((path) => path.endsWith('.nix'));
test.after(() => {
  rmSync(share, { recursive: true, force: true });
});

interface LockEntry {
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly integrity?: string;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

/** The rule of nix/npm-packages.nix. */
const fits = (entry: LockEntry): boolean =>
  entry.dev !== true &&
  entry.link !== true &&
  entry.integrity !== undefined &&
  (entry.os ?? ['linux']).includes('linux') &&
  (entry.cpu ?? ['x64']).includes('x64') &&
  (entry.libc ?? ['glibc']).includes('glibc');

const isInstalled = (program: string): boolean => {
  try {
    return execFileSync('which', [program], { stdio: 'pipe' }).length > 0;
  } catch {
    return false; // which says no by its exit code
  }
};

if (isInstalled('nix-instantiate')) {
  test('nix files parse', () => {
    for (const path of nixFiles) execFileSync('nix-instantiate', ['--parse', join(top, path)], { stdio: 'pipe' });
  });
} else {
  test.skip('nix files parse: nix-instantiate is not installed');
}

test('what is laid out below share/photoncloud runs with production packages alone', () => {
  const lockText = readFileSync(join(top, 'package-lock.json'), 'utf8');
  const lock = JSON.parse(lockText) as { packages: Record<string, LockEntry> };
  for (const room of ['actors', 'machines', 'runtime']) {
    const filter = (path: string): boolean => !/node_modules|\.test\.tsx?$/.test(path.slice(top.length));
    cpSync(join(top, room), join(share, room), { recursive: true, filter });
    mkdirSync(join(share, 'node_modules/@photoncloud'), { recursive: true });
    symlinkSync(`../../${room}`, join(share, 'node_modules/@photoncloud', room));
  }
  cpSync(join(top, 'package.json'), join(share, 'package.json'));
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (!path.startsWith('node_modules/') || !fits(entry)) continue;
    cpSync(join(top, path), join(share, path), { recursive: true });
  }
  const photon = join(share, 'actors/photon/photon-main.ts');
  const said = execFileSync(process.execPath, [photon, '--help'], { encoding: 'utf8', stdio: 'pipe' });
  assert.match(said, /Usage: photon/);
  assert.match(execFileSync(process.execPath, [photon, 'worker', '--help'], { encoding: 'utf8' }), /--dir/);
});

test.run();
