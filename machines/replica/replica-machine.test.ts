/** Decisions of a replica: every result of both effects, repeated requests, and every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { replicaMachine, type ReplicaContext } from './replica-machine.ts';

const id = 'replica/t/d@w1';
const spec = {
  owner: { actor: id, uid: 'U1', runEpoch: 2 },
  volumeUid: 'U1',
  serial: 'a'.repeat(20),
  sizeMib: 64,
  format: 'raw' as const,
  image: null,
};
const asked: ReplicaContext = { id, spec, volume: 'volume/t/d', tries: 0, failure: null };
const blank = { spec: null, volume: '' };
const ensure = (runEpoch: number) => ({
  type: 'replica.ensure',
  volume: 'volume/t/d',
  spec: { ...spec, owner: { ...spec.owner, runEpoch } },
});
/** For a restoration. */
const restore = (uid: string) => {
  const { type, volume, spec: plain } = ensure(2);
  return { type, volume, spec: { ...plain, snapshot: { uid: 'S1', host: 'w1', allocatedBytes: 4, restore: uid } } };
};
const restoring = { spec: restore('R1').spec };
const remove = { type: 'replica.drop' };
const passing = { code: 'disk_busy', message: 'busy', retryable: true };
const lasting = { code: 'no_space', message: 'full', retryable: false };
const failed = (effect: string, error: object) => ({ type: `${effect}.failed`, error });
const unknown = (effect: string) => ({ type: `${effect}.unknown`, error: passing });
const made = { type: 'replica.make.done' };
const removed = { type: 'replica.remove.done' };

const rows: readonly Row[] = [
  { in: 'born', with: blank, on: ensure(1), to: 'making', asks: ['replica.make'] },
  { in: 'born', with: blank, from: 'volume/t/d', on: remove, to: 'gone', asks: ['replica.removed > volume'] },

  { in: 'making', on: made, to: 'ready', asks: ['replica.ready > volume'] },
  { in: 'making', on: failed('replica.make', passing), to: 'backoff', asks: [] },
  { in: 'making', on: failed('replica.make', lasting), to: 'failed', asks: ['replica.failed > volume'] },
  { in: 'making', on: unknown('replica.make'), to: 'making', asks: ['replica.make'] },
  { in: 'making', on: 'makeDeadline', to: 'making', asks: ['replica.make'] },
  { in: 'making', on: ensure(2), to: 'making', asks: [] },
  { in: 'making', on: restore('R1'), to: 'making', asks: ['replica.make'] },
  { in: 'making', with: restoring, on: restore('R1'), to: 'making', asks: [] },
  { in: 'making', with: restoring, on: restore('R2'), to: 'making', asks: ['replica.make'] },
  { in: 'making', with: restoring, on: ensure(2), to: 'making', asks: ['replica.make'] },
  { in: 'making', on: remove, to: 'removing', asks: ['replica.remove'] },
  { in: 'making', on: removed, to: 'making', asks: [] },

  { in: 'backoff', on: 'backoff', to: 'making', asks: ['replica.make'] },
  { in: 'backoff', on: ensure(2), to: 'backoff', asks: [] },
  { in: 'backoff', on: restore('R1'), to: 'making', asks: ['replica.make'] },
  { in: 'backoff', on: made, to: 'backoff', asks: [] },
  { in: 'backoff', on: remove, to: 'removing', asks: ['replica.remove'] },

  { in: 'ready', on: ensure(2), to: 'making', asks: ['replica.make'] },
  { in: 'ready', on: remove, to: 'removing', asks: ['replica.remove'] },
  { in: 'ready', on: made, to: 'ready', asks: [] },
  { in: 'ready', on: failed('replica.make', lasting), to: 'ready', asks: [] },
  { in: 'ready', on: unknown('replica.make'), to: 'ready', asks: [] },

  { in: 'failed', on: ensure(2), to: 'making', asks: ['replica.make'] },
  { in: 'failed', on: remove, to: 'removing', asks: ['replica.remove'] },
  { in: 'failed', on: made, to: 'failed', asks: [] },

  { in: 'removing', on: removed, to: 'gone', asks: ['replica.removed > volume'] },
  { in: 'removing', on: failed('replica.remove', passing), to: 'removeBackoff', asks: [] },
  { in: 'removing', on: failed('replica.remove', lasting), to: 'removeBackoff', asks: [] },
  { in: 'removing', on: unknown('replica.remove'), to: 'removing', asks: ['replica.remove'] },
  { in: 'removing', on: 'removeDeadline', to: 'removing', asks: ['replica.remove'] },
  { in: 'removing', on: remove, to: 'removing', asks: [] },
  { in: 'removing', on: ensure(9), to: 'removing', asks: [] },
  { in: 'removing', on: made, to: 'removing', asks: [] },
  { in: 'removeBackoff', on: 'backoff', to: 'removing', asks: ['replica.remove'] },
  { in: 'removeBackoff', on: remove, to: 'removeBackoff', asks: [] },
];

test('decisions', () => {
  assert.equal(disagreements(replicaMachine, asked, rows), []);
});

test('a replica that never existed answers the sender of the removal', () => {
  const { asked: asks } = decided(
    replicaMachine,
    { ...asked, ...blank },
    {
      in: 'born',
      from: 'volume/t/d',
      on: remove,
      to: '',
    },
  );
  assert.equal(asks[0]?.params, { to: 'volume/t/d', event: { type: 'replica.removed', host: 'w1' } });
});

test('a new request brings the spec of the new run', () => {
  const { context } = decided(replicaMachine, asked, { in: 'ready', on: ensure(3), to: '' });
  assert.equal((context['spec'] as typeof spec).owner.runEpoch, 3);
});

test('tries are counted while it fails, and forgotten when it does not', () => {
  const before = { ...asked, tries: 1 };
  const again = decided(replicaMachine, before, { in: 'making', on: failed('replica.make', passing), to: '' });
  assert.equal([again.context['tries'], again.context['failure']], [2, passing]);
  assert.equal(
    again.armed.map(({ delayMs }) => delayMs),
    [2_000],
  );
  const done = decided(replicaMachine, again.context, { in: 'making', on: made, to: '' });
  assert.equal([done.context['tries'], done.context['failure']], [0, null]);
});

test('a failure that lasts is told to the volume although it may pass: on a full host its VM must show why', () => {
  const often = { in: 'making', with: { tries: 2 }, on: failed('replica.make', passing), to: 'failed' };
  assert.equal(disagreements(replicaMachine, asked, [{ ...often, asks: ['replica.failed > volume'] }]), []);
});

test('when its host is fenced the volume gets a message, the file is kept, and a removal is complete', () => {
  const fenced = { code: 'host_gone', message: 'gone', retryable: false };
  const gone: readonly Row[] = [
    { in: 'ready', on: { type: 'host.gone' }, to: 'ready', asks: ['replica.failed > volume'] },
    { in: 'failed', on: { type: 'host.gone' }, to: 'failed', asks: [] },
    { in: 'making', on: failed('replica.make', fenced), to: 'failed', asks: ['replica.failed > volume'] },
    { in: 'removing', on: failed('replica.remove', fenced), to: 'gone', asks: ['replica.removed > volume'] },
  ];
  assert.equal(disagreements(replicaMachine, asked, gone), []);
  const { asked: told } = decided(replicaMachine, asked, { in: 'ready', on: { type: 'host.gone' }, to: '' });
  const { event } = told[0]?.params as { event: { error: { code: string } } };
  assert.is(event.error.code, 'host_gone');
});

test('every report says of which restoration the request was', () => {
  const said = (on: Row['on'], more: Row['with']) =>
    decided(replicaMachine, asked, { in: 'making', with: more ?? {}, on, to: '' }).asked.map(
      ({ params }) => (params as { event: { restore: unknown } }).event.restore,
    );
  assert.equal(said(made, restoring), ['R1']);
  assert.equal(said(made, {}), [null]);
  assert.equal(said(failed('replica.make', lasting), restoring), ['R1']);
});

test.run();
