/** Decisions of a snapshot's copy: every result of both effects, repeated requests, every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { snapshotCopyMachine, type SnapshotCopyContext } from './snapshot-copy-machine.ts';

const id = 'snapshot-copy/t/s@w1';
const spec = {
  owner: { actor: id, uid: 'S1', runEpoch: 1 },
  snapshotUid: 'S1',
  volumeUid: 'U1',
  format: 'raw' as const,
  sizeMib: 64,
};
const asked: SnapshotCopyContext = { id, spec, snapshot: 'snapshot/t/s', proof: null, tries: 0, failure: null };
const blank = { spec: null, snapshot: '' };
const proof = { sizeBytes: 64, allocatedBytes: 4, takenAt: 1_000 };
const taken = { proof };
const ensure = { type: 'capture.ensure', snapshot: 'snapshot/t/s', spec };
const drop = { type: 'capture.drop' };
const passing = { code: 'storage_full', message: 'full', retryable: true };
const lasting = { code: 'volume_empty', message: 'empty', retryable: false };
const gone = { code: 'host_gone', message: 'gone', retryable: false };
const failed = (effect: string, error: object) => ({ type: `${effect}.failed`, error });
const unknown = (effect: string) => ({ type: `${effect}.unknown`, error: passing });
const done = { type: 'capture.take.done', proof };
const removed = { type: 'capture.remove.done' };
const [tellTaken, tellFailed, tellDropped] = [
  'capture.taken > snapshot',
  'capture.failed > snapshot',
  'capture.dropped > snapshot',
];

const rows: readonly Row[] = [
  { in: 'born', with: blank, on: ensure, to: 'taking', asks: ['capture.take'] },
  { in: 'born', with: blank, from: 'snapshot/t/s', on: drop, to: 'gone', asks: [tellDropped] },

  { in: 'taking', on: done, to: 'ready', asks: [tellTaken] },
  { in: 'taking', on: failed('capture.take', passing), to: 'backoff', asks: [] },
  { in: 'taking', with: { tries: 2 }, on: failed('capture.take', passing), to: 'failed', asks: [tellFailed] },
  { in: 'taking', on: failed('capture.take', lasting), to: 'failed', asks: [tellFailed] },
  { in: 'taking', on: unknown('capture.take'), to: 'taking', asks: ['capture.take'] },
  { in: 'taking', on: 'takeDeadline', to: 'taking', asks: ['capture.take'] },
  { in: 'taking', on: ensure, to: 'taking', asks: [] },
  { in: 'taking', on: drop, to: 'removing', asks: ['capture.remove'] },

  { in: 'backoff', on: 'backoff', to: 'taking', asks: ['capture.take'] },
  { in: 'backoff', on: drop, to: 'removing', asks: ['capture.remove'] },
  { in: 'backoff', on: done, to: 'backoff', asks: [] },

  { in: 'ready', with: taken, on: ensure, to: 'ready', asks: [tellTaken] },
  { in: 'ready', with: taken, on: drop, to: 'removing', asks: ['capture.remove'] },
  { in: 'ready', with: taken, on: { type: 'host.gone', host: 'w1' }, to: 'ready', asks: [tellFailed] },
  { in: 'ready', with: taken, on: unknown('capture.take'), to: 'ready', asks: [] },

  { in: 'failed', on: ensure, to: 'taking', asks: ['capture.take'] },
  { in: 'failed', on: drop, to: 'removing', asks: ['capture.remove'] },

  { in: 'removing', on: removed, to: 'gone', asks: [tellDropped] },
  { in: 'removing', on: failed('capture.remove', passing), to: 'removeBackoff', asks: [] },
  { in: 'removing', on: failed('capture.remove', gone), to: 'gone', asks: [tellDropped] },
  { in: 'removing', on: unknown('capture.remove'), to: 'removing', asks: ['capture.remove'] },
  { in: 'removing', on: 'removeDeadline', to: 'removing', asks: ['capture.remove'] },
  { in: 'removing', on: done, to: 'removing', asks: [] },
  { in: 'removeBackoff', on: 'backoff', to: 'removing', asks: ['capture.remove'] },
];

test('decisions', () => {
  assert.equal(disagreements(snapshotCopyMachine, asked, rows), []);
});

test('asked again, it tells of the same moment', () => {
  const { asked: asks } = decided(
    snapshotCopyMachine,
    { ...asked, ...taken },
    {
      in: 'ready',
      on: ensure,
      to: '',
    },
  );
  assert.equal((asks[0]?.params as { event: { proof: unknown } }).event.proof, proof);
});

test.run();
