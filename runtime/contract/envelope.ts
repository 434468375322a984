/** What travels to an actor. Every input of a chart is an `EventObject` with `meta` added by the host. */
import type { ActorId } from './identifiers.ts';
import type { Durability } from './durability.ts';
import type { ErrorRecord } from './errors.ts';

/** An event as charts send and receive it: a type and JSON fields. `meta` is reserved for the host. */
export interface ActorEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Added by the host to every event before the chart sees it. Machines have no clock: `at` is their only time. */
export interface EventMeta {
  /** Time of the step on the shared clock, ms since the epoch: charts may compare it with what they have stored. */
  readonly at: number;
  /** A ULID minted for this step: charts take uids from here. */
  readonly ulid: string;
  /** Era of the grant that commits the step; if it is above the last one seen, the store was rolled back in between. */
  readonly era: number;
  readonly from?: ActorId;
  readonly commandId?: string;
  readonly principal?: string;
  readonly effectId?: string;
  /** Rows asked for by the definition's `needs`, by `<collection>/<key>`; null when there is no such row. */
  readonly rows?: Readonly<Record<string, unknown>>;
}

/**
 * Actor to actor. Exactly-once and FIFO per (sender, receiver): `seq` grows per sender, senderUid and era, `after` is
 * the receiver's previous one.
 */
export interface Message {
  readonly to: ActorId;
  readonly from: ActorId;
  /** The sender's uid: an actor of the same id that is created again has another uid and a new sequence. */
  readonly senderUid: string;
  readonly era: number;
  /** Sender-wide, grows by one per message, any receiver. */
  readonly seq: number;
  /**
   * The highest unacknowledged `seq` below this one for the same receiver; 0 when there is none. The receiver must
   * have it.
   */
  readonly after: number;
  readonly event: ActorEvent;
  /** What caused it: `<actor id>@<version>` or a command id. */
  readonly cause: string;
  /** W3C traceparent, passed on unchanged. */
  readonly trace?: string;
  /** The level that the receiver's commit must reach at least; by default that of its kind. */
  readonly durability?: Durability;
}

/** Client to actor. Answered by exactly one receipt per `commandId`; how long it is kept: docs/limits.md. */
export interface Command {
  readonly to: ActorId;
  /** The client's idempotency key, unique per principal. */
  readonly commandId: string;
  /** Digest of method and params: the same key with another digest is `idempotency_conflict`. */
  readonly digest: string;
  readonly principal: string;
  readonly event: ActorEvent;
  readonly ifVersion?: number;
  readonly trace?: string;
  /** The level that must be reached before it is answered; by default that of the actor's kind. */
  readonly durability?: Durability;
}

/** `durability`: what the commit behind the answer has reached; absent where nothing had to be written. */
export type Reply = { readonly durability?: Durability; readonly version: number } & (
  { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly error: ErrorRecord }
);
