/** What a segment changes, asks for and tells: pure functions of its context and the event. */
import { assertEvent } from 'xstate';
import { failureOf, hostGoneFailure } from '../values/failures.ts';
import { putRow, removeRow, row, rows, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { OwnerToken, RouteSpec } from '../values/wiring.ts';
import { joined, noRoutes } from './segment-context.ts';
import type { EnsureAsk, RemoveAsk, RouteAsk, RouteChanges, SegmentContext } from './segment-context.ts';
import type { SegmentEvent } from './segment-events.ts';

export type At = Seen<SegmentContext, SegmentEvent>;

const ownerOf = (context: SegmentContext): OwnerToken => ({
  actor: context.id,
  uid: context.uid,
  runEpoch: context.spec?.owner.runEpoch ?? 1,
});

/** The newest routes: those of the spec that has just come, or else the stored ones. */
function routesNow(event: SegmentEvent): readonly RouteSpec[] {
  if (event.type === 'segment.ensure') return event.spec.routes;
  return Object.entries(rows<number>(event, 'route')).map(([address, host]) => ({ address, host }));
}

/** Params of `segment.ensure` and `segment.watch`. */
export function ensureAsk({ context, event }: At): EnsureAsk {
  return { spec: { ...specOf(context), routes: routesNow(event) } };
}

/** A watch looks at what stands and falls as a whole; routes are not watched one by one. */
export const watchAsk = ({ context }: At): EnsureAsk => ({ spec: { ...specOf(context), routes: [] } });

export const routeAsk = ({ context }: At): RouteAsk => ({
  segment: { owner: ownerOf(context), vpc: context.vpc },
  ...context.applying,
});

export const removeAsk = ({ context }: At): RemoveAsk => ({ spec: { owner: ownerOf(context), vpc: context.vpc } });

function specOf(context: SegmentContext): Omit<EnsureAsk['spec'], 'routes'> {
  if (context.spec === null) throw new TypeError(`${context.id} has no spec`);
  return { ...context.spec, owner: ownerOf(context) };
}

/** A newer spec replaces the older one, and its routes replace the rows. */
export function takeSpec({ context, event }: At): Acted<SegmentContext> {
  assertEvent(event, 'segment.ensure');
  const { routes, ...spec } = event.spec;
  const stored = rows<number>(event, 'route');
  const wanted = new Map(routes.map(({ address, host }) => [address, host]));
  const gone = Object.keys(stored).filter((address) => !wanted.has(address));
  const changed = [...wanted].filter(([address, host]) => stored[address] !== host);
  return {
    changes: {
      spec,
      vpc: spec.vpc,
      queued: noRoutes,
      tries: 0,
      uid: context.uid === '' ? event.meta.ulid : context.uid,
    },
    asks: [
      ...gone.map((address) => removeRow('route', address)),
      ...changed.map(([address, host]) => putRow('route', address, host)),
    ],
  };
}

/** Rows keep what is wanted; the queue keeps what the kernel has not been asked for. */
export function takeRoutes({ context, event }: At): Acted<SegmentContext> {
  assertEvent(event, 'segment.route');
  const changes: RouteChanges = { added: event.added, removed: event.removed };
  const removed = event.removed.filter(({ address, host }) => row<number>(event, 'route', address) === host);
  return {
    changes: { queued: joined(context.queued, changes) },
    asks: [
      ...removed.map(({ address }) => removeRow('route', address)),
      ...event.added.map(({ address, host }) => putRow('route', address, host)),
    ],
  };
}

export const forgetRoutes = ({ event }: At): readonly Asked[] =>
  Object.keys(rows<number>(event, 'route')).map((address) => removeRow('route', address));

export const tellReady = ({ context }: At): readonly Asked[] => [
  send(context.vpc, {
    type: 'segment.ready',
    host: context.host,
    generation: context.proof?.generation ?? context.realizing,
    proof: context.proof,
  }),
];

function troubleOf({ context, event }: At): unknown {
  assertEvent(event, [
    'segment.ensure.failed',
    'segment.ensure.unknown',
    'segment.watch.done',
    'segment.watch.failed',
    'segment.route.failed',
    'host.gone',
  ]);
  if (event.type === 'host.gone') return hostGoneFailure(context.host);
  if (event.type === 'segment.watch.done') return { code: event.reason, message: event.detail, retryable: true };
  return failureOf(event.error);
}

export function tellFailed(at: At): readonly Asked[] {
  const { host, vpc, spec, realizing } = at.context;
  // The newest that this life has heard of: what was asked for since is still to come, and is answered then.
  const generation = spec?.generation ?? realizing;
  return [send(vpc, { type: 'segment.failed', host, generation, error: troubleOf(at) })];
}

/** The sender is answered: after a life that never had a spec there is no vpc in the context. */
export const tellRemoved = ({ context, event }: At): readonly Asked[] => [
  send(context.vpc || (event.meta.from ?? ''), { type: 'segment.removed', host: context.host }),
];
