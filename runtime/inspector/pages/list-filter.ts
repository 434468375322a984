/** Search and filters of the list, without drawing. Pure. */
import type { ActorRow, Waiting } from './inspector-feed.ts';

export interface Filters {
  readonly search: string;
  readonly kind: string;
  readonly scope: string;
  readonly state: string;
  readonly host: string;
  readonly waiting: string;
}

export const noFilters: Filters = { search: '', kind: '', scope: '', state: '', host: '', waiting: '' };

export const hostOf = (id: string): string => id.split('@')[1] ?? '';
const kindOf = (id: string): string => id.split('/')[0] ?? '';
const scopeOf = (id: string): string => id.split('/')[1] ?? '';
/** The outermost state; a filter with every nested state would have too many options. */
const stateOf = (row: ActorRow): string => row.stateName.split('.')[0] ?? '';

/** A held actor waits for an operator, whatever else is pending: nothing proceeds before the hold ends. */
export const waitsOf = (row: ActorRow): readonly (Waiting | 'operator')[] =>
  row.held === undefined ? row.waitingOn : ['operator'];

/** Sorts numbers in ids by value: `web-2` before `web-10`. */
const order = new Intl.Collator('en', { numeric: true });

export const sortedRows = (rows: Iterable<ActorRow>): readonly ActorRow[] =>
  [...rows].sort((a, b) => order.compare(a.id, b.id));

/** Every word of the search must occur in the id, the state or the kind of hold. */
export function filterRows(rows: readonly ActorRow[], filters: Filters): readonly ActorRow[] {
  const words = filters.search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  return rows.filter((row) => {
    const text = `${row.id} ${row.stateName} ${row.held ?? ''}`.toLowerCase();
    return (
      words.every((word) => text.includes(word)) &&
      (filters.kind === '' || kindOf(row.id) === filters.kind) &&
      (filters.scope === '' || scopeOf(row.id) === filters.scope) &&
      (filters.state === '' || stateOf(row) === filters.state) &&
      (filters.host === '' || hostOf(row.id) === filters.host) &&
      (filters.waiting === '' || waitsOf(row).some((what) => what === filters.waiting))
    );
  });
}

export type FilterOptions = Readonly<Record<'kind' | 'scope' | 'state' | 'host' | 'waiting', readonly string[]>>;

export function optionsOf(rows: readonly ActorRow[]): FilterOptions {
  const distinct = (of: (row: ActorRow) => string): string[] =>
    [...new Set(rows.map(of))].filter((text) => text !== '').sort();
  return {
    kind: distinct((row) => kindOf(row.id)),
    scope: distinct((row) => scopeOf(row.id)),
    state: distinct(stateOf),
    host: distinct((row) => hostOf(row.id)),
    waiting: ['operator', 'timer', 'effect', 'event'],
  };
}
