/** What the outbox sends again, and when: deliveries answered by hand, pauses that end when the test says so. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Message } from '../contract/envelope.ts';
import { actorId, type ShardId } from '../contract/identifiers.ts';
import type { Delivery } from '../contract/link.ts';
import { testLog } from './host-for-tests.ts';
import { Outbox } from './outbox.ts';

const grant = { shard: 's1' as ShardId, node: 'n1', era: 1, ownerEpoch: 1 };
const plain = { from: actorId('relay/t/r'), to: actorId('sink/t/s'), senderUid: 'L', era: 1, cause: 'test' };
const message = (seq: number): Message => ({ ...plain, seq, after: seq - 1, event: { type: 'sink.put' } });

test('numbers that could not be removed are forgotten with their shard', async () => {
  const failing = Promise.withResolvers<void>();
  const outbox = new Outbox({
    clock: { monotonicMs: () => 0, wallMs: () => 0, after: () => () => {} },
    log: testLog,
    deliver: () => Promise.resolve({ result: 'applied' }),
    refresh: () => {},
    isClosing: () => false,
    forget: () => failing.promise,
    fraction: () => 0.5,
  });
  outbox.send(grant, [message(1)]);
  await new Promise((resolve) => setImmediate(resolve));
  const forgotten = outbox.forgetNow();
  // The store went back, and its numbers are used again.
  outbox.dropShard(grant.shard);
  failing.reject(new Error('fenced'));
  await forgotten;
  assert.equal(outbox.takeAcknowledged(plain.from), []);
});

test('a message on its way is not sent again because one behind it was refused', async () => {
  const sent: { readonly seq: number; readonly answer: (delivery: Delivery) => void }[] = [];
  const pauses = new Set<() => void>();
  const outbox = new Outbox({
    clock: {
      monotonicMs: () => 0,
      wallMs: () => 0,
      after: (_, task) => {
        pauses.add(task);
        return () => pauses.delete(task);
      },
    },
    log: testLog,
    deliver: ({ seq }) => new Promise((answer) => sent.push({ seq, answer })),
    refresh: () => {},
    isClosing: () => false,
    forget: () => Promise.resolve(),
    fraction: () => 0.5,
  });
  const settle = async (at: number, result: 'applied' | 'moved'): Promise<void> => {
    sent[at]?.answer({ result });
    await new Promise((resolve) => setImmediate(resolve));
  };
  const endPauses = (): void => {
    const ended = new Set(pauses);
    pauses.clear();
    for (const task of ended) task();
  };
  const seqs = (): readonly number[] => sent.map(({ seq }) => seq);

  outbox.send(grant, [message(1), message(2)]);
  await settle(0, 'moved');
  endPauses();
  assert.equal(seqs(), [1, 2, 1]);
  // The refusal of the second is older than what was sent since.
  await settle(1, 'moved');
  endPauses();
  assert.equal(seqs(), [1, 2, 1]);
  await settle(2, 'applied');
  endPauses();
  assert.equal(seqs(), [1, 2, 1, 2]);
  await settle(3, 'applied');
  assert.is(outbox.size, 0);
});

test.run();
