/** What happens to watermarks of senders that are gone, and to copies of their messages that come late. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Message } from '../contract/envelope.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { watermarkOf } from '../contract/deduplication-watermark.ts';
import type { Host } from './host.ts';
import { ask, ownerOn, stored, until } from './host-for-tests.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import { MemoryJournal } from './memory-journal.ts';

const registry = plainRegistry();
const sink = 'sink/t/a' as ActorId;
const limits = { watermarks: 2, watermarkGraceMs: 1 };

const watermarksOf = (journal: MemoryJournal): string[] =>
  Object.keys(journal.actors.get(sink)?.actor.watermarks ?? {});
const itemsOf = (journal: MemoryJournal): number => (stored(journal, sink)?.['items'] as unknown[]).length;

/** A counter is made, sends the sink one message, and is removed. @returns a copy of that message */
async function live(journal: MemoryJournal, host: Host, name: string): Promise<Message> {
  const id = `counter/t/${name}` as ActorId;
  await ask(host, id, { type: 'counter.create' });
  const before = journal.commits.length;
  await ask(host, id, { type: 'counter.burst' });
  const message = journal.commits.slice(before).flatMap(({ messages }) => messages)[0] as Message;
  await until(`the message of ${name} is applied`, () => watermarksOf(journal).includes(watermarkOf(message)));
  await ask(host, id, { type: 'counter.delete' });
  await until(`the message of ${name} is gone`, () => !journal.outbox.has(`${id} ${message.seq}`));
  return { ...message, after: 0 };
}

async function liveMany(journal: MemoryJournal, host: Host, count: number): Promise<Message[]> {
  const messages: Message[] = [];
  for (let at = 0; at < count; at += 1) messages.push(await live(journal, host, `c${at}`));
  return messages;
}

test('watermarks of senders that are gone are pruned, and their messages are not applied again', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits });
  const messages = await liveMany(journal, host, 9);
  assert.ok(
    watermarksOf(journal).length <= 2 * limits.watermarks,
    `${watermarksOf(journal).length} watermarks are left`,
  );
  assert.is(itemsOf(journal), 9);
  for (const message of messages) assert.equal(await host.deliver(message), { result: 'applied' });
  assert.is(itemsOf(journal), 9);
  await host.drain();
  const next = await ownerOn(journal, { registry, limits });
  for (const message of messages) assert.equal(await next.deliver(message), { result: 'applied' });
  assert.is(itemsOf(journal), 9, 'nor by the next owner');
  await next.drain();
});

test('a message of an older life that was never applied is taken, and asks its sender once', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits });
  const old = 'counter/t/old';
  await ask(host, old, { type: 'counter.create' });
  await liveMany(journal, host, 6);
  const { uid } = journal.actors.get(old as ActorId)?.actor ?? { uid: '' };
  assert.ok(uid < (journal.actors.get(sink)?.actor.prunedUid ?? ''), 'younger lives were pruned');
  for (const count of [1, 2, 3]) {
    await ask(host, old, { type: 'counter.burst' });
    await until('it is applied', () => itemsOf(journal) === 6 + count);
  }
  assert.is(journal.outboxReads, 1);
  assert.ok(watermarksOf(journal).includes(`${old}~${uid}`));
  await host.drain();
});

test('the watermark of a sender that lives, or has a message to send, stays', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits });
  await ask(host, 'counter/t/alive', { type: 'counter.create' });
  await ask(host, 'counter/t/alive', { type: 'counter.burst' });
  const sending = await live(journal, host, 'sending');
  journal.outbox.set(`${sending.from} 99`, { ...sending, seq: 99 });
  await liveMany(journal, host, 7);
  const watermarks = watermarksOf(journal).join(' ');
  assert.match(watermarks, 'counter/t/alive~');
  assert.match(watermarks, 'counter/t/sending~');
  assert.ok(watermarksOf(journal).length < 9);
  await host.drain();
});

test('a sender that cannot be read is asked again', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits: { ...limits, readAgainMs: 1 } });
  const [first] = await liveMany(journal, host, 6);
  const { isOutstanding } = journal;
  let failures = 2;
  journal.isOutstanding = (message) => {
    failures -= 1;
    return failures < 0 ? isOutstanding.call(journal, message) : Promise.reject(new Error('no answer'));
  };
  assert.equal(await host.deliver(first as Message), { result: 'applied' });
  assert.is(itemsOf(journal), 6);
  assert.is(failures, -1);
  await host.drain();
});

test.run();
