/**
 * K12: nothing on a host and nothing of an actor in the store is above its limit, and whoever is turned away is told
 * when to come again (G11). Pure. Called by simulation/bounds-watch.ts, again and again while a seed runs.
 */
import type { Reply } from '@photoncloud/runtime/contract/envelope';
import type { Delivery } from '@photoncloud/runtime/contract/link';
import type { HostFigures, HostLimits } from '@photoncloud/runtime/hosting/host-limits';

/** Of every shard's feed; Redis trims it in blocks. */
const feedEntries = 10_000 + 100;
/** The stored history of an actor whose kind says nothing else, without an archive. */
const historyTail = 32;

/** What may never be, whenever one looks. */
export function checkFigures(figures: HostFigures, limits: HostLimits): string[] {
  const { fullest, effectsPlaced, effectsWaiting } = figures;
  // What was let in before the outbox was full is decided all the same: what waits, and what is in flight.
  const outbox = limits.outboxDepth + limits.mailboxDepth * (1 + limits.commitsInFlight);
  const over = (what: string, value: number, most: number): string[] =>
    value > most ? [`K12: ${what}: ${value}, and ${most} at most`] : [];
  return [
    ...over('commits of one actor in flight', fullest.commitsInFlight, limits.commitsInFlight),
    ...over('unacknowledged messages of one actor', fullest.outbox, outbox),
    ...over('receipts of one actor in memory', fullest.receipts, limits.receiptsRemembered),
    ...over('effects with a deadline that run', effectsPlaced, limits.effects),
    ...over('effects that wait for a place', effectsWaiting, limits.effectsWaiting),
  ];
}

/** What one input that was let in may not do: make full what was full. */
export function checkEntry(before: HostFigures, after: HostFigures, limits: HostLimits, isCommand: boolean): string[] {
  const broken: string[] = [];
  const { mailboxDepth, activations } = limits;
  if (after.fullest.mailbox > before.fullest.mailbox && after.fullest.mailbox > mailboxDepth)
    broken.push(`K12: input ${after.fullest.mailbox} was let into a mailbox that holds ${mailboxDepth}`);
  // A full house takes messages: their senders stay in it until they are delivered.
  if (isCommand && after.activations > before.activations && after.activations > activations)
    broken.push(`K12: a command brought actor ${after.activations} into a node that holds ${activations}`);
  return broken;
}

type Answer = Delivery | Reply | { readonly moved: true };

export interface Refusal {
  readonly word: 'busy' | 'overloaded';
  readonly retryAfterMs: number | undefined;
}

/** @returns undefined when it was let in */
export function refusalOf(answer: Answer): Refusal | undefined {
  if ('moved' in answer) return undefined;
  if ('ok' in answer) {
    if (answer.ok || answer.error.code !== 'overloaded') return undefined;
    return { word: 'overloaded', retryAfterMs: answer.error.retryAfterMs };
  }
  return answer.result === 'busy' ? { word: 'busy', retryAfterMs: answer.retryAfterMs } : undefined;
}

export const checkRefusal = ({ word, retryAfterMs = 0 }: Refusal): string[] =>
  retryAfterMs > 0 ? [] : [`K12: somebody was told ${word}, and not when to come again`];

/**
 * What a watermark of a receiver is about: a sender's life, and when it was over by the clocks; Infinity while it
 * lasts.
 */
export interface WatermarkedSender {
  readonly sender: string;
  readonly endedMs: number;
  /** Its outbox holds messages of that life. */
  readonly isSending: boolean;
}

/** Those that had to stay at the last review, for messages not yet acknowledged, and those that came since. */
const watermarksSlack = 24;

/**
 * @param lives of the watermarks of one receiver, just now
 * @param soonMs what has ended later than this need not be gone
 */
export function checkWatermarks(
  receiver: string,
  lives: readonly WatermarkedSender[],
  soonMs: number,
  watermarks: number,
): string[] {
  const kept = lives.filter(({ endedMs, isSending }) => endedMs >= soonMs || isSending).length;
  // Of each sender one life was not over at the last review.
  const senders = new Set(lives.map(({ sender }) => sender)).size;
  const most = Math.max(watermarks, 2 * kept, 2 * senders) + watermarksSlack;
  return lives.length > most
    ? [`K12: ${receiver} has ${lives.length} watermarks, ${kept} of senders that are not gone, and ${most} at most`]
    : [];
}

/** @param lengthOf how many entries a stream has now @param effects what a command of the store has just done
 * @param historyEntries the cap of what waits to be archived, where there is an archive */
export function checkStreams(
  effects: readonly (readonly string[])[],
  lengthOf: (key: string) => number,
  historyEntries = historyTail,
): string[] {
  return effects.flatMap(([verb = '', key = '']) => {
    if (verb !== 'XADD') return [];
    const most = /\}:h:/.test(key) ? historyEntries : key.endsWith('}:f') ? feedEntries : Infinity;
    const length = lengthOf(key);
    return length > most ? [`K12: ${key} has ${length} entries, and ${most} at most`] : [];
  });
}
