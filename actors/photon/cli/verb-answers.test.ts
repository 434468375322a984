/** What operators read after a verb: the sentence, the next command, and whether the exit code says failure. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { heldText } from './held-actors.ts';
import { verbText, type Verb } from './verb-answers.ts';

const id = 'vm/acme/web-1';
const told = (verb: Verb, result: unknown, dryRun = false) => verbText(verb, { id, version: 7, result }, dryRun);

test('a pause says how it ends, and what holds an actor already', () => {
  assert.match(told('pause', { held: 'paused' }).text, 'photon actor resume vm/acme/web-1 --reason WHY');
  assert.match(
    told('pause', { held: 'quarantined' }).text,
    /is quarantined already[^]*photon deadletters vm\/acme\/web-1/,
  );
});

test('a resume says what it ended, or that there was nothing to end', () => {
  assert.is(told('resume', { held: 'paused' }).text, 'vm/acme/web-1 goes on; it was paused');
  assert.match(told('resume', { held: null }).text, 'was not held; nothing has changed');
});

test('a redrive that fails again is a failure, one that finds nothing is none', () => {
  const again = told('redrive', { redriven: ['A'], left: 1, quarantined: 'chart_failed: x' });
  assert.is(again.failed, true);
  assert.match(
    again.text,
    /^1 dead letter of vm\/acme\/web-1 delivered again, 1 left\n {2}it is held: chart_failed: x$/,
  );
  assert.is(told('redrive', { redriven: ['A', 'B'], left: 0 }).failed, false);
  assert.match(told('redrive', { redriven: [], left: 0 }).text, 'nothing has changed');
});

test('a skip that drops nothing says how to drop', () => {
  assert.match(told('skip', { skipped: [] }).text, /nothing was dropped[^]*--dead-letter[^]*--all/);
  assert.match(told('skip', { skipped: ['A', 'B'] }).text, '2 dead letters of vm/acme/web-1 dropped: A, B');
});

test('a plan has a line for each thing that changes, and none for what does not', () => {
  const none = { effectsStarted: [], effectsCancelled: [], timersCancelled: [], rows: [], removes: false };
  const timer = 'xstate.after.stopDeadline.vm.stopping';
  const plan = { ...none, from: 'running', to: { stopping: 'asking' }, timersSet: [timer], changed: ['tries'] };
  const messages = [{ to: 'host/system/w1', type: 'vm.stop' }];
  assert.equal(told('reset', { ...plan, messages }, true).text.split('\n'), [
    'vm/acme/web-1 would go from version 7: running -> stopping.asking',
    '  sets timers       stopDeadline',
    '  sends             vm.stop to host/system/w1',
    '  changes fields    tries',
    'nothing was changed; the same without --dry-run does it',
  ]);
  assert.is(
    told('reset', { ...plan, timersSet: [], changed: [], messages: [] }).text,
    'vm/acme/web-1 was reset: running -> stopping.asking, version 7',
  );
});

test('the list of the held says who, for how long, why, and what to do', () => {
  const hold = { kind: 'paused', by: 'ann', at: 1_000, reason: 'disk copied' };
  const text = heldText([{ id, stateName: 'running', hold }], 61_000);
  assert.match(text, /web-1 {2}running {2}paused {2}ann {2}60s {2}disk copied/);
  assert.match(text, 'next: photon actor resume vm/acme/web-1');
  assert.is(heldText([], 0), 'no actor is held');
});

test.run();
