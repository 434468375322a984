/**
 * The page of one actor: its chart with the current state highlighted, beside it what the actor waits for and its
 * history. When a step is chosen, everything shows that version; `l` returns to the current one. The version is part of
 * the address.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { stateText, takenTransitions } from '../chart-trace.ts';
import { meaningOfState, type ChartMeanings, type Meaning } from '../state-meaning.ts';
import { useActor, usePast, type LiveActor } from './actor-feed.ts';
import { ChartGrid } from './chart-grid.tsx';
import { ChartView } from './chart-view.tsx';
import { ConditionPanel, ProgressPanel, ReasonPanel } from './condition-panel.tsx';
import { FiguresPanel } from './figures-panel.tsx';
import { HoldBadge, HoldPanel, DeadLetterPanel } from './hold-panel.tsx';
import { HistoryView, mainKey } from './history-view.tsx';
import { isMove, stepOf, type Piece, type Pieces } from './history-pieces.ts';
import type { FeedHealth, HistoryRow, InspectorFeed, PastActor } from './inspector-feed.ts';
import { useKeys } from './key-bindings.ts';
import { MissingActor } from './missing-actor.tsx';
import { useChart, useHealth, useMeanings, useNow, type DrawnChart, type Loaded } from './page-hooks.ts';
import { MeaningSign, PageBar, pageTitle, staleSince } from './page-frame.tsx';
import { actorPath, goTo, routeOf } from './page-route.ts';
import { reasonOf } from './shown-reason.ts';
import { NowPanel, StatePanel } from './state-panel.tsx';
import { timeText } from './time-text.ts';

const keys = [
  ['j k', 'older and newer step'],
  ['Enter', 'open or close the chosen step'],
  ['l', 'back to the current version'],
  ['c t r', 'chart, table, raw record'],
  ['+ - 0 9', 'zoom in, zoom out, fit the width, whole chart'],
  ['Esc', 'back to the current version, then to the list'],
  ['/', 'search all actors'],
  ['?', 'show these keys'],
] as const;

type Tab = 'chart' | 'table' | 'raw';

const noMeanings: ChartMeanings = {};

export function ActorPage(props: { feed: InspectorFeed; id: string; version: number | null }) {
  const { feed, id, version } = props;
  const health = useHealth(feed);
  const [live, follower] = useActor(feed, id);
  const past = usePast(feed, id, version);
  const kind = id.split('/')[0] ?? '';
  const chart = useChart(feed, kind);
  const now = useNow(feed);
  const [tab, setTab] = useTab();
  const [picked, setPicked] = useState<string | null>(null);
  const rows = useMemo(() => live.history.toReversed().flatMap((piece) => piece.rows), [live.history]);
  const [open, toggle] = useOpen(rows, version);
  const shown = useShown(live, rows, version, past);
  const last = useMemo(() => lastTransitions(chart, shown.row), [chart, shown.row]);
  const stateName = stateText(shown.state);
  const asOf = staleSince(health);
  useTitle(id, version, live.missing ? 'not found' : live.gone ? 'removed' : stateName, asOf !== null);
  const isRead = rows.length > 0;
  useEffect(() => {
    // A link may lead to a step that is older than those the page reads at first.
    if (version !== null && isRead) follower?.readAround(version);
  }, [version, isRead, follower]);
  const choose = (next: number | null): void => goTo(actorPath(id, next), true);
  useStepKeys({ version, rows, history: live.history, choose, onOlder: (piece) => follower?.readOlder(piece) });
  useKeys({
    Enter: () => toggle(version === null ? undefined : mainKey(rows, version)),
    '/': () => goTo('/'),
  });
  const meanings = useMeanings(feed)[kind] ?? noMeanings;
  const meaning = meaningOfState(shown.state, meanings);
  const hold = version === null && !live.gone ? (live.detail?.hold ?? null) : null;
  const bar = (
    <PageBar feed={feed} keys={keys}>
      <h1 class="path" title={id}>
        {id}
      </h1>
      <StateBadge live={live} stateName={stateName} version={version} meaning={meaning} asOf={asOf} />
      {hold !== null && <HoldBadge kind={hold.kind} title={hold.reason} />}
    </PageBar>
  );
  if (live.missing)
    return (
      <div class="app">
        {bar}
        <MissingActor feed={feed} id={id} />
      </div>
    );
  return (
    <div class={asOf === null ? 'app' : 'app stale'}>
      {bar}
      <main class="actor">
        <section class="stage" aria-label="Chart">
          <Tabs tab={tab} setTab={setTab} live={live} version={version} choose={choose} />
          <Stage {...{ tab, live, past, chart, last, meanings }} state={shown.state} onPick={setPicked} />
        </section>
        <aside class="side" aria-label="State and history">
          <div class="panels">
            {hold !== null && <HoldPanel id={id} hold={hold} now={now} />}
            <Facts {...{ live, health, past, version, meaning, now, asOf, step: shown.row }}>
              {chart.state === 'ready' && (
                <StatePanel chart={chart.value.chart} state={shown.state} picked={picked} meanings={meanings} />
              )}
            </Facts>
            {version === null && !live.gone && <FiguresPanel feed={feed} id={id} />}
          </div>
          <HistoryView
            {...{ id, live, open, now }}
            selected={version}
            onSelect={choose}
            onToggle={toggle}
            onOlder={(piece) => follower?.readOlder(piece)}
          />
        </aside>
      </main>
    </div>
  );
}

function useTab(): readonly [Tab, (tab: Tab) => void] {
  const [tab, setTab] = useState<Tab>('chart');
  useKeys({ c: () => setTab('chart'), t: () => setTab('table'), r: () => setTab('raw') });
  return [tab, setTab];
}

function useTitle(id: string, version: number | null, word: string, isStale: boolean): void {
  useEffect(() => {
    const what = version === null ? id : `${id} @${version}`;
    document.title = `${isStale ? '⚠ not live · ' : ''}${word} · ${what} · ${pageTitle()}`;
  }, [id, version, word, isStale]);
}

/** Keys that lead from step to step, and to those that were not read yet. */
function useStepKeys(at: {
  version: number | null;
  rows: readonly HistoryRow[];
  history: Pieces;
  choose: (version: number | null) => void;
  onOlder: (piece: Piece) => void;
}): void {
  const { version, rows, history, choose, onOlder } = at;
  const step = (direction: 1 | -1): void => {
    // Read from the address, not from `version`: keys may come faster than the page is redrawn.
    const route = routeOf(location.pathname);
    const from = route.page === 'actor' ? route.version : null;
    const cut = history.find((piece) => piece.rows[0]?.version === from && piece.older === 'more');
    if (direction === -1 && cut !== undefined) {
      onOlder(cut);
      return;
    }
    const versions = [...new Set(rows.map((row) => row.version))];
    const next = versions[(from === null ? versions.length : versions.indexOf(from)) + direction];
    if (next !== undefined) choose(next);
    else if (direction === 1) choose(null);
  };
  useKeys({
    j: () => step(-1),
    k: () => step(1),
    ArrowDown: () => step(-1),
    ArrowUp: () => step(1),
    l: () => choose(null),
    Escape: () => (version === null ? goTo('/') : choose(null)),
  });
}

/** What the record says at the version shown: why it is where it is, what it waits for, how far it is, conditions. */
function Facts(props: {
  live: LiveActor;
  health: FeedHealth;
  past: Loaded<PastActor> | undefined;
  version: number | null;
  meaning: Meaning;
  now: number;
  asOf: number | null;
  step: HistoryRow | undefined;
  children: ComponentChildren;
}) {
  const { live, health, past, version, meaning, now, asOf, step } = props;
  const atPast = past?.state === 'ready' && past.value.version === version ? past.value.status : null;
  const status = version === null ? (live.detail?.status ?? null) : atPast;
  const reason = reasonOf(status, meaning, step);
  return (
    <>
      {/* Of a session that has ended, the banner says what to do. */}
      {live.failure !== null && health.state !== 'refused' && (
        <p class="panel failure" role="alert">
          ✕ {live.failure}
        </p>
      )}
      <ReasonPanel reason={reason} meaning={meaning} />
      {!live.gone && <DeadLetterPanel deadLetters={live.deadLetters} now={now} />}
      {props.children}
      {version === null && live.detail !== null && (
        <NowPanel {...{ now, asOf }} detail={live.detail} gone={live.gone} />
      )}
      {(version !== null || !live.gone) && (
        <>
          <ProgressPanel status={status} />
          <ConditionPanel status={status} now={now} shownReason={reason?.text ?? null} />
        </>
      )}
    </>
  );
}

/** Which entries are open: at first the one that the address names. */
function useOpen(
  rows: readonly HistoryRow[],
  version: number | null,
): readonly [ReadonlySet<string>, (key: string | undefined) => void] {
  const [named, setNamed] = useState(version);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const toggle = (key: string | undefined): void => {
    if (key !== undefined) setOpen((now) => toggled(now, key));
  };
  useEffect(() => {
    const key = named === null ? undefined : mainKey(rows, named);
    if (key === undefined) return;
    setNamed(null);
    toggle(key);
  }, [rows, named]);
  return [open, toggle];
}

function toggled(open: ReadonlySet<string>, key: string): ReadonlySet<string> {
  const next = new Set(open);
  if (!next.delete(key)) next.add(key);
  return next;
}

/** The state to highlight and the step that led to it: of the current version, or of the chosen one. */
function useShown(
  live: LiveActor,
  rows: readonly HistoryRow[],
  version: number | null,
  past: Loaded<PastActor> | undefined,
): { state: unknown; row: HistoryRow | undefined } {
  return useMemo(() => {
    if (version === null) return { state: live.detail?.state, row: rows.findLast(isMove) };
    const row = stepOf(rows, version);
    if (row !== undefined) return { state: row.to, row };
    const found = past?.state === 'ready' && past.value.version === version ? past.value : undefined;
    return { state: found?.state, row: found?.entry };
  }, [live.detail, rows, version, past]);
}

function lastTransitions(chart: Loaded<DrawnChart>, row: HistoryRow | undefined): readonly string[] {
  if (chart.state !== 'ready' || row === undefined) return [];
  return takenTransitions(chart.value.chart, row.taken);
}

function StateBadge(props: {
  live: LiveActor;
  stateName: string;
  version: number | null;
  meaning: Meaning;
  asOf: number | null;
}) {
  const { live, stateName, version, meaning } = props;
  if (live.detail === null) return null;
  const asOf = props.asOf === null ? '' : ` as of ${timeText(props.asOf)}`;
  if (version !== null) return <Badge kind="past" text={`was ${stateName} at version ${version}`} />;
  if (live.gone) return <Badge kind="gone" text={`removed, last in ${stateName}${asOf}`} />;
  return (
    <Badge kind={meaning} text={stateName + asOf}>
      <MeaningSign meaning={meaning} /> {stateName}
      {asOf !== '' && <span class="as-of">{asOf}</span>}
    </Badge>
  );
}

const Badge = ({ kind, text, children = text }: { kind: string; text: string; children?: ComponentChildren }) => (
  <span class={`badge state ${kind}`} title={text}>
    {children}
  </span>
);

function Tabs(props: {
  tab: Tab;
  setTab: (tab: Tab) => void;
  live: LiveActor;
  version: number | null;
  choose: (version: number | null) => void;
}) {
  const tabs = [
    ['chart', 'Chart'],
    ['table', 'Table'],
    ['raw', 'Raw record'],
  ] as const;
  return (
    <nav class="tabs" aria-label="Views">
      {tabs.map(([tab, label]) => (
        <button key={tab} aria-pressed={props.tab === tab} onClick={() => props.setTab(tab)}>
          {label}
        </button>
      ))}
      <span class="space" />
      {props.version !== null && <button onClick={() => props.choose(null)}>Back to current (l)</button>}
      {props.live.detail !== null && (
        <span class="muted facts-line" title={`uid ${props.live.detail.uid}`}>
          version {props.version ?? props.live.detail.version} · uid <code>{props.live.detail.uid}</code>
        </span>
      )}
    </nav>
  );
}

function Stage(props: {
  tab: Tab;
  live: LiveActor;
  past: Loaded<PastActor> | undefined;
  chart: Loaded<DrawnChart>;
  state: unknown;
  last: readonly string[];
  meanings: ChartMeanings;
  onPick: (id: string) => void;
}) {
  if (props.tab === 'raw') return <RawRecord live={props.live} past={props.past} />;
  if (props.chart.state === 'loading') return <p class="notice">Loading the chart.</p>;
  if (props.chart.state === 'failed')
    return (
      <p class="notice failure" role="alert">
        ✕ {props.chart.reason}
      </p>
    );
  const { chart, svg, reason } = props.chart.value;
  if (props.tab === 'table') return <ChartGrid chart={chart} state={props.state} />;
  if (svg === null)
    return (
      <p class="notice failure" role="alert">
        ✕ {reason} The table (t) contains the same.
      </p>
    );
  const { state, last, meanings, onPick } = props;
  return <ChartView {...{ chart, svg, state, meanings, onPick }} lastTransitions={last} />;
}

/** The record as the control API answers it: the current one, or the one of the version shown. */
function RawRecord(props: { live: LiveActor; past: Loaded<PastActor> | undefined }) {
  const { live, past } = props;
  if (past?.state === 'loading') return <p class="notice">Rebuilding the record from the history.</p>;
  if (past?.state === 'failed')
    return (
      <p class="notice failure" role="alert">
        ✕ {past.reason}
      </p>
    );
  const raw = past === undefined ? (live.detail?.raw ?? null) : past.value.raw;
  return (
    <div class="raw">
      {past !== undefined && (
        <p class="muted">
          As it was after version {past.value.version}; effects and timers are not part of the history.
        </p>
      )}
      <pre>{JSON.stringify(raw, null, 2)}</pre>
    </div>
  );
}
