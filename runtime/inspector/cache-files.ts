/**
 * Files of the inspector's cache folder: named by a hash of their sources, written whole or not at all. Several
 * processes may share one folder. Called by chart-store.ts and page-bundle.ts.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Hash of the sources of one folder (not below it), tests left out: changed code never meets an old cache. */
export async function hashFolder(folder: string, endings: readonly string[]): Promise<string> {
  const names = (await readdir(folder)).filter(
    (name) => endings.some((ending) => name.endsWith(ending)) && !name.includes('.test.'),
  );
  const hash = createHash('sha256');
  for (const name of names.sort()) hash.update(name).update(await readFile(join(folder, name)));
  return hash.digest('hex');
}

let written = 0;

/** A reader sees the old file, none, or this one. Makes the folder. */
export async function writeWhole(file: string, content: string): Promise<void> {
  written += 1;
  const partial = `${file}.${process.pid}-${written}`;
  await mkdir(dirname(file), { recursive: true });
  await writeFile(partial, content);
  await rename(partial, file);
}
