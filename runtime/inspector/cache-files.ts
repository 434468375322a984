/**
 * Files of the inspector's cache folder: named by a hash of their sources and written atomically. Several processes may
 * share one folder. Called by chart-store.ts and page-bundle.ts.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Hash of the sources directly in one folder, without tests, so that changed code does not use an old cache file. */
export async function hashFolder(folder: string, endings: readonly string[]): Promise<string> {
  const names = (await readdir(folder)).filter(
    (name) => endings.some((ending) => name.endsWith(ending)) && !name.includes('.test.'),
  );
  const hash = createHash('sha256');
  for (const name of names.sort()) hash.update(name).update(await readFile(join(folder, name)));
  return hash.digest('hex');
}

let written = 0;

/** Writes the file atomically: a reader sees the old content or the new one. Makes the folder. */
export async function writeAtomically(file: string, content: string): Promise<void> {
  written += 1;
  const partial = `${file}.${process.pid}-${written}`;
  await mkdir(dirname(file), { recursive: true });
  await writeFile(partial, content);
  await rename(partial, file);
}
