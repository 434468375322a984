/** What the CLI prints when a command fails, and its exit code. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import { exitCodes, explain } from './cli-session.ts';

test('an issue that the message already contains is not printed again, other issues are', () => {
  const issue = { path: 'to', message: 'the chart has no state x' };
  const named = explain(reject('params_invalid', 'It cannot be reset: to: the chart has no state x.', [issue]));
  assert.is(named.text, 'photon: It cannot be reset: to: the chart has no state x. (params_invalid)');
  const more = explain(reject('params_invalid', 'The params are not valid.', [issue]));
  assert.match(more.text, '\n  to: the chart has no state x');
});

test('the advice names CLI commands, not API methods', () => {
  const { text, exitCode } = explain(reject('not_found', 'There is no vm/a/b here; look with actor.list.'));
  assert.match(text, 'look with photon list');
  assert.is(exitCode, exitCodes.notFound);
  assert.match(explain(reject('not_accepted', 'It does not accept that now.')).text, 'photon describe');
});

test('a store that cannot be reached has the exit code for unreachable, not for refused', () => {
  assert.is(explain(new PhotonError('fault', 'store_unreachable', 'no store')).exitCode, exitCodes.unreachable);
});

test.run();
