/**
 * Keeps file descriptors of the worker for what runs already: watches, links, the store, stops and removals. Whatever
 * is new (a VM, a tap, a copy of an image or a volume) is refused by name while fewer than the reserve are free.
 * Without it the worker would run out in the middle of something. Called by the operations that begin something new,
 * and by the agent, which reports the numbers. Promise G11 of docs/promises.md.
 */
import { readdir, readFile } from 'node:fs/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Descriptors } from './contract/host-contract.ts';
import { errnoOf, fileError } from './kernel-errors.ts';

/** For a program three pipes are needed for a moment, for a link to a node or to QEMU one. */
export const reservedDescriptors = 64;

/** Of this process. When not even these can be read, none is left. */
export async function readDescriptors(): Promise<Descriptors> {
  try {
    const limits = await readFile('/proc/self/limits', 'utf8');
    const limit = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.MAX_SAFE_INTEGER);
    // One of those in the list reads the list.
    const used = (await readdir('/proc/self/fd')).length - 1;
    return { used, limit, reserved: reservedDescriptors };
  } catch (error) {
    if (!['EMFILE', 'ENFILE'].includes(errnoOf(error))) throw fileError('counting descriptors', error);
    return { used: 0, limit: 0, reserved: reservedDescriptors };
  }
}

/** @throws fault `descriptors_low` */
export async function requireDescriptors(what: string): Promise<void> {
  const { used, limit, reserved } = await readDescriptors();
  if (limit - used >= reserved) return;
  const numbers = limit === 0 ? 'has no file descriptor left' : `uses ${used} of ${limit} file descriptors`;
  throw new PhotonError(
    'fault',
    'descriptors_low',
    `${what} is refused: the worker ${numbers}, and the last ${reserved} are kept for what runs. ` +
      'Raise its limit (LimitNOFILE), or move work to another host; it is tried again.',
  );
}
