/**
 * Committed messages on their way, until their receivers have them: sent at once, resent with growing pauses, in
 * order.
 *
 * One queue per sender and receiver. All of a queue is sent without waiting; each message names the one before it
 * that is not acknowledged yet (`after`), so the receiver can tell a gap from a beginning. Any answer but `applied`
 * stops the queue for a while; then its head goes alone, and the rest follows when it has arrived. What the receiver
 * already has it answers with `applied` (G5). The rows are in the store; acknowledged ones leave it with the sender's
 * next commit, or in bulk when it has none soon.
 */
import type { Clock } from '../contract/clock.ts';
import type { Message } from '../contract/envelope.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import type { Delivery } from '../contract/link.ts';
import type { Log } from '../contract/log.ts';

export const firstBackoffMs = 50;
export const widestWindow = 64;

/** The messages from one sender to one receiver that are not acknowledged. */
export interface Queue {
  readonly box: Box;
  readonly to: ActorId;
  items: Message[];
  /** Index of the first one not sent since the last start. */
  next: number;
  /** Sent, and neither answered nor given up: none of them is sent again meanwhile. */
  readonly inFlight: Set<Message>;
  /** How many may be in flight: one after a pause, doubling with every acknowledgement. */
  window: number;
  backoffMs: number;
  /** Set while it pauses. */
  cancelPause: (() => void) | undefined;
  /** It pauses because the receiver's owner is unknown or does not answer. */
  lost: boolean;
}

/** What one sender has in the outbox: a queue per receiver, and acknowledged numbers whose rows are still stored. */
export interface Box {
  readonly from: ActorId;
  grant: ShardGrant;
  readonly queues: Map<ActorId, Queue>;
  depth: number;
  acknowledged: number[];
  dropped: boolean;
}

export function newQueue(box: Box, to: ActorId): Queue {
  return {
    box,
    to,
    items: [],
    next: 0,
    inFlight: new Set(),
    window: widestWindow,
    backoffMs: firstBackoffMs,
    cancelPause: undefined,
    lost: false,
  };
}

/** Sequence numbers begin anew with every uid of a sender, and may be used again after a store rollback (a new era). */
export const sameSequence = (one: Message, other: Message): boolean =>
  one.senderUid === other.senderUid && one.era === other.era;

/** The number of the message before it in the queue, where all are of one sequence; 0 when there is none. */
export const before = (items: readonly Message[], index: number): number => items[index - 1]?.seq ?? 0;

export interface OutboxPorts {
  readonly clock: Clock;
  readonly log: Log;
  /** Delivers to the owner of the receiver. Rejects when the outcome is unknown. */
  readonly deliver: (message: Message) => Promise<Delivery>;
  /** Reads the map of owners again: a message went to a node that does not own the receiver. */
  readonly refresh: () => void;
  readonly forget: (
    grant: ShardGrant,
    rows: readonly { readonly from: ActorId; readonly seq: number }[],
  ) => Promise<void>;
  /** The shard is being handed over: its next owner sends what is not on its way yet. */
  readonly isClosing: (shard: ShardId) => boolean;
  /** In [0, 1), so that senders do not come back in step. */
  readonly fraction: () => number;
}

const longestBackoffMs = 2000;
/** How long an acknowledged row waits to be removed by the sender's next commit. */
const forgetAfterMs = 250;

export class Outbox {
  private readonly boxes = new Map<ActorId, Box>();
  private readonly ports: OutboxPorts;
  private cancelForget: (() => void) | undefined;
  private forgetting: Promise<void> = Promise.resolve();

  constructor(ports: OutboxPorts) {
    this.ports = ports;
  }

  /** Messages not acknowledged, of all senders. */
  get size(): number {
    let size = 0;
    for (const box of this.boxes.values()) size += box.depth;
    return size;
  }

  depthOf(sender: ActorId): number {
    return this.boxes.get(sender)?.depth ?? 0;
  }

  /** Durable messages of one sender, in the order of their sequence numbers. */
  send(grant: ShardGrant, messages: readonly Message[]): void {
    const first = messages[0];
    if (first === undefined) return;
    const box = this.boxOf(first.from, grant);
    for (const message of messages) {
      let queue = box.queues.get(message.to);
      if (queue === undefined) {
        queue = newQueue(box, message.to);
        box.queues.set(message.to, queue);
      }
      queue.items.push(message);
      box.depth += 1;
      this.pump(queue);
    }
  }

  /** Messages of an earlier owner of the shard that were not acknowledged. */
  recover(grant: ShardGrant, messages: readonly Message[]): void {
    const bySender = new Map<ActorId, Message[]>();
    for (const message of messages) {
      const known = bySender.get(message.from);
      if (known === undefined) bySender.set(message.from, [message]);
      else known.push(message);
    }
    for (const own of bySender.values())
      this.send(
        grant,
        own.sort((one, other) => one.seq - other.seq),
      );
  }

  /** Acknowledged rows for the sender's commit to remove. */
  takeAcknowledged(sender: ActorId): readonly number[] {
    const box = this.boxes.get(sender);
    if (box === undefined || box.acknowledged.length === 0) return [];
    const seqs = box.acknowledged;
    box.acknowledged = [];
    this.tidy(box);
    return seqs;
  }

  /** The commit that was to remove these rows was refused. */
  returnAcknowledged(sender: ActorId, grant: ShardGrant, seqs: readonly number[]): void {
    if (seqs.length === 0) return;
    this.boxOf(sender, grant).acknowledged.push(...seqs);
    this.forgetSoon();
  }

  /** Owners have changed: queues that look for theirs go on now, unless an answer to what was sent is still to come. */
  retryNow(): void {
    for (const box of this.boxes.values()) {
      for (const queue of box.queues.values()) if (queue.lost && queue.inFlight.size === 0) this.resume(queue);
    }
  }

  /** Whether messages of these shards' senders are on their way. */
  isSending(shards: ReadonlySet<ShardId>): boolean {
    for (const box of this.boxes.values()) {
      if (!shards.has(box.grant.shard)) continue;
      for (const queue of box.queues.values()) if (queue.inFlight.size > 0) return true;
    }
    return false;
  }

  dropShard(shard: ShardId): void {
    for (const [sender, box] of this.boxes) {
      if (box.grant.shard !== shard) continue;
      box.dropped = true;
      for (const queue of box.queues.values()) queue.cancelPause?.();
      this.boxes.delete(sender);
    }
    if (this.boxes.size === 0) this.cancelForget?.();
    if (this.boxes.size === 0) this.cancelForget = undefined;
  }

  /**
   * Removes acknowledged rows from the store now. Resolves when this and what was begun before is done or given up;
   * what is left is answered as a duplicate later.
   */
  forgetNow(): Promise<void> {
    this.forgetting = Promise.all([this.forgetting, this.forgetAcknowledged()]).then(() => {});
    return this.forgetting;
  }

  private async forgetAcknowledged(): Promise<void> {
    this.cancelForget?.();
    this.cancelForget = undefined;
    const byGrant = new Map<ShardGrant, { from: ActorId; seq: number }[]>();
    const taken: { box: Box; seqs: number[] }[] = [];
    for (const box of this.boxes.values()) {
      if (box.acknowledged.length === 0) continue;
      const rows = byGrant.get(box.grant) ?? [];
      for (const seq of box.acknowledged) rows.push({ from: box.from, seq });
      byGrant.set(box.grant, rows);
      taken.push({ box, seqs: box.acknowledged });
      box.acknowledged = [];
    }
    const failed = new Set<ShardGrant>();
    for (const [grant, rows] of byGrant) {
      try {
        await this.ports.forget(grant, rows);
      } catch (failure) {
        failed.add(grant);
        this.ports.log.warn({ shard: grant.shard, failure }, 'acknowledged messages stay in the store for now');
      }
    }
    for (const { box, seqs } of taken) {
      // The next owner of the shard finds these rows in the store; in a newer era the numbers may be used again.
      if (box.dropped) continue;
      if (failed.has(box.grant)) this.returnAcknowledged(box.from, box.grant, seqs);
      else this.tidy(box);
    }
  }

  private boxOf(sender: ActorId, grant: ShardGrant): Box {
    let box = this.boxes.get(sender);
    if (box === undefined) {
      box = { from: sender, grant, queues: new Map(), depth: 0, acknowledged: [], dropped: false };
      this.boxes.set(sender, box);
    }
    box.grant = grant;
    return box;
  }

  private tidy(box: Box): void {
    if (box.depth === 0 && box.acknowledged.length === 0 && this.boxes.get(box.from) === box)
      this.boxes.delete(box.from);
  }

  private pump(queue: Queue): void {
    if (this.ports.isClosing(queue.box.grant.shard)) return;
    while (queue.cancelPause === undefined && queue.next < queue.items.length && queue.inFlight.size < queue.window) {
      const message = queue.items[queue.next] as Message;
      // Sequence numbers are comparable within one sequence only: messages of an earlier one have to arrive first.
      if (!sameSequence(message, queue.items[0] as Message)) return;
      // It is still in flight: the pause was for a later message, and sending this one twice would tell nothing more.
      if (queue.inFlight.has(message)) return;
      const after = before(queue.items, queue.next);
      queue.next += 1;
      queue.inFlight.add(message);
      this.ports.deliver(after === message.after ? message : { ...message, after }).then(
        (delivery) => this.settled(queue, message, delivery),
        (failure: unknown) => {
          this.ports.log.debug(
            { to: queue.to, seq: message.seq, failure },
            'a message may not have arrived; it is sent again',
          );
          this.settled(queue, message, { result: 'moved' });
        },
      );
    }
  }

  private settled(queue: Queue, message: Message, delivery: Delivery): void {
    queue.inFlight.delete(message);
    if (queue.box.dropped) return;
    if (queue.items.length === 0 && queue.inFlight.size === 0) queue.box.queues.delete(queue.to);
    if (delivery.result === 'applied') {
      queue.backoffMs = firstBackoffMs;
      queue.window = Math.min(queue.window * 2, widestWindow);
      this.acknowledge(queue, message);
      this.pump(queue);
      return;
    }
    if (delivery.result === 'moved') this.ports.refresh();
    if (!queue.items.includes(message)) return this.pump(queue);
    queue.lost = delivery.result === 'moved';
    this.pause(queue, delivery.result === 'busy' ? delivery.retryAfterMs : 0);
  }

  /** The receiver has this one, and so every earlier one of the same sequence. */
  private acknowledge(queue: Queue, message: Message): void {
    const { box, items } = queue;
    const kept: Message[] = [];
    let sentGone = 0;
    for (const [index, item] of items.entries()) {
      if (item.seq > message.seq || !sameSequence(item, message)) kept.push(item);
      else {
        box.acknowledged.push(item.seq);
        box.depth -= 1;
        if (index < queue.next) sentGone += 1;
      }
    }
    if (kept.length === items.length) return;
    queue.items = kept;
    queue.next -= sentGone;
    if (kept.length === 0) {
      queue.cancelPause?.();
      queue.cancelPause = undefined;
      if (queue.inFlight.size === 0) box.queues.delete(queue.to);
    }
    this.forgetSoon();
  }

  private pause(queue: Queue, atLeastMs: number): void {
    if (queue.cancelPause !== undefined) return;
    const pauseMs = Math.max(atLeastMs, queue.backoffMs * (0.75 + this.ports.fraction() / 2));
    queue.backoffMs = Math.min(queue.backoffMs * 2, longestBackoffMs);
    queue.cancelPause = this.ports.clock.after(pauseMs, () => this.resume(queue));
  }

  private resume(queue: Queue): void {
    queue.cancelPause?.();
    queue.cancelPause = undefined;
    queue.lost = false;
    queue.next = 0;
    queue.window = queue.inFlight.size + 1;
    this.pump(queue);
  }

  private forgetSoon(): void {
    this.cancelForget ??= this.ports.clock.after(forgetAfterMs, () => {
      this.cancelForget = undefined;
      void this.forgetNow();
    });
  }
}
