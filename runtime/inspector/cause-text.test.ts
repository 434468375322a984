import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { causeOf } from './cause-text.ts';

const id = 'job/acme/web-1';
const earlier = [
  { version: 3, asked: ['timer:xstate.after.backoff.job.failed'] },
  { version: 5, asked: ['timer:xstate.after.backoff.job.failed', 'send:x:y'] },
  { version: 6, asked: [] },
];
const cause = (text: string) => causeOf(id, text, earlier);

test('a cause leads to the step behind it, of the sender, of the requester, of the one that set the timer', () => {
  assert.equal(cause('message:host/system/w1:41@7'), { text: 'message from', actor: 'host/system/w1', version: 7 });
  assert.equal(cause('message:slot/acme/web-1.a@w1:2@12'), {
    text: 'message from',
    actor: 'slot/acme/web-1.a@w1',
    version: 12,
  });
  assert.equal(cause(`effect:${id}#4.0`), { text: 'effect, requested in', actor: id, version: 4 });
  assert.equal(cause('timer:xstate.after.backoff.job.failed'), {
    text: 'timer backoff, set in',
    actor: id,
    version: 5,
  });
});

test('what an entry does not say is not guessed', () => {
  assert.equal(cause('message:host/system/w1:41'), { text: 'message from', actor: 'host/system/w1' });
  assert.equal(cause('timer:xstate.after.bootDeadline.job.starting'), { text: 'timer bootDeadline' });
  assert.equal(cause('command:ann:key-1'), { text: 'command of ann, key key-1' });
  assert.equal(cause('dead-letter:01J'), { text: 'dead letter 01J, delivered again by an operator' });
  assert.equal(cause('upgrade:3'), { text: 'a release with chart version 3' });
  for (const odd of ['', 'message:', 'message:x', 'effect:x', 'odd']) assert.is(typeof cause(odd).text, 'string');
});

test.run();
