/**
 * Reads the requests a chart has recorded: messages, rows, effects, and answers to commands. Pure, and all or nothing:
 * a malformed request throws before anything of the step is staged, so a faulty chart parks one input instead of
 * committing half a step. Called by step.ts between deciding and staging.
 */
import type { Durability } from '../contract/durability.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ErrorRecord, Issue } from '../contract/errors.ts';
import type { ActorEvent } from '../contract/envelope.ts';
import { parseActorId } from '../contract/identifiers.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { RecordedAction } from './decide.ts';
import type { RegisteredKind } from './registration.ts';

export interface RowChange {
  readonly collection: string;
  readonly key: string;
  /** Undefined: removed. */
  readonly value: unknown;
}

/** An answer to the command being handled (`commandId` undefined) or to a deferred one. */
export interface Answer {
  readonly commandId: string | undefined;
  readonly result: unknown;
  readonly error: ErrorRecord | undefined;
}

export interface EffectAsked {
  readonly type: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export interface MessageAsked {
  readonly to: ActorId;
  readonly event: ActorEvent;
  readonly durability?: Durability;
}

export interface Split {
  readonly messages: readonly MessageAsked[];
  readonly rows: readonly RowChange[];
  readonly answers: readonly Answer[];
  readonly effects: readonly EffectAsked[];
  readonly defer: boolean;
}

interface Params {
  readonly to?: unknown;
  readonly event?: unknown;
  readonly durability?: unknown;
  readonly commandId?: unknown;
  readonly result?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly issues?: unknown;
  readonly collection?: unknown;
  readonly key?: unknown;
  readonly value?: unknown;
}

const nothing: readonly never[] = [];
const noParams: Params = {};
const nothingAsked: Split = { messages: nothing, rows: nothing, answers: nothing, effects: nothing, defer: false };

function malformed(kind: RegisteredKind, type: string, what: string): PhotonError {
  const text = `the chart of ${kind.definition.kind} recorded ${type} ${what}. Correct the chart.`;
  return new PhotonError('bug', 'request_malformed', text);
}

function textOf(kind: RegisteredKind, type: string, name: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw malformed(kind, type, `without ${name}`);
  return value;
}

function messageOf(kind: RegisteredKind, params: Params): MessageAsked {
  const to = textOf(kind, 'send', 'to', params.to);
  if (parseActorId(to) === undefined)
    throw malformed(kind, 'send', `to ${JSON.stringify(to.slice(0, 120))}, which is no actor id`);
  const { event } = params;
  if (typeof event !== 'object' || event === null || !('type' in event) || typeof event.type !== 'string') {
    throw malformed(kind, 'send', `to ${to} without an event`);
  }
  const asked = { to: to as ActorId, event: event as ActorEvent };
  if (params.durability === undefined) return asked;
  const durability = kind.offered.find((level) => level === params.durability);
  if (durability === undefined) throw malformed(kind, 'send', `to ${to} with a durability the store does not keep`);
  return { ...asked, durability };
}

function answerOf(kind: RegisteredKind, type: string, params: Params): Answer {
  const commandId =
    params.commandId === undefined ? undefined : textOf(kind, type, 'a command id of text', params.commandId);
  if (type === 'reply') return { commandId, result: params.result ?? null, error: undefined };
  const code = textOf(kind, type, 'code', params.code);
  const message = textOf(kind, type, 'message', params.message);
  return {
    commandId,
    result: undefined,
    error: rejection(code, message, params.issues as readonly Issue[] | undefined),
  };
}

/** The record of a rejection, without the stack trace an Error would collect: rejections are ordinary answers. */
export function rejection(code: string, message: string, issues?: readonly Issue[]): ErrorRecord {
  const record: ErrorRecord = { group: 'rejection', code, message, retryable: false, public: true };
  return issues === undefined ? record : { ...record, issues };
}

/** @throws PhotonError bug `request_malformed`; the caller parks the input. */
export function split(kind: RegisteredKind, actions: readonly RecordedAction[]): Split {
  if (actions.length === 0) return nothingAsked;
  const messages: MessageAsked[] = [];
  const rows: RowChange[] = [];
  const answers: Answer[] = [];
  const effects: EffectAsked[] = [];
  let defer = false;
  for (const { type, params } of actions) {
    const given = (params ?? noParams) as Params;
    if (type === 'send') messages.push(messageOf(kind, given));
    else if (type === 'reply' || type === 'reject') answers.push(answerOf(kind, type, given));
    else if (type === 'defer') defer = true;
    else if (type === 'row.put' || type === 'row.remove') {
      const collection = textOf(kind, type, 'collection', given.collection);
      const key = textOf(kind, type, 'key', given.key);
      if (type === 'row.put' && given.value === undefined)
        throw malformed(kind, type, `${collection}/${key} without value`);
      rows.push({ collection, key, value: type === 'row.put' ? given.value : undefined });
    } else if (kind.effectStates.has(type)) effects.push({ type, params: given as EffectAsked['params'] });
    else throw malformed(kind, type, 'which is neither a request nor an effect');
  }
  return { messages, rows, answers, effects, defer };
}
