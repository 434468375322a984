/**
 * One commit while it is being written: every input taken from the mailbox adds its outcome, then the whole leaves at once.
 * It decides nothing and sends nothing. `keep*` functions cannot fail: whatever can throw has thrown before (split.ts), so an
 * actor's fields and the draft always agree. Called by step.ts only.
 *
 * A transition raises the version by one; an ignored, rejected or dropped input is recorded under the version it found.
 */
import type { EffectRequest } from '../contract/effect.ts';
import type { ActorEvent, EventMeta, Message, Reply } from '../contract/envelope.ts';
import type { Commit, CommitOutcome, HistoryEntry, PendingTimer, Receipt } from '../contract/journal.ts';
import type { Activation } from './activation.ts';
import { isActive } from './decide.ts';
import type { Decision } from './decide.ts';
import type { Input, OpenCommand } from './mailbox.ts';
import { rejection } from './split.ts';
import type { RowChange, Split } from './split.ts';

/** A draft on its way to the store, and its fate. */
export type Flight = Draft;

export interface DecidedStep {
  readonly input: Input;
  readonly event: ActorEvent;
  readonly meta: EventMeta;
  readonly decision: Decision;
  readonly split: Split;
  /** The actor came to be in this step. */
  readonly born: boolean;
}

export class Draft {
  readonly actor: Activation;
  readonly number: number;
  readonly expectedVersion: number;
  readonly effectsBefore: readonly EffectRequest[];
  readonly timersBefore: readonly PendingTimer[];
  readonly inputs: Input[] = [];
  readonly history: HistoryEntry[] = [];
  readonly messages: Message[] = [];
  readonly receipts: Receipt[] = [];
  readonly marks = new Map<string, { sender: string; seq: number; after: number }>();
  readonly rows = new Map<string, RowChange>();
  readonly deadLetters: { readonly message: Message; readonly reason: string }[] = [];
  /** Refused without a receipt, on grounds that must be durable before they are told. */
  readonly refusals: { readonly open: OpenCommand; readonly reply: Reply }[] = [];
  ackedSeqs: readonly number[] = [];
  effectsStarted: readonly EffectRequest[] = [];
  effectsEnded: readonly EffectRequest[] = [];
  timersSet: readonly PendingTimer[] = [];
  timersCancelled: readonly string[] = [];
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

  /** Closes the draft: from here the actor may run ahead, so what the gate needs is taken down now. */
  takeOff(commit: Commit): void {
    const { effects } = commit;
    this.effectsStarted = effects.filter((effect) => !this.effectsBefore.includes(effect));
    this.effectsEnded = this.effectsBefore.filter((effect) => !effects.includes(effect));
    this.timersSet = commit.timersSet;
    this.timersCancelled = commit.timersCancelled;
    this.ackedSeqs = commit.ackedSeqs;
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
  }
}

export const markOf = (message: Message): string => `${message.from}~${message.life}`;

/** The input is dealt with by this commit; a message is marked, so that it is never applied again. */
export function keepInput(draft: Draft, input: Input): void {
  draft.due = true;
  draft.inputs.push(input);
  if (input.kind !== 'message') return;
  const { message } = input;
  const sender = markOf(message);
  draft.actor.marks.set(sender, message.seq);
  const mark = draft.marks.get(sender);
  if (mark === undefined) draft.marks.set(sender, { sender, seq: message.seq, after: message.after });
  else mark.seq = message.seq;
}

/** Answers a command; everybody who asked hears it when the commit is durable. */
export function keepReply(draft: Draft, commandId: string, digest: string, reply: Reply): void {
  draft.due = true;
  draft.receipts.push({ commandId, digest, reply });
  const open = draft.actor.commands.get(commandId);
  if (open !== undefined) open.reply = reply;
}

/** An input that led to no transition: written down under the version it found. */
export function keepNote(
  draft: Draft,
  input: Input,
  note: { kind: 'ignored' | 'rejected' | 'dropped'; event: unknown; at: number; asked?: readonly string[] },
): void {
  const { actor } = draft;
  const value = actor.snapshot === undefined ? null : (actor.snapshot.value as unknown);
  const trace = traceOf(input);
  // A record needs a version: an id that never lived starts its history with what was refused.
  if (actor.version === 0) actor.version = 1;
  draft.due = true;
  draft.history.push({
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

function traceOf(input: Input): string | undefined {
  if (input.kind === 'message') return input.message.trace;
  return input.kind === 'command' ? input.open.command.trace : undefined;
}

/** A step the chart has taken. The actor's fields move on; they are ahead of the store from here on. */
export function keepStep(draft: Draft, step: DecidedStep): void {
  const { actor } = draft;
  const { input, decision, meta } = step;
  const before = step.born ? undefined : actor.snapshot;
  const rejected = refusal(step);
  const idle = rejected && decision.snapshot === before && step.split.messages.length + step.split.rows.length === 0;
  if (!idle) actor.version += 1;
  if (step.born) actor.uid = meta.ulid;
  actor.snapshot = decision.snapshot;
  keepInput(draft, input);
  const asked: string[] = [];
  keepEffects(step, actor, before === undefined || before.value !== decision.snapshot.value, asked);
  keepTimers(step, actor, asked);
  keepMessages(draft, step, asked);
  keepRows(draft, step, asked);
  keepAnswers(draft, step, asked);
  const trace = traceOf(input);
  draft.history.push({
    version: actor.version,
    at: meta.at,
    event: step.event,
    cause: causeOf(input),
    from: before === undefined ? null : (before.value as unknown),
    to: decision.snapshot.value as unknown,
    kind: rejected ? 'rejected' : 'transition',
    asked,
    changed: changes(before?.context as Readonly<Record<string, unknown>> | undefined, decision.snapshot.context),
    ...(trace === undefined ? {} : { trace }),
  });
  if (decision.done) keepRemoval(draft);
}

/** Whether the chart has refused the very command it was given. */
export function refusal(step: Pick<DecidedStep, 'input' | 'split'>): boolean {
  const { input, split } = step;
  if (input.kind !== 'command' || split.answers.length === 0) return false;
  const { commandId } = input.open.command;
  return split.answers.some((answer) => answer.error !== undefined && (answer.commandId ?? commandId) === commandId);
}

/**
 * Which effects are pending now. An entry action is recorded exactly when its state is entered, so an effect asked for again
 * replaces the earlier one; and of several in one step only the last can belong to a state that is still active.
 */
function keepEffects(step: DecidedStep, actor: Activation, moved: boolean, asked: string[]): void {
  const { split, decision, input } = step;
  const consumed = input.kind === 'effect' ? input.effectId : undefined;
  if (decision.done) {
    actor.effects = [];
    return;
  }
  const value = decision.snapshot.value as unknown;
  const states = actor.kind?.effectStates;
  if (actor.effects.length > 0 && (moved || consumed !== undefined || split.effects.length > 0)) {
    const kept = actor.effects.filter(
      (effect) =>
        effect.effectId !== consumed &&
        !split.effects.some((again) => again.type === effect.type) &&
        (effect.stateId === '' || isActive(value, effect.stateId.split('.'))),
    );
    if (kept.length !== actor.effects.length) actor.effects = kept;
  }
  if (split.effects.length === 0) return;
  const started: EffectRequest[] = [];
  for (const [index, { type, params }] of split.effects.entries()) {
    if (split.effects.some((later, at) => at > index && later.type === type)) continue;
    const path = states?.get(type)?.find((candidate) => isActive(value, candidate));
    if (path === undefined) continue;
    const effectId = `${actor.id}#${actor.version}.${index}`;
    started.push({ effectId, type, params, stateId: path.join('.') });
    asked.push(`effect:${type}:${effectId}`);
  }
  actor.effects = [...actor.effects, ...started];
}

function keepTimers(step: DecidedStep, actor: Activation, asked: string[]): void {
  const { decision, input, meta } = step;
  if (input.kind === 'timer') actor.timers = actor.timers.filter((timer) => timer.timerId !== input.timerId);
  for (const { timerId, delayMs, eventType } of decision.timers) {
    if (actor.timers.some((timer) => timer.timerId === timerId)) {
      actor.timers = actor.timers.filter((timer) => timer.timerId !== timerId);
    }
    if (delayMs === undefined) continue;
    actor.timers = [...actor.timers, { timerId, dueMs: meta.at + delayMs, eventType }];
    asked.push(`timer:${timerId}`);
  }
}

function keepMessages(draft: Draft, step: DecidedStep, asked: string[]): void {
  const { actor } = draft;
  const trace = traceOf(step.input);
  for (const { to, event } of step.split.messages) {
    actor.lastSeq += 1;
    draft.messages.push({
      to,
      from: actor.id,
      life: actor.uid,
      era: actor.grant.era,
      seq: actor.lastSeq,
      // Only the outbox knows, when it sends.
      after: 0,
      event,
      cause: `${actor.id}@${actor.version}`,
      ...(trace === undefined ? {} : { trace }),
    });
    asked.push(`send:${event.type}:${to}`);
  }
}

function keepRows(draft: Draft, step: DecidedStep, asked: string[]): void {
  for (const row of step.split.rows) {
    const name = `${row.collection}/${row.key}`;
    draft.rows.set(name, row);
    draft.actor.rowsAhead.set(name, { value: row.value, flight: draft.number });
    asked.push(`row:${name}`);
  }
}

function keepAnswers(draft: Draft, step: DecidedStep, asked: string[]): void {
  const { actor } = draft;
  const { split, input } = step;
  const handling = input.kind === 'command' ? input.open.command : undefined;
  let answered = false;
  for (const answer of split.answers) {
    const commandId = answer.commandId ?? handling?.commandId;
    if (commandId === undefined) continue;
    const own = commandId === handling?.commandId && !answered;
    const digest = own ? handling.digest : actor.deferred[commandId];
    // Answered before, or never asked here: said in the history, for nobody waits.
    asked.push(`reply:${commandId}${digest === undefined ? ':unclaimed' : ''}`);
    if (digest === undefined) continue;
    if (own) answered = true;
    if (commandId in actor.deferred) actor.deferred = without(actor.deferred, commandId);
    const { version } = actor;
    const { error } = answer;
    keepReply(draft, commandId, digest, error === undefined ? { ok: true, version, result: answer.result } : { ok: false, version, error });
  }
  if (handling === undefined || answered) return;
  if (split.defer) actor.deferred = { ...actor.deferred, [handling.commandId]: handling.digest };
  else keepReply(draft, handling.commandId, handling.digest, { ok: true, version: actor.version, result: null });
}

function keepRemoval(draft: Draft): void {
  const { actor } = draft;
  actor.effects = [];
  actor.timers = [];
  for (const [commandId, digest] of Object.entries(actor.deferred)) {
    const error = rejection('removed', `${actor.id} was removed before it answered. Ask again if it is created anew.`);
    keepReply(draft, commandId, digest, { ok: false, version: actor.version, error });
  }
  actor.deferred = {};
  draft.closed = true;
}

function without(deferred: Readonly<Record<string, string>>, commandId: string): Readonly<Record<string, string>> {
  const { [commandId]: _, ...rest } = deferred;
  return rest;
}

function changes(
  before: Readonly<Record<string, unknown>> | undefined,
  after: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (before === after) return {};
  const changed: Record<string, unknown> = {};
  for (const key of Object.keys(after)) if (before?.[key] !== after[key]) changed[key] = after[key];
  for (const key of Object.keys(before ?? {})) if (!(key in after)) changed[key] = undefined;
  return changed;
}
