/** Decisions of a VM in a new era: it does not run before the cluster has placed it again. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { vmMachine } from './vm-machine.ts';
import * as v from './vm-rows-for-tests.ts';
import { held, locates, needs, row } from './vm-rows-for-tests.ts';

const later = { era: 2 };
const preparing = 'preparing.asking';
const always = { spec: { ...v.spec, restart: 'always' } };

const rows: readonly Row[] = [
  row('backoff', {}, 'backoff', preparing, needs),
  row('backoff', {}, 'backoff', 'locating', locates, later),
  row('backoff', {}, v.start, 'locating', locates, later),
  row('backoff', {}, v.restart, 'locating', locates, later),
  row('backoff', { era: 2 }, 'backoff', preparing, needs, later),
  row('stopping', { restarting: true }, v.ended('stopped'), preparing, needs),
  row('stopping', { restarting: true }, v.ended('stopped'), 'locating', locates, later),
  row('running', always, v.ended('crash', v.passing), 'backoff', [], later),
];

test('a restart in a new era requests a placement first', () => {
  assert.equal(disagreements(vmMachine, held, rows), []);
});

test('a placement request names the last run, and the era of the placement is stored', () => {
  const asked = decided(vmMachine, held, row('locating', { awaited: [v.volume] }, v.located, '')).asked.at(-1);
  assert.equal((asked?.params as { event: { lastRun: object } }).event.lastRun, { host: 'w1', incarnationUid: 'L1' });
  const placed = decided(vmMachine, held, row('placing', {}, { ...v.placed, era: 2 }, '', undefined, later));
  assert.is(placed.context['era'], 2);
});

test.run();
