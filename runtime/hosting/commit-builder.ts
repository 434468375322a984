/**
 * One commit while it is being written: every input taken from the mailbox adds its outcome, then the whole leaves at
 * once. It decides nothing and sends nothing. `keep*` functions cannot fail: whatever can throw has thrown before
 * (split.ts), so an actor's fields and the builder always agree. Made by step.ts; filled by it, by the checks of
 * inputs, by parking and by operators' verbs.
 *
 * A transition raises the version by one; an ignored, rejected or dropped input is recorded under the version it
 * found.
 */
import type { Durability } from '../contract/durability.ts';
import type { EffectRequest } from '../contract/effect.ts';
import type { Message, Reply } from '../contract/envelope.ts';
import type { Commit, CommitOutcome, HistoryEntry, PendingTimer, Receipt } from '../contract/journal.ts';
import type { DeadLetter } from '../contract/supervision.ts';
import type { Activation } from './activation.ts';
import type { Input, OpenCommand } from './mailbox.ts';
import type { RowChange } from './split.ts';

/** A builder on its way to the store, and its outcome. */
export type InFlightCommit = CommitBuilder;

export class CommitBuilder {
  readonly actor: Activation;
  readonly number: number;
  readonly expectedVersion: number;
  readonly effectsBefore: readonly EffectRequest[];
  readonly timersBefore: readonly PendingTimer[];
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
  /** Refused without a receipt, on grounds that must be durable before they are told. */
  readonly refusals: { readonly open: OpenCommand; readonly reply: Reply }[] = [];
  /** The strongest level that the deferred commands it answers have asked for. */
  owedLevel: Durability | undefined;
  ackedSeqs: readonly number[] = [];
  /** Watermarks that leave the record: their senders are gone (watermark-pruning.ts). */
  watermarksPruned: readonly string[] = [];
  effectsStarted: readonly EffectRequest[] = [];
  effectsEnded: readonly EffectRequest[] = [];
  timersSet: readonly PendingTimer[] = [];
  timersCancelled: readonly string[] = [];
  effectsAfter: readonly EffectRequest[] = [];
  timersAfter: readonly PendingTimer[] = [];
  /** A hold was ended: effects and timers of the actor go on when this is durable. */
  woken = false;
  /** Something that must become durable. */
  due = false;
  /** Takes no more: the actor was removed or quarantined, and what follows belongs to another life. */
  closed = false;
  outcome: CommitOutcome | undefined;

  constructor(actor: Activation, number: number) {
    this.actor = actor;
    this.number = number;
    this.expectedVersion = actor.version;
    this.effectsBefore = actor.effects;
    this.timersBefore = actor.timers;
  }

  /** Closes the builder: from here the actor may run ahead, so what the gate needs is taken down now. */
  seal(commit: Commit): void {
    const { effects } = commit;
    if (effects !== this.effectsBefore) {
      this.effectsStarted = effects.filter((effect) => !this.effectsBefore.includes(effect));
      this.effectsEnded = this.effectsBefore.filter((effect) => !effects.includes(effect));
    }
    this.effectsAfter = effects;
    this.timersAfter = commit.timers;
    this.timersSet = commit.timersSet;
    this.timersCancelled = commit.timersCancelled;
    if (commit.status === 'removed') this.actor.forget();
  }
}

export function causeOf(input: Input): string {
  switch (input.kind) {
    case 'message':
      return `message:${input.message.from}:${input.message.seq}`;
    case 'command':
      return `command:${input.open.command.commandId}`;
    case 'timer':
      return `timer:${input.timerId}`;
    case 'effect':
      return `effect:${input.effectId}`;
    case 'deadLetter':
      return `dead-letter:${input.deadLetter.deadLetterId}`;
  }
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
  builder.actor.watermarks.set(sender, message.seq);
  const watermark = builder.watermarks.find((one) => one.sender === sender);
  if (watermark === undefined) builder.watermarks.push({ sender, seq: message.seq, after: message.after });
  else watermark.seq = message.seq;
}

/**
 * Answers a command; everybody who asked hears it when the commit is durable. One that still waits in the mailbox,
 * asked again after a recovery, finds the answer here: what it has read of its receipt is older.
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

/** An input for which there is nobody, or on which the chart has failed. @returns its id */
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
    state: actor.snapshot === undefined ? null : (actor.snapshot.value as unknown),
    version: actor.version,
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
  const value = actor.snapshot === undefined ? null : (actor.snapshot.value as unknown);
  const trace = traceOf(input);
  // A record needs a version: an id that never lived starts its history with what was refused.
  if (actor.version === 0) actor.version = 1;
  builder.due = true;
  builder.history.push({
    version: actor.version,
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

export function traceOf(input: Input): string | undefined {
  if (input.kind === 'message') return input.message.trace;
  if (input.kind === 'deadLetter') return input.deadLetter.trace;
  return input.kind === 'command' ? input.open.command.trace : undefined;
}
