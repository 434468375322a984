import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HistoryRow } from './inspector-feed.ts';
import { reasonOf } from './shown-reason.ts';

const failure = { code: 'disk_full', message: 'free some space on w1', retryable: true };
const ready = (status: string, message: string) => ({ type: 'Ready', status, reason: 'Unplaced', message, since: 1 });
const step = (event: HistoryRow['event']): HistoryRow => ({
  version: 3,
  at: 0,
  event,
  cause: '',
  from: 'a',
  to: 'failed',
  kind: 'transition',
  asked: [],
  changed: {},
});
const shown = { code: 'disk_full', text: 'free some space on w1', retryable: true };

test('a failure is shown in every state', () => {
  for (const meaning of ['steady', 'changing', 'retrying', 'failed', 'ended'] as const)
    assert.equal(reasonOf({ failure, conditions: [ready('False', 'no')] }, meaning, undefined), shown);
  assert.is(reasonOf({ failure: null }, 'steady', undefined), null);
});

test('a failed or refused state without a failure says what Ready says, else what the step that led there says', () => {
  const conditions = [
    { ...ready('False', 'nothing to do with it'), type: 'RestartRequired' },
    ready('False', 'no host'),
  ];
  const refused = step({ type: 'quota.refused', error: failure });
  const reason = { code: 'Unplaced', text: 'no host', retryable: null };
  assert.equal(reasonOf({ failure: null, conditions }, 'failed', refused), reason);
  assert.equal(reasonOf({ failure: null, conditions: [ready('False', '')] }, 'failed', refused), shown);
  assert.equal(reasonOf(null, 'ended', refused), shown, 'the record of a removed actor may be empty');
  const ended = step({ type: 'run.ended', reason: 'crash', error: null });
  assert.equal(reasonOf({}, 'retrying', ended), { code: null, text: 'crash', retryable: null });
  assert.is(reasonOf({ conditions }, 'changing', refused), null, 'what is on its way has no reason yet');
});

test('a status of any form is read without an error', () => {
  for (const odd of [undefined, null, 7, 'x', [], { conditions: 7, failure: 'x' }, { failure: { code: 1 } }])
    assert.is(reasonOf(odd, 'failed', undefined), null);
});

test.run();
