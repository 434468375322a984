/**
 * Laid-out charts by kind, laid out once per definition. They are kept in memory and in a cache folder, under the hash
 * of the chart and of the drawing code. Called by the routes. When a cache file is damaged or missing, the chart is
 * laid out again. A large chart takes a second, and several on a busy computer, so a node lays all out ahead.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { hashFolder, writeAtomically } from './cache-files.ts';
import { chartOf, type Chart } from './chart-ir.ts';
import type { PlacedChart } from './chart-layout.ts';

export interface ChartStore {
  readonly kinds: readonly string[];
  /** Undefined when there is no such kind. */
  chart(kind: string): Chart | undefined;
  /** @throws PhotonError defeat `chart_layout_failed` */
  placed(kind: string): Promise<PlacedChart | undefined>;
  /** Lays out every chart that is not cached, the largest first, on one thread; failures are logged. */
  ahead(): Promise<void>;
}

export interface ChartStoreOptions {
  readonly registry: ActorRegistry;
  readonly cacheFolder: string;
  readonly log: Log;
}

export function createChartStore(options: ChartStoreOptions): ChartStore {
  const { registry, cacheFolder, log } = options;
  const charts = new Map<string, Chart>();
  const pending = new Map<string, Promise<PlacedChart>>();
  const chart = (kind: string): Chart | undefined => {
    const definition = registry.kinds.get(kind);
    if (definition === undefined) return undefined;
    const known = charts.get(kind) ?? chartOfDefinition(definition);
    charts.set(kind, known);
    return known;
  };
  const placed = async (kind: string, layout: Layout): Promise<PlacedChart | undefined> => {
    const wanted = chart(kind);
    if (wanted === undefined) return undefined;
    const running = pending.get(kind) ?? cachedLayout(wanted, { cacheFolder, log, layout });
    pending.set(kind, running);
    try {
      return await running;
    } catch (error) {
      pending.delete(kind);
      throw error;
    }
  };
  const kinds = [...registry.kinds.keys()].sort();
  return {
    kinds,
    chart,
    placed: (kind) => placed(kind, layoutOnThread),
    async ahead() {
      const size = (kind: string): number => chart(kind)?.transitions.length ?? 0;
      const thread = startLayoutThread();
      try {
        for (const kind of kinds.toSorted((a, b) => size(b) - size(a))) await placed(kind, thread.layout);
      } catch (error) {
        log.warn({ cause: describeCause(error) }, 'charts could not be laid out ahead; each is when it is asked for');
      } finally {
        thread.end();
      }
    },
  };
}

type Layout = (chart: Chart) => Promise<PlacedChart>;

export function chartOfDefinition(definition: ActorDefinition): Chart {
  return chartOf(definition.machine, { kind: definition.kind, effects: new Set(Object.keys(definition.effects)) });
}

async function cachedLayout(
  chart: Chart,
  { cacheFolder, log, layout }: Omit<ChartStoreOptions, 'registry'> & { readonly layout: Layout },
): Promise<PlacedChart> {
  const file = join(cacheFolder, 'charts', `${chart.kind}-${await layoutHash(chart)}.json`);
  const cached = await readCached(file, log);
  if (cached !== undefined) return cached;
  const placed = await layout(chart);
  await writeCached(file, placed, log);
  return placed;
}

async function readCached(file: string, log: Log): Promise<PlacedChart | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as PlacedChart;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      log.warn({ file, cause: describeCause(error) }, 'a cached chart cannot be read; the chart is laid out again');
    }
    return undefined;
  }
}

/** When the cache folder is read-only or full, only a warning is logged: the next start lays the chart out again. */
async function writeCached(file: string, placed: PlacedChart, log: Log): Promise<void> {
  try {
    await writeAtomically(file, JSON.stringify(placed));
  } catch (error) {
    log.warn(
      { file, cause: describeCause(error) },
      'a laid-out chart cannot be cached; the next start lays it out again',
    );
  }
}

let drawingCode: Promise<string> | undefined;

async function layoutHash(chart: Chart): Promise<string> {
  drawingCode ??= hashFolder(import.meta.dirname, ['.ts']);
  return createHash('sha256')
    .update(await drawingCode)
    .update(JSON.stringify(chart))
    .digest('hex')
    .slice(0, 20);
}

export async function layoutOnThread(chart: Chart): Promise<PlacedChart> {
  const thread = startLayoutThread();
  try {
    return await thread.layout(chart);
  } finally {
    thread.end();
  }
}

/** Lays out one chart after the other. */
function startLayoutThread(): { readonly layout: Layout; readonly end: () => void } {
  const program = new URL('./layout-worker.ts', import.meta.url);
  // In a packed runtime the worker is a JavaScript file.
  if (!import.meta.url.endsWith('.ts')) program.pathname = program.pathname.replace(/\.ts$/, '.js');
  const worker = new Worker(program);
  const ended = new Promise<never>((_, reject) => {
    worker.once('error', (error) => reject(layoutFailed('The layout failed; the tables are complete', error)));
    worker.once('exit', () => reject(layoutFailed('The layout ended without an answer; the tables are complete')));
  });
  // Its end matters only to a layout that waits.
  ended.catch(() => undefined);
  const layout = (chart: Chart): Promise<PlacedChart> => {
    const placed = new Promise<PlacedChart>((resolve, reject) => {
      worker.once('message', (answer: { placed?: PlacedChart; failure?: string }) => {
        if (answer.placed === undefined) reject(layoutFailed(answer.failure ?? 'The layout gave no answer'));
        else resolve(answer.placed);
      });
    });
    worker.postMessage(chart);
    return Promise.race([placed, ended]);
  };
  return { layout, end: () => void worker.terminate() };
}

const layoutFailed = (message: string, cause?: unknown): PhotonError =>
  new PhotonError('defeat', 'chart_layout_failed', message, cause === undefined ? {} : { cause });
