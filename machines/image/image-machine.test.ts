/** Decisions of an image: its import and what refuses it, holders and their rows, copies, deletion, every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { SentEvent } from '../values/requests.ts';
import type { ImageContext } from './image-context.ts';
import { imageMachine } from './image-machine.ts';

const id = 'image/t/i';
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const w2 = { ...w1, name: 'w2', index: 2, underlay: '192.0.2.2' };
const spec = { source: { path: '/srv/i.raw' }, format: 'raw' as const, sha256: null, host: null };
const proof = { sha256: 'ab', sizeBytes: 4, virtualSizeBytes: 4 };
const asked: ImageContext = {
  id,
  uid: 'U1',
  spec,
  home: 'w1',
  proof: null,
  copies: {},
  waiting: [],
  holderCount: 0,
  createCommand: 'C1',
  deleteCommand: null,
  failure: null,
};
const here = { proof, copies: { w1: 'ready' }, createCommand: null };
const volume = 'volume/t/d';
const fetching = {
  ...here,
  copies: { w1: 'ready', w2: 'fetching' },
  waiting: [{ holder: volume, host: 'w2' }],
  holderCount: 1,
};
const create = (format = 'raw') => ({ type: 'image.create', ...spec, format });
const remove = { type: 'image.delete' };
const need = (host = w1, holder = volume) => ({ type: 'image.need', holder, host });
const free = { type: 'image.free', holder: volume };
const unknown = { [`holder/${volume}`]: null };
const known = { [`holder/${volume}`]: { host: 'w1' } };
const lasting = (code: string) => ({ code, message: 'it is so', retryable: false });
const granted = { type: 'quota.granted' };
const quotaRefused = { type: 'quota.refused', error: lasting('quota_exceeded') };
const placed = { type: 'import.placed', host: w1 };
const unplaced = { type: 'import.refused', error: lasting('path_not_allowed') };
const inspected = { type: 'copy.inspected', host: 'w1' };
const ready = (host: string) => ({ type: 'copy.ready', host, proof, error: null });
const rejected = (host: string, code = 'format_lies') => ({ type: 'copy.rejected', host, error: lasting(code) });
const removed = (host: string) => ({ type: 'copy.removed', host });
const claim = 'quota.claim > tenant';
const release = 'quota.release > tenant';
const place = 'import.place > cluster';
const take = 'copy.import > image-copy';
const fetch = 'copy.fetch > image-copy';
const drop = 'copy.remove > image-copy';
const provided = 'image.provided > volume';
const refused = 'image.refused > volume';
const unhold = 'remove holder';
const busy = 'reject name_busy';

const creation: readonly Row[] = [
  { in: 'born', with: { spec: null }, on: create(), to: 'claiming', asks: ['defer', claim] },
  { in: 'born', with: { spec: null }, on: need(), to: 'absent', asks: [refused] },

  { in: 'claiming', on: granted, to: 'placing', asks: [place] },
  { in: 'claiming', on: quotaRefused, to: 'refused', asks: ['reject quota_exceeded'] },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: [claim] },
  { in: 'claiming', on: create(), to: 'claiming', asks: [busy] },
  { in: 'claiming', on: remove, to: 'claiming', asks: [busy] },
  { in: 'claiming', on: need(), to: 'claiming', asks: [refused] },

  { in: 'placing', on: placed, to: 'inspecting', asks: [take] },
  { in: 'placing', on: unplaced, to: 'gone', asks: ['reject path_not_allowed', release] },
  { in: 'placing', on: 'placeDeadline', to: 'placing', asks: [place] },
  { in: 'placing', on: granted, to: 'placing', asks: [] },
  { in: 'placing', on: create(), to: 'placing', asks: [busy] },
  { in: 'placing', on: remove, to: 'placing', asks: [busy] },
  { in: 'placing', on: need(), to: 'placing', asks: [refused] },

  { in: 'inspecting', on: inspected, to: 'importing', asks: ['reply'] },
  { in: 'inspecting', on: ready('w1'), to: 'ready', asks: ['reply'] },
  { in: 'inspecting', on: rejected('w1'), to: 'gone', asks: ['reject format_lies', release] },
  { in: 'inspecting', on: 'inspectDeadline', to: 'inspecting', asks: [take] },
  { in: 'inspecting', on: placed, to: 'inspecting', asks: [] },
  { in: 'inspecting', on: create(), to: 'inspecting', asks: [busy] },
  { in: 'inspecting', on: remove, to: 'inspecting', asks: [busy] },
  { in: 'inspecting', on: need(), to: 'inspecting', asks: [refused] },

  { in: 'importing', on: ready('w1'), to: 'ready', asks: [] },
  { in: 'importing', on: rejected('w1', 'digest_mismatch'), to: 'rejected', asks: [] },
  { in: 'importing', on: inspected, to: 'importing', asks: [] },
  { in: 'importing', on: 'importDeadline', to: 'importing', asks: [take] },
  { in: 'importing', on: create(), to: 'importing', asks: ['reply'] },
  { in: 'importing', on: create('qcow2'), to: 'importing', asks: ['reject exists_differently'] },
  { in: 'importing', on: remove, to: 'importing', asks: [busy] },
  { in: 'importing', on: need(), to: 'importing', asks: [refused] },
  { in: 'importing', on: free, rows: unknown, to: 'importing', asks: [unhold] },
];

const holding: readonly Row[] = [
  { in: 'ready', on: need(), rows: unknown, to: 'ready', asks: [provided, 'put holder'] },
  { in: 'ready', on: need(), rows: known, to: 'ready', asks: [provided, 'put holder'] },
  { in: 'ready', on: need(w2), rows: unknown, to: 'ready', asks: [fetch, 'put holder'] },
  { in: 'ready', with: fetching, on: need(w2), rows: known, to: 'ready', asks: [fetch, 'put holder'] },
  { in: 'ready', with: fetching, on: ready('w2'), to: 'ready', asks: [provided] },
  { in: 'ready', with: fetching, on: rejected('w2', 'no_space'), to: 'ready', asks: [refused] },
  { in: 'ready', with: fetching, on: ready('w1'), to: 'ready', asks: [] },
  { in: 'ready', with: fetching, on: removed('w2'), to: 'ready', asks: [] },
  { in: 'ready', with: fetching, on: free, rows: known, to: 'ready', asks: [unhold] },
  { in: 'ready', on: free, rows: unknown, to: 'ready', asks: [unhold] },
  { in: 'ready', on: inspected, to: 'ready', asks: [] },
  { in: 'ready', on: create(), to: 'ready', asks: ['reply'] },
  { in: 'ready', on: create('qcow2'), to: 'ready', asks: ['reject exists_differently'] },
];

const deletion: readonly Row[] = [
  { in: 'ready', with: { holderCount: 1 }, on: remove, to: 'ready', asks: ['reject in_use'] },
  { in: 'ready', on: remove, to: 'removing', asks: ['defer', drop] },
  {
    in: 'ready',
    with: { copies: { w1: 'ready', w2: 'fetching' } },
    on: remove,
    to: 'removing',
    asks: ['defer', drop, drop],
  },
  { in: 'removing', on: removed('w1'), to: 'gone', asks: ['reply', release] },
  { in: 'removing', on: rejected('w1'), to: 'gone', asks: ['reply', release] },
  { in: 'removing', with: { copies: { w1: 'ready', w2: 'ready' } }, on: removed('w2'), to: 'removing', asks: [] },
  { in: 'removing', on: removed('w2'), to: 'removing', asks: [] },
  { in: 'removing', on: 'removeDeadline', to: 'removing', asks: [drop] },
  { in: 'removing', on: ready('w1'), to: 'removing', asks: [] },
  { in: 'removing', on: create(), to: 'removing', asks: [busy] },
  { in: 'removing', on: remove, to: 'removing', asks: [busy] },
  { in: 'removing', on: need(), to: 'removing', asks: [refused] },
  { in: 'removing', on: free, rows: unknown, to: 'removing', asks: [unhold] },

  { in: 'rejected', with: { copies: {} }, on: remove, to: 'gone', asks: ['defer', 'reply', release] },
  { in: 'rejected', with: { copies: {} }, on: create(), to: 'rejected', asks: ['reply'] },
  { in: 'rejected', with: { copies: {} }, on: need(), to: 'rejected', asks: [refused] },
  { in: 'rejected', with: { copies: {} }, on: ready('w1'), to: 'rejected', asks: [] },
];

test('creation', () => assert.equal(disagreements(imageMachine, asked, creation), []));
test('holding', () => assert.equal(disagreements(imageMachine, { ...asked, ...here }, holding), []));
test('deletion', () => assert.equal(disagreements(imageMachine, { ...asked, ...here }, deletion), []));

const told = (state: string, context: object, on: SentEvent, rows: Row['rows'] = {}) => {
  const move = decided(imageMachine, { ...asked, ...context }, { in: state, on, rows, to: '' });
  return { context: move.context, params: move.asked.map(({ params }) => params as Record<string, unknown>) };
};

test('a holder counts once however often it asks, and once when it lets go', () => {
  const count = (context: object, on: SentEvent, rows: Row['rows']) => told('ready', context, on, rows).context;
  assert.is(count(here, need(), unknown)['holderCount'], 1);
  assert.is(count({ ...here, holderCount: 1 }, need(), known)['holderCount'], 1);
  assert.is(count({ ...here, holderCount: 1 }, free, known)['holderCount'], 0);
  assert.is(count(here, free, unknown)['holderCount'], 0);
});

test('the row of a holder is its actor id', () => {
  const { params } = told('ready', here, need(), unknown);
  assert.equal(params[1], { collection: 'holder', key: volume, value: { host: 'w1' } });
  assert.equal(told('ready', here, free, known).params[0], { collection: 'holder', key: volume });
});

test('who waits is told once, and who has let go not at all', () => {
  const again = told('ready', fetching, need(w2), known).context;
  assert.equal(again['waiting'], fetching.waiting);
  const settled = told('ready', again, ready('w2')).context;
  assert.equal([settled['waiting'], settled['copies']], [[], { w1: 'ready', w2: 'ready' }]);
  const left = told('ready', fetching, free, known).context;
  assert.equal(told('ready', left, ready('w2')).params, []);
});

test('a copy that was rejected is fetched anew for the next who asks', () => {
  const { context } = told('ready', fetching, rejected('w2', 'no_space'));
  assert.equal([context['waiting'], context['copies']], [[], { w1: 'ready' }]);
  const { params } = told('ready', context, need(w2), known);
  assert.is((params[0]?.['event'] as SentEvent).type, 'copy.fetch');
});

test('a fetch names the digest and the host that has the bytes', () => {
  const { params } = told('ready', here, need(w2), unknown);
  const owner = { actor: 'image-copy/t/i@w2', uid: 'U1', runEpoch: 1 };
  assert.equal(params[0], {
    to: 'image-copy/t/i@w2',
    event: {
      type: 'copy.fetch',
      image: id,
      spec: { owner, format: 'raw', sha256: 'ab', sizeBytes: 4, from: 'w1' },
    },
  });
});

test('a refused creation names the field that is to blame', () => {
  const path = (state: string, on: SentEvent): unknown =>
    (told(state, {}, on).params[0]?.['issues'] as { path: string }[])[0]?.path;
  assert.is(path('claiming', quotaRefused), 'name');
  assert.is(path('placing', unplaced), 'spec.source.path');
  assert.is(path('placing', { type: 'import.refused', error: lasting('host_not_found') }), 'spec.host');
  assert.is(path('inspecting', rejected('w1')), 'spec.format');
  assert.is(path('inspecting', rejected('w1', 'digest_mismatch')), 'spec.sha256');
});

test('an early need may be tried again, one of a rejected image may not', () => {
  const isRetryable = (state: string, context: object): unknown =>
    ((told(state, context, need()).params[0]?.['event'] as SentEvent)['error'] as { retryable: boolean }).retryable;
  assert.is(isRetryable('importing', {}), true);
  assert.is(isRetryable('rejected', { failure: lasting('format_lies') }), false);
});

test('a copy whose host is gone counts no more, and others fetch from a host that is left', () => {
  const lost = (host: string) => ({ type: 'copy.lost', host });
  const both = { ...here, copies: { w1: 'ready', w2: 'ready' } };
  const after = (before: object, host: string): unknown => {
    const { context } = told('ready', before, lost(host));
    return [context['home'], context['copies']];
  };
  assert.equal(after(both, 'w1'), ['w2', { w2: 'ready' }]);
  assert.equal(after(both, 'w2'), ['w1', { w1: 'ready' }]);
  assert.equal(after(here, 'w1'), ['w1', {}], 'nobody else has it: it is fetched from there once that is back');
  assert.equal(after(fetching, 'w1'), ['w1', { w2: 'fetching' }]);
});

test.run();
