/**
 * The third-party packages that the installed programs need, by package-lock.json: the rule of nix/npm-packages.nix in
 * TypeScript. Called by the tests that install photoncloud from this checkout's node_modules, without a registry.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

interface LockEntry {
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly integrity?: string;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

const fits = (entry: LockEntry): boolean =>
  entry.dev !== true &&
  entry.link !== true &&
  entry.integrity !== undefined &&
  (entry.os ?? ['linux']).includes('linux') &&
  (entry.cpu ?? ['x64']).includes('x64') &&
  (entry.libc ?? ['glibc']).includes('glibc');

/** Their folders below `top`: `node_modules/zod`. */
export function productionPackages(top: string): string[] {
  const text = readFileSync(join(top, 'package-lock.json'), 'utf8');
  const lock = JSON.parse(text) as { packages: Record<string, LockEntry> };
  return Object.entries(lock.packages)
    .filter(([path, entry]) => path.startsWith('node_modules/') && fits(entry))
    .map(([path]) => path);
}

/** Puts them into `folder`/node_modules, linked file by file where both lie on one file system. */
export function layProductionPackages(top: string, folder: string): void {
  for (const path of productionPackages(top)) {
    const to = join(folder, path);
    mkdirSync(dirname(to), { recursive: true });
    try {
      execFileSync('cp', ['-al', join(top, path), to], { stdio: 'pipe' });
    } catch {
      // Another file system, where files cannot be linked.
      execFileSync('cp', ['-a', join(top, path), dirname(to)], { stdio: 'pipe' });
    }
  }
}

/** Their commands too, as npm lays them: npm fetches a package again whose command is missing. */
export function layProductionCommands(top: string, folder: string): void {
  const from = join(top, 'node_modules/.bin');
  const to = join(folder, 'node_modules/.bin');
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    const target = readlinkSync(join(from, name));
    if (existsSync(join(to, target))) symlinkSync(target, join(to, name));
  }
}
