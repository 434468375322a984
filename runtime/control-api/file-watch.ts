/**
 * Follows a file that is replaced while it is used. Polled: a file system watch is lost when the file is replaced by
 * rename, which is how it should be replaced. Called by token-file.ts and by the store node for its users.
 * Promise: a change that comes after this call is told, also one that comes before the first poll.
 */
import { statSync, unwatchFile, watchFile } from 'node:fs';
import type { Clock } from '../contract/clock.ts';

function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
}

/** Called before the file is read for the first time. @returns a function that ends it */
export function followFile(path: string, pollMs: number, clock: Clock, onChange: () => void): () => void {
  const first = stampOf(path);
  // It compares with what its own first look finds, which comes later than this call.
  watchFile(path, { interval: pollMs, persistent: false }, onChange);
  const cancel = clock.after(pollMs, () => {
    if (stampOf(path) !== first) onChange();
  });
  return () => {
    cancel();
    unwatchFile(path, onChange);
  };
}
