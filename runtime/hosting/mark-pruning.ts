/**
 * Marks of senders that are gone leave the record (G11); what arrives of them all the same is not applied twice (G2).
 *
 * A copy of a message may arrive arbitrarily late: a process that stood still holds in memory what its successor has
 * long had acknowledged. So a mark may go only when its sender's life is over and no message of it stands in the
 * outbox: what is not there any more was applied, and what is gone is never written again. The record keeps the
 * youngest life whose mark was pruned. A message that bears no mark and is of no younger life is doubtful: its sender's
 * outbox is asked, and if it does not stand there, it was applied. A message of a younger life costs nothing.
 *
 * The grace is for a Redis Cluster of which one primary goes back alone: rows of acknowledged messages are back there,
 * and only the mark tells. Called by step.ts and input-check.ts.
 */
import { isForGood } from '../contract/errors.ts';
import { sequenceOf } from '../contract/sender-mark.ts';
import type { Activation } from './activation.ts';
import type { Draft } from './draft.ts';
import { busyWhileHeldMs } from './holding.ts';
import type { MessageInput } from './mailbox.ts';
import type { Surroundings } from './surroundings.ts';

/** Removed by one commit: it holds up the others for as long as some ten usual ones. */
const marksPerCommit = 500;

/** Asks which marks can go, once there are too many. Those go at once: who is seldom in memory would else keep them. */
export function reviewMarks(host: Surroundings, actor: Activation): void {
  const { id, marks } = actor;
  if (marks.size <= (actor.marksAllowed ?? host.limits.marks) || actor.reviewsMarks) return;
  actor.reviewsMarks = true;
  host.journal
    .endedSequences([...marks.keys()], host.clock.wallMs() - host.limits.markGraceMs)
    .then(
      (ended) => {
        if (actor.phase !== 'ready') return;
        actor.prunable = ended.toSorted((one, other) => (sequenceOf(one).life < sequenceOf(other).life ? -1 : 1));
        actor.marksAllowed = Math.max(host.limits.marks, 2 * (marks.size - ended.length));
        host.schedule(actor);
      },
      (failure: unknown) => {
        host.log.warn({ actor: id, failure }, 'senders of an actor could not be read; its marks stay for now');
        actor.marksAllowed = marks.size + host.limits.marks;
      },
    )
    .finally(() => {
      actor.reviewsMarks = false;
    });
}

/** A part of what can go leaves with this commit, which may be about nothing else. */
export function pruneMarks(draft: Draft): void {
  const { actor } = draft;
  if (actor.prunable.length === 0) return;
  draft.marksPruned = actor.prunable.slice(0, marksPerCommit);
  actor.prunable = actor.prunable.slice(marksPerCommit);
  for (const mark of draft.marksPruned) {
    actor.marks.delete(mark);
    const { life } = sequenceOf(mark);
    if (life > actor.prunedLife) actor.prunedLife = life;
  }
}

/** @returns undefined when the message has not been applied, as far as its sender knows */
export function checkDoubtful(
  host: Surroundings,
  actor: Activation,
  input: MessageInput,
): 'wait' | 'settled' | undefined {
  switch (input.atSender) {
    case 'outstanding':
      return undefined;
    case 'gone':
      input.settle({ result: 'applied' });
      return 'settled';
    case 'unreadable':
      input.settle({ result: 'busy', retryAfterMs: busyWhileHeldMs });
      return 'settled';
    case undefined:
      askSender(host, actor, input);
      return 'wait';
    case 'reading':
      return 'wait';
  }
}

function askSender(host: Surroundings, actor: Activation, input: MessageInput): void {
  input.atSender = 'reading';
  const { from, seq } = input.message;
  host.journal.isOutstanding(input.message).then(
    (isOutstanding) => {
      input.atSender = isOutstanding ? 'outstanding' : 'gone';
      host.schedule(actor);
    },
    (failure: unknown) => {
      if (isForGood(failure)) {
        host.log.error({ actor: actor.id, from, seq, failure }, 'a message cannot be read at its sender; it is held');
        input.atSender = 'unreadable';
        return host.schedule(actor);
      }
      host.log.warn({ actor: actor.id, from, seq, failure }, 'a sender could not be read; trying again');
      return void host.clock.after(host.limits.readAgainMs, () => {
        input.atSender = undefined;
        host.schedule(actor);
      });
    },
  );
}
