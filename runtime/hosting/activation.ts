/**
 * One actor in memory: what the store said plus every step decided since, committed or in flight.
 * It holds values and decides nothing; step.ts moves it on, and its fields run ahead of the store until the gate opens.
 * A fenced or conflicting commit drops the whole activation (G1): nothing of it can have left, so nothing is undone.
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

export class Activation {
  readonly id: ActorId;
  readonly kind: RegisteredKind | undefined;
  readonly grant: ShardGrant;
  readonly mailbox = new Mailbox();
  /** Commands not answered yet. */
  readonly commands = new Map<string, OpenCommand>();
  /** Durable answers, oldest first: all that is kept of a command, because there are many of them. */
  readonly answered = new Map<string, Receipt>();
  /** Uncommitted rows by `<collection>/<key>`; undefined: removed. They win over what is read from the store. */
  readonly rowsAhead = new Map<string, { readonly value: unknown; readonly inFlight: number }>();
  readonly watermarks = new Map<string, number>();
  /** As StoredActor has it. */
  prunedUid = '';
  /**
   * How many watermarks it may have before the store is asked which of them can go; undefined: as many as the host
   * says.
   */
  watermarksAllowed: number | undefined;
  /** The store is being asked. */
  reviewsWatermarks = false;
  /** Watermarks that go with the next commits, of the oldest life first. */
  prunable: readonly string[] = [];
  /** Commits on their way, oldest first. */
  readonly inFlight: InFlightCommit[] = [];
  phase: ActivationPhase = 'loading';
  quarantineReason = '';
  /** Set: takes operators' verbs only. */
  hold: Hold | undefined;
  /** Dead letters delivered again or dropped by this activation; what is read from the store may still show them. */
  readonly deadLettersTaken = new Set<string>();
  /** A commit of this actor could not be written: its inputs go one by one until the culprit is found. */
  careful = false;
  /** The culprit, by its cause, and why it cannot be written. */
  poison: { readonly cause: string; readonly failure: unknown } | undefined;
  /** Undefined while there is no such actor: never born, or removed. */
  snapshot: ChartSnapshot | undefined;
  uid = '';
  version = 0;
  effects: readonly EffectRequest[] = [];
  timers: readonly PendingTimer[] = [];
  deferred: Readonly<Record<string, DeferredCommand>> = {};
  lastSeq = 0;
  contextText = 'null';
  /** The context that `contextText` spells. */
  contextSpelt: unknown = null;
  /** What the upgrade at load made of the snapshot; the first commit writes it into the history. */
  upgraded: ChartSnapshot | undefined;
  /** True while every receipt of this actor is in `answered` or still in flight. */
  receiptsKnown = false;
  /** A commit before this activation was refused, maybe because of a receipt: they are read before, as at load. */
  readsReceipts = false;
  /** Rows for the first input, once read; undefined while nobody asked. */
  rowsRead: Readonly<Record<string, unknown>> | undefined;
  rowsReading = false;
  /** Why the rows for the first input cannot be read. */
  rowsFailure: PhotonError | undefined;
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
      this.receiptsKnown = true;
      return;
    }
    this.version = stored.version;
    this.lastSeq = stored.lastSeq;
    for (const [sender, seq] of Object.entries(stored.watermarks)) this.watermarks.set(sender, seq);
    this.prunedUid = stored.prunedUid;
    if (stored.status === 'removed') return;
    this.uid = stored.uid;
    this.effects = stored.effects;
    this.timers = stored.timers;
    this.deferred = stored.deferred;
    this.hold = stored.hold;
    this.snapshot = admitSnapshot(this.kind, stored);
    if (stored.chartVersion !== this.kind?.definition.chartVersion) this.upgraded = this.snapshot;
  }

  /** The digest of a command that was accepted and is not answered yet. */
  digestOfDeferred(commandId: string): string | undefined {
    // A look-up by a name never seen before is dear, and most actors have none to look up.
    for (const _any in this.deferred) return this.deferred[commandId]?.digest;
    return undefined;
  }

  /** There is no such actor any more; version, watermarks and sequence go on in a later life. */
  forget(): void {
    this.snapshot = undefined;
    this.uid = '';
    this.effects = [];
    this.timers = [];
    this.deferred = {};
    this.hold = undefined;
  }
}
