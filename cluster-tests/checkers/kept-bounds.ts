/**
 * K12 of docs/promises.md: nothing on a host and nothing of an actor in the store exceeds its limit, and every refusal
 * names a time after which to ask again (G11). Pure. Called by simulation/bounds-watch.ts at every write and every
 * input.
 */
import type { Reply } from '@photoncloud/runtime/contract/envelope';
import type { Delivery } from '@photoncloud/runtime/contract/link';
import type { HostFigures, HostLimits } from '@photoncloud/runtime/hosting/host-limits';

/** Limit of every shard's feed; Redis trims it in blocks of up to 100. */
const feedEntries = 10_000 + 100;
/** Stored history of an actor without an archive, for kinds that set no other limit. */
const historyTail = 32;

/** Limits that hold at every instant. */
export function checkFigures(figures: HostFigures, limits: HostLimits): string[] {
  const { fullest, effectPools } = figures;
  // Inputs admitted before the outbox was full still produce messages: those in the mailbox and those in flight.
  const outbox = limits.outboxDepth + limits.mailboxDepth * (1 + limits.commitsInFlight);
  const over = (what: string, value: number, most: number): string[] =>
    value > most ? [`K12: ${what}: ${value}, the limit is ${most}`] : [];
  return [
    ...over('commits of one actor in flight', fullest.commitsInFlight, limits.commitsInFlight),
    ...over('unacknowledged messages of one actor', fullest.outbox, outbox),
    ...over('receipts of one actor in memory', fullest.receipts, limits.receiptsRemembered),
    ...effectPools.flatMap(({ pool, placed, longestWait }) => [
      ...over(`effects that run in pool '${pool}'`, placed, pool === '' ? limits.effects : limits.pooledEffects),
      ...over(`effects of one scope that wait in pool '${pool}'`, longestWait, limits.effectsWaiting),
    ]),
  ];
}

/** Limits that one admitted input must not have exceeded. */
export function checkEntry(before: HostFigures, after: HostFigures, limits: HostLimits, isCommand: boolean): string[] {
  const broken: string[] = [];
  const { mailboxDepth, activations } = limits;
  if (after.fullest.mailbox > before.fullest.mailbox && after.fullest.mailbox > mailboxDepth)
    broken.push(`K12: input ${after.fullest.mailbox} was admitted to a mailbox that holds ${mailboxDepth}`);
  // A full node still takes messages: their senders could not leave memory before the messages are delivered.
  if (isCommand && after.activations > before.activations && after.activations > activations)
    broken.push(`K12: a command activated actor ${after.activations} on a node that holds ${activations}`);
  return broken;
}

type Answer = Delivery | Reply | { readonly moved: true };

export interface Refusal {
  readonly word: 'busy' | 'overloaded';
  readonly retryAfterMs: number | undefined;
}

/** @returns undefined when the input was admitted */
export function refusalOf(answer: Answer): Refusal | undefined {
  if ('moved' in answer) return undefined;
  if ('ok' in answer) {
    if (answer.ok || answer.error.code !== 'overloaded') return undefined;
    return { word: 'overloaded', retryAfterMs: answer.error.retryAfterMs };
  }
  return answer.result === 'busy' ? { word: 'busy', retryAfterMs: answer.retryAfterMs } : undefined;
}

export const checkRefusal = ({ word, retryAfterMs = 0 }: Refusal): string[] =>
  retryAfterMs > 0 ? [] : [`K12: an input was refused as ${word} without a time to ask again`];

/** The sender behind one deduplication watermark of a receiver: an actor under one uid. */
export interface WatermarkedSender {
  readonly sender: string;
  /** Wall time when the actor with that uid was removed; Infinity while it exists. */
  readonly endedMs: number;
  /** The sender's outbox still holds messages under that uid. */
  readonly isSending: boolean;
}

/** Watermarks that the last pruning had to keep for unacknowledged messages, and those added since. */
const watermarksSlack = 24;

/**
 * @param senders behind the watermarks that one receiver has now
 * @param soonMs watermarks of senders that ended later than this need not be pruned yet
 */
export function checkWatermarks(
  receiver: string,
  senders: readonly WatermarkedSender[],
  soonMs: number,
  watermarks: number,
): string[] {
  const kept = senders.filter(({ endedMs, isSending }) => endedMs >= soonMs || isSending).length;
  // Of each sending actor, one uid had not ended at the last pruning.
  const actors = new Set(senders.map(({ sender }) => sender)).size;
  const most = Math.max(watermarks, 2 * kept, 2 * actors) + watermarksSlack;
  return senders.length > most
    ? [`K12: ${receiver} has ${senders.length} watermarks, ${kept} of senders that still exist; the limit is ${most}`]
    : [];
}

/**
 * @param effects what one store command has just changed
 * @param lengthOf how many entries a stream has now
 * @param historyEntries limit of history that waits to be archived; without an archive, of stored history
 */
export function checkStreams(
  effects: readonly (readonly string[])[],
  lengthOf: (key: string) => number,
  historyEntries = historyTail,
): string[] {
  return effects.flatMap(([verb = '', key = '']) => {
    if (verb !== 'XADD') return [];
    const most = /\}:h:/.test(key) ? historyEntries : key.endsWith('}:f') ? feedEntries : Infinity;
    const length = lengthOf(key);
    return length > most ? [`K12: ${key} has ${length} entries, the limit is ${most}`] : [];
  });
}
