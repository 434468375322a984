/** The texts for events and for the requests of a step. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { askedText, eventText } from './asked-text.ts';

test('an `after` event is shown by the name of its delay, other events by their type', () => {
  assert.is(eventText('xstate.after.backoff.binding.tapping.waiting'), 'after backoff');
  assert.is(eventText('tap.create.failed'), 'tap.create.failed');
});

test('each kind of request is shown as a phrase', () => {
  assert.is(askedText('timer:xstate.after.prepareDeadline.vm.preparing.asking'), 'timer prepareDeadline');
  assert.is(askedText('send:port.bind:port/acme/web-1.eth0'), 'send port.bind to port/acme/web-1.eth0');
  assert.is(askedText('effect:tap.create:binding/acme/p1@w1#6.0'), 'effect tap.create');
  assert.is(askedText('reply:operator:apply-123'), 'reply');
  assert.is(askedText('row:location/10.0.0.5'), 'row location/10.0.0.5');
  assert.is(askedText('chart_failed: it threw'), 'chart_failed: it threw');
});

test.run();
