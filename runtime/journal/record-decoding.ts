/**
 * Decodes what is stored of an actor: record, summary, history, backlog. The inverse of commit-encoding.ts. Our script
 * wrote it, but a disk or a person may have corrupted it. A record of the wrong shape is an error `record_unreadable`;
 * a wrong entry of a backlog is logged and left in the store, so that the other actors of the shard go on (G8 in
 * docs/promises.md).
 */
import { decodeTime } from 'ulid';
import type { EffectRequest } from '../contract/effect.ts';
import type { Message } from '../contract/envelope.ts';
import { PhotonError } from '../contract/errors.ts';
import { parseActorId, type ActorId } from '../contract/identifiers.ts';
import type { DeferredCommand, HistoryEntry, PendingTimer, ShardBacklog, StoredActor } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';
import type { ActorSummary } from '../contract/reader.ts';
import type { Hold, StoredDeadLetter } from '../contract/supervision.ts';

/** The part of an actor's record that the commit script never reads, as one JSON text. Empty lists are left out. */
export interface RecordHead {
  readonly uid: string;
  readonly status: 'live' | 'removed';
  readonly chartVersion: number;
  readonly schemaHash: string;
  readonly stateName: string;
  readonly lastSeq: number;
  readonly at: number;
  readonly effects?: readonly EffectRequest[];
  readonly timers?: readonly PendingTimer[];
  readonly deferred?: Readonly<Record<string, DeferredCommand>>;
  readonly hold?: Hold;
  readonly state: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const unreadable = (what: string, cause: unknown): PhotonError =>
  new PhotonError(
    'bug',
    'record_unreadable',
    `${what} is not readable in the store; restore it from a backup or its history`,
    { cause },
  );

/** @throws PhotonError bug `record_unreadable` */
export function parseStored(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw unreadable(what, error);
  }
}

const isOptional = (value: unknown, is: (value: unknown) => boolean): boolean => value === undefined || is(value);

const isTimer = (timer: unknown): boolean => isFields(timer) && Number.isFinite(timer['dueMs']);

function isHead(head: unknown): head is RecordHead {
  return (
    isFields(head) &&
    typeof head['uid'] === 'string' &&
    (head['status'] === 'live' || head['status'] === 'removed') &&
    Number.isSafeInteger(head['chartVersion']) &&
    typeof head['stateName'] === 'string' &&
    Number.isSafeInteger(head['lastSeq']) &&
    isOptional(head['effects'], (effects) => Array.isArray(effects) && effects.every(isFields)) &&
    isOptional(head['timers'], (timers) => Array.isArray(timers) && timers.every(isTimer)) &&
    isOptional(head['deferred'], (deferred) => isFields(deferred) && Object.values(deferred).every(isFields)) &&
    isOptional(head['hold'], isFields)
  );
}

function parseHead(id: ActorId, text: string): RecordHead {
  const what = `the record of ${id}`;
  const head = parseStored(text, what);
  if (!isHead(head)) throw unreadable(what, 'its head is malformed');
  return head;
}

/**
 * @param fields the record hash: field -> text
 * @returns undefined when the actor never existed
 * @throws PhotonError bug `record_unreadable`
 */
export function decodeActor(id: ActorId, fields: Readonly<Record<string, string>>): StoredActor | undefined {
  const { version, head: headText } = fields;
  if (version === undefined && headText === undefined) return undefined;
  if (version === undefined || headText === undefined || !/^\d+$/.test(version))
    throw unreadable(`the record of ${id}`, 'it lacks its version or its head');
  const head = parseHead(id, headText);
  const context = parseStored(fields['context'] ?? 'null', `the context of ${id}`);
  if (head.status === 'live' && !(isFields(context) && (typeof head.state === 'string' || isFields(head.state))))
    throw unreadable(`the snapshot of ${id}`, 'its state or context is malformed');
  const watermarks: Record<string, number> = {};
  for (const field of Object.keys(fields)) {
    if (field.startsWith('m:')) watermarks[field.slice('m:'.length)] = Number(fields[field]);
  }
  return {
    id,
    uid: head.uid,
    status: head.status,
    version: Number(version),
    chartVersion: head.chartVersion,
    schemaHash: head.schemaHash,
    state: head.state,
    context,
    effects: head.effects ?? [],
    timers: head.timers ?? [],
    deferred: head.deferred ?? {},
    lastSeq: head.lastSeq,
    watermarks,
    prunedUid: fields['prunedUid'] ?? '',
    ...(head.hold === undefined ? {} : { hold: head.hold }),
  };
}

/**
 * When the given uid of an actor had ended at the latest, in wall ms; Infinity while the uid is live or when the record
 * does not tell.
 *
 * @param headText null when there is no record
 */
export function endOfUid(id: ActorId, headText: string | null, senderUid: string): number {
  if (headText === null) return Infinity;
  try {
    const { status, at, uid } = parseHead(id, headText);
    if (status === 'removed') return at;
    return uid === senderUid ? Infinity : decodeTime(uid);
  } catch {
    // A corrupt record: its owner reports it when it loads the actor.
    return Infinity;
  }
}

type Waits = Pick<RecordHead, 'status' | 'effects' | 'timers'>;

/** An actor with neither timers nor effects waits for an event. */
export function waitingOf({ status, effects = [], timers = [] }: Waits): ActorSummary['waitingOn'] {
  if (status === 'removed') return [];
  if (effects.length === 0 && timers.length === 0) return ['event'];
  return [...(timers.length > 0 ? ['timer' as const] : []), ...(effects.length > 0 ? ['effect' as const] : [])];
}

/** One line of a list, from two fields of the record. An unreadable record is listed too, as quarantined. */
export function decodeSummary(id: ActorId, version: string, headText: string): ActorSummary {
  let head: RecordHead;
  try {
    head = parseHead(id, headText);
  } catch {
    const state = { uid: '', stateName: 'unreadable', status: 'live', waitingOn: [], held: 'quarantined' } as const;
    return { id, version: Number(version) || 0, at: 0, ...state };
  }
  const { uid, stateName, status, at, hold } = head;
  const summary = { id, uid, version: Number(version), stateName, status, waitingOn: waitingOf(head), at };
  return hold === undefined ? summary : { ...summary, held: hold.kind };
}

/** @param fields stream fields: `e`, JSON */
export function decodeFeedLine(fields: readonly string[]): ActorSummary {
  return parseStored(fields[1] ?? '', 'an entry of a feed') as ActorSummary;
}

const unreadableEvent = 'history.unreadable';

/** Whether the entry stands in for one that cannot be read; its event carries the text that was found. */
export const isUnreadable = ({ event }: HistoryEntry): boolean => isFields(event) && event['type'] === unreadableEvent;

const isEntry = (entry: unknown): boolean =>
  isFields(entry) && Number.isSafeInteger(entry['version']) && isFields(entry['event']) && isFields(entry['changed']);

function unreadableEntry(entryId: string, text: string): HistoryEntry {
  const version = Number(entryId.slice(0, entryId.indexOf('-')));
  const event = { type: unreadableEvent, text };
  return { version, at: 0, event, cause: '', from: null, to: 'unreadable', kind: 'dropped', asked: [], changed: {} };
}

/**
 * @param entryId `<version>-<n>`
 * @param fields stream fields: `e`, JSON
 * @returns for an unreadable entry one that says so: the other entries are shown, but no state is rebuilt across it
 */
export function decodeHistory(entryId: string, fields: readonly string[]): HistoryEntry {
  const text = fields[1] ?? '';
  try {
    const entry: unknown = JSON.parse(text);
    if (isEntry(entry)) return entry as HistoryEntry;
  } catch {
    // Handled below, like JSON that is no entry.
  }
  return unreadableEntry(entryId, text);
}

/** The JSON text of an entry for the archive. An unreadable one is replaced: it would corrupt the run it is part of. */
export function entryText(entryId: string, fields: readonly string[]): string {
  const entry = decodeHistory(entryId, fields);
  return isUnreadable(entry) ? JSON.stringify(entry) : (fields[1] ?? '');
}

/** A reply of XRANGE. */
export type StreamEntries = readonly (readonly [entryId: string, fields: readonly string[]])[];

/** Unreadable dead letters are logged and stay in the store. @param entries of one shard's stream: `d`, JSON */
export function decodeDeadLetters(entries: StreamEntries, log: Log): readonly StoredDeadLetter[] {
  return entries.flatMap(([place, fields]) => {
    try {
      const deadLetter: unknown = JSON.parse(fields[1] ?? '');
      if (isFields(deadLetter) && typeof deadLetter['actor'] === 'string' && isFields(deadLetter['event']))
        return [{ ...(deadLetter as unknown as Omit<StoredDeadLetter, 'place'>), place }];
    } catch {
      // Handled below, like JSON that is no dead letter.
    }
    log.error({ place, fields }, 'a dead letter cannot be read and is left out; it is still in the store');
    return [];
  });
}

/** The contents of a shard's keys `q`, `t` and `b`. */
export type BacklogRows = [
  outbox: Readonly<Record<string, string>>,
  timers: Readonly<Record<string, string>>,
  busy: readonly string[],
];

/** An unreadable row stays in the store and is logged with its key and field; the others are decoded. */
export function decodeBacklog(
  key: (what: string) => string,
  [outbox, timers, busy]: BacklogRows,
  log: Log,
): ShardBacklog {
  const report = (what: string, field: string): undefined => {
    log.error(
      { key: key(what), field },
      'a row of a shard cannot be read and is ignored; the shard goes on; repair or remove the row in the store',
    );
  };
  const messages: Message[] = [];
  for (const [field, text] of Object.entries(outbox)) {
    const message = decodeMessage(field, text);
    if (message === undefined) report('q', field);
    else messages.push(message);
  }
  messages.sort((a, b) => (a.from === b.from ? a.seq - b.seq : a.from < b.from ? -1 : 1));
  const pending: (PendingTimer & { actor: ActorId })[] = [];
  for (const [field, value] of Object.entries(timers)) {
    const timer = timerOf(field, value);
    if (timer === undefined) report('t', field);
    else pending.push(timer);
  }
  const ids = busy.filter((id): id is ActorId => parseActorId(id) !== undefined || report('b', id) !== undefined);
  return { outbox: messages, timers: pending, busy: ids };
}

/** @param field `<from>|<seq>` @returns undefined when this is no valid message */
export function decodeMessage(field: string, text: string): Message | undefined {
  let row: unknown;
  try {
    row = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isFields(row)) return undefined;
  const { to, from, senderUid, era, seq, after, event } = row;
  const isWhole =
    typeof to === 'string' &&
    parseActorId(to) !== undefined &&
    typeof from === 'string' &&
    parseActorId(from) !== undefined &&
    typeof senderUid === 'string' &&
    [era, seq, after].every(Number.isSafeInteger) &&
    isFields(event) &&
    typeof event['type'] === 'string';
  return isWhole && field === `${from}|${String(seq)}` ? (row as unknown as Message) : undefined;
}

function timerOf(field: string, value: string): (PendingTimer & { actor: ActorId }) | undefined {
  const bar = field.indexOf('|');
  const blank = value.indexOf(' ');
  const actor = field.slice(0, bar) as ActorId;
  const dueMs = Number(value.slice(0, blank));
  if (bar < 0 || blank <= 0 || !Number.isFinite(dueMs) || parseActorId(actor) === undefined) return undefined;
  return { actor, timerId: field.slice(bar + 1), dueMs, eventType: value.slice(blank + 1) };
}
