import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorDefinition } from '../contract/actor-definition.ts';
import type { Durability, DurabilityOffer } from '../contract/durability.ts';
import { done } from '../contract/outcome.ts';
import { ask, commandOf, ownerOn, said, until } from './host-for-tests.ts';
import { counter, plainRegistry } from './kinds-for-tests.ts';
import { MemoryJournal } from './memory-journal.ts';
import { registerKind } from './registration.ts';

const a = 'counter/t/a';

function journalOffering(offer: DurabilityOffer): MemoryJournal {
  return Object.assign(new MemoryJournal(), { durability: offer });
}

const counters = (durability?: Durability) => ({
  kinds: new Map<string, ActorDefinition>([
    ['counter', durability === undefined ? counter : { ...counter, durability }],
  ]),
});

test('a commit wants what its kind says, or the usual, or what the command asks for, more or less', async () => {
  for (const [kind, asked, wanted] of [
    [undefined, undefined, 'replicas'],
    ['fsync', undefined, 'fsync'],
    ['fsync', 'primary', 'primary'],
    ['primary', 'replicas', 'replicas'],
  ] as const) {
    const journal = journalOffering({ default: 'replicas', offered: ['primary', 'replicas', 'fsync'] });
    const host = await ownerOn(journal, { registry: counters(kind) });
    const options = asked === undefined ? {} : { durability: asked };
    const reply = await ask(host, a, { type: 'counter.create', by: 1 }, options);
    assert.is(reply.durability, wanted, 'reported');
    assert.is(journal.commits[0]?.durability, wanted, 'asked of the journal');
    await host.drain();
  }
});

test('inputs of one commit get the strongest level among them', async () => {
  const journal = journalOffering({ default: 'primary', offered: ['primary', 'replicas', 'fsync'] });
  const host = await ownerOn(journal, { registry: plainRegistry() });
  await ask(host, a, { type: 'counter.create', by: 1 });
  const levels: (Durability | undefined)[] = [undefined, 'fsync', 'replicas'];
  const together = levels.map((durability) =>
    ask(host, a, { type: 'counter.add', by: 1 }, durability === undefined ? {} : { durability }),
  );
  const replies = await Promise.all(together);
  assert.is(journal.commits.length, 2, 'they went together');
  assert.equal(
    replies.map((reply) => reply.durability),
    ['fsync', 'fsync', 'fsync'],
  );
  await host.drain();
});

test('what answers a deferred command keeps the level it asked for, in another life of its actor as well', async () => {
  const journal = journalOffering({ default: 'primary', offered: ['primary', 'replicas', 'fsync'] });
  const host = await ownerOn(journal, { registry: plainRegistry(() => new Promise(() => {})) });
  const order = commandOf('oven/t/o', { type: 'oven.bake', loaf: 'spelt' }, { durability: 'replicas' });
  void host.command(order);
  await until('the order is stored', () => journal.commits.length === 1);
  let bakes = 0;
  let release = (): void => {};
  const bake = plainRegistry(
    ({ loaf }) =>
      new Promise((resolve) => {
        bakes += 1;
        release = () => resolve(done({ loaf }));
      }),
  );
  const next = await ownerOn(journal, { registry: bake });
  await host.drain();
  await until('the effect is performed again', () => bakes === 1);
  release();
  await until('it is answered', () => journal.commits.length === 2);
  assert.is(journal.commits[1]?.durability, 'replicas');
  assert.is((await next.ask(order)).durability, 'replicas');
  await next.drain();
});

test('what the store does not keep is refused: a command by a rejection, a kind at its registration', async () => {
  const offer: DurabilityOffer = { default: 'primary', offered: ['primary'] };
  const journal = journalOffering(offer);
  const host = await ownerOn(journal, { registry: plainRegistry() });
  const reply = await ask(host, a, { type: 'counter.create' }, { durability: 'replicas' });
  assert.is(said(reply), 'durability_not_offered');
  assert.is(journal.commits.length, 0);
  await host.drain();
  assert.throws(() => registerKind({ ...counter, durability: 'fsync' }, offer), /durability fsync is none/);
  const memory = { ...counter, durability: 'memory' as Durability };
  assert.throws(() => registerKind(memory), /durability memory is none/);
});

test.run();
