/** K8 on hand-written facts around a store rollback: a correct run passes, a broken one is named. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { messageOf } from '@photoncloud/runtime/journal/commit-for-tests';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { checkMessages } from './message-order.ts';
import type { StoreFact } from './store-facts.ts';

const [from, to] = [actorId('relay/t/r'), actorId('sink/t/s')];
const at = { atMs: 0, by: 'n1.1', shard: 's1', run: 0 };

const rollback: StoreFact = { ...at, fact: 'rolled back' };
const sent = (seq: number): StoreFact => ({ ...at, fact: 'sent', message: messageOf(from, to, seq) });
const applied = (seq: number): StoreFact => {
  const cause = `message:${from}:${seq}@${seq}`;
  const entry = { version: seq, at: 0, event: {}, cause, from: null, to: null, kind: 'transition' as const };
  return { ...at, fact: 'history', actor: to, entry: { ...entry, asked: [], changed: {} } };
};

test('a message that was sent before a store rollback may be applied after it', () => {
  assert.equal(checkMessages([sent(1), sent(2), rollback, applied(2), sent(2), sent(3), applied(2), applied(3)]), []);
});

test('messages that were sent after the rollback must be applied, in order', () => {
  const [missed] = checkMessages([sent(1), rollback, sent(2), sent(3), applied(3)]);
  assert.match(missed ?? '', /K8: relay\/t\/r to sink\/t\/s: 2 of .* was not applied/);
  assert.is(checkMessages([rollback, sent(2), sent(3), applied(3), applied(2)]).length, 1);
});

test.run();
