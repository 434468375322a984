/** Hooks that several pages share: the current time, the connection's health, charts and meanings of their states. */
import { useEffect, useState } from 'preact/hooks';
import type { Chart } from '../chart-ir.ts';
import type { ChartMeanings } from '../state-meaning.ts';
import type { FeedHealth, InspectorFeed } from './inspector-feed.ts';

/** The time of the cluster, refreshed every second while the page is visible. */
export function useNow(feed: InspectorFeed): number {
  const [now, setNow] = useState(feed.now());
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') setNow(feed.now());
    }, 1000);
    return () => clearInterval(timer);
  }, [feed]);
  return now;
}

export function useHealth(feed: InspectorFeed): FeedHealth {
  const [health, setHealth] = useState<FeedHealth>({ state: 'connecting' });
  useEffect(() => feed.onHealth(setHealth), [feed]);
  return health;
}

export interface DrawnChart {
  readonly chart: Chart;
  readonly svg: string | null;
  readonly reason: string | null;
}

export type Loaded<Value> =
  | { readonly state: 'loading' }
  | { readonly state: 'failed'; readonly reason: string }
  | { readonly state: 'ready'; readonly value: Value };

const charts = new Map<string, Promise<DrawnChart>>();

export function useChart(kind: string): Loaded<DrawnChart> {
  const [loaded, setLoaded] = useState<Loaded<DrawnChart>>({ state: 'loading' });
  useEffect(() => {
    let wanted = true;
    setLoaded({ state: 'loading' });
    const fetching = charts.get(kind) ?? fetchChart(kind);
    charts.set(kind, fetching);
    fetching.then(
      (value) => wanted && setLoaded({ state: 'ready', value }),
      (error: unknown) => {
        charts.delete(kind);
        if (wanted) setLoaded({ state: 'failed', reason: error instanceof Error ? error.message : String(error) });
      },
    );
    return () => {
      wanted = false;
    };
  }, [kind]);
  return loaded;
}

async function fetchChart(kind: string): Promise<DrawnChart> {
  const response = await fetch(`/charts/${encodeURIComponent(kind)}.json`);
  if (!response.ok) throw new Error(`The chart of ${kind} could not be loaded: ${(await response.text()).trim()}`);
  return (await response.json()) as DrawnChart;
}

type AllMeanings = Readonly<Record<string, ChartMeanings>>;

let meanings: Promise<AllMeanings> | undefined;

/** By kind; empty until they are there, or when they cannot be loaded: names of states then say what they can. */
export function useMeanings(): AllMeanings {
  const [all, setAll] = useState<AllMeanings>({});
  useEffect(() => {
    meanings ??= fetch('/charts.json').then((response) => {
      if (!response.ok) throw new Error(`charts.json: ${response.status}`);
      return response.json() as Promise<AllMeanings>;
    });
    meanings.then(setAll, () => {
      meanings = undefined;
    });
  }, []);
  return all;
}
