/** What an era means to actors: a store that went back rewinds senders and receivers apart, and both must go on. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import { ask, ownerOn, stored, testLog, until } from './host-for-tests.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import { MemoryJournal } from './memory-journal.ts';
import { Outbox } from './outbox.ts';
import { systemClock } from './system-clock.ts';

const registry = plainRegistry();
const relay = 'relay/t/r' as ActorId;
const sink = 'sink/t/s' as ActorId;
const send = { type: 'relay.send', to: sink };
const items = (journal: MemoryJournal): readonly unknown[] =>
  (stored(journal, sink)?.['items'] ?? []) as readonly unknown[];

/** The part of the store that holds one actor, as it is now; the returned function puts it back. */
function copyOf(journal: MemoryJournal, id: ActorId): () => void {
  const record = structuredClone(journal.actors.get(id));
  const outbox = structuredClone([...journal.outbox].filter(([key]) => key.startsWith(`${id} `)));
  return () => {
    if (record === undefined) journal.actors.delete(id);
    else journal.actors.set(id, record);
    for (const key of journal.outbox.keys()) if (key.startsWith(`${id} `)) journal.outbox.delete(key);
    for (const [key, message] of outbox) journal.outbox.set(key, message);
  };
}

/** Sends `count` messages and waits until the sink has as many items as wanted, and the outbox is empty. */
async function relayed(
  journal: MemoryJournal,
  host: Awaited<ReturnType<typeof ownerOn>>,
  count: number,
  wanted: number,
) {
  for (let sent = 0; sent < count; sent += 1) assert.ok((await ask(host, relay, send)).ok);
  await until(`${wanted} items`, () => items(journal).length === wanted);
  await until('nothing unacknowledged', () => journal.outbox.size === 0);
}

test('a rewound sender is heard in its new era, though it uses its numbers again', async () => {
  const journal = new MemoryJournal();
  const first = await ownerOn(journal, { registry });
  await relayed(journal, first, 2, 2);
  const putBack = copyOf(journal, relay);
  await relayed(journal, first, 3, 5);
  await first.drain();
  putBack();
  journal.era = 2;
  const second = await ownerOn(journal, { registry });
  await relayed(journal, second, 2, 7);
  assert.equal(items(journal), [1, 2, 3, 4, 5, 3, 4], 'numbers 3 and 4 were used twice, and both were heard');
  await second.drain();
});

test('what an earlier era left unacknowledged comes first, once', async () => {
  const journal = new MemoryJournal();
  const first = await ownerOn(journal, { registry });
  await relayed(journal, first, 1, 1);
  journal.hold();
  const answer = ask(first, relay, send);
  await until('the commit', () => journal.heldCommits === 1);
  journal.free();
  await answer;
  // As the store has it before the second message is acknowledged; the sink has heard it all the same.
  const putBack = copyOf(journal, relay);
  await until('the second item', () => items(journal).length === 2);
  await relayed(journal, first, 1, 3);
  await first.drain();
  putBack();
  assert.is(journal.outbox.size, 1);
  journal.era = 2;
  const second = await ownerOn(journal, { registry });
  await relayed(journal, second, 2, 5);
  assert.equal(items(journal), [1, 2, 3, 3, 4]);
  await second.drain();
});

test('a rewound receiver goes on hearing a sender that was not', async () => {
  const journal = new MemoryJournal();
  const first = await ownerOn(journal, { registry });
  await relayed(journal, first, 2, 2);
  const putBack = copyOf(journal, sink);
  await relayed(journal, first, 2, 4);
  await first.drain();
  putBack();
  journal.era = 2;
  const second = await ownerOn(journal, { registry });
  await relayed(journal, second, 2, 4);
  assert.equal(items(journal), [1, 2, 5, 6], 'what was acknowledged and lost is lost, and nobody waits for it');
  await second.drain();
});

test('a message of an era that its owner has not entered is not taken yet', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  const message = {
    to: sink,
    from: relay,
    senderUid: 'L',
    seq: 1,
    after: 0,
    event: { type: 'sink.put', item: 1 },
    cause: 't',
  };
  const newer = await host.deliver({ ...message, era: 2 });
  assert.is(newer.result, 'busy');
  assert.is(stored(journal, sink), undefined);
  assert.equal(await host.deliver({ ...message, era: 1 }), { result: 'applied' });
  await host.drain();
});

test('a message of a newer era waits for the older ones to the same receiver', async () => {
  const heard: string[] = [];
  const outbox = new Outbox({
    clock: systemClock,
    log: testLog,
    deliver: ({ era, seq, after }) => {
      heard.push(`${era}:${seq} after ${after}`);
      return Promise.resolve(heard.length === 1 ? { result: 'busy', retryAfterMs: 10 } : { result: 'applied' });
    },
    refresh: () => {},
    isClosing: () => false,
    forget: () => Promise.resolve(),
    fraction: () => 0,
  });
  const plain = { to: sink, from: relay, senderUid: 'L', after: 0, event: { type: 'sink.put' }, cause: 'test' };
  const grant = { shard: 's1' as ShardId, node: 'n1', era: 2, ownerEpoch: 2 };
  outbox.recover(grant, [
    { ...plain, era: 2, seq: 8 },
    { ...plain, era: 1, seq: 7 },
    { ...plain, era: 2, seq: 9 },
  ]);
  await until('all are acknowledged', () => outbox.size === 0);
  assert.equal(heard, ['1:7 after 0', '1:7 after 0', '2:8 after 0', '2:9 after 8']);
  outbox.dropShard(grant.shard);
});

test.run();
