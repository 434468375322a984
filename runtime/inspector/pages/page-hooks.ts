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

/** Whether the server answers; what could not be loaded while it did not is loaded when it does again. */
const useAnswering = (feed: InspectorFeed): boolean => useHealth(feed).state === 'live';

export function useChart(feed: InspectorFeed, kind: string): Loaded<DrawnChart> {
  const [loaded, setLoaded] = useState<Loaded<DrawnChart>>({ state: 'loading' });
  const isAnswering = useAnswering(feed);
  useEffect(() => {
    let wanted = true;
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
  }, [kind, isAnswering]);
  return loaded;
}

async function fetchChart(kind: string): Promise<DrawnChart> {
  const response = await fetch(`/charts/${encodeURIComponent(kind)}.json`).catch((error: unknown) => {
    const text = `The chart of ${kind} is loaded as soon as the server answers.`;
    throw new Error(text, { cause: error });
  });
  if (!response.ok) throw new Error(`The chart of ${kind} could not be loaded: ${(await response.text()).trim()}`);
  return (await response.json()) as DrawnChart;
}

type AllMeanings = Readonly<Record<string, ChartMeanings>>;

let meanings: Promise<AllMeanings> | undefined;

/** By kind; empty until they are there, or when they cannot be loaded: names of states then say what they can. */
export function useMeanings(feed: InspectorFeed): AllMeanings {
  const isAnswering = useAnswering(feed);
  const [all, setAll] = useState<AllMeanings>({});
  useEffect(() => {
    meanings ??= fetch('/charts.json').then((response) => {
      if (!response.ok) throw new Error(`charts.json: ${response.status}`);
      return response.json() as Promise<AllMeanings>;
    });
    meanings.then(setAll, () => {
      meanings = undefined;
    });
  }, [isAnswering]);
  return all;
}
