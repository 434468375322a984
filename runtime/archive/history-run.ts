/**
 * A run: consecutive history entries of one actor that were archived together, and the pointer to it. Each run holds
 * the pointer to the run before it, and the actor's record in the store holds the pointer to the last one. So the whole
 * history of an actor is a linked list, also across the archives of several nodes, and reading it needs no search. A
 * run that was written but not recorded in the store has no pointer to it and is never read.
 *
 * Rejected: an index of actors per chunk (it must be kept, merged and queried on every node, and after a store rollback
 * it cannot tell which of two runs is valid; the pointer in the record is rolled back with the store).
 */
import type { ActorId } from '../contract/identifiers.ts';
import type { HistoryEntry } from '../contract/journal.ts';

export interface RunPlace {
  readonly node: string;
  readonly chunk: number;
  /** Byte offset of the block in the chunk. */
  readonly offset: number;
  /** Index of the line in the block. */
  readonly line: number;
}

export interface RunPointer extends RunPlace {
  /** Stream id of the run's last entry: `<version>-<n>`. */
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

/** @returns undefined when the text is no pointer; the empty string is none */
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

/** One line of a block. Entries are the JSON texts from the store, unchanged. */
export function runLine(
  actor: ActorId,
  before: string,
  entries: readonly { readonly id: string; readonly text: string }[],
): string {
  const ids = { actor, before, first: entries[0]?.id ?? '', last: entries.at(-1)?.id ?? '' };
  return `${JSON.stringify(ids).slice(0, -1)},"entries":[${entries.map(({ text }) => text).join()}]}`;
}
