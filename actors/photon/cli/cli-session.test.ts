/** How a failed run of the command line ends: its words and its exit code. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError, reject } from '@photoncloud/runtime/contract/errors';
import { exitCodes, explain } from './cli-session.ts';

test('an issue that the sentence names is not said twice, others are', () => {
  const issue = { path: 'to', message: 'the chart has no state x' };
  const said = explain(reject('params_invalid', 'It cannot be reset: to: the chart has no state x.', [issue]));
  assert.is(said.text, 'photon: It cannot be reset: to: the chart has no state x. (params_invalid)');
  const more = explain(reject('params_invalid', 'The params are not valid.', [issue]));
  assert.match(more.text, '\n  to: the chart has no state x');
});

test('the advice names commands of this program', () => {
  const { text, exitCode } = explain(reject('not_found', 'There is no vm/a/b here; look with actor.list.'));
  assert.match(text, 'look with photon list');
  assert.is(exitCode, exitCodes.notFound);
  assert.match(explain(reject('not_accepted', 'It does not accept that now.')).text, 'photon describe');
});

test('a store that cannot be reached is not a refusal', () => {
  assert.is(explain(new PhotonError('fault', 'store_unreachable', 'no store')).exitCode, exitCodes.unreachable);
});

test.run();
