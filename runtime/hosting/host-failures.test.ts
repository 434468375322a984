import { assign, createMachine } from 'xstate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Message } from '../contract/envelope.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { done } from '../contract/outcome.ts';
import { MemoryJournal } from './memory-journal.ts';
import { counter, oven, plainRegistry, registryOf } from './kinds-for-tests.ts';
import { ask, commandOf, ownerOn, said, stored, until } from './host-for-tests.ts';

const registry = plainRegistry();
const a = 'counter/t/a' as ActorId;
const sink = 'sink/t/s' as ActorId;

function put(seq: number, item: unknown, to = sink): Message {
  const event = { type: 'sink.put', item };
  return { to, from: 'relay/t/x' as ActorId, senderUid: 'L', era: 1, seq, after: seq - 1, event, cause: 'test' };
}

test('a poison message is parked, its actor quarantined, and others go on', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await host.deliver(put(1, 'good'));
  const [poison, behind] = await Promise.all([host.deliver(put(2, 'poison')), host.deliver(put(3, 'behind'))]);
  assert.equal(poison, { result: 'applied' }, 'parked is durable, the sender is rid of it');
  assert.is(behind.result, 'busy', 'the sender keeps what comes behind');
  assert.match(journal.keptDeadLetters[0]?.reason ?? '', /^chart_failed: Error: poison/);
  assert.equal(
    host.figures().held.map(({ actor }) => actor),
    [sink],
  );
  const other = 'sink/t/other' as ActorId;
  assert.equal(await host.deliver(put(4, 'x', other)), { result: 'gap' });
  assert.equal(await host.deliver({ ...put(4, 'x', other), after: 0 }), { result: 'applied' });
  assert.ok((await ask(host, sink, { type: 'actor.resume', reason: 'looked at' })).ok);
  assert.equal(await host.deliver(put(3, 'behind')), { result: 'applied' });
  assert.equal(stored(journal, sink)?.['items'], ['good', 'behind']);
  await host.drain();
});

test('a chart that throws is asked once: it is a pure function', async () => {
  const journal = new MemoryJournal();
  let asked = 0;
  const breaks = (): never => {
    asked += 1;
    throw new Error(`the chart broke, ${asked} times`);
  };
  const machine = counter.machine.provide({ actions: { crash: assign(breaks) } });
  const host = await ownerOn(journal, { registry: registryOf({ ...counter, machine }) });
  await ask(host, a, { type: 'counter.create' });
  assert.is(said(await ask(host, a, { type: 'counter.crash' })), 'chart_failed');
  assert.is(asked, 1);
  await ask(host, a, { type: 'actor.resume', reason: 'looked at' });
  assert.equal(await host.deliver({ ...put(1, 'x', a), event: { type: 'counter.crash' } }), { result: 'applied' });
  assert.is(asked, 2);
  await host.drain();
});

test('a command that makes the chart throw is answered for good, and the next ones name the quarantine', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  const crash = commandOf(a, { type: 'counter.crash' });
  const [crashed, behind] = await Promise.all([host.ask(crash), ask(host, a, { type: 'counter.add' })]);
  assert.equal([said(crashed), said(behind)], ['chart_failed', 'quarantined']);
  assert.ok(!crashed.ok && !crashed.error.public, 'what went wrong inside is not for clients');
  assert.is(said(await host.ask(crash)), 'chart_failed', 'from the receipt');
  await ask(host, a, { type: 'actor.resume', reason: 'looked at' });
  assert.ok((await ask(host, a, { type: 'counter.add' })).ok);
  await host.drain();
});

test('a conflicting commit is decided again on what the store holds', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  journal.refuseNext({ result: 'conflict', storedVersion: 1 });
  const replies = await Promise.all([ask(host, a, { type: 'counter.add' }), ask(host, a, { type: 'counter.burst' })]);
  assert.equal(
    replies.map(({ ok }) => ok),
    [true, true],
  );
  assert.is(stored(journal, a)?.['total'], 3);
  await host.deliver(put(1, 'first'));
  journal.refuseNext({ result: 'duplicate', sender: 'x' });
  assert.equal(await host.deliver(put(2, 'second')), { result: 'applied' });
  assert.equal((stored(journal, sink)?.['items'] as unknown[] | undefined)?.length, 2);
  await host.drain();
});

test('a commit whose outcome is unknown is not done twice', async () => {
  const journal = new MemoryJournal();
  let bakes = 0;
  const counted = registryOf(
    counter,
    oven(async () => ((bakes += 1), done({ loaf: 'rye' }))),
  );
  const host = await ownerOn(journal, { registry: counted });
  await ask(host, a, { type: 'counter.create' });
  journal.loseNext();
  assert.equal(await ask(host, a, { type: 'counter.add' }), {
    ok: true,
    version: 2,
    result: null,
    durability: 'fsync',
  });
  assert.is(stored(journal, a)?.['total'], 2);
  journal.loseNext();
  assert.is(said(await ask(host, 'oven/t/o', { type: 'oven.bake' })), 'rye');
  assert.is(bakes, 1);
  await host.drain();
});

test('run-ahead steps behind a refused commit are dropped with it', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  journal.hold();
  journal.refuseNext({ result: 'conflict', storedVersion: 1 });
  const first = ask(host, a, { type: 'counter.add' });
  await until('one commit', () => journal.heldCommits === 1);
  const second = ask(host, a, { type: 'counter.add' });
  const stale = ask(host, a, { type: 'counter.add' }, { ifVersion: 3 });
  await until('two commits', () => journal.heldCommits === 2);
  journal.free();
  const replies = await Promise.all([first, second, stale]);
  assert.equal(replies.map(({ version }) => version).toSorted(), [2, 3, 4]);
  assert.is(stored(journal, a)?.['total'], 4);
  await host.drain();
});

test('a snapshot of a newer chart is refused, an older one goes through the upgrades', async () => {
  const journal = new MemoryJournal();
  const old = await ownerOn(journal, { registry });
  await ask(old, a, { type: 'counter.create', by: 2 });
  await old.drain();
  const broken = await ownerOn(journal, { registry: registryOf({ ...counter, chartVersion: 2 }) });
  assert.is(said(await ask(broken, a, { type: 'counter.add' })), 'quarantined');
  assert.match(broken.figures().held[0]?.reason ?? '', /no upgrade from version 1/);
  await broken.drain();
  const upgrades = {
    1: ({ state, context }: { state: unknown; context: unknown }) => ({
      state,
      context: { ...(context as object), total: 100 },
    }),
    2: (snapshot: { state: unknown; context: unknown }) => ({ ...snapshot, state: snapshot.state }),
  };
  const next = await ownerOn(journal, { registry: registryOf({ ...counter, chartVersion: 3, upgrades }) });
  await ask(next, a, { type: 'counter.add' });
  assert.is(stored(journal, a)?.['total'], 101);
  assert.is(journal.actors.get(a)?.actor.chartVersion, 3);
  await next.drain();
  const back = await ownerOn(journal, { registry });
  assert.is(said(await ask(back, a, { type: 'counter.add' })), 'quarantined');
  assert.match(back.figures().held[0]?.reason ?? '', /chart is of version 1/);
  await back.drain();
});

test('a chart that was changed without a higher version is refused', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  await host.drain();
  const { config, implementations } = counter.machine;
  const states = { ...config.states, dozing: { description: 'Was not there before.' } };
  const machine = createMachine({ ...config, states } as never).provide(implementations as never);
  const next = await ownerOn(journal, { registry: registryOf({ ...counter, machine }) });
  assert.is(said(await ask(next, a, { type: 'counter.add' })), 'quarantined');
  assert.match(next.figures().held[0]?.reason ?? '', /its version was not raised/);
  await next.drain();
});

test('a snapshot in a state the chart does not have is refused, not guessed', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  await host.drain();
  const known = journal.actors.get(a);
  if (known !== undefined) journal.actors.set(a, { ...known, actor: { ...known.actor, state: 'dreaming' } });
  const next = await ownerOn(journal, { registry });
  assert.is(said(await ask(next, a, { type: 'counter.add' })), 'quarantined');
  assert.match(next.figures().held[0]?.reason ?? '', /no such state/);
  await next.drain();
});

test('a context that is not JSON quarantines its actor and nothing else', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  const born = await ask(host, 'counter/t/b', { type: 'counter.create', by: Number.NaN });
  assert.ok(born.ok, 'not a number is null in JSON, but JSON');
  await host.deliver(put(1, 'good'));
  const [before, alone, behind] = await Promise.all(
    [put(2, 'too'), put(3, 1n), put(4, 'x')].map((m) => host.deliver(m)),
  );
  assert.equal(
    [before?.result, alone?.result, behind?.result],
    ['applied', 'applied', 'busy'],
    'the culprit is parked',
  );
  assert.equal(stored(journal, sink)?.['items'], ['good', 'too']);
  assert.match(host.figures().held.at(-1)?.reason ?? '', /cannot be written/);
  assert.is(journal.keptDeadLetters.length, 1);
  assert.ok((await ask(host, 'counter/t/c', { type: 'counter.create' })).ok);
  await host.drain();
});

test('idle actors leave memory and come back as they were; busy ones stay', async () => {
  const journal = new MemoryJournal();
  const stuck = registryOf(
    counter,
    oven(() => new Promise(() => {})),
  );
  const host = await ownerOn(journal, { registry: stuck, limits: { idleMs: 20 } });
  await ask(host, a, { type: 'counter.create', by: 7 });
  void host.command(commandOf('oven/t/o', { type: 'oven.bake' }));
  await until('the idle one is gone', () => host.figures().activations === 1);
  assert.is(host.figures().effects, 1);
  assert.is((said(await ask(host, a, { type: 'counter.read' })) as { total: number }).total, 7);
  await host.drain();
  const next = await ownerOn(journal, { registry: stuck, limits: { idleMs: 20 } });
  await until('the effect goes on, and nobody asks', () => next.figures().effects === 1);
  await ask(next, a, { type: 'counter.read' });
  await until('the idle one is gone', () => next.figures().activations === 1);
  assert.is(next.figures().effects, 1);
  await next.drain();
});

test('above the limit of activations the longest idle leave at once', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry, limits: { activations: 10 } });
  for (let count = 0; count < 300; count += 1) await ask(host, `counter/t/c${count}`, { type: 'counter.create' });
  assert.ok(host.figures().activations <= 10, `${host.figures().activations} activations`);
  await host.drain();
});

test('with nobody at rest newcomers are told to come later, and come when somebody leaves', async () => {
  const journal = new MemoryJournal();
  const stuck = registryOf(
    counter,
    oven(() => new Promise(() => {})),
  );
  const host = await ownerOn(journal, { registry: stuck, limits: { activations: 3, effects: 10 } });
  const baked = ['a', 'b', 'c'].map((name) => host.command(commandOf(`oven/t/${name}`, { type: 'oven.bake' })));
  await until('all bake', () => host.figures().effects === 3);
  const late = await ask(host, a, { type: 'counter.create' });
  assert.ok(!late.ok && late.error.code === 'overloaded' && late.error.retryAfterMs === 200);
  assert.is(host.figures().activations, 3, 'nobody was let in');
  await ask(host, 'oven/t/a', { type: 'oven.finish' });
  await until('there is room', () => journal.actors.get('oven/t/a' as ActorId)?.actor.state === 'cold');
  let came = await ask(host, a, { type: 'counter.create' });
  for (let tries = 0; !came.ok && tries < 500; tries += 1) {
    // The house is looked through again after a while, not for every newcomer.
    await new Promise((resolve) => setTimeout(resolve, 5));
    came = await ask(host, a, { type: 'counter.create' });
  }
  assert.ok(came.ok);
  assert.is(host.figures().activations, 3);
  await host.drain();
  void baked;
});

test('effects of a scope that wait for a place are bounded; what is new waits outside', async () => {
  const journal = new MemoryJournal();
  const stuck = registryOf(
    counter,
    oven(() => new Promise(() => {})),
  );
  const host = await ownerOn(journal, { registry: stuck, limits: { effects: 1, effectsWaiting: 2 } });
  const baked = ['a', 'b', 'c'].map((name) => host.command(commandOf(`oven/t/${name}`, { type: 'oven.bake' })));
  await until('one bakes, two wait', () => host.figures().effects === 3);
  assert.is(said(await ask(host, a, { type: 'counter.create' })), 'overloaded');
  assert.is((await host.deliver(put(1, 'x'))).result, 'busy');
  assert.ok((await ask(host, 'counter/other/a', { type: 'counter.create' })).ok, 'another scope is not turned away');
  await host.drain();
  void baked;
});

test('draining answers what was taken and takes no more', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  const taken = host.command(commandOf(a, { type: 'counter.add' }));
  const drained = host.drain();
  const late = await host.command(commandOf(a, { type: 'counter.add' }));
  assert.equal(late, { moved: true });
  assert.ok(((await taken) as { ok: boolean }).ok);
  await drained;
  assert.is(stored(journal, a)?.['total'], 2);
  assert.equal(await host.command(commandOf(a, { type: 'counter.add' })), { moved: true });
  assert.is(host.figures().activations, 0);
});

test('a node that has lost its shards without knowing refuses nothing from memory', async () => {
  const journal = new MemoryJournal();
  const stale = await ownerOn(journal, { registry, node: 'n1' });
  assert.is(said(await ask(stale, a, { type: 'counter.add' })), 'not_found');
  const next = await ownerOn(journal, { registry, node: 'n2' });
  await ask(next, a, { type: 'counter.create' });
  const answers = [
    { type: 'counter.add' },
    { type: 'counter.create', by: -1 },
    { type: 'counter.add', ifVersion: 7 },
  ].map(({ ifVersion, ...event }) => stale.command(commandOf(a, event, ifVersion === undefined ? {} : { ifVersion })));
  for (const answer of answers) assert.equal(await answer, { moved: true });
  await Promise.all([stale.drain(), next.drain()]);
});

test('a house full of senders takes what they send, and is empty again', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry: plainRegistry(), limits: { activations: 3 } });
  const senders = ['relay/t/a', 'relay/t/b', 'relay/t/c'];
  await Promise.all(senders.map((id, at) => ask(host, id, { type: 'relay.send', to: `sink/t/s${at}` })));
  await until('all is delivered', () => host.figures().outboxDepth === 0);
  await host.drain();
});

test.run();
