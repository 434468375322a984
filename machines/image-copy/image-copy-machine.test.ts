/** Decisions of an image copy: import and fetch, every result of every effect, repeated requests, every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { imageCopyMachine, type ImageCopyContext } from './image-copy-machine.ts';

const id = 'image-copy/t/i@w1';
const owner = { actor: id, uid: 'U1', runEpoch: 1 };
const importing = { owner, path: '/srv/i.raw', format: 'raw' as const, sha256: null };
const fetching = { owner, format: 'raw' as const, sha256: 'ab', sizeBytes: 4, from: 'w2' };
const gathering = { owner, source: { url: 'https://h/i' }, format: 'raw' as const, sha256: 'ab' };
const proof = { sha256: 'ab', sizeBytes: 4, virtualSizeBytes: 4 };
const imported: ImageCopyContext = {
  id,
  image: 'image/t/i',
  importing,
  gathering: null,
  fetching: null,
  progress: null,
  proof: null,
  tries: 0,
  failure: null,
};
const blank = { image: '', importing: null };
const fetched = { importing: null, fetching };
const gathered = { importing: null, gathering };
const lastTry = { tries: 5 };
const take = { type: 'copy.import', image: 'image/t/i', spec: importing };
const fetch = { type: 'copy.fetch', image: 'image/t/i', spec: fetching };
const gather = { type: 'copy.gather', image: 'image/t/i', spec: gathering };
const some = { type: 'image.gather.done', receivedBytes: 3, totalBytes: 4, isWhole: false };
const whole = { ...some, receivedBytes: 4, isWhole: true };
const remove = { type: 'copy.remove' };
const passing = { code: 'disk_busy', message: 'busy', retryable: true };
const lasting = { code: 'format_lies', message: 'not raw', retryable: false };
const done = (effect: string) => ({ type: `${effect}.done`, proof });
const failed = (effect: string, error: object) => ({ type: `${effect}.failed`, error });
const unknown = (effect: string) => ({ type: `${effect}.unknown`, error: passing });
const ready = 'copy.ready > image';
const rejected = 'copy.rejected > image';
const progress = 'copy.progress > image';
const gone = 'copy.removed > image';

const rows: readonly Row[] = [
  { in: 'born', with: blank, on: take, to: 'inspecting', asks: ['image.inspect'] },
  { in: 'born', with: blank, on: fetch, to: 'fetching', asks: ['image.fetch'] },
  { in: 'born', with: blank, from: 'image/t/i', on: remove, to: 'gone', asks: [gone] },

  {
    in: 'inspecting',
    on: done('image.inspect'),
    to: 'importing',
    asks: ['copy.inspected > image', 'image.import'],
  },
  { in: 'inspecting', on: failed('image.inspect', passing), to: 'backoff', asks: [] },
  { in: 'inspecting', with: lastTry, on: failed('image.inspect', passing), to: 'rejected', asks: [rejected] },
  { in: 'inspecting', on: failed('image.inspect', lasting), to: 'rejected', asks: [rejected] },
  { in: 'inspecting', on: unknown('image.inspect'), to: 'inspecting', asks: ['image.inspect'] },
  { in: 'inspecting', on: 'inspectDeadline', to: 'inspecting', asks: ['image.inspect'] },
  { in: 'inspecting', on: take, to: 'inspecting', asks: [] },
  { in: 'inspecting', on: done('image.import'), to: 'inspecting', asks: [] },
  { in: 'inspecting', on: remove, to: 'removing', asks: ['image.remove'] },

  { in: 'importing', on: done('image.import'), to: 'ready', asks: [ready] },
  { in: 'importing', on: failed('image.import', passing), to: 'backoff', asks: [] },
  { in: 'importing', with: lastTry, on: failed('image.import', passing), to: 'rejected', asks: [rejected] },
  { in: 'importing', on: failed('image.import', lasting), to: 'rejected', asks: [rejected] },
  { in: 'importing', on: unknown('image.import'), to: 'importing', asks: ['image.import'] },
  { in: 'importing', on: 'copyDeadline', to: 'importing', asks: ['image.import'] },
  { in: 'importing', on: take, to: 'importing', asks: [] },
  { in: 'importing', on: done('image.inspect'), to: 'importing', asks: [] },
  { in: 'importing', on: remove, to: 'removing', asks: ['image.remove'] },

  { in: 'fetching', with: fetched, on: done('image.fetch'), to: 'ready', asks: [ready] },
  { in: 'fetching', with: fetched, on: failed('image.fetch', passing), to: 'backoff', asks: [] },
  {
    in: 'fetching',
    with: { ...fetched, ...lastTry },
    on: failed('image.fetch', passing),
    to: 'rejected',
    asks: [rejected],
  },
  { in: 'fetching', with: fetched, on: failed('image.fetch', lasting), to: 'rejected', asks: [rejected] },
  { in: 'fetching', with: fetched, on: unknown('image.fetch'), to: 'fetching', asks: ['image.fetch'] },
  { in: 'fetching', with: fetched, on: 'copyDeadline', to: 'fetching', asks: ['image.fetch'] },
  { in: 'fetching', with: fetched, on: fetch, to: 'fetching', asks: [] },
  { in: 'fetching', with: fetched, on: remove, to: 'removing', asks: ['image.remove'] },

  { in: 'born', with: blank, on: gather, to: 'gathering.receiving', asks: ['image.gather'] },
  ...[
    { in: 'gathering.receiving', on: some, to: 'gathering.receiving', asks: [progress, 'image.gather'] },
    { in: 'gathering.receiving', on: whole, to: 'storing', asks: ['image.store'] },
    { in: 'gathering.receiving', on: failed('image.gather', passing), to: 'gathering.backoff', asks: [] },
    { in: 'gathering.receiving', on: failed('image.gather', lasting), to: 'discarding', asks: ['image.remove'] },
    { in: 'gathering.receiving', on: unknown('image.gather'), to: 'gathering.receiving', asks: ['image.gather'] },
    { in: 'gathering.receiving', on: 'reportDeadline', to: 'gathering.receiving', asks: ['image.gather'] },
    { in: 'gathering.receiving', on: 'gatherDeadline', to: 'discarding', asks: ['image.remove'] },
    { in: 'gathering.receiving', on: gather, to: 'gathering.receiving', asks: [] },
    { in: 'gathering.receiving', on: remove, to: 'removing', asks: ['image.remove'] },
    { in: 'gathering.backoff', on: 'backoff', to: 'gathering.receiving', asks: ['image.gather'] },
    { in: 'gathering.backoff', on: 'gatherDeadline', to: 'discarding', asks: ['image.remove'] },
    { in: 'gathering.backoff', on: some, to: 'gathering.backoff', asks: [] },
    { in: 'gathering.backoff', on: remove, to: 'removing', asks: ['image.remove'] },
    { in: 'storing', on: done('image.store'), to: 'ready', asks: [ready] },
    { in: 'storing', on: failed('image.store', passing), to: 'storeBackoff', asks: [] },
    { in: 'storing', on: failed('image.store', lasting), to: 'discarding', asks: ['image.remove'] },
    { in: 'storing', on: unknown('image.store'), to: 'storing', asks: ['image.store'] },
    { in: 'storing', on: 'copyDeadline', to: 'storing', asks: ['image.store'] },
    { in: 'storing', on: gather, to: 'storing', asks: [] },
    { in: 'storing', on: remove, to: 'removing', asks: ['image.remove'] },
    { in: 'storeBackoff', on: 'backoff', to: 'storing', asks: ['image.store'] },
    { in: 'storeBackoff', on: remove, to: 'removing', asks: ['image.remove'] },
    { in: 'discarding', on: done('image.remove'), to: 'rejected', asks: [rejected] },
    { in: 'discarding', on: failed('image.remove', passing), to: 'rejected', asks: [rejected] },
    { in: 'discarding', on: unknown('image.remove'), to: 'rejected', asks: [rejected] },
    { in: 'discarding', on: 'removeDeadline', to: 'rejected', asks: [rejected] },
    { in: 'discarding', on: remove, to: 'discarding', asks: [] },
    { in: 'ready', on: gather, to: 'ready', asks: [ready] },
  ].map((row): Row => ({ ...row, with: { failure: lasting, ...gathered } })),
  {
    in: 'gathering.receiving',
    with: { ...gathered, ...lastTry },
    on: failed('image.gather', passing),
    to: 'discarding',
    asks: ['image.remove'],
  },

  { in: 'backoff', on: 'backoff', to: 'inspecting', asks: ['image.inspect'] },
  { in: 'backoff', with: fetched, on: 'backoff', to: 'fetching', asks: ['image.fetch'] },
  { in: 'backoff', on: take, to: 'backoff', asks: [] },
  { in: 'backoff', on: done('image.import'), to: 'backoff', asks: [] },
  { in: 'backoff', on: remove, to: 'removing', asks: ['image.remove'] },

  { in: 'ready', on: take, to: 'ready', asks: [ready] },
  { in: 'ready', on: fetch, to: 'ready', asks: [ready] },
  { in: 'ready', on: done('image.import'), to: 'ready', asks: [] },
  { in: 'ready', on: failed('image.import', lasting), to: 'ready', asks: [] },
  { in: 'ready', on: remove, to: 'removing', asks: ['image.remove'] },

  { in: 'removing', on: done('image.remove'), to: 'gone', asks: [gone] },
  { in: 'removing', on: failed('image.remove', passing), to: 'removeBackoff', asks: [] },
  { in: 'removing', on: failed('image.remove', lasting), to: 'removeBackoff', asks: [] },
  { in: 'removing', on: unknown('image.remove'), to: 'removing', asks: ['image.remove'] },
  { in: 'removing', on: 'removeDeadline', to: 'removing', asks: ['image.remove'] },
  { in: 'removing', on: remove, to: 'removing', asks: [] },
  { in: 'removing', on: done('image.import'), to: 'removing', asks: [] },
  { in: 'removeBackoff', on: 'backoff', to: 'removing', asks: ['image.remove'] },
  { in: 'removeBackoff', on: remove, to: 'removeBackoff', asks: [] },
];

test('decisions', () => {
  assert.equal(disagreements(imageCopyMachine, imported, rows), []);
});

test('a copy that never existed answers the sender of the removal', () => {
  const row = { in: 'born', from: 'image/t/i', on: remove, to: '' };
  const { asked } = decided(imageCopyMachine, { ...imported, ...blank }, row);
  assert.is((asked[0]?.params as { to: string }).to, 'image/t/i');
});

test('the proof is reported, and earlier failures are cleared', () => {
  const before = { ...imported, tries: 2, failure: passing };
  const { asked, context } = decided(imageCopyMachine, before, { in: 'importing', on: done('image.import'), to: '' });
  assert.equal(asked[0]?.params, {
    to: 'image/t/i',
    event: { type: 'copy.ready', host: 'w1', proof },
  });
  assert.is(context['tries'], 0);
});

test('bytes that have come end a row of failures; an answer without new bytes does not', () => {
  const triesAfter = (receivedBytes: number): unknown => {
    const before = { ...imported, ...gathered, tries: 4, progress: { receivedBytes: 3, totalBytes: 4 } };
    const on = { ...some, receivedBytes };
    return decided(imageCopyMachine, before, { in: 'gathering.receiving', on, to: '' }).context['tries'];
  };
  assert.equal([triesAfter(3), triesAfter(4)], [4, 0]);
});

test('a rejection says why', () => {
  const { asked } = decided(imageCopyMachine, imported, {
    in: 'inspecting',
    on: failed('image.inspect', lasting),
    to: '',
  });
  assert.equal((asked[0]?.params as { event: { error: unknown } }).event.error, lasting);
});

test('only a finished copy has a digest to remove', () => {
  const digest = (context: ImageCopyContext, state: string): unknown => {
    const ask = decided(imageCopyMachine, context, { in: state, on: remove, to: '' }).asked[0];
    return (ask?.params as { spec: { sha256: unknown } }).spec.sha256;
  };
  assert.is(digest(imported, 'importing'), null);
  assert.is(digest({ ...imported, proof }, 'ready'), 'ab');
});

test('when its host is fenced the image gets a message, the bytes are kept, and a removal is complete', () => {
  const fenced = { code: 'host_gone', message: 'gone', retryable: false };
  const hostGone: readonly Row[] = [
    { in: 'ready', on: { type: 'host.gone' }, to: 'ready', asks: ['copy.lost > image'] },
    { in: 'fetching', with: fetched, on: failed('image.fetch', fenced), to: 'rejected', asks: [rejected] },
    { in: 'removing', on: failed('image.remove', fenced), to: 'gone', asks: [gone] },
  ];
  assert.equal(disagreements(imageCopyMachine, imported, hostGone), []);
});

test.run();
