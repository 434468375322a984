/**
 * The journal port: what hosting needs from the store. runtime/journal binds it to Redis, the simulation to a
 * counterpart. All keys of a shard share one slot; one commit is one atomic script run, batched with others of the
 * node.
 */
import type { Durability, DurabilityOffer } from './durability.ts';
import type { ActorId, ShardId } from './identifiers.ts';
import type { EffectRequest } from './effect.ts';
import type { Message, Reply } from './envelope.ts';
import type { RowKey } from './actor-definition.ts';
import type { DeadLetter, Hold, StoredDeadLetter } from './supervision.ts';

/** Proof of ownership that goes with every write of a shard. */
export interface ShardGrant {
  readonly shard: ShardId;
  readonly node: string;
  readonly era: number;
  readonly ownerEpoch: number;
}

export interface PendingTimer {
  /** XState's id of the delayed raise; unique per actor. */
  readonly timerId: string;
  readonly dueMs: number;
  readonly eventType: string;
}

/** A command that was accepted and is answered later. */
export interface DeferredCommand {
  readonly digest: string;
  /** The level its caller asked for, if any; a later activation may be the one that answers. */
  readonly durability?: Durability;
}

export interface StoredActor {
  readonly id: ActorId;
  readonly uid: string;
  readonly status: 'live' | 'removed';
  readonly version: number;
  readonly chartVersion: number;
  /** Of the chart that wrote the snapshot: its states and the shape of its context. */
  readonly schemaHash: string;
  readonly state: unknown;
  readonly context: unknown;
  readonly effects: readonly EffectRequest[];
  readonly timers: readonly PendingTimer[];
  /** Commands accepted but not yet answered, by command id. */
  readonly deferred: Readonly<Record<string, DeferredCommand>>;
  /** Highest sequence number this actor has used as a sender. */
  readonly lastSeq: number;
  /** `<sender id>~<sender uid>`, from the second era on `<sender id>~<sender uid>~<era>` -> highest seq applied. */
  readonly watermarks: Readonly<Record<string, number>>;
  /**
   * The youngest sender uid (a ULID) whose watermark was pruned, '' when none was. A message of this uid or an older
   * one that has no watermark may have been applied long ago.
   */
  readonly prunedUid: string;
  readonly hold?: Hold;
}

/** One transition, or one recorded rejection or no-op. */
export interface HistoryEntry {
  readonly version: number;
  readonly at: number;
  readonly event: unknown;
  /**
   * `message:<from>:<seq>@<version of the sender's step>`, `command:<id>`, `timer:<id>`, `effect:<id>`,
   * `dead-letter:<id>`, `upgrade:<n>`. Older entries of messages have no version.
   */
  readonly cause: string;
  readonly from: unknown;
  readonly to: unknown;
  /**
   * `operated`: an operator's verb that is no transition; the event names the principal and the reason. `upgraded`: the
   * snapshot was brought to a newer chart version at load.
   */
  readonly kind: 'transition' | 'ignored' | 'rejected' | 'dropped' | 'operated' | 'upgraded';
  /** Types and ids of what the step asked for. */
  readonly asked: readonly string[];
  /**
   * Of a step that the chart has taken: ids of its transitions in order, in the form of chart-structure.ts; at most 16.
   */
  readonly taken?: readonly string[];
  /** Changed top-level keys of the context -> new value. */
  readonly changed: Readonly<Record<string, unknown>>;
  /** Keys of the context that have no value any more. */
  readonly gone?: readonly string[];
  /**
   * Chart version; present when `changed` is the whole context (creation, or the first entry after an upgrade): what is
   * older need not be known to rebuild the actor.
   */
  readonly whole?: number;
  readonly trace?: string;
}

export interface Receipt {
  readonly commandId: string;
  readonly digest: string;
  readonly reply: Reply;
}

export interface Commit {
  readonly grant: ShardGrant;
  readonly actor: ActorId;
  /**
   * Unique per attempt to move this actor on; the same commit sent twice is applied once and answered `committed`
   * twice.
   */
  readonly commitId: string;
  /** 0 for an actor that has never existed. */
  readonly expectedVersion: number;
  readonly version: number;
  readonly uid: string;
  readonly status: 'live' | 'removed';
  readonly chartVersion: number;
  readonly schemaHash: string;
  /** One word or dotted path for lists: `running`, `preparing.tap`. */
  readonly stateName: string;
  readonly state: string;
  readonly context: string;
  readonly effects: readonly EffectRequest[];
  readonly timersSet: readonly PendingTimer[];
  readonly timersCancelled: readonly string[];
  /** The whole list after this commit, as stored in the actor's record. */
  readonly timers: readonly PendingTimer[];
  readonly deferred: Readonly<Record<string, DeferredCommand>>;
  readonly lastSeq: number;
  readonly watermarks: readonly { readonly sender: string; readonly seq: number; readonly after: number }[];
  /** Watermarks that leave the record, because their senders are gone. */
  readonly watermarksPruned: readonly string[];
  /** As in the record, after this commit. */
  readonly prunedUid: string;
  readonly receipts: readonly Receipt[];
  /** Commands whose receipts may not be known: the commit is refused if one of them was, or may have been, answered. */
  readonly unproven: readonly string[];
  readonly history: readonly HistoryEntry[];
  readonly messages: readonly Message[];
  /** Outbox rows acknowledged by their receivers since this actor's last commit. */
  readonly ackedSeqs: readonly number[];
  readonly rowsPut: readonly (RowKey & { readonly value: string })[];
  readonly rowsRemoved: readonly RowKey[];
  readonly deadLetters: readonly DeadLetter[];
  /** Places of dead letters that this commit has delivered again or dropped. */
  readonly deadLettersGone: readonly string[];
  /** Undefined: the actor takes inputs. */
  readonly hold: Hold | undefined;
  readonly historyTail: number;
  /** The level it must reach before its outcome is given; one that the journal offers. */
  readonly durability: Durability;
}

export type CommitOutcome =
  | { readonly result: 'committed'; readonly ordinal: number; readonly durability: Durability }
  | { readonly result: 'fenced' }
  | { readonly result: 'conflict'; readonly storedVersion: number }
  | { readonly result: 'duplicate'; readonly sender: string }
  | { readonly result: 'gap'; readonly sender: string }
  /** An unproven command has a receipt already, or may have had one that was dropped. */
  | { readonly result: 'answered'; readonly commandId: string };

/** What a new owner must take up again. */
export interface ShardBacklog {
  readonly outbox: readonly Message[];
  readonly timers: readonly (PendingTimer & { readonly actor: ActorId })[];
  /** Actors with pending effects: they are activated at once. */
  readonly busy: readonly ActorId[];
}

export interface Journal {
  readonly durability: DurabilityOffer;
  /**
   * Resolves when the outcome is durable. Lost replies are retried inside; never rejects for a lost connection, it
   * waits.
   */
  commit(commit: Commit): Promise<CommitOutcome>;
  load(id: ActorId): Promise<StoredActor | undefined>;
  /** By `<collection>/<key>`: the value, null for a row that is not there; for `*` an object of key -> value. */
  loadRows(id: ActorId, keys: readonly RowKey[]): Promise<Readonly<Record<string, unknown>>>;
  /** Whether the store still has this grant: an answer that no commit stands behind needs this proof. */
  isHeld(grant: ShardGrant): Promise<boolean>;
  /**
   * A receipt it finds is durable at the default level, or at `asked` if that is stronger; its reply names the level.
   * `forgotten`: there is none, and one may have been dropped, so nobody knows whether the command was carried out.
   */
  receipt(id: ActorId, commandId: string, asked?: Durability): Promise<Receipt | 'forgotten' | undefined>;
  /** Dead letters of one actor, oldest first. */
  deadLetters(id: ActorId): Promise<readonly StoredDeadLetter[]>;
  /** What it returns is durable at the default level. */
  backlog(grant: ShardGrant): Promise<ShardBacklog>;
  /**
   * Of these watermarks those whose sender uid ended before this wall time and has no message left in the outbox: every
   * message of that uid was applied, and a copy that still arrives is a duplicate.
   */
  endedSequences(watermarks: readonly string[], beforeMs: number): Promise<readonly string[]>;
  /** Whether the message still stands in its sender's outbox, from which it goes once it was applied. */
  isOutstanding(message: Message): Promise<boolean>;
  /** Outbox rows acknowledged when the sender has nothing to commit. */
  forgetMessages(grant: ShardGrant, rows: readonly { readonly from: ActorId; readonly seq: number }[]): Promise<void>;
  shardOf(id: ActorId): ShardId;
}
