/**
 * Test support: commits as hosting builds them, with defaults for everything that a test does not set. Never used
 * outside of tests.
 */
import type { ActorId } from '../contract/identifiers.ts';
import type { Message, Reply } from '../contract/envelope.ts';
import type { Commit, HistoryEntry, Receipt, ShardGrant } from '../contract/journal.ts';
import type { DeadLetter } from '../contract/supervision.ts';
import { shardOf } from './shard-placement.ts';

let made = 0;

export function grantFor(actor: ActorId, node = 'n1', ownerEpoch = 1): ShardGrant {
  return { shard: shardOf(actor), node, era: 1, ownerEpoch };
}

export function historyOf(version: number, kind: HistoryEntry['kind'] = 'transition'): HistoryEntry {
  return {
    version,
    at: 1_000 + version,
    event: { type: 'x' },
    cause: `command:c${version}`,
    from: 'a',
    to: 'b',
    kind,
    asked: [],
    changed: {},
  };
}

/** From `version - 1` to `version`, one transition. */
export function commitOf(actor: ActorId, version: number, changes: Partial<Commit> = {}): Commit {
  made += 1;
  return {
    grant: grantFor(actor),
    actor,
    commitId: `commit-${made}`,
    expectedVersion: version - 1,
    version,
    uid: 'u1',
    status: 'live',
    chartVersion: 1,
    schemaHash: 'schema',
    stateName: 'running',
    state: '"running"',
    context: JSON.stringify({ count: version }),
    effects: [],
    timersSet: [],
    timersCancelled: [],
    timers: [],
    deferred: {},
    lastSeq: 0,
    watermarks: [],
    watermarksPruned: [],
    prunedUid: '',
    receipts: [],
    unproven: [],
    history: [historyOf(version)],
    messages: [],
    ackedSeqs: [],
    rowsPut: [],
    rowsRemoved: [],
    deadLetters: [],
    deadLettersGone: [],
    hold: undefined,
    historyTail: 32,
    durability: 'primary',
    ...changes,
  };
}

export function messageOf(from: ActorId, to: ActorId, seq: number, after = 0): Message {
  return { to, from, senderUid: 'u1', era: 1, seq, after, event: { type: 'hello' }, cause: `${from}@1` };
}

export function deadLetterOf(deadLetterId: string): DeadLetter {
  const cause = 'message:vm/acme/from:3';
  return { deadLetterId, event: { type: 'hello' }, cause, reason: 'poison', state: 'running', version: 1, at: 1_000 };
}

/** The answer of a receipt that is there. */
export const answerOf = (receipt: Receipt | 'forgotten' | undefined): Reply | undefined =>
  typeof receipt === 'object' ? receipt.reply : undefined;

export function receiptOf(commandId: string, version: number): Receipt {
  return { commandId, digest: 'd', reply: { ok: true, version, result: null } };
}
