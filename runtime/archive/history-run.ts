/**
 * A run: consecutive history entries of one actor, archived together, and the pointer by which it is found. Each run
 * names the one before it and the actor's record in the store names the last, so an actor's whole history is a linked
 * list, also over the archives of several nodes, and nothing has to be searched. A run that no list leads to (written,
 * then not acknowledged by the store) does not exist.
 *
 * Rejected: an index of actors per chunk (has to be kept, merged and asked for on every node, and cannot tell which
 * of two archives of a rolled-back store is the true one; the list is rolled back with the store).
 */
import type { ActorId } from '../contract/identifiers.ts';
import type { HistoryEntry } from '../contract/journal.ts';

export interface RunPlace {
  readonly node: string;
  readonly chunk: number;
  /** Of the block in the chunk. */
  readonly offset: number;
  /** Line in the block. */
  readonly line: number;
}

export interface RunPointer extends RunPlace {
  /** Id of the run's last entry in the actor's stream: `<version>-<n>`. */
  readonly last: string;
}

export interface HistoryRun {
  readonly actor: ActorId;
  /** Pointer text of the run before; empty for the first. */
  readonly before: string;
  /** Ids of the first and last entry. */
  readonly first: string;
  readonly last: string;
  readonly entries: readonly HistoryEntry[];
}

export const placeText = ({ node, chunk, offset, line }: RunPlace): string => `${node}/${chunk}/${offset}/${line}`;

export const pointerText = (pointer: RunPointer): string => `${placeText(pointer)}/${pointer.last}`;

/** @returns undefined when the text is no pointer; the empty text is none */
export function parsePointer(text: string): RunPointer | undefined {
  const match = /^([a-z0-9-]+)\/(\d{1,10})\/(\d{1,15})\/(\d{1,9})\/(\d+-\d+)$/.exec(text);
  if (match === null) return undefined;
  const [, node, chunk, offset, line, last] = match as unknown as [string, string, string, string, string, string];
  return { node, chunk: Number(chunk), offset: Number(offset), line: Number(line), last };
}

export const versionOf = (entryId: string): number => Number(entryId.slice(0, entryId.indexOf('-')));

/** Order of stream ids. */
export function compareIds(one: string, other: string): number {
  const versions = versionOf(one) - versionOf(other);
  if (versions !== 0) return versions;
  return Number(one.slice(one.indexOf('-') + 1)) - Number(other.slice(other.indexOf('-') + 1));
}

/** One line of a block. Entries are the JSON texts of the store, taken over as they are. */
export function runLine(
  actor: ActorId,
  before: string,
  entries: readonly { readonly id: string; readonly text: string }[],
): string {
  const ids = { actor, before, first: entries[0]?.id ?? '', last: entries.at(-1)?.id ?? '' };
  return `${JSON.stringify(ids).slice(0, -1)},"entries":[${entries.map(({ text }) => text).join()}]}`;
}
