/**
 * One actor in memory, as three values: `committed`, what the store is known to hold; `ahead`, the state after every
 * step decided so far, some of whose commits are still in flight; `reads`, what was asked of the store and has not
 * arrived or is not used yet. An activation decides nothing: step.ts moves `ahead` on, and gate.ts moves `committed` on
 * when a commit is durable. A fenced or conflicting commit drops the whole activation (G1). Nothing of `ahead` can have
 * left the node by then, so nothing needs to be undone.
 */
import type { EffectRequest } from '../contract/effect.ts';
import type { PhotonError } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { DeferredCommand, PendingTimer, Receipt, ShardGrant, StoredActor } from '../contract/journal.ts';
import type { Hold } from '../contract/supervision.ts';
import type { ChartSnapshot } from './decide.ts';
import type { InFlightCommit } from './commit-builder.ts';
import { Mailbox } from './mailbox.ts';
import type { OpenCommand } from './mailbox.ts';
import type { RegisteredKind } from './registration.ts';
import { admitSnapshot } from './snapshot-admission.ts';

/** `quarantined` here: the record cannot be loaded. An actor that was loaded is held by `hold`, which is durable. */
export type ActivationPhase = 'loading' | 'ready' | 'quarantined' | 'dropped';

/** Of what the store holds, as far as anything outside depends on it: these effects run, these timers are armed. */
export type CommittedState = Pick<StoredActor, 'effects' | 'timers'>;

/** An actor with every step decided so far; nothing of it may leave before its commit is durable. */
export class AheadState {
  /** Undefined while there is no such actor: never created, or removed. */
  snapshot: ChartSnapshot | undefined;
  uid = '';
  /** Of the actor that was removed last; '' when there never was one. */
  formerUid = '';
  version = 0;
  effects: readonly EffectRequest[] = [];
  timers: readonly PendingTimer[] = [];
  deferred: Readonly<Record<string, DeferredCommand>> = {};
  lastSeq = 0;
  /** Set: takes operators' verbs only. */
  hold: Hold | undefined;
  readonly watermarks = new Map<string, number>();
  /** As in StoredActor. */
  prunedUid = '';
  /** Uncommitted rows by `<collection>/<key>`; undefined: removed. They win over what is read from the store. */
  readonly rows = new Map<string, { readonly value: unknown; readonly inFlight: number }>();
  /** What the upgrade at load made of the snapshot; the first commit writes it into the history. */
  upgraded: ChartSnapshot | undefined;
  contextText = 'null';
  /** The context of which `contextText` is the JSON. */
  contextSpelt: unknown = null;

  /** The digest of a command that was accepted and is not answered yet. */
  digestOfDeferred(commandId: string): string | undefined {
    // A property look-up by a name never seen before is slow, and most actors have no deferred command.
    for (const _any in this.deferred) return this.deferred[commandId]?.digest;
    return undefined;
  }

  /** The actor is removed; version, watermarks and sequence go on if an actor of that id is created again. */
  remove(): void {
    this.snapshot = undefined;
    this.formerUid = this.uid === '' ? this.formerUid : this.uid;
    this.uid = '';
    this.effects = [];
    this.timers = [];
    this.deferred = {};
    this.hold = undefined;
  }
}

/** Rows for the first input of the mailbox: not requested, requested, read, or unreadable. */
export type RowsRead =
  'unread' | 'reading' | { readonly rows: Readonly<Record<string, unknown>> } | { readonly failure: PhotonError };

/** Reads of the store for this actor. Those for one command (receipt, dead letters) are kept in its OpenCommand. */
export class PendingReads {
  rows: RowsRead = 'unread';
  /** Every receipt of this actor is in `answered` or still in flight: none need be read. */
  receiptsKnown = false;
  /** An earlier commit was refused, maybe because of a receipt: receipts are read before a command is decided. */
  readsReceipts = false;
  /** The store is being asked which watermarks can go. */
  reviewsWatermarks = false;
  /** How many watermarks it may have before the store is asked again; undefined: as many as the host says. */
  watermarksAllowed: number | undefined;
  /** When the store was last asked, on the shared clock: senders that had not ended long enough may have by now. */
  watermarksReviewedMs = -Infinity;
  /** Watermarks that the next commits remove, of the oldest sender uid first. */
  prunable: readonly string[] = [];
}

export class Activation {
  readonly id: ActorId;
  readonly kind: RegisteredKind | undefined;
  readonly grant: ShardGrant;
  committed: CommittedState = { effects: [], timers: [] };
  readonly ahead = new AheadState();
  readonly reads = new PendingReads();
  readonly mailbox = new Mailbox();
  /** Commands not answered yet. */
  readonly commands = new Map<string, OpenCommand>();
  /** Durable answers, oldest first: all that is kept of a command, because there are many of them. */
  readonly answered = new Map<string, Receipt>();
  /** Commits on their way, oldest first. */
  readonly inFlight: InFlightCommit[] = [];
  phase: ActivationPhase = 'loading';
  quarantineReason = '';
  /** Dead letters delivered again or dropped by this activation; what is read from the store may still show them. */
  readonly deadLettersTaken = new Set<string>();
  /** A commit of this actor could not be written: its inputs are committed one by one until the faulty one is found. */
  careful = false;
  /** The faulty input, named by its cause, and why its commit cannot be written. */
  poison: { readonly cause: string; readonly failure: unknown } | undefined;
  scheduled = false;
  usedMs = 0;

  constructor(id: ActorId, kind: RegisteredKind | undefined, grant: ShardGrant) {
    this.id = id;
    this.kind = kind;
    this.grant = grant;
  }

  /**
   * Takes over what the store holds. @throws PhotonError defeat `snapshot_refused` when the snapshot cannot be read
   * (G9).
   */
  load(stored: StoredActor | undefined): void {
    if (stored === undefined) {
      this.reads.receiptsKnown = true;
      return;
    }
    const { ahead } = this;
    ahead.version = stored.version;
    ahead.lastSeq = stored.lastSeq;
    for (const [sender, seq] of Object.entries(stored.watermarks)) ahead.watermarks.set(sender, seq);
    ahead.prunedUid = stored.prunedUid;
    if (stored.status === 'removed') {
      ahead.formerUid = stored.uid;
      return;
    }
    this.committed = { effects: stored.effects, timers: stored.timers };
    ahead.uid = stored.uid;
    ahead.effects = stored.effects;
    ahead.timers = stored.timers;
    ahead.deferred = stored.deferred;
    ahead.hold = stored.hold;
    ahead.snapshot = admitSnapshot(this.kind, stored);
    if (stored.chartVersion !== this.kind?.definition.chartVersion) ahead.upgraded = ahead.snapshot;
  }
}
