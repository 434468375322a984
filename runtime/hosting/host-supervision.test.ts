import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Message } from '../contract/envelope.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { done } from '../contract/outcome.ts';
import type { Host } from './host.ts';
import type { HostLimits } from './host-limits.ts';
import { ask, commandOf, ownerOn, said, stored, until } from './host-for-tests.ts';
import { counter, oven, plainRegistry, registryOf } from './kinds-for-tests.ts';
import { MemoryJournal } from './memory-journal.ts';

const registry = plainRegistry();
const a = 'counter/t/a' as ActorId;
const sink = 'sink/t/s' as ActorId;
const cook = 'oven/t/o' as ActorId;
const reason = 'a test says so';

function put(seq: number, item: unknown, to = sink): Message {
  const event = { type: 'sink.put', item };
  return { to, from: 'relay/t/x' as ActorId, senderUid: 'L', era: 1, seq, after: seq - 1, event, cause: 'test' };
}

const verb = (host: Host, id: ActorId, name: string, more: object = {}): Promise<unknown> =>
  ask(host, id, { type: `actor.${name}`, reason, ...more }, { principal: 'root' }).then(said);
const items = (journal: MemoryJournal): unknown => stored(journal, sink)?.['items'];
const lastEntry = (journal: MemoryJournal, id: ActorId) => journal.history.get(id)?.at(-1);

/** A sink that lets `poison` pass once its fault is mended. */
async function poisoned(journal: MemoryJournal, limits: Partial<HostLimits> = {}): Promise<Host> {
  const host = await ownerOn(journal, { registry, limits });
  await host.deliver(put(1, 'good'));
  await host.deliver(put(2, 'poison'));
  return host;
}

test('a quarantine is kept by the next owner, with the reason and the input that led to it', async () => {
  const journal = new MemoryJournal();
  const host = await poisoned(journal);
  const [deadLetter] = journal.keptDeadLetters;
  assert.equal([deadLetter?.state, deadLetter?.version, deadLetter?.cause], ['open', 1, 'message:relay/t/x:2']);
  await host.drain();
  const next = await ownerOn(journal, { registry });
  assert.is((await next.deliver(put(3, 'behind'))).result, 'busy');
  assert.match(next.figures().held[0]?.reason ?? '', /^chart_failed: Error: poison/);
  assert.equal(await next.deliver(put(2, 'poison')), { result: 'applied' }, 'what was parked is not asked for again');
  assert.equal(await verb(next, sink, 'skip'), { skipped: [deadLetter?.deadLetterId] });
  assert.equal(await next.deliver(put(3, 'behind')), { result: 'applied' });
  assert.equal(items(journal), ['good', 'behind']);
  assert.equal(journal.keptDeadLetters, []);
  const entry = journal.history.get(sink)?.find(({ kind }) => kind === 'operated');
  assert.equal(entry?.event, { type: 'actor.skip', reason, principal: 'root' });
  await next.drain();
});

test('a redriven dead letter is applied once, before what waited behind it, whatever the node loses', async () => {
  const journal = new MemoryJournal();
  const host = await poisoned(journal);
  const [deadLetter] = journal.keptDeadLetters;
  assert.ok(deadLetter);
  journal.keptDeadLetters = [{ ...deadLetter, event: { type: 'sink.put', item: 'mended' } }];
  const redrive = commandOf(sink, { type: 'actor.redrive', reason }, { principal: 'root' });
  // The commit is applied and its answer lost: the step is decided again on what the store holds.
  journal.loseNext();
  const [first, other] = await Promise.all([host.ask(redrive), verb(host, sink, 'redrive')]);
  assert.ok(first.ok);
  assert.equal((other as { redriven: unknown[] }).redriven, []);
  assert.equal(items(journal), ['good', 'mended']);
  assert.equal(await host.deliver(put(3, 'behind')), { result: 'applied' });
  assert.equal(items(journal), ['good', 'mended', 'behind']);
  assert.equal(journal.keptDeadLetters, []);
  assert.equal(await host.ask(redrive), first, 'asked again it has its receipt');
  await host.drain();
});

test('a dead letter that fails again lies there anew, and the actor is quarantined anew', async () => {
  const journal = new MemoryJournal();
  const host = await poisoned(journal);
  const [before] = journal.keptDeadLetters;
  assert.ok(before);
  const second = { ...before, deadLetterId: 'L2', place: 'p2', event: { type: 'sink.put', item: 'second' } };
  journal.keptDeadLetters.push(second);
  const result = (await verb(host, sink, 'redrive')) as { redriven: string[]; left: number; quarantined: string };
  assert.equal([result.redriven, result.left], [[before.deadLetterId], 1]);
  assert.match(result.quarantined, /poison/);
  assert.equal(journal.keptDeadLetters[0], second, 'what comes behind it stays where it is');
  assert.is.not(journal.keptDeadLetters[1]?.deadLetterId, before.deadLetterId);
  assert.equal(items(journal), ['good']);
  assert.is((await host.deliver(put(3, 'behind'))).result, 'busy');
  await host.drain();
});

test('a redrive frees the actor with its first dead letter, never in a commit that is not in the history', async () => {
  const journal = new MemoryJournal();
  const host = await poisoned(journal, { eventsPerCommit: 1 });
  const [deadLetter] = journal.keptDeadLetters;
  assert.ok(deadLetter);
  journal.keptDeadLetters = [{ ...deadLetter, event: { type: 'sink.put', item: 'mended' } }];
  assert.equal(await verb(host, sink, 'redrive'), { redriven: [deadLetter.deadLetterId], left: 0 });
  assert.equal(items(journal), ['good', 'mended']);
  assert.is(journal.commits.filter(({ history }) => history.length === 0).length, 0);
  await host.drain();
});

test('a dead letter for nobody waits until somebody is born', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await host.deliver({ ...put(1, 'x', a), event: { type: 'counter.add', by: 5 } });
  assert.is(journal.keptDeadLetters[0]?.reason, 'no_such_actor');
  assert.equal(await verb(host, a, 'redrive'), { redriven: [], left: 1 });
  await ask(host, a, { type: 'counter.create' });
  const deadLetters = journal.keptDeadLetters.map(({ deadLetterId }) => deadLetterId);
  assert.equal(await verb(host, a, 'redrive', { deadLetters }), { redriven: deadLetters, left: 0 });
  assert.is(stored(journal, a)?.['total'], 6);
  assert.is(said(await ask(host, 'counter/t/nobody', { type: 'actor.redrive', reason })), 'not_found');
  await host.drain();
});

test('a paused actor takes nothing until it is resumed; its effects and timers go on then', async () => {
  const journal = new MemoryJournal();
  let bakes = 0;
  let recovered = false;
  const loaves = registryOf(
    counter,
    oven((_, context) => {
      bakes += 1;
      recovered = context.recovered;
      return bakes === 1 ? new Promise(() => {}) : Promise.resolve(done({ loaf: 'rye' }));
    }),
  );
  const host = await ownerOn(journal, { registry: loaves });
  const baked = ask(host, cook, { type: 'oven.bake' });
  await until('it bakes', () => bakes === 1);
  assert.equal(await verb(host, cook, 'pause'), { held: 'paused' });
  assert.is(host.figures().effects, 0);
  assert.is(said(await ask(host, cook, { type: 'oven.stop' })), 'paused');
  assert.equal(await verb(host, cook, 'skip'), { skipped: [] });
  assert.is(await verb(host, cook, 'redrive'), 'paused');
  await host.drain();
  void baked;
  const next = await ownerOn(journal, { registry: loaves });
  assert.is(said(await ask(next, cook, { type: 'oven.stop' })), 'paused');
  assert.is(next.figures().effects, 0);
  assert.equal(await verb(next, cook, 'resume'), { held: 'paused' });
  await until('it is baked', () => journal.actors.get(cook)?.actor.state === 'cold');
  assert.equal([bakes, recovered], [2, true]);
  assert.equal(await verb(next, cook, 'resume'), { held: null });
  await next.drain();
});

test('a timer that came due during a pause fires after it', async () => {
  const journal = new MemoryJournal();
  const stuck = registryOf(oven(() => new Promise(() => {})));
  const host = await ownerOn(journal, { registry: stuck });
  void host.command(commandOf(cook, { type: 'oven.bake', patienceMs: 60 }));
  await until('it bakes', () => host.figures().effects === 1);
  await verb(host, cook, 'pause');
  const [timer] = journal.actors.get(cook)?.actor.timers ?? [];
  await until('the timer is due', () => Date.now() > (timer?.dueMs ?? Infinity) + 20);
  assert.is(journal.actors.get(cook)?.actor.state, 'baking');
  await verb(host, cook, 'resume');
  await until('it has burnt', () => journal.actors.get(cook)?.actor.state === 'burnt');
  await host.drain();
});

test('a reset goes where the chart would go: dry run first, then the same for good', async () => {
  const journal = new MemoryJournal();
  const seen: string[] = [];
  const slow = registryOf(oven(async ({ loaf }) => (seen.push(loaf), new Promise(() => {}))));
  const host = await ownerOn(journal, { registry: slow });
  const baked = host.command(commandOf(cook, { type: 'oven.bake' }));
  await until('it bakes', () => seen.length === 1);
  const plan = (await verb(host, cook, 'reset', { to: 'baking', patch: { loaf: 'spelt' }, dryRun: true })) as object;
  assert.equal(plan, {
    from: 'baking',
    to: 'baking',
    removes: false,
    effectsStarted: ['loaf.bake'],
    effectsCancelled: ['loaf.bake'],
    timersSet: ['xstate.after.patience.(machine).baking'],
    timersCancelled: ['xstate.after.patience.(machine).baking'],
    messages: [],
    rows: [],
    changed: ['loaf'],
  });
  assert.is(journal.actors.get(cook)?.actor.version, 1, 'nothing is written');
  assert.equal(await verb(host, cook, 'reset', { to: 'baking', patch: { loaf: 'spelt' } }), plan);
  await until('the other loaf is in', () => seen.length === 2);
  assert.equal([seen[1], host.figures().effects, host.figures().timers], ['spelt', 1, 1]);
  assert.equal(await verb(host, cook, 'reset', { to: 'cold' }).then((p) => (p as { to: string }).to), 'cold');
  assert.equal([host.figures().effects, host.figures().timers], [0, 0]);
  const entry = lastEntry(journal, cook);
  assert.equal(
    [entry?.kind, entry?.event],
    ['transition', { type: 'actor.reset', reason, to: 'cold', principal: 'root' }],
  );
  assert.is(await verb(host, cook, 'reset', { to: 'dreaming' }), 'params_invalid');
  assert.is(await verb(host, cook, 'reset', { to: 'cold', patch: { nonsense: 1 } }), 'params_invalid');
  await host.drain();
  void baked;
});

test('a reset ends a quarantine and may remove the actor; a chart that fails on it refuses it', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  await ask(host, a, { type: 'counter.crash' });
  assert.is(said(await ask(host, a, { type: 'counter.add' })), 'quarantined');
  const patched = await verb(host, a, 'reset', { to: 'counting', patch: { total: 40 } });
  assert.equal((patched as { changed: unknown }).changed, ['total']);
  assert.ok((await ask(host, a, { type: 'counter.add' })).ok);
  assert.is(stored(journal, a)?.['total'], 41);
  assert.equal(((await verb(host, a, 'reset', { to: 'gone' })) as { removes: boolean }).removes, true);
  assert.is(journal.actors.get(a)?.actor.status, 'removed');
  assert.is(await verb(host, a, 'pause'), 'not_found');
  await host.drain();
});

test('an actor that could not be loaded is tried again when it is resumed', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  await ask(host, a, { type: 'counter.create' });
  await host.drain();
  const known = journal.actors.get(a);
  assert.ok(known);
  journal.actors.set(a, { ...known, actor: { ...known.actor, state: 'dreaming' } });
  const next = await ownerOn(journal, { registry });
  assert.is(await verb(next, a, 'resume'), 'quarantined');
  journal.actors.set(a, known);
  assert.equal(await verb(next, a, 'resume'), { held: null });
  assert.ok((await ask(next, a, { type: 'counter.add' })).ok);
  await next.drain();
});

test.run();
