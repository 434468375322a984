/**
 * The part of an actor's history that a page has read, as pieces without a gap inside: mostly one, which ends at the
 * newest step; another where somebody looked at an old version, or where more steps came than one read returns. Pure.
 */
import type { HistoryPage, HistoryRow, Older } from './inspector-feed.ts';

/** Oldest first, never empty. */
export interface Piece {
  readonly rows: readonly HistoryRow[];
  /** What precedes the first row. */
  readonly older: Older;
}

/** Newest piece first. */
export type Pieces = readonly Piece[];

/** Entries have no number of their own. */
const isSame = (one: HistoryRow, other: HistoryRow): boolean =>
  one.version === other.version && one.at === other.at && one.cause === other.cause && one.kind === other.kind;

const placeIn = (rows: readonly HistoryRow[], row: HistoryRow | undefined): number =>
  row === undefined ? -1 : rows.findIndex((candidate) => isSame(candidate, row));

/** One piece, if the two overlap; `upper` has the newer end. */
function joined(upper: Piece, lower: Piece): Piece | undefined {
  const begin = placeIn(upper.rows, lower.rows[0]);
  if (begin > 0) return upper;
  const end = placeIn(upper.rows, lower.rows.at(-1));
  if (end === -1) return undefined;
  return { rows: [...lower.rows, ...upper.rows.slice(end + 1)], older: lower.older };
}

const newestOf = ({ rows }: Piece): number => rows.at(-1)?.version ?? 0;

function put(pieces: Pieces, piece: Piece): Pieces {
  // Of two that end at one version, the one read last may have more of it, so it is the upper one.
  const all = [piece, ...pieces].toSorted((a, b) => newestOf(b) - newestOf(a));
  return all.reduce<Piece[]>((above, next) => {
    const upper = above.at(-1);
    const one = upper === undefined ? undefined : joined(upper, next);
    return one === undefined ? [...above, next] : [...above.slice(0, -1), one];
  }, []);
}

/** @param page a read of the newest entries, or of all that came after an entry that is known */
export function withNewest(pieces: Pieces, page: HistoryPage): Pieces {
  const [top, ...rest] = pieces;
  const first = page.rows[0];
  if (first === undefined) return pieces;
  if (top === undefined) return [page];
  const all = put(pieces, page);
  // The read was complete, so nothing is between, even if the entry it began with cannot be found again.
  if (all.length <= pieces.length || page.older === 'more') return all;
  const before = top.rows.filter((row) => row.version < first.version);
  return [{ rows: [...before, ...page.rows], older: top.older }, ...rest];
}

/** The request for the page before a piece. */
export function olderRange({ rows }: Piece): { readonly to: number; readonly skip: number } {
  const to = rows[0]?.version ?? 1;
  return { to, skip: rows.filter((row) => row.version === to).length };
}

/** @param page the answer to `olderRange` of the piece */
export function withOlder(pieces: Pieces, piece: Piece, page: HistoryPage): Pieces {
  const rest = pieces.filter((other) => other !== piece);
  const older = page.rows.filter((row) => placeIn(piece.rows, row) === -1);
  return put(rest, { rows: [...older, ...piece.rows], older: page.older });
}

/** @param page a read of some old versions */
export const withWindow = (pieces: Pieces, page: HistoryPage): Pieces =>
  page.rows.length === 0 ? pieces : put(pieces, page);

export const covers = (pieces: Pieces, version: number): boolean =>
  pieces.some((piece) => (piece.rows[0]?.version ?? 0) <= version && version <= newestOf(piece));

/** The entries of a version share its state; the one that led there is the transition. */
export function stepOf(rows: readonly HistoryRow[], version: number): HistoryRow | undefined {
  const same = rows.filter((row) => row.version === version);
  return same.find(({ kind }) => kind === 'transition') ?? same.at(-1);
}

/** Whether the entry moved the actor on; a refused command may do that too. */
export const isMove = ({ kind, from, to }: HistoryRow): boolean =>
  kind === 'transition' || JSON.stringify(from) !== JSON.stringify(to);
