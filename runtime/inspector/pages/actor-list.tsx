/**
 * The list of actors: kept up to date by one watch, searched and filtered in the page. Only visible rows are drawn (of
 * ten thousand rows, a few dozen elements). The filters are part of the address, so that a list can be sent as a link.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ActorRow, InspectorFeed } from './inspector-feed.ts';
import { filterRows, hostOf, noFilters, optionsOf, sortedRows, waitsOf, type Filters } from './list-filter.ts';
import { meaningOfState, type Meaning } from '../state-meaning.ts';
import { HoldBadge } from './hold-panel.tsx';
import { useKeys } from './key-bindings.ts';
import { useHealth, useMeanings, useNow } from './page-hooks.ts';
import { MeaningSign, PageBar, pageTitle, scopeWord, staleSince, waitingGlyphs } from './page-frame.tsx';
import { actorPath, goTo } from './page-route.ts';
import { useReason } from './row-reason.ts';
import { ageText, clockText, timeText } from './time-text.ts';

const rowHeightPx = 34;
const overscan = 12;
/** Changes come in bursts; the list is redrawn at most once in this time. */
const redrawMs = 150;

const keys = [
  ['/', 'search'],
  ['j k', 'next and previous actor'],
  ['Enter', 'open the actor'],
  ['Esc', 'leave the search, then clear the filters'],
  ['?', 'show these keys'],
] as const;

interface Live {
  readonly rows: readonly ActorRow[];
  readonly synced: boolean;
  readonly refused: string | null;
}

function useRows(feed: InspectorFeed): Live {
  const [live, setLive] = useState<Live>({ rows: [], synced: false, refused: null });
  useEffect(() => {
    const rows = new Map<string, ActorRow>();
    let synced = false;
    let refused: string | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const redraw = (): void => {
      timer ??= setTimeout(() => {
        timer = undefined;
        setLive({ rows: sortedRows(rows.values()), synced, refused });
      }, redrawMs);
    };
    const end = feed.watch(
      {},
      {
        row(row) {
          if ((rows.get(row.id)?.version ?? -1) > row.version && !row.gone) return;
          if (row.gone) rows.delete(row.id);
          else rows.set(row.id, row);
          redraw();
        },
        removed(id) {
          rows.delete(id);
          redraw();
        },
        synced() {
          synced = true;
          redraw();
        },
        reset() {
          rows.clear();
        },
        refused(reason) {
          refused = reason;
          redraw();
        },
      },
    );
    return () => {
      end();
      clearTimeout(timer);
    };
  }, [feed]);
  return live;
}

function filtersInAddress(): Filters {
  const query = new URLSearchParams(location.search);
  return { ...noFilters, ...Object.fromEntries([...query].filter(([key]) => Object.hasOwn(noFilters, key))) };
}

function keepInAddress(filters: Filters): void {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== ''));
  history.replaceState(null, '', query.size === 0 ? '/' : `/?${query}`);
}

export function ActorList(props: { feed: InspectorFeed }) {
  const health = useHealth(props.feed);
  const { rows, synced, refused } = useRows(props.feed);
  const asOf = staleSince(health);
  const [filters, setFilters] = useState<Filters>(filtersInAddress);
  const [selected, setSelected] = useState('');
  const search = useRef<HTMLInputElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const shown = useMemo(() => filterRows(rows, filters), [rows, filters]);
  // Keys may come faster than the page is redrawn, so they use the row chosen last, not the row drawn last.
  const chosen = useRef('');
  const indexNow = (): number => shown.findIndex((row) => row.id === chosen.current);
  useEffect(() => keepInAddress(filters), [filters]);
  useEffect(() => {
    document.title = `${shown.length} actors · ${pageTitle()}`;
  }, [shown.length]);
  const select = (next: number): void => {
    const row = shown[Math.max(0, Math.min(shown.length - 1, next))];
    if (row === undefined) return;
    chosen.current = row.id;
    setSelected(row.id);
    keepVisible(scroller.current, shown.indexOf(row));
  };
  const open = (): void => {
    const row = shown[Math.max(0, indexNow())];
    if (row !== undefined) goTo(actorPath(row.id));
  };
  useKeys({
    '/': () => search.current?.focus(),
    j: () => select(indexNow() + 1),
    ArrowDown: () => select(indexNow() + 1),
    k: () => select(indexNow() - 1),
    ArrowUp: () => select(indexNow() - 1),
    Enter: open,
    Escape: () => setFilters(noFilters),
  });
  return (
    <div class={asOf === null ? 'app' : 'app stale'}>
      <PageBar feed={props.feed} keys={keys}>
        <span class="muted">
          {synced ? `${shown.length} of ${rows.length} actors` : 'loading actors'}
          {asOf !== null && <span class="as-of"> as of {timeText(asOf)}</span>}
        </span>
      </PageBar>
      <main class="list">
        <FilterBar filters={filters} rows={rows} onChange={setFilters} onOpen={open} search={search} />
        <div class="columns head" aria-hidden="true">
          <span>actor</span>
          <span>state</span>
          <span>host</span>
          <span>waits for</span>
          <span class="number">version</span>
          <span class="number">changed</span>
        </div>
        {refused !== null && health.state !== 'refused' && (
          <p class="notice failure" role="alert">
            ✕ The list is no longer updated; reload the page. ({refused})
          </p>
        )}
        <Rows feed={props.feed} rows={shown} all={rows.length} {...{ selected, scroller, synced }} />
      </main>
    </div>
  );
}

function keepVisible(element: HTMLElement | null, index: number): void {
  if (element === null) return;
  const top = index * rowHeightPx;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top + rowHeightPx > element.scrollTop + element.clientHeight)
    element.scrollTop = top + rowHeightPx - element.clientHeight;
}

function FilterBar(props: {
  filters: Filters;
  rows: readonly ActorRow[];
  onChange: (filters: Filters) => void;
  onOpen: () => void;
  search: { current: HTMLInputElement | null };
}) {
  const { filters } = props;
  const set =
    (key: keyof Filters) =>
    (event: Event): void =>
      props.onChange({ ...filters, [key]: (event.target as HTMLInputElement).value });
  const options = useMemo(() => optionsOf(props.rows), [props.rows]);
  const choice = (key: 'kind' | 'scope' | 'state' | 'host' | 'waiting', label: string) => (
    <label>
      {label}
      <select value={filters[key]} onChange={set(key)}>
        <option value="">any</option>
        {options[key].map((value) => (
          <option key={value} value={value}>
            {value}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <form
      class="filters"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        props.onOpen();
      }}
    >
      <input
        type="search"
        ref={props.search}
        value={filters.search}
        onInput={set('search')}
        aria-label="Search actors"
        placeholder="Search by id or state"
      />
      {choice('kind', 'kind')}
      {choice('scope', scopeWord())}
      {choice('state', 'state')}
      {choice('host', 'host')}
      {choice('waiting', 'waits for')}
    </form>
  );
}

function Rows(props: {
  feed: InspectorFeed;
  rows: readonly ActorRow[];
  /** The number of actors without filters. */
  all: number;
  selected: string;
  scroller: { current: HTMLDivElement | null };
  synced: boolean;
}) {
  const now = useNow(props.feed);
  const meanings = useMeanings(props.feed);
  const [view, setView] = useState({ top: 0, height: 800 });
  const measureView = (): void => {
    const element = props.scroller.current;
    if (element !== null) setView({ top: element.scrollTop, height: element.clientHeight });
  };
  useEffect(() => {
    measureView();
    addEventListener('resize', measureView);
    return () => removeEventListener('resize', measureView);
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeightPx) - overscan);
  const last = Math.min(props.rows.length, Math.ceil((view.top + view.height) / rowHeightPx) + overscan);
  return (
    <div class="scroll" ref={props.scroller} onScroll={measureView} role="listbox" aria-label="Actors" tabindex={0}>
      {props.synced && props.rows.length === 0 && (
        <p class="notice">
          {props.all === 0
            ? 'There are no actors yet. They appear here as soon as they are created: photon apply -f FILE.'
            : 'No actor matches. Esc clears the filters.'}
        </p>
      )}
      <div style={{ height: `${props.rows.length * rowHeightPx}px` }}>
        {props.rows.slice(first, last).map((row, offset) => (
          <Row
            key={row.id}
            feed={props.feed}
            row={row}
            meaning={meaningOfState(row.stateName, meanings[row.id.split('/')[0] ?? ''])}
            index={first + offset}
            total={props.rows.length}
            selected={row.id === props.selected}
            now={now}
          />
        ))}
      </div>
    </div>
  );
}

function Row(props: {
  feed: InspectorFeed;
  row: ActorRow;
  meaning: Meaning;
  index: number;
  total: number;
  selected: boolean;
  now: number;
}) {
  const { row, meaning } = props;
  const reason = useReason(props.feed, row, meaning);
  const [kind = '', scope = '', name = ''] = row.id.split('/');
  const age = props.now - row.at;
  return (
    <a
      class="line columns"
      href={actorPath(row.id)}
      role="option"
      aria-selected={props.selected}
      aria-posinset={props.index + 1}
      aria-setsize={props.total}
      tabindex={-1}
      style={{ top: `${props.index * rowHeightPx}px` }}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        goTo(actorPath(row.id));
      }}
    >
      <span class="id" title={row.id}>
        <span class="kind">
          {kind} / {scope} /{' '}
        </span>
        <span class="name">{name.split('@')[0]}</span>
        {hostOf(row.id) !== '' && <span class="at-host">@{hostOf(row.id)}</span>}
      </span>
      <span title={reason === null ? row.stateName : `${row.stateName}: ${reason}`}>
        <span class={`state-name ${meaning}`}>
          <MeaningSign meaning={meaning} /> {row.stateName}
        </span>
        {row.held !== undefined && (
          <>
            {' '}
            <HoldBadge kind={row.held} />
          </>
        )}
        {reason !== null && <span class="muted"> {reason}</span>}
      </span>
      <span class="muted" title={hostOf(row.id)}>
        {hostOf(row.id)}
      </span>
      <span class="muted">
        {waitsOf(row)
          .map((what) => `${waitingGlyphs[what]} ${what}`)
          .join('  ')}
      </span>
      <span class="number">{row.version}</span>
      <span class={`number ${age < 3000 ? 'fresh' : 'muted'}`} title={clockText(row.at)}>
        {ageText(age)}
      </span>
    </a>
  );
}
