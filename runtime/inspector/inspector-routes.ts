/**
 * HTTP routes of the inspector: its page, its assets, and the charts. Passed to the control API through its `routes`
 * option. They need no authentication: they serve code and charts of kinds, never the state of an actor, which the page
 * reads through the authenticated WebSocket. Promise: no path leads to anything outside the fixed list of answers.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ActorRegistry } from '../contract/actor-definition.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { createChartStore, type ChartStore } from './chart-store.ts';
import { chartSvg, escapeXml, standaloneCss } from './chart-svg.ts';
import { meaningsOf } from './state-meaning.ts';
import { bundlePage, type PageBundle } from './page-bundle.ts';

export interface InspectorOptions {
  readonly registry: ActorRegistry;
  /** Absolute path; the folder is made when it is missing. */
  readonly cacheFolder: string;
  readonly log: Log;
  /** Shown in the page's head; default `inspector`. */
  readonly title?: string;
  /** The application's word for a scope; default `scope`. */
  readonly scopeWord?: string;
  /** Makes everything that is expensive at once, in the background, so that nobody waits for it. */
  readonly ahead?: boolean;
  /** Path of another entry module for the page, for tests. */
  readonly entry?: string;
}

/** @returns true when the request belongs to the inspector, which then answers it */
export type RequestListener = (request: IncomingMessage, response: ServerResponse) => boolean;

export const contentPolicy = [
  "default-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "object-src 'none'",
].join('; ');

const styleHash = createHash('sha256').update(standaloneCss).digest('base64');
/** A stand-alone picture contains its style sheet; everything else is forbidden. */
const picturePolicy = `default-src 'none'; style-src 'sha256-${styleHash}'; frame-ancestors 'none'`;

const headers: Readonly<Record<string, string>> = {
  'Content-Security-Policy': contentPolicy,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Frame-Options': 'DENY',
};

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly cache: string;
  readonly policy?: string;
}

const text = (status: number, body: string): Answer => ({
  status,
  type: 'text/plain; charset=utf-8',
  body: `${body}\n`,
  cache: 'no-store',
});

const icon: Answer = {
  status: 200,
  type: 'image/svg+xml; charset=utf-8',
  body:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">' +
    '<rect x="2" y="4" width="13" height="9" rx="2" fill="#0b62c4"/>' +
    '<rect x="17" y="19" width="13" height="9" rx="2" fill="none" stroke="#0b62c4" stroke-width="2.4"/>' +
    '<path d="M8.5 13v10.5H17" fill="none" stroke="#0b62c4" stroke-width="2.4"/></svg>',
  cache: 'public, max-age=86400',
};

export function createInspectorRoutes(options: InspectorOptions): RequestListener {
  const store = createChartStore(options);
  const charts = new Map<string, Promise<Answer>>();
  let bundle: Promise<PageBundle> | undefined;
  const bundled = async (): Promise<PageBundle> => {
    bundle ??= bundlePage({
      cacheFolder: options.cacheFolder,
      ...(options.entry === undefined ? {} : { entry: options.entry }),
    });
    try {
      return await bundle;
    } catch (error) {
      bundle = undefined;
      throw error;
    }
  };
  // A failure is reported to whoever asks for a page: it is then tried again.
  if (options.ahead === true) void Promise.allSettled([store.ahead(), bundled()]);
  return (request, response) => {
    const path = pathOf(request);
    const answer = path === undefined ? undefined : answerFor(path, { store, charts, bundled }, options);
    if (answer === undefined) return false;
    const method = request.method ?? '';
    if (method !== 'GET' && method !== 'HEAD') {
      send(response, text(405, 'Only GET and HEAD are answered here.'), method);
      return true;
    }
    answer.then(
      (ready) => send(response, ready, method),
      (error: unknown) => {
        options.log.error({ path, cause: describeCause(error) }, 'a page of the inspector could not be made');
        const message =
          error instanceof PhotonError ? error.record.message : 'The page could not be made; see the log of the node.';
        send(response, text(500, message), method);
      },
    );
    return true;
  };
}

function pathOf(request: IncomingMessage): string | undefined {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  return /^\/[A-Za-z0-9._@/-]*$/.test(path) && !path.includes('..') && !path.includes('//') ? path : undefined;
}

const pagePath = /^\/(?:open|a\/[a-z0-9-]+\/[a-z0-9-]+\/[a-z0-9.@-]+(?:\/[0-9]{1,15})?)?$/;
const chartPath = /^\/charts\/([a-z0-9-]{1,40})\.(svg|json)$/;
const assetPath = /^\/assets\/(inspector-[0-9a-f]{16}\.(?:js|css))$/;

interface Sources {
  readonly store: ChartStore;
  /** Path -> the chart as it was answered before: anybody may ask for it, so it is drawn once. */
  readonly charts: Map<string, Promise<Answer>>;
  readonly bundled: () => Promise<PageBundle>;
}

function answerFor(
  path: string,
  { store, charts, bundled }: Sources,
  options: InspectorOptions,
): Promise<Answer> | undefined {
  if (pagePath.test(path)) return bundled().then((bundle) => page(bundle, options));
  if (path === '/assets/icon.svg') return Promise.resolve(icon);
  if (path === '/charts.json') return Promise.resolve(meaningsAnswer(store));
  const asset = assetPath.exec(path);
  if (asset !== null) return assetAnswer(asset[1] ?? '', bundled);
  const chart = chartPath.exec(path);
  if (chart === null) return undefined;
  const known = charts.get(path);
  if (known !== undefined) return known;
  const drawn = chartAnswer(chart[1] ?? '', chart[2] === 'svg', store);
  // Paths of other kinds are not kept: there is no end of them.
  if (store.chart(chart[1] ?? '') !== undefined) charts.set(path, drawn);
  // A drawing that failed is tried again at the next request.
  drawn.then(
    ({ cache }) => cache === 'no-store' && charts.delete(path),
    () => charts.delete(path),
  );
  return drawn;
}

function page(bundle: PageBundle, options: InspectorOptions): Answer {
  const title = escapeXml(options.title ?? 'inspector');
  const body = [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    `<title>${title}</title><link rel="icon" type="image/svg+xml" href="/assets/icon.svg">`,
    `<link rel="stylesheet" href="/assets/${bundle.style.name}">`,
    `<script type="module" src="/assets/${bundle.script.name}"></script></head>`,
    `<body data-title="${title}" data-scope-word="${escapeXml(options.scopeWord ?? 'scope')}">`,
    '<div id="inspector"></div><noscript>The inspector needs JavaScript.</noscript></body></html>\n',
  ].join('');
  return { status: 200, type: 'text/html; charset=utf-8', body, cache: 'no-store' };
}

async function assetAnswer(name: string, bundled: () => Promise<PageBundle>): Promise<Answer> {
  const bundle = await bundled();
  const asset = [bundle.script, bundle.style].find((candidate) => candidate.name === name);
  if (asset === undefined) return text(404, 'No such asset; reload the page.');
  return { status: 200, type: asset.contentType, body: asset.body, cache: 'public, max-age=31536000, immutable' };
}

async function chartAnswer(kind: string, asPicture: boolean, store: ChartStore): Promise<Answer> {
  const chart = store.chart(kind);
  if (chart === undefined) return text(404, `There is no actor kind ${kind}; there are ${store.kinds.join(', ')}.`);
  if (asPicture) {
    const placed = await store.placed(kind);
    const body = placed === undefined ? '' : chartSvg(placed, { standalone: true });
    return { status: 200, type: 'image/svg+xml; charset=utf-8', body, cache: 'no-cache', policy: picturePolicy };
  }
  const drawn = await drawnOrReason(kind, store);
  return {
    status: 200,
    type: 'application/json; charset=utf-8',
    body: JSON.stringify({ chart, ...drawn }),
    cache: drawn.reason === null ? 'no-cache' : 'no-store',
  };
}

/** Of the states of all kinds, for the list: it shows actors of every kind, and needs no drawing. */
function meaningsAnswer(store: ChartStore): Answer {
  const all = store.kinds.flatMap((kind) => {
    const chart = store.chart(kind);
    return chart === undefined ? [] : [[kind, meaningsOf(chart)] as const];
  });
  const body = JSON.stringify(Object.fromEntries(all));
  return { status: 200, type: 'application/json; charset=utf-8', body, cache: 'no-cache' };
}

/** When the layout fails, the page gets the reason and shows the table. */
async function drawnOrReason(kind: string, store: ChartStore): Promise<{ svg: string | null; reason: string | null }> {
  try {
    const placed = await store.placed(kind);
    return { svg: placed === undefined ? null : chartSvg(placed, { standalone: false }), reason: null };
  } catch (error) {
    return { svg: null, reason: error instanceof PhotonError ? error.record.message : describeCause(error) };
  }
}

function send(response: ServerResponse, answer: Answer, method: string): void {
  const body = Buffer.from(answer.body);
  response.writeHead(answer.status, {
    ...headers,
    ...(answer.policy === undefined ? {} : { 'Content-Security-Policy': answer.policy }),
    'Content-Type': answer.type,
    'Content-Length': body.length,
    'Cache-Control': answer.cache,
  });
  response.end(method === 'HEAD' ? undefined : body);
}
