/**
 * The lock of a node's folder: one process per folder. An flock is held until this process ends, however it ends.
 * Node has no flock call, so the program `flock` holds the lock while it runs `cat`, whose standard input is a pipe
 * from this process; both end when the pipe closes.
 */
import { join } from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { execa } from 'execa';

/** The last holder may still be ending, so we wait this long; then the caller gets an error instead of waiting on. */
const patienceSeconds = '3';

/** @throws defeat `folder_locked` when another process has the folder */
export async function lockFolder(folder: string): Promise<{ release(): Promise<void> }> {
  const holder = execa('flock', ['-w', patienceSeconds, '-E', '75', join(folder, 'lock'), 'cat'], {
    stdin: 'pipe',
    stdout: 'pipe',
    reject: false,
    forceKillAfterDelay: 1_000,
  });
  holder.stdin.write('held\n');
  const held = await Promise.race([
    new Promise<boolean>((resolve) => holder.stdout.once('data', () => resolve(true))),
    holder.then(() => false),
  ]);
  if (!held) {
    throw new PhotonError('defeat', 'folder_locked', `another process runs the node in ${folder}; stop it first`);
  }
  return {
    async release() {
      holder.stdin.end();
      await holder;
    },
  };
}
