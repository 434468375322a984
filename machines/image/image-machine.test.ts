/**
 * Decisions of an image: its import and what refuses it, changes of its declaration, holders and their rows, copies,
 * deletion, every deadline.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reasonOf } from '../values/conditions.ts';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row, type TestEvent } from '../values/decision-table-for-tests.ts';
import { imageMachine } from './image-machine.ts';
import type { ImageContext } from './image-messages.ts';

const id = 'image/t/i';
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const w2 = { ...w1, name: 'w2', index: 2, underlay: '192.0.2.2' };
const spec = { source: { path: '/srv/i.raw' }, format: 'raw' as const, sha256: null, host: null };
const proof = { sha256: 'ab', sizeBytes: 4, virtualSizeBytes: 4 };
const asked: ImageContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec,
  generation: 1,
  waiters: [{ commandId: 'C1', result: 'created' }],
  home: 'w1',
  progress: null,
  proof: null,
  copies: {},
  waiting: [],
  holderCount: 0,
};
const answered = { waiters: [] };
const here = { observedGeneration: 1, proof, copies: { w1: 'ready' }, waiters: [] } as const;
const imported: ImageContext = { ...asked, ...here };
const going = { waiters: [{ commandId: 'K', result: 'deleted' }] };
const volume = 'volume/t/d';
const fetching = {
  ...here,
  copies: { w1: 'ready', w2: 'fetching' },
  waiting: [{ holder: volume, host: 'w2' }],
  holderCount: 1,
};
const declared =
  (verb: string, more: object = {}) =>
  (format = 'raw') => ({
    type: `image.${verb}`,
    spec: { ...spec, format },
    labels: {},
    protect: false,
    ...more,
  });
const create = declared('create');
const apply = declared('apply');
const update = declared('update');
const labelled = declared('apply', { labels: { tier: 'db' } });
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
const progress = { type: 'copy.progress', host: 'w1', receivedBytes: 2, totalBytes: 4 };
const ready = (host: string) => ({ type: 'copy.ready', host, proof });
const rejected = (host: string, code = 'format_lies') => ({ type: 'copy.rejected', host, error: lasting(code) });
const removed = (host: string) => ({ type: 'copy.removed', host });
const claim = 'quota.claim > tenant';
const release = 'quota.release > tenant';
const place = 'import.place > cluster';
const take = 'copy.import > image-copy';
const gather = 'copy.gather > image-copy';
const fetch = 'copy.fetch > image-copy';
const remote = (source: object) => ({ spec: { ...spec, sha256: 'ab', source } as ImageContext['spec'] });
const byUrl = remote({ url: 'https://h/i' });
const byUpload = remote({ upload: { sizeBytes: 4 } });
const drop = 'copy.remove > image-copy';
const provided = 'image.provided > volume';
const refused = 'image.refused > volume';
const unhold = 'remove holder';
const busy = 'reject name_busy';

const creation: readonly Row[] = [
  { in: 'born', with: { spec: null }, on: create(), to: 'claiming', asks: ['defer', claim] },
  { in: 'born', with: { spec: null }, on: apply(), to: 'claiming', asks: ['defer', claim] },
  { in: 'born', with: { spec: null }, on: need(), to: 'absent', asks: [refused] },

  { in: 'claiming', on: granted, to: 'placing', asks: [place] },
  { in: 'claiming', on: quotaRefused, to: 'refused', asks: ['reject quota_exceeded'] },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: [claim] },
  { in: 'claiming', on: create(), to: 'claiming', asks: ['defer'] },
  { in: 'claiming', on: create('qcow2'), to: 'claiming', asks: ['reject exists_differently'] },
  { in: 'claiming', on: apply('qcow2'), to: 'claiming', asks: ['reject immutable_field'] },
  { in: 'claiming', on: labelled(), to: 'claiming', asks: ['defer'] },
  { in: 'claiming', on: remove, to: 'claiming', asks: [busy] },
  { in: 'claiming', on: need(), to: 'claiming', asks: [refused] },

  { in: 'placing', on: placed, to: 'inspecting', asks: [take] },
  { in: 'placing', on: unplaced, to: 'gone', asks: ['reject path_not_allowed', release] },
  { in: 'placing', on: 'placeDeadline', to: 'placing', asks: [place] },
  { in: 'placing', on: granted, to: 'placing', asks: [] },
  { in: 'placing', on: create(), to: 'placing', asks: ['defer'] },
  { in: 'placing', on: remove, to: 'placing', asks: [busy] },
  { in: 'placing', on: need(), to: 'placing', asks: [refused] },

  { in: 'placing', with: byUrl, on: placed, to: 'inspecting', asks: [gather] },
  { in: 'placing', with: byUpload, on: placed, to: 'inspecting', asks: [gather] },
  { in: 'inspecting', with: byUrl, on: progress, to: 'importing', asks: ['reply'] },
  { in: 'inspecting', with: byUrl, on: 'inspectDeadline', to: 'inspecting', asks: [gather] },
  {
    in: 'inspecting',
    with: byUrl,
    on: rejected('w1', 'source_denied'),
    to: 'gone',
    asks: ['reject source_denied', release],
  },
  { in: 'importing', with: { ...byUrl, ...answered }, on: progress, to: 'importing', asks: [] },
  { in: 'importing', with: { ...byUrl, ...answered }, on: ready('w1'), to: 'ready', asks: [] },
  { in: 'ready', with: byUrl, on: progress, to: 'ready', asks: [] },

  { in: 'inspecting', on: inspected, to: 'importing', asks: ['reply'] },
  { in: 'inspecting', on: ready('w1'), to: 'ready', asks: ['reply'] },
  { in: 'inspecting', on: rejected('w1'), to: 'gone', asks: ['reject format_lies', release] },
  { in: 'inspecting', on: 'inspectDeadline', to: 'inspecting', asks: [take] },
  { in: 'inspecting', on: placed, to: 'inspecting', asks: [] },
  { in: 'inspecting', on: create(), to: 'inspecting', asks: ['defer'] },
  { in: 'inspecting', on: remove, to: 'removing', asks: ['reject deleted', 'defer', drop] },
  { in: 'inspecting', with: { protect: true }, on: remove, to: 'inspecting', asks: ['reject protected'] },
  { in: 'inspecting', on: need(), to: 'inspecting', asks: [refused] },

  { in: 'importing', with: answered, on: ready('w1'), to: 'ready', asks: [] },
  { in: 'importing', with: answered, on: rejected('w1', 'digest_mismatch'), to: 'rejected', asks: [] },
  { in: 'importing', with: answered, on: inspected, to: 'importing', asks: [] },
  { in: 'importing', with: answered, on: 'importDeadline', to: 'importing', asks: [take] },
  { in: 'importing', with: answered, on: create(), to: 'importing', asks: ['reply'] },
  { in: 'importing', with: answered, on: create('qcow2'), to: 'importing', asks: ['reject exists_differently'] },
  { in: 'importing', with: answered, on: remove, to: 'removing', asks: ['defer', drop] },
  { in: 'importing', with: answered, on: need(), to: 'importing', asks: [refused] },
  { in: 'importing', with: answered, on: free, rows: unknown, to: 'importing', asks: [] },
];

const changes: readonly Row[] = ['ready', 'importing', 'rejected'].flatMap((state) => [
  { in: state, on: apply(), to: state, asks: ['reply'] },
  { in: state, on: update(), to: state, asks: ['reply'] },
  { in: state, on: labelled(), to: state, asks: ['reply'] },
  { in: state, on: create(), to: state, asks: ['reply'] },
  { in: state, with: { labels: { tier: 'db' } }, on: create(), to: state, asks: ['reject exists_differently'] },
  { in: state, on: create('qcow2'), to: state, asks: ['reject exists_differently'] },
  ...[{ source: { path: '/srv/j.raw' } }, { format: 'qcow2' }, { sha256: 'cd' }, { host: 'w2' }].flatMap((change) => [
    { in: state, on: { ...apply(), spec: { ...spec, ...change } }, to: state, asks: ['reject immutable_field'] },
    { in: state, on: { ...update(), spec: { ...spec, ...change } }, to: state, asks: ['reject immutable_field'] },
  ]),
]);

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
  { in: 'ready', on: free, rows: unknown, to: 'ready', asks: [] },
  { in: 'ready', on: inspected, to: 'ready', asks: [] },
];

const deletion: readonly Row[] = [
  { in: 'ready', with: { holderCount: 1 }, on: remove, to: 'ready', asks: ['reject in_use'] },
  { in: 'ready', with: { protect: true }, on: remove, to: 'ready', asks: ['reject protected'] },
  { in: 'ready', on: remove, to: 'removing', asks: ['defer', drop] },
  {
    in: 'ready',
    with: { copies: { w1: 'ready', w2: 'fetching' } },
    on: remove,
    to: 'removing',
    asks: ['defer', drop, drop],
  },
  { in: 'removing', with: going, on: removed('w1'), to: 'gone', asks: [release, 'reply'] },
  { in: 'removing', with: going, on: rejected('w1'), to: 'gone', asks: [release, 'reply'] },
  { in: 'removing', with: { copies: { w1: 'ready', w2: 'ready' } }, on: removed('w2'), to: 'removing', asks: [] },
  { in: 'removing', on: removed('w2'), to: 'removing', asks: [] },
  { in: 'removing', on: 'removeDeadline', to: 'removing', asks: [drop] },
  { in: 'removing', on: ready('w1'), to: 'removing', asks: [] },
  { in: 'removing', on: create(), to: 'removing', asks: [busy] },
  { in: 'removing', on: apply(), to: 'removing', asks: [busy] },
  { in: 'removing', on: remove, to: 'removing', asks: ['defer'] },
  { in: 'removing', on: need(), to: 'removing', asks: [refused] },
  { in: 'removing', on: free, rows: unknown, to: 'removing', asks: [] },

  { in: 'rejected', with: { copies: {} }, on: remove, to: 'gone', asks: ['defer', release, 'reply'] },
  { in: 'rejected', with: { protect: true }, on: remove, to: 'rejected', asks: ['reject protected'] },
  { in: 'rejected', with: { copies: {} }, on: need(), to: 'rejected', asks: [refused] },
  { in: 'rejected', with: { copies: {} }, on: ready('w1'), to: 'rejected', asks: [] },
];

const wrong = (context: ImageContext, rows: readonly Row[]): readonly string[] =>
  disagreements(
    imageMachine,
    context,
    rows.map((row) => ({ command: 'K', ...row })),
  );

test('creation', () => assert.equal(wrong(asked, creation), []));
test('changes of the declaration', () => assert.equal(wrong(imported, changes), []));
test('holding', () => assert.equal(wrong(imported, holding), []));
test('deletion', () => assert.equal(wrong(imported, deletion), []));

const told = (state: string, context: object, on: TestEvent, rows: Row['rows'] = {}) => {
  const move = decided(imageMachine, { ...asked, ...context }, { in: state, on, rows, command: 'K', to: '' });
  return { context: move.context, params: move.asked.map(({ params }) => params as Record<string, unknown>) };
};

test('repeated requests of a holder count once, and so do repeated releases', () => {
  const count = (context: object, on: TestEvent, rows: Row['rows']) => told('ready', context, on, rows).context;
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

test('a waiting holder is answered once, and one that has released the image is not answered', () => {
  const again = told('ready', fetching, need(w2), known).context;
  assert.equal(again['waiting'], fetching.waiting);
  const settled = told('ready', again, ready('w2')).context;
  assert.equal([settled['waiting'], settled['copies']], [[], { w1: 'ready', w2: 'ready' }]);
  const left = told('ready', fetching, free, known).context;
  assert.equal(told('ready', left, ready('w2')).params, []);
});

test('a rejected copy is fetched again at the next request', () => {
  const { context } = told('ready', fetching, rejected('w2', 'no_space'));
  assert.equal([context['waiting'], context['copies']], [[], { w1: 'ready' }]);
  const { params } = told('ready', context, need(w2), known);
  assert.is((params[0]?.['event'] as TestEvent).type, 'copy.fetch');
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
  const path = (state: string, on: TestEvent): unknown =>
    (told(state, {}, on).params[0]?.['issues'] as { path: string }[])[0]?.path;
  assert.is(path('claiming', quotaRefused), 'name');
  assert.is(path('placing', unplaced), 'spec.source.path');
  assert.is(path('placing', { type: 'import.refused', error: lasting('host_not_found') }), 'spec.host');
  assert.is(path('inspecting', rejected('w1')), 'spec.format');
  assert.is(path('inspecting', rejected('w1', 'digest_mismatch')), 'spec.sha256');
});

test('an early need may be tried again, one of a rejected image may not', () => {
  const isRetryable = (state: string, context: object): unknown =>
    ((told(state, context, need()).params[0]?.['event'] as TestEvent)['error'] as { retryable: boolean }).retryable;
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
  assert.equal(after(here, 'w1'), ['w1', {}], 'no other host has it: it is fetched from there once that host is back');
  assert.equal(after(fetching, 'w1'), ['w1', { w2: 'fetching' }]);
});

test('after a fetch that may be asked for again another host gives the image, each in turn', () => {
  const three = { ...here, copies: { w1: 'ready', w2: 'ready', w3: 'ready', w4: 'fetching' } };
  const after = (home: string, retryable: boolean, copies: object = three.copies): unknown => {
    const error = { ...lasting('peer_unreachable'), retryable };
    return told('ready', { ...three, home, copies }, { type: 'copy.rejected', host: 'w4', error }).context['home'];
  };
  assert.equal(
    ['w1', 'w2', 'w3'].map((home) => after(home, true)),
    ['w2', 'w3', 'w1'],
  );
  assert.is(after('w1', false), 'w1', 'the image itself is at fault');
  assert.is(after('w1', true, { w1: 'ready', w4: 'fetching' }), 'w1', 'no other host has it');
});

const ended = (context: object): unknown => {
  const { conditions, generation, observedGeneration } = context as ImageContext;
  return [conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`), generation, observedGeneration];
};

test('it is ready, and its generation observed, once the digest is known', () => {
  const born = told('born', { ...newDeclared(id), home: null, waiters: [] }, create()).context;
  assert.equal(ended(born), [['Ready False ClaimingQuota'], 1, 0]);
  assert.equal(born['waiters'], [{ commandId: 'K', result: 'created' }]);
  assert.equal(ended(told('inspecting', {}, inspected).context), [['Ready False Importing'], 1, 0]);
  assert.equal(ended(told('inspecting', {}, ready('w1')).context), [['Ready True Imported'], 1, 1]);
  assert.equal(ended(told('importing', answered, ready('w1')).context), [['Ready True Imported'], 1, 1]);
  const lost = told('importing', answered, rejected('w1', 'digest_mismatch')).context;
  assert.equal(ended(lost), [['Ready False Rejected'], 1, 0]);
  assert.is((lost['conditions'] as ImageContext['conditions'])[0]?.message, 'it is so');
});

test('labels and protection change without a new generation', () => {
  const { context, params } = told('ready', here, { ...labelled(), protect: true });
  const { labels, protect, generation, observedGeneration } = context as unknown as ImageContext;
  assert.equal([labels, protect, generation, observedGeneration], [{ tier: 'db' }, true, 1, 1]);
  assert.is((params[0]?.['result'] as { result: string }).result, 'updated');
  const same = told('ready', here, apply()).params[0]?.['result'];
  assert.equal(same, { uid: 'U1', generation: 1, result: 'unchanged' });
});

test('a field that cannot change is named with both values', () => {
  const { issues } = told('ready', here, apply('qcow2')).params[0] as { issues: { path: string; message: string }[] };
  assert.equal(issues, [{ path: 'spec.format', message: 'is "raw" and cannot become "qcow2"' }]);
});

test('a refused deletion says how many hold the image', () => {
  const { message } = told('ready', { ...here, holderCount: 3 }, remove).params[0] as { message: string };
  assert.match(message, /held by 3 /);
});

test('an image that is deleted while its bytes are read has its copy removed, and both commands answered', () => {
  const { context, params } = told('inspecting', {}, remove);
  assert.equal([params[0]?.['commandId'], params[0]?.['code']], ['C1', 'deleted']);
  assert.equal([context['copies'], context['waiters']], [{ w1: 'fetching' }, going.waiters]);
  assert.is(params.at(-1)?.['to'], 'image-copy/t/i@w1');
  const { params: last } = told('removing', context, removed('w1'));
  assert.equal(last.at(-1), {
    commandId: 'K',
    result: { uid: 'U1', generation: 1, result: 'deleted' },
  });
});

test('the record of a refused image keeps the reason', () => {
  const reasonAfter = (state: string, on: TestEvent) =>
    reasonOf(decided(imageMachine, asked, { in: state, on, to: '' }).context as never);
  assert.is(reasonAfter('claiming', quotaRefused), 'it is so');
  assert.is(reasonAfter('placing', { type: 'import.refused', image: id, error: lasting('no_host') }), 'it is so');
  for (const state of ['inspecting', 'importing'])
    assert.is(
      reasonAfter(state, { type: 'copy.rejected', host: 'w1', error: lasting('format_lies') }),
      'it is so',
      state,
    );
});

test.run();
