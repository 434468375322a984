/**
 * Writes a decided step into the builder and moves the actor on: version, state, effects, timers, messages, rows,
 * answers, and the entry of the history.
 * Nothing here can fail: what can throw has thrown before (split.ts), so an actor's state and its builder always agree.
 * Called by step.ts, and for a reset by operator-verbs.ts. Who owns an effect and when it ends is decided here and
 * nowhere else (G7); what a step did to the context is written so that folding the entries gives the very context of
 * that version (G10; the fold is history-fold.ts of the archive).
 */
import { strongerOf } from '../contract/durability.ts';
import type { EffectRequest } from '../contract/effect.ts';
import type { ActorEvent, EventMeta } from '../contract/envelope.ts';
import type { HistoryEntry } from '../contract/journal.ts';
import type { Activation } from './activation.ts';
import { stageInput, stageReply } from './commit-builder.ts';
import { causeOf, traceOf } from './mailbox.ts';
import type { CommitBuilder } from './commit-builder.ts';
import { isActive } from './decide.ts';
import type { ChartSnapshot, Decision } from './decide.ts';
import type { Input } from './mailbox.ts';
import { rejection } from './split.ts';
import type { Split } from './split.ts';

export interface DecidedStep {
  readonly input: Input;
  readonly event: ActorEvent;
  readonly meta: EventMeta;
  readonly decision: Decision;
  readonly split: Split;
  /** The actor came to be in this step. */
  readonly born: boolean;
}

/** A step the chart has taken. The actor's fields move on; they are ahead of the store from here on. */
export function stageStep(builder: CommitBuilder, step: DecidedStep): void {
  const { actor } = builder;
  const { input, decision, meta } = step;
  const before = step.born ? undefined : actor.snapshot;
  const rejected = refusal(step);
  const idle = rejected && decision.snapshot === before && step.split.messages.length + step.split.rows.length === 0;
  if (!idle) actor.version += 1;
  if (step.born) actor.uid = meta.ulid;
  actor.snapshot = decision.snapshot;
  stageInput(builder, input);
  const asked: string[] = [];
  stageEffects(step, actor, before === undefined || before.value !== decision.snapshot.value, asked);
  stageTimers(step, actor, asked);
  stageMessages(builder, step, asked);
  stageRows(builder, step, asked);
  stageAnswers(builder, step, asked);
  const trace = traceOf(input);
  builder.history.push({
    version: actor.version,
    at: meta.at,
    event: step.event,
    cause: causeOf(input),
    from: before === undefined ? null : (before.value as unknown),
    to: decision.snapshot.value as unknown,
    kind: rejected ? 'rejected' : 'transition',
    asked,
    taken: decision.taken,
    ...changesOf(actor, before?.context as Context | undefined),
    ...(trace === undefined ? {} : { trace }),
  });
  if (decision.done) stageRemoval(builder);
}

/** Whether the chart has refused the very command it was given. */
export function refusal(step: Pick<DecidedStep, 'input' | 'split'>): boolean {
  const { input, split } = step;
  if (input.kind !== 'command' || split.answers.length === 0) return false;
  const { commandId } = input.open.command;
  return split.answers.some((answer) => answer.error !== undefined && (answer.commandId ?? commandId) === commandId);
}

/**
 * Which effects are pending now. An entry action is recorded exactly when its state is entered, so an effect asked
 * for again replaces the earlier one; and of several in one step only the last can belong to a state that is still
 * active.
 */
function stageEffects(step: DecidedStep, actor: Activation, moved: boolean, asked: string[]): void {
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

function stageTimers(step: DecidedStep, actor: Activation, asked: string[]): void {
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

function stageMessages(builder: CommitBuilder, step: DecidedStep, asked: string[]): void {
  const { actor } = builder;
  const trace = traceOf(step.input);
  for (const { to, event, durability } of step.split.messages) {
    actor.lastSeq += 1;
    builder.messages.push({
      to,
      from: actor.id,
      senderUid: actor.uid,
      era: actor.grant.era,
      seq: actor.lastSeq,
      // Only the outbox knows, when it sends.
      after: 0,
      event,
      cause: `${actor.id}@${actor.version}`,
      ...(trace === undefined ? {} : { trace }),
      ...(durability === undefined ? {} : { durability }),
    });
    asked.push(`send:${event.type}:${to}`);
  }
}

function stageRows(builder: CommitBuilder, step: DecidedStep, asked: string[]): void {
  for (const row of step.split.rows) {
    const name = `${row.collection}/${row.key}`;
    (builder.rows ??= new Map()).set(name, row);
    builder.actor.rowsAhead.set(name, { value: row.value, inFlight: builder.number });
    asked.push(`row:${name}`);
  }
}

function stageAnswers(builder: CommitBuilder, step: DecidedStep, asked: string[]): void {
  const { actor } = builder;
  const { split, input } = step;
  const handling = input.kind === 'command' ? input.open.command : undefined;
  let answered = false;
  for (const answer of split.answers) {
    const commandId = answer.commandId ?? handling?.commandId;
    if (commandId === undefined) continue;
    const own = commandId === handling?.commandId && !answered;
    const owed = own ? undefined : actor.deferred[commandId];
    const digest = own ? handling.digest : owed?.digest;
    // Answered before, or never asked here: said in the history, for nobody waits.
    asked.push(`reply:${commandId}${digest === undefined ? ':unclaimed' : ''}`);
    if (digest === undefined) continue;
    if (own) answered = true;
    if (owed?.durability !== undefined) builder.owedLevel = strongerOf(builder.owedLevel, owed.durability);
    if (commandId in actor.deferred) actor.deferred = without(actor.deferred, commandId);
    const { version } = actor;
    const { error } = answer;
    stageReply(
      builder,
      commandId,
      digest,
      error === undefined ? { ok: true, version, result: answer.result } : { ok: false, version, error },
    );
  }
  if (handling === undefined || answered) return;
  if (split.defer) {
    const { commandId, digest, durability } = handling;
    const owed = durability === undefined ? { digest } : { digest, durability };
    actor.deferred = { ...actor.deferred, [commandId]: owed };
  } else stageReply(builder, handling.commandId, handling.digest, { ok: true, version: actor.version, result: null });
}

function stageRemoval(builder: CommitBuilder): void {
  const { actor } = builder;
  actor.effects = [];
  actor.timers = [];
  for (const [commandId, { digest, durability }] of Object.entries(actor.deferred)) {
    if (durability !== undefined) builder.owedLevel = strongerOf(builder.owedLevel, durability);
    const error = rejection('removed', `${actor.id} was removed before it answered. Ask again if it is created anew.`);
    stageReply(builder, commandId, digest, { ok: false, version: actor.version, error });
  }
  actor.deferred = {};
  builder.closed = true;
}

type Deferred = Activation['deferred'];

function without(deferred: Deferred, commandId: string): Deferred {
  return Object.fromEntries(Object.entries(deferred).filter(([name]) => name !== commandId));
}

export type Context = Readonly<Record<string, unknown>>;

/** From `before` (undefined: there was no actor) to the actor's present context. */
export function changesOf(
  actor: Activation,
  before: Context | undefined,
): Pick<HistoryEntry, 'changed' | 'gone' | 'whole'> {
  const after = actor.snapshot?.context as Context | undefined;
  if (after === undefined || before === after) return { changed: {} };
  const changed: Record<string, unknown> = {};
  const gone: string[] = [];
  for (const key of Object.keys(after)) {
    if (before?.[key] === after[key]) continue;
    if (after[key] === undefined) gone.push(key);
    else changed[key] = after[key];
  }
  if (before === undefined) return { changed, whole: chartVersionOf(actor) };
  for (const key of Object.keys(before)) if (!(key in after)) gone.push(key);
  return gone.length === 0 ? { changed } : { changed, gone };
}

const chartVersionOf = ({ kind }: Activation): number => kind?.definition.chartVersion ?? 0;

/**
 * Goes before everything else of the actor's first commit after an upgrade: no other entry tells what the upgrade did,
 * and without it the entries behind could not be folded.
 */
export function stageUpgrade(builder: CommitBuilder, snapshot: ChartSnapshot, at: number): void {
  const { actor } = builder;
  const value = snapshot.value as unknown;
  const version = chartVersionOf(actor);
  actor.upgraded = undefined;
  builder.history.unshift({
    version: builder.expectedVersion,
    at,
    event: { type: 'actor.upgraded', chartVersion: version },
    cause: `upgrade:${version}`,
    from: value,
    to: value,
    kind: 'upgraded',
    asked: [],
    changed: { ...(snapshot.context as Context) },
    whole: version,
  });
}
