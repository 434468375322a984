/**
 * nix/source-roots.json, the one list of what is in a package: which tracked files it takes, by the rule of
 * nix/sources.nix. The audit (source-closure.ts, source-build.ts) asks whether that is enough.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const path = z.string().regex(/^[\w.@-]+(\/[\w.@-]+)*$/, 'must be a path from the top');

const sourcePackage = z.strictObject({
  /** Files and folders that are taken. */
  roots: z.array(path).min(1),
  /** Endings of names that are left out. */
  without: z.array(z.string()),
  /** Modules that are started. */
  entries: z.array(path).min(1),
  /** What a module reads whose path it makes at run time. */
  assets: z.record(path, z.array(path).min(1)),
});
export type SourcePackage = z.infer<typeof sourcePackage>;

const sourceRoots = z.strictObject({
  packages: z.record(z.string(), sourcePackage),
  /** Tracked files and folders of no package, with the reason. */
  unpackaged: z.record(path, z.string()),
});
export type SourceRoots = z.infer<typeof sourceRoots>;

export const rootsFile = 'nix/source-roots.json';

/** @throws ZodError when the list is not one */
export const readRoots = (top: string): SourceRoots =>
  sourceRoots.parse(JSON.parse(readFileSync(join(top, rootsFile), 'utf8')));

/** By component: `actors` does not hold `actors-x/y`. */
export const isBelow = (root: string, file: string): boolean => file === root || file.startsWith(`${root}/`);

export const isSelected = ({ roots, without }: SourcePackage, file: string): boolean =>
  roots.some((root) => isBelow(root, file)) && !without.some((ending) => file.endsWith(ending));

export const trackedFiles = (top: string): readonly string[] =>
  execFileSync('git', ['ls-files', '-z'], { cwd: top, encoding: 'utf8' })
    .split('\0')
    .filter((file) => file !== '');

/** Files that only one of the two lists has. @returns a line for each */
export function differences(wanted: readonly string[], found: readonly string[], where: string): readonly string[] {
  const [all, got] = [new Set(wanted), new Set(found)];
  return [
    ...wanted.filter((file) => !got.has(file)).map((file) => `${file}: git has it below a root, ${where} has not`),
    ...found.filter((file) => !all.has(file)).map((file) => `${file}: ${where} has it, git has not, below a root`),
  ];
}

/** What the list itself gets wrong: roots that take nothing, files that are neither taken nor said to be left out. */
export function listProblems(roots: SourceRoots, tracked: readonly string[]): readonly string[] {
  const packages = Object.entries(roots.packages);
  const claimed = [...packages.flatMap(([, one]) => one.roots), ...Object.keys(roots.unpackaged)];
  const isEmpty = (root: string): boolean => !tracked.some((file) => isBelow(root, file));
  return [
    ...packages.flatMap(([name, one]) =>
      one.roots.filter(isEmpty).map((root) => `${rootsFile}: root ${root} of ${name} has no tracked file`),
    ),
    ...Object.keys(roots.unpackaged)
      .filter(isEmpty)
      .map((root) => `${rootsFile}: unpackaged ${root} has no tracked file; take it out`),
    ...tracked
      .filter((file) => !claimed.some((root) => isBelow(root, file)))
      .map((file) => `${file}: is below no root; add one to ${rootsFile}, or name it in unpackaged with a reason`),
  ];
}
