/**
 * `crashing-controller-main.ts FOLDER NAME N`: a controller that kills itself with SIGKILL right after its N-th commit
 * in which NAME (`acme/web-1`) occurs: the commit is in the store, and none of its consequences has happened. Every
 * such commit is first appended to FOLDER/commits-<name>, so that a test can name the last one. With N = 0 it never
 * kills itself. Started by crash-controller.test.ts in place of `photon controller`; never in production.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { runNode } from '@photoncloud/actors/photon/node-process';
import type { Commit, CommitOutcome, Journal } from '@photoncloud/runtime/contract/journal';

const [folder = '', name = '', last = ''] = process.argv.slice(2);
const notes = join(folder, `commits-${name.replaceAll('/', '-')}`);
let counted = 0;

function note(commit: Commit): void {
  const why = commit.history.map((entry) => (entry.event as { type?: string }).type ?? '?').join(' ');
  appendFileSync(notes, `${counted} ${commit.actor} v${commit.version} ${commit.stateName} <- ${why}\n`);
}

/** Whether the commit names the object or a part of it: `web-1`, `web-1.eth0`, `web-1@w1`. */
function mentions(commit: Commit): boolean {
  return new RegExp(`/${name}(?![a-z0-9-])`).test(JSON.stringify(commit));
}

function crashing(journal: Journal): Journal {
  return {
    durability: journal.durability,
    async commit(commit: Commit): Promise<CommitOutcome> {
      const outcome = await journal.commit(commit);
      if (outcome.result !== 'committed' || !mentions(commit)) return outcome;
      counted += 1;
      note(commit);
      if (counted === Number(last)) process.kill(process.pid, 'SIGKILL');
      return outcome;
    },
    load: (id) => journal.load(id),
    loadRows: (id, keys) => journal.loadRows(id, keys),
    isHeld: (grant) => journal.isHeld(grant),
    receipt: (id, commandId, asked) => journal.receipt(id, commandId, asked),
    deadLetters: (id) => journal.deadLetters(id),
    endedSequences: (watermarks, beforeMs) => journal.endedSequences(watermarks, beforeMs),
    isOutstanding: (message) => journal.isOutstanding(message),
    backlog: (grant) => journal.backlog(grant),
    forgetMessages: (grant, rows) => journal.forgetMessages(grant, rows),
    shardOf: (id) => journal.shardOf(id),
  };
}

await runNode(folder, 'controller', { journal: crashing });
