/** A segment with two sections on its host, and its events, for the tables of its chart. Only tests use it. */
import { queueLimit, type SectionState, type SegmentContext } from './segment-context.ts';

export const id = 'segment/t/main@w1';
export const section = (generation: number, more: Partial<SectionState> = {}): SectionState => ({
  wanted: generation,
  asked: generation,
  proven: generation,
  failure: null,
  ...more,
});
export const held: SegmentContext = {
  id,
  uid: 'U1',
  host: 'w1',
  vpc: 'vpc/t/main',
  sections: { base: section(3), routes: section(7) },
  outdated: false,
  queued: {},
  applying: [],
  proof: null,
  tries: 0,
  failure: null,
};
export const passing = { code: 'kernel_busy', message: 'busy', retryable: true };
export const lasting = { code: 'kernel_refused', message: 'no', retryable: false };
export const hostGone = { code: 'host_gone', message: 'gone', retryable: false };
export const withRoutes = (more: Partial<SectionState>) => ({
  sections: { base: section(3), routes: section(7, more) },
});

export const publish = (...updates: readonly object[]) => ({ type: 'segment.publish', vpc: 'vpc/t/main', updates });
export const whole = (name: string, generation: number, elements: object) => ({ section: name, generation, elements });
export const increment = (from: number, put: object, removed: readonly string[] = []) => ({
  section: 'routes',
  from,
  to: from + 1,
  put,
  removed,
});
export const done = (proven: object, failed: object = {}) => ({
  type: 'segment.realize.done',
  proven,
  failed,
  proof: {},
});
export const changed = (proven: object, failed: object = {}) => ({ type: 'segment.change.done', proven, failed });
export const broken = { type: 'segment.watch.done', section: 'base', reason: 'vxlan_gone', detail: 'd' };

export const rowsOf = (base: object, routes: object) => ({ 'section.base/*': base, 'section.routes/*': routes });
export const all = rowsOf({ vni: 5 }, { a: 2 });
export const key = (value: unknown = null) => ({ 'section.routes/b': value });
export const queue = { queued: { routes: { b: { was: null, now: 2 } } } };
export const long = {
  queued: {
    routes: Object.fromEntries([...Array(queueLimit + 1).keys()].map((n) => [`k${n}`, { was: null, now: 2 }])),
  },
};
