/**
 * A finished builder in the form of the journal.
 * State and context become JSON here, once, and the context only when it has changed; everything else is handed over as
 * values, which the journal writes as it likes. Called by step.ts, at the end of a step and nowhere else.
 */
import type { RowKey } from '../contract/actor-definition.ts';
import { strongerOf } from '../contract/durability.ts';
import type { Durability } from '../contract/durability.ts';
import type { Commit, PendingTimer } from '../contract/journal.ts';
import { stateNameOf } from './decide.ts';
import type { CommitBuilder } from './commit-builder.ts';
import type { Input } from './mailbox.ts';
import type { RowChange } from './split.ts';

const defaultHistoryTail = 32;
const nothing: readonly never[] = [];

/** @param fallback for a kind that nobody knows @throws TypeError when a context or a row is not JSON. */
export function commitOf(builder: CommitBuilder, commitId: string, fallback: Durability): Commit {
  const { actor } = builder;
  const { snapshot, kind } = actor;
  const live = snapshot !== undefined && snapshot.status !== 'done';
  if (snapshot !== undefined && actor.contextSpelt !== snapshot.context) {
    actor.contextSpelt = snapshot.context;
    actor.contextText = JSON.stringify(snapshot.context);
  }
  const value = snapshot === undefined ? null : (snapshot.value as unknown);
  const { timersBefore } = builder;
  // Most steps leave timers and rows alone, and this runs for every one of them.
  const still = actor.timers === timersBefore;
  const rows = builder.rows === undefined ? nothing : [...builder.rows.values()];
  return {
    grant: actor.grant,
    actor: actor.id,
    commitId,
    expectedVersion: builder.expectedVersion,
    version: actor.version,
    uid: actor.uid,
    status: live ? 'live' : 'removed',
    chartVersion: kind?.definition.chartVersion ?? 0,
    schemaHash: kind?.schemaHash ?? '',
    stateName: value === null ? 'absent' : stateNameOf(value),
    state: JSON.stringify(value),
    context: snapshot === undefined ? 'null' : actor.contextText,
    effects: actor.effects,
    timersSet: still ? nothing : actor.timers.filter((timer) => !timersBefore.includes(timer)),
    timersCancelled: still ? nothing : goneFrom(timersBefore, actor.timers),
    timers: actor.timers,
    deferred: actor.deferred,
    lastSeq: actor.lastSeq,
    watermarks: builder.watermarks,
    watermarksPruned: builder.watermarksPruned,
    prunedUid: actor.prunedUid,
    receipts: builder.receipts,
    unproven: actor.receiptsKnown ? nothing : builder.inputs.flatMap(commandIdOf),
    history: builder.history,
    messages: builder.messages,
    ackedSeqs: builder.ackedSeqs,
    rowsPut: rows.length === 0 ? nothing : rows.filter(isPut).map(spelt),
    rowsRemoved: rows.length === 0 ? nothing : rows.filter((row) => !isPut(row)).map(keyOf),
    deadLetters: builder.deadLetters,
    deadLettersGone: builder.deadLettersGone,
    hold: live ? actor.hold : undefined,
    historyTail: kind?.definition.historyTail ?? defaultHistoryTail,
    durability: durabilityOf(builder, kind?.durability ?? fallback),
  };
}

const commandIdOf = (input: Input): readonly string[] =>
  input.kind === 'command' ? [input.open.command.commandId] : nothing;

const isPut = (row: RowChange): boolean => row.value !== undefined;
const keyOf = ({ collection, key }: RowChange): RowKey => ({ collection, key });
const spelt = (row: RowChange): RowKey & { value: string } => ({ ...keyOf(row), value: JSON.stringify(row.value) });

const goneFrom = (before: readonly PendingTimer[], now: readonly PendingTimer[]): readonly string[] =>
  before.filter((timer) => !now.some((kept) => kept.timerId === timer.timerId)).map((timer) => timer.timerId);

/** The strongest of what the inputs ask for, each its own or its kind's level, and of the commands answered by it. */
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
