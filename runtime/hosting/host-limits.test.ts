/** Bounds of a host that no other test fills: who is turned away, with what words, and that it ends. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CommandDefinition } from '../contract/actor-definition.ts';
import type { Message, Reply } from '../contract/envelope.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { Outlet } from '../contract/link.ts';
import { ask, commandOf, hostOn, Net, ownerOn, said, until } from './host-for-tests.ts';
import { counter, oven, plainRegistry, registryOf, relay } from './kinds-for-tests.ts';
import { MemoryJournal } from './memory-journal.ts';

const registry = plainRegistry();
const a = 'counter/t/a';
const sink = 'sink/t/s' as ActorId;

const put = (seq: number): Message => ({
  to: sink,
  from: 'relay/t/x' as ActorId,
  senderUid: 'L',
  era: 1,
  seq,
  after: seq - 1,
  event: { type: 'sink.put', item: seq },
  cause: 'test',
});

const isTurnedAway = (reply: Reply): boolean =>
  !reply.ok && reply.error.code === 'overloaded' && (reply.error.retryAfterMs ?? 0) > 0;

test('an actor whose messages nobody takes is told no more until some are taken', async () => {
  const journal = new MemoryJournal(16);
  const net = new Net();
  const deaf: Outlet = { ...net.outlet, deliver: () => Promise.reject(new Error('no link')) };
  let outlet = deaf;
  const host = await ownerOn(journal, {
    registry,
    net,
    limits: { outboxDepth: 3 },
    outlet: { ...net.outlet, deliver: (node, message) => outlet.deliver(node, message) },
  });
  const target = journal.shardOf(sink);
  host.revoke(target);
  const third = hostOn(journal, { registry, node: 'n3', net });
  await third.grant(journal.ownOne('n3', target));
  const send = (): Promise<Reply> => ask(host, 'relay/t/r', { type: 'relay.send', to: sink });
  for (let count = 0; count < 3; count += 1) assert.ok((await send()).ok);
  assert.ok(isTurnedAway(await send()));
  assert.is(host.figures().outboxDepth, 3);
  outlet = net.outlet;
  await until('all is delivered', () => host.figures().outboxDepth === 0);
  assert.ok((await send()).ok);
  await host.drain();
  await third.drain();
});

test('a message for a full mailbox stays with its sender, who hears when to come again', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits: { mailboxDepth: 3, commitsInFlight: 1 } });
  journal.hold();
  const first = host.deliver(put(1));
  await until('the first commit', () => journal.heldCommits === 1);
  const waiting = [2, 3, 4].map((seq) => host.deliver(put(seq)));
  const late = await host.deliver(put(5));
  assert.ok(late.result === 'busy' && late.retryAfterMs > 0);
  journal.free();
  for (const delivery of await Promise.all([first, ...waiting])) assert.is(delivery.result, 'applied');
  assert.is((await host.deliver(put(5))).result, 'applied');
  await host.drain();
});

test('a commit holds so many events, and what is left is the next one', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits: { eventsPerCommit: 5 } });
  await ask(host, a, { type: 'counter.create' });
  const before = journal.commits.length;
  await Promise.all(Array.from({ length: 12 }, () => ask(host, a, { type: 'counter.add' })));
  const sizes = journal.commits.slice(before).map(({ receipts }) => receipts.length);
  assert.equal(sizes, [5, 5, 2]);
  await host.drain();
});

test('a house full of actors that wait for a silent node takes what may end that, and nothing else', async () => {
  const journal = new MemoryJournal(16);
  const add = { ...(counter.commands['add'] as CommandDefinition), exemptFromOverload: true };
  const silence = (): Promise<never> => Promise.reject(new Error('no link'));
  const host = await ownerOn(journal, {
    registry: registryOf({ ...counter, commands: { ...counter.commands, add } }, relay),
    limits: { activations: 2 },
    outlet: { deliver: silence, command: silence },
  });
  await ask(host, a, { type: 'counter.create' });
  host.revoke(journal.shardOf(sink));
  journal.ownOne('n2', journal.shardOf(sink));
  for (const name of ['r', 'x']) assert.ok((await ask(host, `relay/t/${name}`, { type: 'relay.send', to: sink })).ok);
  assert.ok(isTurnedAway(await ask(host, 'relay/t/y', { type: 'relay.send', to: sink })));
  assert.ok(isTurnedAway(await ask(host, a, { type: 'counter.read' })));
  assert.ok((await ask(host, a, { type: 'counter.add' })).ok, 'the kind says that others wait for it');
  assert.is(said(await ask(host, 'relay/t/y', { type: 'actor.resume', reason: 'senders wait' })), 'not_found');
  await host.tell('counter/t/b' as ActorId, { type: 'counter.create' });
  assert.ok(isTurnedAway(await ask(host, 'relay/t/z', { type: 'relay.send', to: sink })));
  await host.drain();
});

test('what a takeover brings is loaded a few at a time', async () => {
  const journal = new MemoryJournal();
  const stuck = registryOf(
    counter,
    oven(() => new Promise(() => {})),
  );
  const ovens = Array.from({ length: 12 }, (_, at) => `oven/t/o${at}`);
  const earlier = await ownerOn(journal, { registry: stuck });
  for (const id of ovens) void earlier.command(commandOf(id, { type: 'oven.bake' }));
  await until('all bake', () => earlier.figures().effects === ovens.length);
  let [loading, most] = [0, 0];
  const load = journal.load.bind(journal);
  journal.load = async (id) => {
    loading += 1;
    most = Math.max(most, loading);
    await new Promise((resolve) => setImmediate(resolve));
    loading -= 1;
    return load(id);
  };
  const next = await ownerOn(journal, { registry: stuck, node: 'n2', limits: { loads: 3 } });
  await until('all bake again', () => next.figures().effects === ovens.length);
  assert.is(most, 3);
  await Promise.all([earlier.drain(), next.drain()]);
});

test('an owner that is nowhere is looked for so long, and the outcome is unknown', async () => {
  const host = hostOn(new MemoryJournal(), { registry, limits: { askMs: 30 } });
  const reply = await ask(host, a, { type: 'counter.create' });
  assert.is(said(reply), 'no_answer');
  assert.ok(!reply.ok && reply.error.group === 'unknown');
  await host.drain();
});

test('a drain that waits for a store which does not answer ends all the same', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits: { drainMs: 50 } });
  await ask(host, a, { type: 'counter.create' });
  journal.hold();
  void host.command(commandOf(a, { type: 'counter.add' }));
  await until('a commit is on its way', () => journal.heldCommits === 1);
  const startedMs = performance.now();
  await host.drain();
  assert.ok(performance.now() - startedMs < 4_000);
  assert.is(host.figures().activations, 0);
});

test.run();
