/** Decisions of a volume's exports: every result of the effects, changed and repeated requests, every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { volumeExportMachine, type VolumeExportContext } from './volume-export-machine.ts';

const id = 'volume-export/t/d@w1';
const spec = {
  owner: { actor: id, uid: 'U1', runEpoch: 2 },
  volumeUid: 'U1',
  clients: [{ runEpoch: 2, host: 'w2' }],
};
const source = { kind: 'nbd' as const, export: 'U1.2.boot', address: { host: '192.0.2.1', port: 21_000 } };
const served = [{ runEpoch: 2, source, pid: 7 }];
const asked: VolumeExportContext = { id, spec, volume: 'volume/t/d', served: [], tries: 0, failure: null };
const blank = { spec: null, volume: '' };
const ensure = (runEpoch: number) => ({
  type: 'export.ensure',
  volume: 'volume/t/d',
  spec: { ...spec, owner: { ...spec.owner, runEpoch } },
});
const drop = { type: 'export.drop' };
const passing = { code: 'export_failed', message: 'busy', retryable: true };
const lasting = { code: 'run_epoch_older', message: 'cut', retryable: false };
const gone = { code: 'host_gone', message: 'gone', retryable: false };
const failed = (effect: string, error: object) => ({ type: `${effect}.failed`, error });
const unknown = (effect: string) => ({ type: `${effect}.unknown`, error: passing });
const done = { type: 'export.serve.done', served };
const cut = { type: 'export.cut.done' };
const ended = { type: 'export.watch.done', reason: 'export_ended', detail: 'It ended.' };
const serving = ['export.serving > volume', 'export.watch'];

const rows: readonly Row[] = [
  { in: 'born', with: blank, on: ensure(1), to: 'serving', asks: ['export.serve'] },
  { in: 'born', with: blank, from: 'volume/t/d', on: drop, to: 'gone', asks: ['export.dropped > volume'] },

  { in: 'serving', on: done, to: 'served', asks: serving },
  { in: 'serving', on: failed('export.serve', passing), to: 'backoff', asks: [] },
  { in: 'serving', with: { tries: 2 }, on: failed('export.serve', passing), to: 'failed' },
  { in: 'serving', on: failed('export.serve', lasting), to: 'failed', asks: ['export.failed > volume'] },
  { in: 'serving', on: failed('export.serve', gone), to: 'failed', asks: ['export.failed > volume'] },
  { in: 'serving', on: unknown('export.serve'), to: 'serving', asks: ['export.serve'] },
  { in: 'serving', on: 'serveDeadline', to: 'serving', asks: ['export.serve'] },
  { in: 'serving', on: ensure(3), to: 'serving', asks: ['export.serve'] },
  { in: 'serving', on: drop, to: 'cutting', asks: ['export.cut'] },

  { in: 'served', on: ended, to: 'serving', asks: ['export.serve'] },
  { in: 'served', on: failed('export.watch', passing), to: 'serving', asks: ['export.serve'] },
  { in: 'served', on: unknown('export.watch'), to: 'serving', asks: ['export.serve'] },
  { in: 'served', on: ensure(3), to: 'serving', asks: ['export.serve'] },
  { in: 'served', on: ensure(2), to: 'serving', asks: ['export.serve'] },
  { in: 'served', on: drop, to: 'cutting', asks: ['export.cut'] },
  { in: 'served', on: { type: 'host.gone' }, to: 'served', asks: ['export.failed > volume'] },

  { in: 'backoff', on: 'backoff', to: 'serving', asks: ['export.serve'] },
  { in: 'backoff', on: ensure(3), to: 'serving', asks: ['export.serve'] },
  { in: 'backoff', on: drop, to: 'cutting', asks: ['export.cut'] },

  { in: 'failed', with: { failure: passing }, on: 'retryPause', to: 'serving', asks: ['export.serve'] },
  { in: 'failed', with: { failure: lasting }, on: 'retryPause', to: 'failed', asks: [] },
  { in: 'failed', on: ensure(2), to: 'serving', asks: ['export.serve'] },
  { in: 'failed', on: drop, to: 'cutting', asks: ['export.cut'] },
  { in: 'failed', on: { type: 'host.gone' }, to: 'failed', asks: [] },

  { in: 'cutting', on: cut, to: 'gone', asks: ['export.dropped > volume'] },
  { in: 'cutting', on: failed('export.cut', passing), to: 'cutBackoff', asks: [] },
  { in: 'cutting', on: failed('export.cut', gone), to: 'gone', asks: ['export.dropped > volume'] },
  { in: 'cutting', on: unknown('export.cut'), to: 'cutting', asks: ['export.cut'] },
  { in: 'cutting', on: 'cutDeadline', to: 'cutting', asks: ['export.cut'] },
  { in: 'cutting', on: ensure(3), to: 'serving', asks: ['export.serve'] },
  { in: 'cutting', on: drop, to: 'cutting', asks: [] },
  { in: 'cutBackoff', on: 'backoff', to: 'cutting', asks: ['export.cut'] },
  { in: 'cutBackoff', on: ensure(3), to: 'serving', asks: ['export.serve'] },
];

test('decisions', () => {
  assert.equal(disagreements(volumeExportMachine, asked, rows), []);
});

test('the volume is told the floor and the runs of the newest word, when they are true on the host', () => {
  const { context } = decided(volumeExportMachine, { ...asked, served }, { in: 'served', on: ensure(3), to: '' });
  assert.equal([context['served'], (context['spec'] as typeof spec).owner.runEpoch], [[], 3]);
  const { asked: told } = decided(volumeExportMachine, context, { in: 'serving', on: done, to: '' });
  const { event } = told[0]?.params as { event: object };
  assert.equal(event, { type: 'export.serving', host: 'w1', floor: 3, served });
});

test.run();
