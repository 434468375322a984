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
import type { HistoryEntry, PendingTimer } from '../contract/journal.ts';
import type { Activation, AheadState } from './activation.ts';
import { nothingChanges, stageInput, stageReply } from './commit-builder.ts';
import { causeOf, traceOf } from './mailbox.ts';
import type { CommitBuilder, PendingChanges } from './commit-builder.ts';
import { isActive } from './decide.ts';
import type { ChartSnapshot, Decision } from './decide.ts';
import type { Input } from './mailbox.ts';
import { rejection } from './split.ts';
import type { Split } from './split.ts';

const nothing: readonly never[] = [];

export interface DecidedStep {
  readonly input: Input;
  readonly event: ActorEvent;
  readonly meta: EventMeta;
  readonly decision: Decision;
  readonly split: Split;
  /** The actor is created by this step. */
  readonly born: boolean;
  /** Delays of timers begin here: the most that the shared clock can be. */
  readonly armedMs: number;
}

/** Stages a step that the chart has taken: moves the actor's `ahead` state on and adds the step to the commit. */
export function stageStep(builder: CommitBuilder, step: DecidedStep): void {
  const { actor } = builder;
  const { ahead } = actor;
  const { input, decision, meta } = step;
  const before = step.born ? undefined : ahead.snapshot;
  const rejected = refusal(step);
  const idle = rejected && decision.snapshot === before && step.split.messages.length + step.split.rows.length === 0;
  if (!idle) ahead.version += 1;
  if (step.born) ahead.uid = meta.ulid;
  ahead.snapshot = decision.snapshot;
  stageInput(builder, input);
  const asked: string[] = [];
  const changes = pendingChangesOf(actor, before, step);
  builder.change(changes);
  for (const { type, effectId } of changes.effectsStarted) asked.push(`effect:${type}:${effectId}`);
  for (const { timerId } of changes.timersSet) asked.push(`timer:${timerId}`);
  stageMessages(builder, step, asked);
  stageRows(builder, step, asked);
  stageAnswers(builder, step, asked);
  const trace = traceOf(input);
  builder.history.push({
    version: ahead.version,
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
 * Which effects and timers a step begins and ends; the actor has the step's version already. An entry action is
 * recorded exactly when its state is entered, so an effect asked for again replaces the earlier one; and of several in
 * one step only the last can belong to a state that is still active.
 *
 * @param before the snapshot that the step began with; undefined: there was no actor
 */
export function pendingChangesOf(
  { ahead, kind, id }: Pick<Activation, 'ahead' | 'kind' | 'id'>,
  before: ChartSnapshot | undefined,
  { split, decision, input, armedMs }: Pick<DecidedStep, 'split' | 'decision' | 'input' | 'armedMs'>,
): PendingChanges {
  const { effects, timers, version } = ahead;
  // Most steps leave effects and timers alone, and this runs for every one of them.
  const hasTimers = decision.timers.length > 0 || input.kind === 'timer';
  if (effects.length + split.effects.length === 0 && !hasTimers && !decision.done) return nothingChanges;
  if (decision.done) return { ...nothingChanges, effectsEnded: effects, timersEnded: timers };
  const value = decision.snapshot.value as unknown;
  const consumed = input.kind === 'effect' ? input.effectId : undefined;
  const moved = before === undefined || before.value !== value;
  let effectsEnded: readonly EffectRequest[] = nothing;
  if (effects.length > 0 && (moved || consumed !== undefined || split.effects.length > 0)) {
    effectsEnded = effects.filter(
      ({ effectId, type, stateId }) =>
        effectId === consumed ||
        split.effects.some((again) => again.type === type) ||
        (stateId !== '' && !isActive(value, stateId.split('.'))),
    );
  }
  const effectsStarted = split.effects.flatMap(({ type, params }, index): EffectRequest[] => {
    if (split.effects.some((later, at) => at > index && later.type === type)) return [];
    const path = kind?.effectStates.get(type)?.find((candidate) => isActive(value, candidate));
    if (path === undefined) return [];
    return [{ effectId: `${id}#${version}.${index}`, type, params, stateId: path.join('.') }];
  });
  const ofTimers = hasTimers ? timerChanges(timers, input, decision, armedMs) : nothingChanges;
  return { ...ofTimers, effectsStarted, effectsEnded };
}

function timerChanges(
  timers: readonly PendingTimer[],
  input: Input,
  decision: Decision,
  armedMs: number,
): Pick<PendingChanges, 'timersSet' | 'timersEnded'> {
  let timersSet: PendingTimer[] = [];
  const ended = new Set(input.kind === 'timer' ? [input.timerId] : []);
  for (const { timerId, delayMs, eventType } of decision.timers) {
    ended.add(timerId);
    timersSet = timersSet.filter((timer) => timer.timerId !== timerId);
    if (delayMs !== undefined) timersSet.push({ timerId, dueMs: armedMs + delayMs, eventType });
  }
  return { timersSet, timersEnded: timers.filter(({ timerId }) => ended.has(timerId)) };
}

function stageMessages(builder: CommitBuilder, step: DecidedStep, asked: string[]): void {
  const { actor } = builder;
  const trace = traceOf(step.input);
  for (const { to, event, durability } of step.split.messages) {
    actor.ahead.lastSeq += 1;
    builder.messages.push({
      to,
      from: actor.id,
      senderUid: actor.ahead.uid,
      era: actor.grant.era,
      seq: actor.ahead.lastSeq,
      // The outbox sets it when it sends.
      after: 0,
      event,
      cause: `${actor.id}@${actor.ahead.version}`,
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
    builder.actor.ahead.rows.set(name, { value: row.value, inFlight: builder.number });
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
    const owed = own ? undefined : actor.ahead.deferred[commandId];
    const digest = own ? handling.digest : owed?.digest;
    // Answered before, or never asked here: only the history records it, for no caller waits.
    asked.push(`reply:${commandId}${digest === undefined ? ':unclaimed' : ''}`);
    if (digest === undefined) continue;
    if (own) answered = true;
    if (owed?.durability !== undefined) builder.owedLevel = strongerOf(builder.owedLevel, owed.durability);
    if (commandId in actor.ahead.deferred) actor.ahead.deferred = without(actor.ahead.deferred, commandId);
    const { version } = actor.ahead;
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
    actor.ahead.deferred = { ...actor.ahead.deferred, [commandId]: owed };
  } else
    stageReply(builder, handling.commandId, handling.digest, { ok: true, version: actor.ahead.version, result: null });
}

function stageRemoval(builder: CommitBuilder): void {
  const { actor } = builder;
  for (const [commandId, { digest, durability }] of Object.entries(actor.ahead.deferred)) {
    if (durability !== undefined) builder.owedLevel = strongerOf(builder.owedLevel, durability);
    const error = rejection('removed', `${actor.id} was removed before it answered. Ask again if it is created anew.`);
    stageReply(builder, commandId, digest, { ok: false, version: actor.ahead.version, error });
  }
  actor.ahead.deferred = {};
  builder.closed = true;
}

type Deferred = AheadState['deferred'];

function without(deferred: Deferred, commandId: string): Deferred {
  return Object.fromEntries(Object.entries(deferred).filter(([name]) => name !== commandId));
}

export type Context = Readonly<Record<string, unknown>>;

/** From `before` (undefined: there was no actor) to the actor's present context. */
export function changesOf(
  actor: Activation,
  before: Context | undefined,
): Pick<HistoryEntry, 'changed' | 'gone' | 'whole'> {
  const after = actor.ahead.snapshot?.context as Context | undefined;
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
 * Puts an entry for an upgrade before all others of the actor's first commit after it: only this entry says what the
 * upgrade changed, and without it the later entries could not be folded.
 */
export function stageUpgrade(builder: CommitBuilder, snapshot: ChartSnapshot, at: number): void {
  const { actor } = builder;
  const value = snapshot.value as unknown;
  const version = chartVersionOf(actor);
  actor.ahead.upgraded = undefined;
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
