/**
 * Removes the deduplication watermarks of senders that are gone from an actor's record (G11), without ever applying a
 * late copy of a message twice (G2).
 *
 * A copy of a message may arrive arbitrarily late: a suspended process may hold in memory a message that its successor
 * has long had acknowledged. So a watermark is removed only when its sender was removed or replaced (another uid) and
 * the outbox holds no message of that uid any more: such messages were applied, and none will be written again. The
 * record keeps the youngest uid whose watermark was removed. A message without a watermark whose uid is not younger
 * than that is doubtful: its sender's outbox is asked, and if the message is not there, it was applied. Messages of
 * younger uids need no such read.
 *
 * The grace period exists for a Redis Cluster of which one primary alone is rolled back: the outbox rows of
 * acknowledged messages are there again, and only the watermark tells that they were applied. Called by step.ts and
 * input-check.ts.
 */
import { isForGood } from '../contract/errors.ts';
import { sequenceOf } from '../contract/deduplication-watermark.ts';
import type { Activation } from './activation.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { busyWhileHeldMs } from './holding.ts';
import type { MessageInput } from './mailbox.ts';
import type { StepContext } from './step-context.ts';

/** Most watermarks that one commit removes; such a commit takes the store as long as some ten usual ones. */
const watermarksPerCommit = 500;

/**
 * Asks the store which watermarks can be removed, once there are too many. They are removed at once, not with the next
 * input: an actor that is seldom in memory would keep them otherwise.
 */
export function reviewWatermarks(host: StepContext, actor: Activation): void {
  const { id, reads } = actor;
  const { watermarks } = actor.ahead;
  const { watermarks: limit, watermarkGraceMs } = host.limits;
  const nowMs = host.clock.sharedMs();
  const allowed = nowMs - reads.watermarksReviewedMs > watermarkGraceMs ? limit : (reads.watermarksAllowed ?? limit);
  if (watermarks.size <= allowed || reads.reviewsWatermarks) return;
  reads.reviewsWatermarks = true;
  reads.watermarksReviewedMs = nowMs;
  host.journal
    .endedSequences([...watermarks.keys()], nowMs - watermarkGraceMs)
    .then(
      (ended) => {
        if (actor.phase !== 'ready') return;
        reads.prunable = ended.toSorted((one, other) =>
          sequenceOf(one).senderUid < sequenceOf(other).senderUid ? -1 : 1,
        );
        reads.watermarksAllowed = Math.max(host.limits.watermarks, 2 * (watermarks.size - ended.length));
        host.schedule(actor);
      },
      (failure: unknown) => {
        host.log.warn({ actor: id, failure }, 'senders of an actor could not be read; its watermarks stay for now');
        reads.watermarksAllowed = watermarks.size + host.limits.watermarks;
      },
    )
    .finally(() => {
      reads.reviewsWatermarks = false;
    });
}

/** A part of what can go leaves with this commit, which may be about nothing else. */
export function pruneWatermarks(builder: CommitBuilder): void {
  const { actor } = builder;
  if (actor.reads.prunable.length === 0) return;
  builder.watermarksPruned = actor.reads.prunable.slice(0, watermarksPerCommit);
  actor.reads.prunable = actor.reads.prunable.slice(watermarksPerCommit);
  for (const watermark of builder.watermarksPruned) {
    actor.ahead.watermarks.delete(watermark);
    const { senderUid } = sequenceOf(watermark);
    if (senderUid > actor.ahead.prunedUid) actor.ahead.prunedUid = senderUid;
  }
}

/** @returns undefined when the message has not been applied, as far as its sender knows */
export function checkDoubtful(
  host: StepContext,
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

function askSender(host: StepContext, actor: Activation, input: MessageInput): void {
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
