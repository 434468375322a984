import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryJournal } from './memory-journal.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { ask, commandOf, ownerOn, said, stored, until } from './host-for-tests.ts';

const a = 'counter/t/a';
const registry = plainRegistry();
const history = (journal: MemoryJournal, id: string): string[] =>
  (journal.history.get(id as ActorId) ?? []).map(
    ({ version, kind, cause }) => `${version} ${kind} ${cause.split(':')[0]}`,
  );

test('the same command id is answered from its receipt: at once, while in flight, and after a restart', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create', by: 1 });
  const add = commandOf(a, { type: 'counter.add', by: 10 });
  const together = await Promise.all([host.ask(add), host.ask(add), host.ask(add)]);
  assert.equal(together, [together[0], together[0], together[0]]);
  assert.equal(await host.ask(add), together[0]);
  await host.drain();
  const next = await ownerOn(journal, { registry });
  assert.equal(await next.ask(add), together[0]);
  assert.is(stored(journal, a)?.['total'], 11);
  const other = await next.ask({ ...add, digest: 'another' });
  assert.is(said(other), 'idempotency_conflict');
  assert.is(journal.receiptReads, 3, 'one for the birth, one per question after the restart');
  await next.drain();
});

test('a activation actor born here needs no read for new commands', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits: { receiptsRemembered: 4 } });
  await ask(host, a, { type: 'counter.create' });
  await ask(host, a, { type: 'counter.add' });
  const reads = journal.receiptReads;
  await ask(host, a, { type: 'counter.add' });
  assert.is(journal.receiptReads, reads);
  const early = commandOf(a, { type: 'counter.add' });
  await host.ask(early);
  for (let count = 0; count < 6; count += 1) await ask(host, a, { type: 'counter.add' });
  assert.ok((await host.ask(early)).ok, 'forgotten in memory, found in the store');
  assert.is(stored(journal, a)?.['total'], 10);
  await host.drain();
});

test('a receipt that its read has missed refuses the commit, and the command is answered from it', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create', by: 1 });
  const add = commandOf(a, { type: 'counter.add', by: 10 });
  const reply = await host.ask(add);
  await host.drain();
  const next = await ownerOn(journal, { registry });
  const receipt = journal.receipt.bind(journal);
  journal.receipt = () => {
    journal.receipt = receipt;
    return Promise.resolve(undefined);
  };
  const [again, behind] = await Promise.all([next.ask(add), ask(next, a, { type: 'counter.add', by: 100 })]);
  assert.equal(again, reply);
  assert.ok(behind.ok);
  assert.is(stored(journal, a)?.['total'], 111);
  await next.drain();
});

test('more commands than are remembered: a new one needs no read, one asked again is found', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits: { receiptsRemembered: 2 } });
  await ask(host, a, { type: 'counter.create', by: 1 });
  const early = commandOf(a, { type: 'counter.add' });
  const reply = await host.ask(early);
  const reads = journal.receiptReads;
  for (let count = 0; count < 6; count += 1) await ask(host, a, { type: 'counter.add' });
  assert.is(journal.receiptReads, reads, 'new commands need none');
  assert.equal(await host.ask(early), reply);
  assert.is(said(await host.ask({ ...early, digest: 'another' })), 'idempotency_conflict');
  const refused = commandOf(a, { type: 'counter.add' }, { ifVersion: 8 });
  assert.ok((await host.ask(refused)).ok);
  for (let count = 0; count < 3; count += 1) await ask(host, a, { type: 'counter.add' });
  assert.ok((await host.ask(refused)).ok, 'a refusal that needs no commit looks first');
  assert.is(stored(journal, a)?.['total'], 12);
  await host.drain();
});

test('refusals: unknown actor, unaccepted event, stale version, the chart itself', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  assert.is(said(await ask(host, a, { type: 'counter.add' })), 'not_found');
  assert.is(said(await ask(host, 'stranger/t/a', { type: 'stranger.add' })), 'not_found');
  assert.is(said(await ask(host, a, { type: 'counter.create', by: -1 })), 'too_small');
  assert.is(journal.actors.size, 0, 'a refused creation leaves no trace');
  await ask(host, a, { type: 'counter.create' });
  assert.is(said(await ask(host, a, { type: 'counter.create' })), 'not_accepted');
  assert.is(said(await ask(host, a, { type: 'counter.add', by: -1 })), 'too_small');
  assert.is(said(await ask(host, a, { type: 'counter.add' }, { ifVersion: 7 })), 'version_conflict');
  assert.ok((await ask(host, a, { type: 'counter.add' }, { ifVersion: 1 })).ok);
  assert.equal(history(journal, a), [
    '1 transition command',
    '1 rejected command',
    '1 rejected command',
    '2 transition command',
  ]);
  await host.drain();
});

test('a removed actor may be born again: the version goes on, the uid is new', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  const { uid } = said(await ask(host, a, { type: 'counter.read' })) as { uid: string };
  assert.ok((await ask(host, a, { type: 'counter.delete' })).ok);
  assert.is(journal.actors.get(a as ActorId)?.actor.status, 'removed');
  assert.is(said(await ask(host, a, { type: 'counter.add' })), 'not_found');
  const reply = await ask(host, a, { type: 'counter.create' });
  assert.is(reply.version, 4);
  assert.is.not((said(await ask(host, a, { type: 'counter.read' })) as { uid: string }).uid, uid);
  await host.drain();
  const next = await ownerOn(journal, { registry });
  assert.is((said(await ask(next, a, { type: 'counter.read' })) as { total: number }).total, 1);
  await next.drain();
});

test('removal and a new birth in one burst do not mix two lives in a commit', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create', by: 5 });
  const replies = await Promise.all([
    ask(host, a, { type: 'counter.delete' }),
    ask(host, a, { type: 'counter.create', by: 2 }),
    ask(host, a, { type: 'counter.read' }),
  ]);
  assert.is((said(replies[2] as never) as { total: number }).total, 2);
  assert.equal(
    journal.commits.map(({ status }) => status),
    ['live', 'removed', 'live'],
  );
  await host.drain();
});

test('everything that waits for an actor becomes one commit', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  await Promise.all(Array.from({ length: 30 }, () => ask(host, a, { type: 'counter.add' })));
  assert.is(journal.commits.length, 2);
  assert.is(journal.commits[1]?.history.length, 30);
  assert.is(journal.commits[1]?.version, 31);
  await host.drain();
});

test('nothing is answered before its commit is durable, and the actor runs ahead meanwhile', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  journal.hold();
  const answered: string[] = [];
  const first = ask(host, a, { type: 'counter.add' }).then(() => answered.push('first'));
  await until('the first commit', () => journal.heldCommits === 1);
  const second = ask(host, a, { type: 'counter.add' }).then(() => answered.push('second'));
  const stale = ask(host, a, { type: 'counter.add' }, { ifVersion: 1 }).then(() => answered.push('stale'));
  await until('the second commit', () => journal.heldCommits === 2);
  assert.equal(answered, []);
  assert.is(host.figures().commitsInFlight, 2);
  journal.free();
  await Promise.all([first, second, stale]);
  assert.equal(answered, ['first', 'second', 'stale']);
  await host.drain();
});

test('a full mailbox is told so', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits: { mailboxDepth: 5, commitsInFlight: 1 } });
  await ask(host, a, { type: 'counter.create' });
  journal.hold();
  const first = ask(host, a, { type: 'counter.add' });
  await until('the first commit', () => journal.heldCommits === 1);
  const replies = Array.from({ length: 8 }, () => ask(host, a, { type: 'counter.add' }));
  await until('the mailbox is full', () => host.figures().mailboxDepth === 5);
  journal.free();
  const refused = (await Promise.all([first, ...replies])).filter((reply) => !reply.ok);
  assert.is(refused.length, 3);
  assert.ok(
    refused.every((reply) => !reply.ok && reply.error.code === 'overloaded' && (reply.error.retryAfterMs ?? 0) > 0),
  );
  await host.drain();
});

test('the system tells: an actor is born of an event in createdBy, and an unwanted event is no error', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await host.tell(a as ActorId, { type: 'counter.wake' });
  await host.tell(a as ActorId, { type: 'counter.unheard' });
  assert.is(journal.actors.get(a as ActorId)?.actor.state, 'counting');
  await host.drain();
});

test('rows are loaded before the step, and uncommitted ones win', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  const shelf = 'shelf/t/s';
  assert.ok((await ask(host, shelf, { type: 'shelf.put', key: 'k', value: { title: 'x' } })).ok);
  assert.is(said(await ask(host, shelf, { type: 'shelf.put', key: 'k', value: 1 })), 'name_busy');
  const [two, busy, shown] = await Promise.all([
    ask(host, shelf, { type: 'shelf.put', key: 'k2', value: 2 }),
    ask(host, shelf, { type: 'shelf.put', key: 'k2', value: 3 }),
    ask(host, shelf, { type: 'shelf.show', key: 'k2' }),
  ]);
  assert.equal([two.ok, said(busy), said(shown)], [true, 'name_busy', 2]);
  const [, all] = await Promise.all([
    ask(host, shelf, { type: 'shelf.put', key: 'k3', value: 3 }),
    ask(host, shelf, { type: 'shelf.all' }),
  ]);
  assert.equal(said(all), { k: { title: 'x' }, k2: 2, k3: 3 }, 'a whole collection, with what is in flight');
  await ask(host, shelf, { type: 'shelf.take', key: 'k3' });
  await ask(host, shelf, { type: 'shelf.take', key: 'k2' });
  assert.is(said(await ask(host, shelf, { type: 'shelf.show', key: 'k2' })), null);
  assert.equal([...journal.rows.keys()], ['shelf/t/s books/k']);
  journal.hold();
  const taken = ask(host, shelf, { type: 'shelf.take', key: 'k' });
  await until('a removal on its way', () => journal.heldCommits === 1);
  const rest = ask(host, shelf, { type: 'shelf.all' });
  await until('an answer that waits for it', () => journal.heldCommits === 2);
  journal.free();
  assert.equal([(await taken).ok, said(await rest)], [true, {}], 'the store still has what is being removed');
  journal.hold();
  const first = ask(host, shelf, { type: 'shelf.put', key: 'k4', value: 4 });
  await until('a commit on its way', () => journal.heldCommits === 1);
  const second = ask(host, shelf, { type: 'shelf.put', key: 'k4', value: 5 });
  await until('the next one behind it', () => journal.heldCommits === 2);
  journal.free();
  assert.equal([(await first).ok, said(await second)], [true, 'name_busy']);
  await host.drain();
});

test.run();
