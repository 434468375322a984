/**
 * A copy of the sources with one mutant applied, in a temporary folder; the checkout is never changed. npm packages are
 * symbolic links to the checkout's, the four workspaces are copied. Called by mutants-main.ts.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mutant } from './mutant-list.ts';

const workspaces = ['runtime', 'machines', 'actors', 'cluster-tests'];

export interface MutantCopy {
  readonly folder: string;
  remove(): Promise<void>;
}

/** @throws Error when a text of the mutant does not occur exactly once in its file */
export async function copyWith(top: string, mutant: Mutant): Promise<MutantCopy> {
  const folder = await mkdtemp(join(tmpdir(), 'photon-mutant-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    await cp(join(top, 'package.json'), join(folder, 'package.json'));
    for (const name of workspaces) await cp(join(top, name), join(folder, name), { recursive: true });
    await linkPackages(top, folder);
    for (const { file, find, put } of mutant.patches) {
      const text = await readFile(join(folder, file), 'utf8');
      const parts = text.split(find);
      if (parts.length !== 2)
        throw new Error(
          `mutant "${mutant.name}": its text occurs ${parts.length - 1} times in ${file}; update the mutant`,
        );
      await writeFile(join(folder, file), parts.join(put));
    }
    return { folder, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function linkPackages(top: string, folder: string): Promise<void> {
  const modules = join(folder, 'node_modules');
  await mkdir(join(modules, '@photoncloud'), { recursive: true });
  for (const name of await readdir(join(top, 'node_modules'))) {
    if (name !== '@photoncloud' && !name.startsWith('.'))
      await symlink(join(top, 'node_modules', name), join(modules, name));
  }
  for (const name of workspaces) await symlink(join(folder, name), join(modules, '@photoncloud', name));
}
