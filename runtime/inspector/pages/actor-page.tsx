/**
 * The page of one actor: its chart with the current state highlighted, beside it what the actor waits for and its
 * history. When a step is chosen, the chart shows that version; `l` returns to the current one. The version is part of
 * the address.
 */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { stateText, takenTransitions } from '../chart-trace.ts';
import { useActor, type LiveActor } from './actor-feed.ts';
import { ChartGrid } from './chart-grid.tsx';
import { ChartView } from './chart-view.tsx';
import { ConditionPanel } from './condition-panel.tsx';
import { HoldBadge, HoldPanel, DeadLetterPanel } from './hold-panel.tsx';
import { HistoryView } from './history-view.tsx';
import type { HistoryRow, InspectorFeed } from './inspector-feed.ts';
import { useKeys } from './key-bindings.ts';
import { useChart, useHealth, useNow, type DrawnChart, type Loaded } from './page-hooks.ts';
import { PageBar, pageTitle } from './page-frame.tsx';
import { actorPath, goTo, routeOf } from './page-route.ts';
import { NowPanel, StatePanel } from './state-panel.tsx';

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

export function ActorPage(props: { feed: InspectorFeed; id: string; version: number | null }) {
  const { feed, id, version } = props;
  const health = useHealth(feed);
  const live = useActor(feed, id);
  const chart = useChart(id.split('/')[0] ?? '');
  const now = useNow();
  const [tab, setTab] = useState<Tab>('chart');
  const [picked, setPicked] = useState<string | null>(null);
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set(version === null ? [] : [version]));
  const shown = useShown(live, version);
  const last = useMemo(() => lastTransitions(chart, shown.row), [chart, shown.row]);
  const stateName = stateText(shown.state);
  const hold = version === null && !live.gone ? (live.detail?.hold ?? null) : null;
  useEffect(() => {
    const what = version === null ? id : `${id} @${version}`;
    document.title = `${live.gone ? 'removed' : stateName} · ${what} · ${pageTitle()}`;
  }, [stateName, id, version, live.gone]);
  const choose = (next: number | null): void => goTo(actorPath(id, next), true);
  const toggle = (which: number): void => setOpen(toggled(open, which));
  const step = (direction: 1 | -1): void => {
    const versions = [...new Set(live.history.map((row) => row.version))];
    // Read from the address, not from `version`: keys may come faster than the page is redrawn.
    const route = routeOf(location.pathname);
    const from = route.page === 'actor' ? route.version : null;
    const at = from === null ? versions.length : versions.indexOf(from);
    const next = versions[at + direction];
    if (next !== undefined) choose(next);
    else if (direction === 1) choose(null);
  };
  useKeys({
    j: () => step(-1),
    k: () => step(1),
    ArrowDown: () => step(-1),
    ArrowUp: () => step(1),
    Enter: () => (version === null ? undefined : toggle(version)),
    l: () => choose(null),
    c: () => setTab('chart'),
    t: () => setTab('table'),
    r: () => setTab('raw'),
    '/': () => goTo('/'),
    Escape: () => (version === null ? goTo('/') : choose(null)),
  });
  return (
    <div class="app">
      <PageBar health={health} keys={keys}>
        <h1 class="path" style={{ font: 'inherit', fontWeight: 600, margin: 0 }}>
          {id}
        </h1>
        <StateBadge live={live} stateName={stateName} version={version} />
        {hold !== null && <HoldBadge kind={hold.kind} title={hold.reason} />}
      </PageBar>
      <main class="actor">
        <section class="stage" aria-label="Chart">
          <Tabs tab={tab} setTab={setTab} live={live} version={version} choose={choose} />
          <Stage tab={tab} live={live} chart={chart} state={shown.state} last={last} onPick={setPicked} />
        </section>
        <aside class="side" aria-label="State and history">
          {live.failure !== null && (
            <p class="panel failure" role="alert">
              ✕ {live.failure}
            </p>
          )}
          {hold !== null && <HoldPanel id={id} hold={hold} now={now} />}
          {!live.gone && <DeadLetterPanel deadLetters={live.deadLetters} now={now} />}
          {chart.state === 'ready' && <StatePanel chart={chart.value.chart} state={shown.state} picked={picked} />}
          {version === null && live.detail !== null && <NowPanel detail={live.detail} now={now} gone={live.gone} />}
          {version === null && !live.gone && <ConditionPanel status={live.detail?.status ?? null} />}
          <HistoryView
            id={id}
            history={live.history}
            selected={version}
            open={open}
            now={now}
            onSelect={choose}
            onToggle={toggle}
          />
        </aside>
      </main>
    </div>
  );
}

function toggled(open: ReadonlySet<number>, version: number): ReadonlySet<number> {
  const next = new Set(open);
  if (!next.delete(version)) next.add(version);
  return next;
}

/** The state to highlight and the step that led to it: of the current version, or of the chosen one. */
function useShown(live: LiveActor, version: number | null): { state: unknown; row: HistoryRow | undefined } {
  return useMemo(() => {
    if (version !== null) {
      const row = live.history.find((candidate) => candidate.version === version);
      return { state: row?.to, row };
    }
    const row = live.history.findLast((candidate) => candidate.kind === 'transition');
    return { state: live.detail?.state, row };
  }, [live, version]);
}

function lastTransitions(chart: Loaded<DrawnChart>, row: HistoryRow | undefined): readonly string[] {
  if (chart.state !== 'ready' || row === undefined || row.kind !== 'transition') return [];
  return takenTransitions(chart.value.chart, row.taken);
}

function StateBadge(props: { live: LiveActor; stateName: string; version: number | null }) {
  if (props.live.detail === null) return null;
  if (props.version !== null)
    return (
      <span class="badge past">
        was {props.stateName} at version {props.version}
      </span>
    );
  if (props.live.gone) return <span class="badge gone">removed, last in {props.stateName}</span>;
  return <span class="badge">{props.stateName}</span>;
}

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
        <span class="muted">
          version {props.version ?? props.live.detail.version} · uid <code>{props.live.detail.uid}</code>
        </span>
      )}
    </nav>
  );
}

function Stage(props: {
  tab: Tab;
  live: LiveActor;
  chart: Loaded<DrawnChart>;
  state: unknown;
  last: readonly string[];
  onPick: (id: string) => void;
}) {
  if (props.tab === 'raw')
    return (
      <div class="raw">
        <pre>{JSON.stringify(props.live.detail?.raw ?? null, null, 2)}</pre>
      </div>
    );
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
  return <ChartView chart={chart} svg={svg} state={props.state} lastTransitions={props.last} onPick={props.onPick} />;
}
