/**
 * Refuses (as a bug) a malformed commit before it is sent: the script would fail half way, and Redis does not roll a
 * script back. Pure. Called by redis-journal.ts before a commit is queued. Whether the store accepts a well-formed
 * commit is decided by the script.
 */
import { PhotonError } from '../contract/errors.ts';
import type { Commit } from '../contract/journal.ts';
import { shardOf } from './shard-placement.ts';

/** @throws PhotonError bug when hosting built a commit that must not reach the store */
export function checkCommit(commit: Commit): void {
  const { actor, grant, expectedVersion, version } = commit;
  const wrong = (what: string): PhotonError =>
    new PhotonError(
      'bug',
      'commit_malformed',
      `a commit of ${actor} ${what}; nothing was written; this is a defect, report it`,
      { actor },
    );
  if (shardOf(actor) !== grant.shard)
    throw wrong(`bears a grant of shard ${grant.shard} but belongs to ${shardOf(actor)}`);
  if (!Number.isSafeInteger(expectedVersion) || !Number.isSafeInteger(version) || expectedVersion < 0)
    throw wrong('has no whole version');
  if (version < expectedVersion || version < 1) throw wrong(`goes from version ${expectedVersion} to ${version}`);
  if (commit.commitId === '') throw wrong('has no commit id');
  let last = expectedVersion;
  for (const entry of commit.history) {
    if (!(entry.version >= last && entry.version <= version))
      throw wrong(`has history of version ${entry.version} out of order`);
    last = entry.version;
  }
  for (const timer of commit.timersSet) {
    if (!Number.isFinite(timer.dueMs)) throw wrong(`sets timer ${timer.timerId} to no time`);
  }
  for (const watermark of commit.watermarks) {
    if (!Number.isSafeInteger(watermark.seq) || !Number.isSafeInteger(watermark.after))
      throw wrong(`has a watermark of ${watermark.sender} that is no number`);
  }
}
