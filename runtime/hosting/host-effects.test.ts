import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorEvent } from '../contract/envelope.ts';
import { PhotonError, type ErrorRecord } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { done } from '../contract/outcome.ts';
import type { EffectOutcome } from '../contract/outcome.ts';
import type { EffectContext } from '../contract/effect.ts';
import { MemoryJournal } from './memory-journal.ts';
import { counter, oven, plainRegistry, registryOf } from './kinds-for-tests.ts';
import type { Bake } from './kinds-for-tests.ts';
import type { Host } from './host.ts';
import { ask, commandOf, hostOn, ownerOn, said, stored, until } from './host-for-tests.ts';

const o = 'oven/t/o' as ActorId;
const bakeOf = (options: { patienceMs?: number } = {}) => commandOf(o, { type: 'oven.bake', loaf: 'rye', ...options });

/** Every call waits until the test lets it end. */
class Bakery {
  readonly calls: { context: EffectContext; end: (outcome: EffectOutcome) => void; fail: (error: Error) => void }[] =
    [];
  readonly bake: Bake = (_, context) => new Promise((end, fail) => this.calls.push({ context, end, fail }));
  get last() {
    return this.calls.at(-1) as Bakery['calls'][number];
  }
}

test('an effect starts only when its commit is durable, fenced and named', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const host = await ownerOn(journal, { registry: registryOf(oven(bakery.bake)) });
  journal.hold();
  const reply = host.ask(bakeOf());
  await until('the commit', () => journal.heldCommits === 1);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.is(bakery.calls.length, 0);
  journal.free();
  await until('the effect', () => bakery.calls.length === 1);
  const { effectId, fence, uid, recovered } = bakery.last.context;
  assert.equal([effectId, fence, recovered], [`${o}#1.0`, { era: 1, ownerEpoch: 1, version: 1 }, false]);
  assert.is(uid, journal.actors.get(o)?.actor.uid);
  assert.equal(
    journal.actors.get(o)?.actor.effects.map(({ stateId }) => stateId),
    ['baking'],
  );
  bakery.last.end(done({ loaf: 'fresh' }));
  assert.is(said(await reply), 'fresh');
  await host.drain();
});

test('a failure, an unknown and anything thrown come back as events, and re-entry asks anew', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const host = await ownerOn(journal, { registry: registryOf(oven(bakery.bake)) });
  const reply = host.ask(bakeOf());
  const why = async (tries: number): Promise<unknown> => {
    await until(`try ${tries}`, () => stored(journal, o)?.['tries'] === tries && bakery.calls.length === tries + 1);
    return stored(journal, o)?.['why'];
  };
  await until('the effect', () => bakery.calls.length === 1);
  bakery.last.fail(new PhotonError('defeat', 'oven_broken', 'broken'));
  assert.is(await why(1), 'oven_broken');
  bakery.last.fail(new PhotonError('unknown', 'oven_silent', 'silent'));
  assert.is(await why(2), 'oven_silent');
  bakery.last.fail(new TypeError('a slip'));
  assert.is(await why(3), 'effect_failed');
  bakery.last.end(undefined as never);
  assert.is(await why(4), 'outcome_malformed');
  bakery.last.end(done());
  assert.ok((await reply).ok);
  const events = journal.history.get(o)?.map(({ event }) => (event as { type: string }).type);
  assert.ok(events?.includes('loaf.bake.unknown') && events.includes('loaf.bake.failed'));
  assert.is(new Set(bakery.calls.map(({ context }) => context.effectId)).size, 5);
  await host.drain();
});

test('a result that its kind does not take comes back as failed, with the bug and what is wrong', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const checkOutcome = (type: string, payload: object): string | undefined =>
    'loaf' in payload ? undefined : `${type}: loaf: required`;
  const host = await ownerOn(journal, { registry: registryOf({ ...oven(bakery.bake), checkOutcome }) });
  const reply = host.ask(bakeOf());
  await until('the effect', () => bakery.calls.length === 1);
  bakery.last.end(done({ bread: 'rye' }));
  await until('the next try', () => bakery.calls.length === 2);
  const failed = journal.history.get(o)?.find(({ event }) => (event as ActorEvent).type === 'loaf.bake.failed');
  const { error } = failed?.event as unknown as { error: ErrorRecord };
  assert.equal([error.group, error.code], ['bug', 'outcome_malformed']);
  assert.match(error.message, /loaf\.bake: loaf: required/);
  bakery.last.end(done({ loaf: 'rye' }));
  assert.is(said(await reply), 'rye');
  await host.drain();
});

test('what an actor of a fenced node asks is answered host_gone and never performed', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const pinned = 'oven/t/o@lost' as ActorId;
  const registry = registryOf(oven(bakery.bake));
  const takenBy = async (node: string): Promise<Host> => {
    const host = hostOn(journal, { registry, node });
    await host.grant(journal.ownOne(node, journal.shardOf(pinned)));
    return host;
  };
  const lost = await takenBy('lost');
  const order = commandOf(pinned, { type: 'oven.bake', loaf: 'rye' });
  void lost.command(order);
  await until('its own node performs it', () => bakery.calls.length === 1);
  const surrogate = await takenBy('n2');
  await until('pending and new ones are answered', () => Number(stored(journal, pinned)?.['tries']) >= 3);
  assert.is(stored(journal, pinned)?.['why'], 'host_gone');
  assert.is(bakery.calls.length, 1, 'none was performed');
  bakery.last.end(done({ loaf: 'late' }));
  const failed = journal.history.get(pinned)?.filter(({ event }) => (event as ActorEvent).type === 'loaf.bake.failed');
  const { error } = failed?.[0]?.event as unknown as { error: ErrorRecord };
  assert.equal([error.group, error.retryable, error.actor], ['defeat', false, pinned]);
  // Whoever speaks to it is answered as ever.
  assert.is(said(await ask(surrogate, pinned, { type: 'oven.finish' })), 'not_accepted');
  await lost.drain();
  await surrogate.drain();
});

test('after its time an effect is unknown, not failed, and its signal aborts', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const host = await ownerOn(journal, { registry: registryOf(oven(bakery.bake, 20)) });
  void host.command(bakeOf());
  await until('a second try', () => bakery.calls.length === 2);
  assert.ok(bakery.calls[0]?.context.signal.aborted);
  assert.is(stored(journal, o)?.['why'], 'effect_timeout');
  assert.ok(journal.history.get(o)?.some(({ event }) => (event as { type: string }).type === 'loaf.bake.unknown'));
  await host.drain();
});

test('a result that comes after its state was left is dropped and recorded', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const host = await ownerOn(journal, { registry: registryOf(oven(bakery.bake)) });
  void host.command(bakeOf());
  await until('the effect', () => bakery.calls.length === 1);
  assert.ok((await ask(host, o, { type: 'oven.stop' })).ok);
  assert.ok(bakery.last.context.signal.aborted);
  assert.equal(journal.actors.get(o)?.actor.effects, []);
  bakery.last.end(done({ loaf: 'late' }));
  await until('the record', () => journal.history.get(o)?.at(-1)?.kind === 'dropped');
  assert.is(journal.history.get(o)?.at(-1)?.cause, `effect:${o}#1.0`);
  assert.is(journal.actors.get(o)?.actor.version, 2);
  await host.drain();
});

test('an aborted effect that fails leaves no record', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const host = await ownerOn(journal, { registry: registryOf(oven(bakery.bake)) });
  void host.command(bakeOf());
  await until('the effect', () => bakery.calls.length === 1);
  await ask(host, o, { type: 'oven.stop' });
  bakery.last.fail(new Error('stopped as told'));
  await host.command(commandOf(o, { type: 'oven.nothing' }));
  assert.not(journal.history.get(o)?.some(({ kind }) => kind === 'dropped'));
  await host.drain();
});

test('pending effects are performed again by the next owner, with a higher fence', async () => {
  const journal = new MemoryJournal();
  const before = new Bakery();
  const host = await ownerOn(journal, { registry: registryOf(oven(before.bake)) });
  void host.command(bakeOf());
  await until('the effect', () => before.calls.length === 1);
  const after = new Bakery();
  const next = await ownerOn(journal, { registry: registryOf(oven(after.bake)) });
  await until('the effect again', () => after.calls.length === 1);
  assert.equal(after.last.context.fence, { era: 1, ownerEpoch: 2, version: 1 });
  assert.ok(after.last.context.recovered);
  before.last.end(done({ loaf: 'of the old owner' }));
  await until('the old owner is fenced', () => host.figures().shards < 4);
  after.last.end(done({ loaf: 'of the new owner' }));
  await until('cold', () => journal.actors.get(o)?.actor.state === 'cold');
  assert.is(journal.actors.get(o)?.actor.version, 2);
  assert.not(JSON.stringify(journal.history.get(o)).includes('old owner'));
  await host.drain();
  await next.drain();
});

test('effects with a deadline share the places; watches take none', async () => {
  const journal = new MemoryJournal();
  let running = 0;
  let most = 0;
  const bake: Bake = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, 2));
    running -= 1;
    return done();
  };
  const bakes = (host: Host) =>
    Array.from({ length: 12 }, (_, index) => ask(host, `oven/t${index % 4}/o${index}`, { type: 'oven.bake' }));
  const host = await ownerOn(journal, { registry: registryOf(oven(bake)), limits: { effects: 3 } });
  await Promise.all(bakes(host));
  assert.is(most, 3);
  await host.drain();
  most = 0;
  const watching = await ownerOn(new MemoryJournal(), {
    registry: registryOf(oven(bake, null)),
    limits: { effects: 3 },
  });
  await Promise.all(bakes(watching));
  assert.ok(most > 3);
  await watching.drain();
});

const order = (host: Host, id: string) =>
  void host.command(commandOf(id, { type: `${id.split('/')[0]}.bake`, loaf: 'rye' }));
const begun = ({ calls }: Bakery): string[] => calls.map(({ context }) => context.actor);

test('a scope that fills its places with effects that never end leaves places to others', async () => {
  const bakery = new Bakery();
  const host = await ownerOn(new MemoryJournal(), {
    registry: registryOf(oven(bakery.bake)),
    limits: { effects: 4, effectsWaiting: 3 },
  });
  for (const name of ['a', 'b', 'c', 'd', 'e']) order(host, `oven/greedy/${name}`);
  await until('two of them run and three wait', () => host.figures().effectPools[0]?.waiting === 3);
  assert.is(said(await ask(host, 'oven/greedy/f', { type: 'oven.bake' })), 'overloaded', 'its scope has too many');
  order(host, 'oven/modest/a');
  await until('the other scope has its turn', () => begun(bakery).includes('oven/modest/a'));
  assert.equal(begun(bakery), ['oven/greedy/a', 'oven/greedy/b', 'oven/modest/a']);
  await host.drain();
});

test('effects of a pool have places of their own', async () => {
  const bakery = new Bakery();
  const registry = registryOf(oven(bakery.bake), oven(bakery.bake, 60_000, { kind: 'stove', pool: 'slow' }));
  const host = await ownerOn(new MemoryJournal(), { registry, limits: { effects: 1, pooledEffects: 1 } });
  for (const name of ['a', 'b']) order(host, `stove/t/${name}`);
  await until('the pool is full', () => host.figures().effectPools.some(({ waiting }) => waiting === 1));
  order(host, 'oven/t/a');
  await until('the other effect', () => bakery.calls.length === 2);
  assert.equal(begun(bakery), ['stove/t/a', 'oven/t/a']);
  bakery.calls[0]?.end(done());
  await until('the next of the pool', () => begun(bakery).includes('stove/t/b'));
  await host.drain();
});

test('an effect that waits holds no place, and has one again when it goes on', async () => {
  const gates = new Map<string, () => void>();
  const trail: string[] = [];
  const bake: Bake = async (_, { actor, withoutPlace }) => {
    trail.push(`${actor} waits`);
    await withoutPlace(() => new Promise<void>((resolve) => gates.set(actor, resolve)));
    trail.push(`${actor} goes on`);
    await new Promise<void>((resolve) => gates.set(actor, resolve));
    return done();
  };
  const host = await ownerOn(new MemoryJournal(), { registry: registryOf(oven(bake)), limits: { effects: 1 } });
  const placed = () => host.figures().effectPools[0]?.placed;
  const ids = ['oven/t/a', 'oven/t/b', 'oven/t/c'];
  for (const id of ids) order(host, id);
  await until('all wait at once in a single place', () => gates.size === 3);
  assert.is(placed(), 0);
  for (const id of ids) gates.get(id)?.();
  await until('one goes on', () => trail.includes('oven/t/a goes on'));
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal([trail.length, placed()], [4, 1]);
  // An effect that is cancelled while it waits for a place does not get one.
  assert.ok((await ask(host, 'oven/t/b', { type: 'oven.stop' })).ok);
  await until('it was let go on, to end', () => trail.includes('oven/t/b goes on'));
  assert.is(placed(), 1);
  gates.get('oven/t/a')?.();
  await until('the third goes on', () => trail.includes('oven/t/c goes on'));
  assert.is(placed(), 1);
  await host.drain();
});

test('an effect whose time is up while it waits for a place again is not held back', async () => {
  const journal = new MemoryJournal();
  const ended: string[] = [];
  const bake: Bake = async (_, { actor, signal, withoutPlace }) => {
    await withoutPlace(() => new Promise((resolve) => setTimeout(resolve, 5)));
    if (actor.endsWith('/late')) ended.push(signal.aborted ? 'aborted' : 'placed');
    return actor.endsWith('/late') ? done() : new Promise(() => {});
  };
  const registry = registryOf(oven(bake, 60_000), oven(bake, 30, { kind: 'stove' }));
  const host = await ownerOn(journal, { registry, limits: { effects: 1 } });
  order(host, 'oven/t/first');
  order(host, 'stove/t/late');
  await until('it ends without a place', () => ended.length > 0);
  assert.is(ended[0], 'aborted');
  await until('the chart hears of it', () => stored(journal, 'stove/t/late')?.['why'] === 'effect_timeout');
  await host.drain();
});

test('an effect this program cannot perform fails as a defeat', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const host = await ownerOn(journal, { registry: registryOf(oven(bakery.bake)) });
  void host.command(bakeOf());
  await until('the effect', () => bakery.calls.length === 1);
  await host.drain();
  const known = journal.actors.get(o);
  if (known !== undefined) {
    const effects = known.actor.effects.map((effect) => ({ ...effect, type: 'loaf.fry' }));
    journal.actors.set(o, { ...known, actor: { ...known.actor, effects } });
  }
  const next = await ownerOn(journal, { registry: plainRegistry() });
  await until('the record', () => journal.history.get(o)?.at(-1)?.kind === 'ignored');
  assert.is(
    (journal.history.get(o)?.at(-1)?.event as { error: { code: string } } | undefined)?.error.code,
    'effect_unbound',
  );
  await next.drain();
});

test('a fenced owner emits nothing: no answer, no message, no effect', async () => {
  const journal = new MemoryJournal();
  const bakery = new Bakery();
  const registry = registryOf(counter, oven(bakery.bake));
  const host = await ownerOn(journal, { registry });
  await ask(host, 'counter/t/a', { type: 'counter.create' });
  journal.own('n2');
  const answers = await Promise.all([
    host.command(commandOf('counter/t/a', { type: 'counter.burst' })),
    host.command(commandOf(o, { type: 'oven.bake' })),
  ]);
  assert.equal(answers, [{ moved: true }, { moved: true }]);
  assert.is(bakery.calls.length, 0);
  assert.is(host.figures().outboxDepth, 0);
  assert.is(journal.commits.length, 1);
  await host.drain();
});

test.run();
