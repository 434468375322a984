/**
 * The stored forms of an actor, back as values: record, summary, history, backlog. The opposite of commit-encoding.ts.
 * What stands here was written by our own script and is trusted; a text that does not parse is a bug and says of what.
 */
import type { EffectRequest } from '../contract/effect.ts';
import type { Message } from '../contract/envelope.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { HistoryEntry, PendingTimer, ShardBacklog, StoredActor } from '../contract/journal.ts';
import type { ActorSummary } from '../contract/reader.ts';
import type { Hold, StoredLetter } from '../contract/supervision.ts';

/** Everything of an actor that the commit script need not look at, as one JSON text. Empty lists are left out. */
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
  readonly deferred?: Readonly<Record<string, string>>;
  readonly hold?: Hold;
}

export function parseStored(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PhotonError(
      'bug',
      'record_unreadable',
      `${what} is not readable in the store; restore it from a backup or its history`,
      {
        cause: error,
      },
    );
  }
}

/** @param fields the record hash: field -> text @returns undefined when there never was such an actor */
export function decodeActor(id: ActorId, fields: Readonly<Record<string, string>>): StoredActor | undefined {
  const { version, head: headText } = fields;
  if (version === undefined || headText === undefined) return undefined;
  const head = parseStored(headText, `the record of ${id}`) as RecordHead;
  const marks: Record<string, number> = {};
  for (const field of Object.keys(fields)) {
    if (field.startsWith('m:')) marks[field.slice('m:'.length)] = Number(fields[field]);
  }
  return {
    id,
    uid: head.uid,
    status: head.status,
    version: Number(version),
    chartVersion: head.chartVersion,
    schemaHash: head.schemaHash,
    state: parseStored(fields['state'] ?? 'null', `the state of ${id}`),
    context: parseStored(fields['context'] ?? 'null', `the context of ${id}`),
    effects: head.effects ?? [],
    timers: head.timers ?? [],
    deferred: head.deferred ?? {},
    lastSeq: head.lastSeq,
    marks,
    ...(head.hold === undefined ? {} : { hold: head.hold }),
  };
}

type Waits = Pick<RecordHead, 'status' | 'effects' | 'timers'>;

/** An actor with neither timers nor effects waits for somebody to say something. */
export function waitingOf({ status, effects = [], timers = [] }: Waits): ActorSummary['waitingOn'] {
  if (status === 'removed') return [];
  if (effects.length === 0 && timers.length === 0) return ['event'];
  return [...(timers.length > 0 ? ['timer' as const] : []), ...(effects.length > 0 ? ['effect' as const] : [])];
}

/** One line of a list from two fields of the record. */
export function decodeSummary(id: ActorId, version: string, headText: string): ActorSummary {
  const head = parseStored(headText, `the record of ${id}`) as RecordHead;
  const { uid, stateName, status, at, hold } = head;
  const summary = { id, uid, version: Number(version), stateName, status, waitingOn: waitingOf(head), at };
  return hold === undefined ? summary : { ...summary, held: hold.kind };
}

/** @param fields stream fields: `e`, JSON */
export function decodeFeedLine(fields: readonly string[]): ActorSummary {
  return parseStored(fields[1] ?? '', 'an entry of a feed') as ActorSummary;
}

/** @param entry stream fields: `e`, JSON */
export function decodeHistory(id: ActorId, entry: readonly string[]): HistoryEntry {
  return parseStored(entry[1] ?? '', `an entry of the history of ${id}`) as HistoryEntry;
}

/** @param fields stream fields: `d`, JSON */
export function decodeLetter(place: string, fields: readonly string[]): StoredLetter {
  return { ...(parseStored(fields[1] ?? '', 'a dead letter') as Omit<StoredLetter, 'place'>), place };
}

export function decodeBacklog(
  outbox: readonly string[],
  timers: Readonly<Record<string, string>>,
  busy: readonly string[],
): ShardBacklog {
  const messages = outbox.map((text) => parseStored(text, 'an outbox row') as Message);
  messages.sort((a, b) => (a.from === b.from ? a.seq - b.seq : a.from < b.from ? -1 : 1));
  return { outbox: messages, timers: Object.entries(timers).map(decodeTimer), busy: busy as readonly ActorId[] };
}

function decodeTimer([field, value]: [string, string]): PendingTimer & { actor: ActorId } {
  const bar = field.indexOf('|');
  const blank = value.indexOf(' ');
  return {
    actor: field.slice(0, bar) as ActorId,
    timerId: field.slice(bar + 1),
    dueMs: Number(value.slice(0, blank)),
    eventType: value.slice(blank + 1),
  };
}
