/**
 * Rows of an actor's collections, read by name or whole, one command per collection. Called by redis-journal.ts; rows
 * are written by the commit script only.
 */
import type { RowKey } from '../contract/actor-definition.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { parseStored } from './record-decoding.ts';

/** A reply of HMGET, in the order asked, or of HGETALL. */
type StoredRows = readonly (string | null)[] | Readonly<Record<string, string>>;

function rowsOf(
  collection: string,
  names: readonly string[],
  stored: StoredRows,
  id: ActorId,
): Record<string, unknown> {
  const parse = (name: string, text: string | null | undefined): unknown =>
    text === null || text === undefined ? null : parseStored(text, `row ${collection}/${name} of ${id}`);
  if (Array.isArray(stored)) {
    return Object.fromEntries(
      names.map((name, at) => [`${collection}/${name}`, parse(name, (stored as (string | null)[])[at])]),
    );
  }
  const all = Object.fromEntries(
    Object.entries(stored as Record<string, string>).map(([name, text]) => [name, parse(name, text)]),
  );
  return Object.fromEntries(names.map((name) => [`${collection}/${name}`, name === '*' ? all : (all[name] ?? null)]));
}

/**
 * @param read the replies to commands, in order
 * @param keyOf collection -> its key in the store
 * @returns `<collection>/<key>` -> value, or null where there is none; an object of all rows for the key `*`
 */
export async function readRows(
  read: (commands: readonly (readonly string[])[]) => Promise<unknown[]>,
  id: ActorId,
  keyOf: (collection: string) => string,
  rows: readonly RowKey[],
): Promise<Readonly<Record<string, unknown>>> {
  const wanted = new Map<string, string[]>();
  for (const row of rows) wanted.set(row.collection, [...(wanted.get(row.collection) ?? []), row.key]);
  const commands = [...wanted].map(([collection, names]) =>
    names.includes('*') ? ['hgetall', keyOf(collection)] : ['hmget', keyOf(collection), ...names],
  );
  const replies = (await read(commands)) as StoredRows[];
  const found: Record<string, unknown> = {};
  for (const [index, [collection, names]] of [...wanted].entries()) {
    Object.assign(found, rowsOf(collection, names, replies[index] ?? [], id));
  }
  return found;
}
