/**
 * One commit while it is being written: every input taken from the mailbox adds its outcome, then the whole leaves at
 * once in the form of the journal (`commitOf`). It decides nothing and sends nothing. `stage*` functions cannot fail:
 * whatever can throw has thrown before (split.ts), so an actor's state and the builder always agree. Made by step.ts;
 * filled by it, by the checks of inputs, by parking and by operators' verbs.
 *
 * A transition raises the version by one; an ignored, rejected or dropped input is recorded under the version it
 * found.
 */
import type { RowKey } from '../contract/actor-definition.ts';
import { strongerOf } from '../contract/durability.ts';
import type { Durability } from '../contract/durability.ts';
import type { EffectRequest } from '../contract/effect.ts';
import type { Message, Reply } from '../contract/envelope.ts';
import type { Commit, CommitOutcome, HistoryEntry, PendingTimer, Receipt } from '../contract/journal.ts';
import type { DeadLetter } from '../contract/supervision.ts';
import type { Activation, CommittedState } from './activation.ts';
import { stateNameOf } from './decide.ts';
import type { Input, OpenCommand } from './mailbox.ts';
import type { RowChange } from './split.ts';
import { causeOf, traceOf } from './mailbox.ts';

/** What a step, or an input that is used up, begins and ends of an actor's effects and timers. */
export interface PendingChanges {
  readonly effectsStarted: readonly EffectRequest[];
  readonly effectsEnded: readonly EffectRequest[];
  readonly timersSet: readonly PendingTimer[];
  readonly timersEnded: readonly PendingTimer[];
}

const nothing: readonly never[] = [];
const nothingPending: CommittedState = { effects: nothing, timers: nothing };

export const nothingChanges: PendingChanges = {
  effectsStarted: nothing,
  effectsEnded: nothing,
  timersSet: nothing,
  timersEnded: nothing,
};

/** A builder whose commit is on its way to the store; it gets the outcome. */
export type InFlightCommit = CommitBuilder;

export class CommitBuilder {
  readonly actor: Activation;
  readonly number: number;
  readonly expectedVersion: number;
  readonly inputs: Input[] = [];
  readonly history: HistoryEntry[] = [];
  readonly messages: Message[] = [];
  readonly receipts: Receipt[] = [];
  /** One per sender: there are few, and a Map in every commit costs more than to look through them. */
  readonly watermarks: { readonly sender: string; seq: number; readonly after: number }[] = [];
  /** By `<collection>/<key>`; most commits have none. */
  rows: Map<string, RowChange> | undefined;
  readonly deadLetters: DeadLetter[] = [];
  readonly deadLettersGone: string[] = [];
  /** Commands refused without a receipt, for reasons that must be durable before the refusal is given. */
  readonly refusals: { readonly open: OpenCommand; readonly reply: Reply }[] = [];
  /** The strongest level that the deferred commands it answers have asked for. */
  owedLevel: Durability | undefined;
  ackedSeqs: readonly number[] = [];
  /** Watermarks that leave the record: their senders are gone (watermark-pruning.ts). */
  watermarksPruned: readonly string[] = [];
  /** Effects to perform when this is durable, and those of earlier commits to cancel. */
  readonly effectsStarted: EffectRequest[] = [];
  readonly effectsEnded: EffectRequest[] = [];
  /** Timers to write and to arm, and ids of those of earlier commits to remove, which comes first. */
  readonly timersSet: PendingTimer[] = [];
  readonly timersCancelled: string[] = [];
  /** The actor as this commit leaves it; known once it is sealed. */
  after: CommittedState = nothingPending;
  /** A hold was ended: effects and timers of the actor go on when this is durable. */
  woken = false;
  /** Something that must become durable. */
  due = false;
  /** Takes no more inputs: the actor was removed or quarantined, and the next input finds it so. */
  closed = false;
  outcome: CommitOutcome | undefined;

  constructor(actor: Activation, number: number) {
    this.actor = actor;
    this.number = number;
    this.expectedVersion = actor.ahead.version;
  }

  /**
   * Changes the pending effects and timers of the actor, and collects what the store and the gate have to do about it.
   * What both begins and ends in this commit is left out for them.
   */
  change(changes: PendingChanges): void {
    if (changes === nothingChanges) return;
    const { effectsStarted, effectsEnded, timersSet, timersEnded } = changes;
    const { ahead } = this.actor;
    if (effectsEnded.length > 0) ahead.effects = ahead.effects.filter((effect) => !effectsEnded.includes(effect));
    if (effectsStarted.length > 0) ahead.effects = [...ahead.effects, ...effectsStarted];
    if (timersEnded.length > 0) ahead.timers = ahead.timers.filter((timer) => !timersEnded.includes(timer));
    if (timersSet.length > 0) ahead.timers = [...ahead.timers, ...timersSet];
    for (const effect of effectsEnded) if (!takeOut(this.effectsStarted, effect)) this.effectsEnded.push(effect);
    for (const timer of timersEnded) if (!takeOut(this.timersSet, timer)) this.timersCancelled.push(timer.timerId);
    this.effectsStarted.push(...effectsStarted);
    this.timersSet.push(...timersSet);
  }

  /** Closes the builder: from here the actor may run ahead. */
  seal({ effects, timers, status }: Commit): void {
    this.after = { effects, timers };
    if (status === 'removed') this.actor.ahead.remove();
  }
}

/** @returns whether it was there */
function takeOut<Item>(items: Item[], item: Item): boolean {
  const at = items.indexOf(item);
  if (at >= 0) items.splice(at, 1);
  return at >= 0;
}

/** The input is dealt with by this commit; a message is marked, so that it is never applied again. */
export function stageInput(builder: CommitBuilder, input: Input): void {
  builder.due = true;
  builder.inputs.push(input);
  if (input.kind === 'deadLetter') {
    builder.actor.deadLettersTaken.add(input.deadLetter.place);
    builder.deadLettersGone.push(input.deadLetter.place);
  }
  if (input.kind !== 'message') return;
  const { message, sender } = input;
  builder.actor.ahead.watermarks.set(sender, message.seq);
  const watermark = builder.watermarks.find((one) => one.sender === sender);
  if (watermark === undefined) builder.watermarks.push({ sender, seq: message.seq, after: message.after });
  else watermark.seq = message.seq;
}

/**
 * Answers a command; its callers get the answer when the commit is durable. One that still waits in the mailbox,
 * repeated after a recovery, finds the answer here, which is newer than the receipt it has read.
 */
export function stageReply(builder: CommitBuilder, commandId: string, digest: string, reply: Reply): void {
  builder.due = true;
  const receipt = { commandId, digest, reply };
  builder.receipts.push(receipt);
  const open = builder.actor.commands.get(commandId);
  if (open === undefined) return;
  open.receipt = receipt;
  if (open.command.digest === digest) open.reply = reply;
}

/** An input that no actor can take, or on which the chart has failed. @returns the id of the dead letter */
export function stageDeadLetter(
  builder: CommitBuilder,
  input: Input,
  deadLetter: Pick<DeadLetter, 'deadLetterId' | 'event' | 'reason' | 'at'>,
): string {
  const { actor } = builder;
  const trace = traceOf(input);
  const from =
    input.kind === 'message' ? input.message.from : input.kind === 'deadLetter' ? input.deadLetter.from : undefined;
  builder.deadLetters.push({
    ...deadLetter,
    cause: input.kind === 'deadLetter' ? input.deadLetter.cause : causeOf(input),
    state: actor.ahead.snapshot === undefined ? null : (actor.ahead.snapshot.value as unknown),
    version: actor.ahead.version,
    ...(from === undefined ? {} : { from }),
    ...(trace === undefined ? {} : { trace }),
  });
  return deadLetter.deadLetterId;
}

/** An input that led to no transition: written down under the version it found. */
export function stageNote(
  builder: CommitBuilder,
  input: Input,
  note: {
    kind: Exclude<HistoryEntry['kind'], 'transition' | 'upgraded'>;
    event: unknown;
    at: number;
    asked?: readonly string[];
  },
): void {
  const { actor } = builder;
  const value = actor.ahead.snapshot === undefined ? null : (actor.ahead.snapshot.value as unknown);
  const trace = traceOf(input);
  // A record needs a version: the history of an id that never existed starts with the refused input.
  if (actor.ahead.version === 0) actor.ahead.version = 1;
  builder.due = true;
  builder.history.push({
    version: actor.ahead.version,
    at: note.at,
    event: note.event,
    cause: causeOf(input),
    from: value,
    to: value,
    kind: note.kind,
    asked: note.asked ?? [],
    changed: {},
    ...(trace === undefined ? {} : { trace }),
  });
}

const defaultHistoryTail = 32;

/**
 * The finished commit, in the form of the journal.
 *
 * @param fallback the durability of an actor whose kind is not registered here
 * @throws TypeError when a context or a row is not JSON
 */
export function commitOf(builder: CommitBuilder, commitId: string, fallback: Durability): Commit {
  const { actor } = builder;
  const { ahead, kind, reads } = actor;
  const { snapshot } = ahead;
  const live = snapshot !== undefined && snapshot.status !== 'done';
  if (snapshot !== undefined && ahead.contextSpelt !== snapshot.context) {
    ahead.contextSpelt = snapshot.context;
    ahead.contextText = JSON.stringify(snapshot.context);
  }
  const value = snapshot === undefined ? null : (snapshot.value as unknown);
  const rows = builder.rows === undefined ? nothing : [...builder.rows.values()];
  return {
    grant: actor.grant,
    actor: actor.id,
    commitId,
    expectedVersion: builder.expectedVersion,
    version: ahead.version,
    uid: ahead.uid === '' ? ahead.formerUid : ahead.uid,
    status: live ? 'live' : 'removed',
    chartVersion: kind?.definition.chartVersion ?? 0,
    schemaHash: kind?.schemaHash ?? '',
    stateName: value === null ? 'absent' : stateNameOf(value),
    state: JSON.stringify(value),
    context: snapshot === undefined ? 'null' : ahead.contextText,
    effects: ahead.effects,
    timersSet: builder.timersSet,
    timersCancelled: builder.timersCancelled,
    timers: ahead.timers,
    deferred: ahead.deferred,
    lastSeq: ahead.lastSeq,
    watermarks: builder.watermarks,
    watermarksPruned: builder.watermarksPruned,
    prunedUid: ahead.prunedUid,
    receipts: builder.receipts,
    unproven: reads.receiptsKnown ? nothing : builder.inputs.flatMap(commandIdOf),
    history: builder.history,
    messages: builder.messages,
    ackedSeqs: builder.ackedSeqs,
    rowsPut: rows.length === 0 ? nothing : rows.filter(isPut).map(spelt),
    rowsRemoved: rows.length === 0 ? nothing : rows.filter((row) => !isPut(row)).map(keyOf),
    deadLetters: builder.deadLetters,
    deadLettersGone: builder.deadLettersGone,
    hold: live ? ahead.hold : undefined,
    historyTail: kind?.definition.historyTail ?? defaultHistoryTail,
    durability: durabilityOf(builder, kind?.durability ?? fallback),
  };
}

const commandIdOf = (input: Input): readonly string[] =>
  input.kind === 'command' ? [input.open.command.commandId] : nothing;

const isPut = (row: RowChange): boolean => row.value !== undefined;
const keyOf = ({ collection, key }: RowChange): RowKey => ({ collection, key });
const spelt = (row: RowChange): RowKey & { value: string } => ({ ...keyOf(row), value: JSON.stringify(row.value) });

/** The strongest level of all inputs and answered commands: the level each asks for, or that of the kind. */
function durabilityOf(builder: CommitBuilder, own: Durability): Durability {
  let level = builder.owedLevel;
  for (const input of builder.inputs) level = strongerOf(level, askedBy(input) ?? own);
  for (const { commandId } of builder.receipts) {
    level = strongerOf(level, builder.actor.commands.get(commandId)?.command.durability ?? own);
  }
  return level ?? own;
}

function askedBy(input: Input): Durability | undefined {
  if (input.kind === 'command') return input.open.command.durability;
  return input.kind === 'message' ? input.message.durability : undefined;
}
