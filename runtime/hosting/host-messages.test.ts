import { test } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import type { ActorEvent, Message } from '../contract/envelope.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { Delivery, Outlet } from '../contract/link.ts';
import { MemoryJournal } from './memory-journal.ts';
import { plainRegistry, registryOf, sink as sinkKind } from './kinds-for-tests.ts';
import { ask, hostOn, Net, ownerOn, said, stored, until } from './host-for-tests.ts';

const registry = plainRegistry();
const sink = 'sink/t/s';
const items = (journal: MemoryJournal, id = sink): readonly unknown[] =>
  (stored(journal, id)?.['items'] ?? []) as readonly unknown[];
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);
const send = (to = sink) => ({ type: 'relay.send', to });

function message(seq: number, options: Partial<Message> = {}): Message {
  const event = { type: 'sink.put', item: seq };
  return {
    to: sink as ActorId,
    from: 'relay/t/x' as ActorId,
    senderUid: 'L',
    era: 1,
    seq,
    after: seq - 1,
    event,
    cause: 'test',
    ...options,
  };
}

test('duplicates are acknowledged, gaps are named, foreign lives start anew', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  assert.equal(await host.deliver(message(2)), { result: 'gap' });
  assert.equal(await host.deliver(message(1)), { result: 'applied' });
  assert.equal(await host.deliver(message(1)), { result: 'applied' });
  assert.equal(await host.deliver(message(4, { after: 0 })), { result: 'applied' });
  assert.equal(await host.deliver(message(1, { senderUid: 'M' })), { result: 'applied' });
  assert.equal(items(journal), [1, 4, 1]);
  await host.drain();
  const next = await ownerOn(journal, { registry });
  assert.equal(await next.deliver(message(4)), { result: 'applied' });
  assert.equal(items(journal), [1, 4, 1]);
  await next.drain();
});

test('a duplicate of a message in flight is acknowledged only with it', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  journal.hold();
  const answers: string[] = [];
  const first = host.deliver(message(1)).then(({ result }) => answers.push(`first ${result}`));
  await until('the commit', () => journal.heldCommits === 1);
  const second = host.deliver(message(1)).then(({ result }) => answers.push(`second ${result}`));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(answers, []);
  journal.free();
  await Promise.all([first, second]);
  assert.equal(answers, ['first applied', 'second applied']);
  await host.drain();
});

test('a message to nobody is a dead letter, acknowledged, and stays one when sent again', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  const to = 'counter/t/nobody' as ActorId;
  assert.equal(await host.deliver(message(1, { to })), { result: 'applied' });
  assert.equal(await host.deliver(message(1, { to })), { result: 'applied' });
  assert.equal(await host.deliver(message(2, { to: 'stranger/t/x' as ActorId, after: 0 })), { result: 'applied' });
  assert.equal(
    journal.keptDeadLetters.map(({ reason }) => reason),
    ['no_such_actor', 'unknown_kind'],
  );
  assert.ok((await ask(host, to, { type: 'counter.create' })).ok, 'it may still be created');
  await host.drain();
});

test('a late message to a removed actor is acknowledged and recorded, and leaves no dead letter', async () => {
  const journal = new MemoryJournal();
  const to = 'counter/t/gone' as ActorId;
  let host = await ownerOn(journal, { registry });
  await ask(host, to, { type: 'counter.create' });
  await ask(host, to, { type: 'counter.delete' });
  assert.is(journal.actors.get(to)?.actor.status, 'removed');
  assert.equal(await host.deliver(message(1, { to })), { result: 'applied' });
  await host.drain();
  host = await ownerOn(journal, { registry });
  assert.equal(await host.deliver(message(2, { to })), { result: 'applied' });
  assert.equal(await host.deliver(message(2, { to })), { result: 'applied' }, 'a copy');
  assert.equal(journal.keptDeadLetters, [], 'also after the first one was recorded, and for the next owner');
  const drops = (journal.history.get(to) ?? []).filter(({ kind }) => kind === 'dropped');
  assert.equal(
    drops.map(({ asked }) => asked),
    [['actor_removed'], ['actor_removed']],
  );
  await host.drain();
});

test('a malformed message is a dead letter with the reason, acknowledged, and no quarantine', async () => {
  const journal = new MemoryJournal();
  const check = ({ item }: ActorEvent) => (typeof item === 'number' ? undefined : 'item: expected number');
  const picky = registryOf({ ...sinkKind, check });
  const host = await ownerOn(journal, { registry: picky });
  const bad = { type: 'sink.put', item: 'poison' };
  assert.equal(await host.deliver(message(1, { event: bad })), { result: 'applied' });
  assert.is(journal.actors.get(sink as ActorId)?.actor.status, 'removed', 'it has started nobody');
  assert.equal(await host.deliver(message(2)), { result: 'applied' });
  assert.equal(await host.deliver(message(3, { event: bad })), { result: 'applied' });
  assert.equal(await host.deliver(message(3, { event: bad })), { result: 'applied' });
  assert.equal(await host.deliver(message(4)), { result: 'applied' }, 'the actor goes on');
  assert.equal(items(journal), [2, 4]);
  assert.equal(
    journal.keptDeadLetters.map(({ reason, event, from }) => ({ reason, event, from })),
    [1, 3].map(() => ({ reason: 'malformed: item: expected number', event: bad, from: 'relay/t/x' as ActorId })),
  );
  assert.equal(host.figures().held, []);
  const redrive = await ask(host, sink, { type: 'actor.redrive', reason: 'a test' }, { principal: 'root' });
  assert.equal(said(redrive), { redriven: [], left: 2 }, 'what is malformed stays so');
  await host.drain();
});

test('unheard events are recorded as ignored, those ignored on purpose only marked', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  const to = 'counter/t/a' as ActorId;
  await ask(host, to, { type: 'counter.create' });
  await host.deliver(message(1, { to, event: { type: 'counter.noise' } }));
  await host.deliver(message(2, { to, event: { type: 'counter.surprise' } }));
  assert.equal(
    journal.history.get(to)?.map(({ kind }) => kind),
    ['transition', 'ignored'],
  );
  assert.equal(journal.actors.get(to)?.actor.watermarks, { 'relay/t/x~L': 2 });
  await host.drain();
});

/** A link that loses, repeats, delays and misreports, as told by a list of numbers. */
function faultyOutlet(journal: MemoryJournal, net: Net, moods: readonly number[]): Outlet {
  let at = 0;
  return {
    command: (node, command) => net.outlet.command(node, command),
    async deliver(node, sent): Promise<Delivery> {
      const mood = moods[at++ % moods.length] ?? 0;
      if (mood === 1) throw new Error('lost on the way');
      if (mood === 2) await new Promise((resolve) => setTimeout(resolve, 3));
      if (mood === 3) void net.outlet.deliver(node, sent);
      const delivery = await net.outlet.deliver(node, sent);
      if (mood === 4) throw new Error('the answer was lost');
      return mood === 5 ? { result: 'busy', retryAfterMs: 1 } : delivery;
    },
  };
}

test('exactly once and in order over a bad link between two nodes, while the receiver moves', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 3, maxLength: 6 }),
      fc.boolean(),
      async (moods, moves) => {
        const journal = new MemoryJournal(16);
        const net = new Net();
        const outlet = faultyOutlet(journal, net, [...moods, 0, 0]);
        const one = hostOn(journal, { registry, node: 'n1', net, outlet });
        const two = hostOn(journal, { registry, node: 'n2', net, outlet });
        for (const grant of journal.own('n1')) await one.grant(grant);
        const target = journal.shardOf(sink as ActorId) as ShardId;
        await two.grant(journal.ownOne('n2', target));
        one.revoke(target);
        const sent = numbers(12).map(() => ask(one, 'relay/t/r', send()));
        if (moves) {
          await until('a first item', () => items(journal).length > 0);
          await one.grant(journal.ownOne('n1', target));
        }
        for (const reply of await Promise.all(sent)) assert.ok(reply.ok);
        await until('all items', () => items(journal).length >= 12);
        await until('an empty outbox', () => journal.outbox.size === 0);
        assert.equal(items(journal), numbers(12));
        await one.drain();
        await two.drain();
      },
    ),
    { numRuns: 15 },
  );
});

test('messages not acknowledged when the sender died are sent by its successor', async () => {
  const journal = new MemoryJournal(16);
  const deaf: Outlet = {
    deliver: () => Promise.reject(new Error('no link')),
    command: () => Promise.reject(new Error('no link')),
  };
  const net = new Net();
  const target = journal.shardOf(sink as ActorId);
  const host = await ownerOn(journal, { registry, node: 'n1', net, outlet: deaf });
  host.revoke(target);
  const away = journal.ownOne('n3', target);
  for (let count = 0; count < 5; count += 1) assert.ok((await ask(host, 'relay/t/r', send())).ok);
  assert.is(host.figures().outboxDepth, 5);
  await host.drain();
  const next = hostOn(journal, { registry, node: 'n2', net });
  const third = hostOn(journal, { registry, node: 'n3', net });
  await third.grant(away);
  for (const grant of journal.own('n2')) if (grant.shard !== target) await next.grant(grant);
  await third.grant(journal.ownOne('n3', target));
  await until('5 items', () => items(journal).length === 5);
  assert.equal(items(journal), numbers(5));
  await until('an empty outbox', () => journal.outbox.size === 0);
  await next.drain();
  await third.drain();
});

test('the history of the receiver names the step in which its sender sent the message', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  for (let count = 0; count < 2; count += 1) await ask(host, 'relay/t/r', send());
  await until('2 items', () => items(journal).length === 2);
  const [first, second] = journal.history.get('relay/t/r' as ActorId) ?? [];
  assert.equal([first?.asked, second?.asked], [['send:sink.put:sink/t/s'], ['send:sink.put:sink/t/s']]);
  assert.equal(
    journal.history.get(sink as ActorId)?.map(({ cause }) => cause),
    [first, second].map((step, index) => `message:relay/t/r:${index + 1}@${step?.version}`),
  );
  await host.drain();
});

test('acknowledgements ride in the next commit', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, 'relay/t/r', send());
  await until('the item', () => items(journal).length === 1 && host.figures().outboxDepth === 0);
  await ask(host, 'relay/t/r', send());
  assert.equal(
    journal.commits.filter(({ actor }) => actor === 'relay/t/r').map(({ ackedSeqs }) => ackedSeqs),
    [[], [1]],
  );
  await host.drain();
});

test.run();
