/**
 * One process per node folder: an flock held for as long as this process lives, whichever way it dies.
 * Node has no flock; the program `flock` holds it for a `cat` whose standard input is ours, and both end with us.
 */
import { join } from 'node:path';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { execa } from 'execa';

/** The last holder may be a moment in dying; then a second process is told, not queued. */
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
