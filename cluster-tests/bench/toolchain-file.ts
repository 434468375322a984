/**
 * Reads from `.cache/toolchain.json`, which set-up writes, where QEMU is. For the bench and tests that boot a guest.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

export interface Toolchain {
  readonly qemu: { readonly binary: string; readonly libDir?: string };
}

/** @throws Error that says what to run when set-up has not found a QEMU. */
export function readToolchain(): Toolchain {
  const path = resolve(import.meta.dirname, '../../.cache/toolchain.json');
  try {
    const toolchain = JSON.parse(readFileSync(path, 'utf8')) as { qemu?: Toolchain['qemu'] | null };
    if (toolchain.qemu !== undefined && toolchain.qemu !== null) return { qemu: toolchain.qemu };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  throw new Error(`${path} names no QEMU: run npm test or npm run demo once, their set-up fetches one`);
}
