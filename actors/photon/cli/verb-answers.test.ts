/** What the operator commands print: the result, the next command, and whether the exit code means failure. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withTimes } from './describe-actor.ts';
import { heldText } from './held-actors.ts';
import { verbText, type Verb } from './verb-answers.ts';

const id = 'vm/acme/web-1';
const textOf = (verb: Verb, result: unknown, dryRun = false) => verbText(verb, { id, version: 7, result }, dryRun);

test('the text of a pause names the command that ends it, also for an actor that was already quarantined', () => {
  assert.match(textOf('pause', { held: 'paused' }).text, 'photon actor resume vm/acme/web-1 --reason WHY');
  assert.match(
    textOf('pause', { held: 'quarantined' }).text,
    /is already quarantined[^]*photon deadletters vm\/acme\/web-1/,
  );
});

test('the text of a resume names what was ended, or says that nothing was held', () => {
  assert.is(textOf('resume', { held: 'paused' }).text, 'vm/acme/web-1 resumed; it was paused');
  assert.match(textOf('resume', { held: null }).text, 'was not held; nothing has changed');
});

test('a redrive that fails again has a failure exit code, a redrive without dead letters has not', () => {
  const again = textOf('redrive', { redriven: ['A'], left: 1, quarantined: 'chart_failed: x' });
  assert.is(again.failed, true);
  assert.match(
    again.text,
    /^1 dead letter of vm\/acme\/web-1 delivered again, 1 left\n {2}the actor is quarantined: chart_failed: x$/,
  );
  assert.is(textOf('redrive', { redriven: ['A', 'B'], left: 0 }).failed, false);
  assert.match(textOf('redrive', { redriven: [], left: 0 }).text, 'nothing has changed');
});

test('a skip that drops nothing names the options that do', () => {
  assert.match(textOf('skip', { skipped: [] }).text, /nothing was dropped[^]*--dead-letter[^]*--all/);
  assert.match(textOf('skip', { skipped: ['A', 'B'] }).text, '2 dead letters of vm/acme/web-1 dropped: A, B');
});

test('the plan of a reset has one line per kind of change, and none for what does not change', () => {
  const none = { effectsStarted: [], effectsCancelled: [], timersCancelled: [], rows: [], removes: false };
  const timer = 'xstate.after.stopDeadline.vm.stopping';
  const plan = { ...none, from: 'running', to: { stopping: 'asking' }, timersSet: [timer], changed: ['tries'] };
  const messages = [{ to: 'host/system/w1', type: 'vm.stop' }];
  assert.equal(textOf('reset', { ...plan, messages }, true).text.split('\n'), [
    'vm/acme/web-1 would be reset from version 7: running -> stopping.asking',
    '  sets timers       stopDeadline',
    '  sends             vm.stop to host/system/w1',
    '  changes fields    tries',
    'nothing was changed; run the command without --dry-run to apply this',
  ]);
  assert.is(
    textOf('reset', { ...plan, timersSet: [], changed: [], messages: [] }).text,
    'vm/acme/web-1 was reset: running -> stopping.asking, version 7',
  );
});

test('the list of held actors shows by whom, for how long, why, and the next command', () => {
  const hold = { kind: 'paused', by: 'ann', at: 1_000, reason: 'disk copied' };
  const text = heldText([{ id, stateName: 'running', hold }], 61_000);
  assert.match(text, /web-1 {2}running {2}paused {2}ann {2}60s {2}disk copied/);
  assert.match(text, 'next: photon actor resume vm/acme/web-1');
  assert.is(heldText([], 0), 'no actor is held');
});

test('describe shows wall times as times with their age, and other numbers as they are', () => {
  const at = Date.UTC(2026, 0, 2, 3, 4, 5);
  const shown = withTimes({ runningSince: at, runs: 3, host: null, stoppedAt: null }, at + 61_000);
  assert.equal(shown, { runningSince: '2026-01-02T03:04:05.000Z (61s ago)', runs: 3, host: null, stoppedAt: null });
});

test.run();
