/**
 * A finished draft in the form of the journal.
 * State and context become JSON here, once, and the context only when it has changed; everything else is handed over as
 * values, which the journal writes as it likes. Called by step.ts, at the end of a step and nowhere else.
 */
import type { Commit } from '../contract/journal.ts';
import { stateNameOf } from './decide.ts';
import type { Draft } from './draft.ts';

const defaultHistoryTail = 32;

/** @throws TypeError when a context or a row is not JSON. */
export function commitOf(draft: Draft, commitId: string): Commit {
  const { actor } = draft;
  const { snapshot, kind } = actor;
  const live = snapshot !== undefined && snapshot.status !== 'done';
  if (snapshot !== undefined && actor.contextSpelt !== snapshot.context) {
    actor.contextSpelt = snapshot.context;
    actor.contextText = JSON.stringify(snapshot.context);
  }
  const value = snapshot === undefined ? null : (snapshot.value as unknown);
  const rows = [...draft.rows.values()];
  return {
    grant: actor.grant,
    actor: actor.id,
    commitId,
    expectedVersion: draft.expectedVersion,
    version: actor.version,
    uid: actor.uid,
    status: live ? 'live' : 'removed',
    chartVersion: kind?.definition.chartVersion ?? 0,
    schemaHash: kind?.schemaHash ?? '',
    stateName: value === null ? 'absent' : stateNameOf(value),
    state: JSON.stringify(value),
    context: snapshot === undefined ? 'null' : actor.contextText,
    effects: actor.effects,
    timersSet: actor.timers.filter((timer) => !draft.timersBefore.includes(timer)),
    timersCancelled: draft.timersBefore
      .filter((timer) => !actor.timers.some((kept) => kept.timerId === timer.timerId))
      .map((timer) => timer.timerId),
    timers: actor.timers,
    deferred: actor.deferred,
    lastSeq: actor.lastSeq,
    marks: [...draft.marks.values()],
    receipts: draft.receipts,
    history: draft.history,
    messages: draft.messages,
    ackedSeqs: draft.ackedSeqs,
    rowsPut: rows
      .filter((row) => row.value !== undefined)
      .map(({ collection, key, value: row }) => ({ collection, key, value: JSON.stringify(row) })),
    rowsRemoved: rows.filter((row) => row.value === undefined).map(({ collection, key }) => ({ collection, key })),
    deadLetters: draft.deadLetters,
    lettersGone: draft.lettersGone,
    hold: live ? actor.hold : undefined,
    historyTail: kind?.definition.historyTail ?? defaultHistoryTail,
  };
}
