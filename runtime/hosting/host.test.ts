import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryJournal } from './memory-journal.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import { ask, commandOf, ownerOn, said, stored, until } from './host-for-tests.ts';

test('a command creates an actor, is answered, and survives in the journal', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry: plainRegistry() });
  assert.equal(await ask(host, 'counter/t/a', { type: 'counter.create', by: 3 }), {
    ok: true,
    version: 1,
    result: null,
    durability: 'fsync',
  });
  assert.equal(await ask(host, 'counter/t/a', { type: 'counter.add', by: 4 }), {
    ok: true,
    version: 2,
    result: null,
    durability: 'fsync',
  });
  const reply = await ask(host, 'counter/t/a', { type: 'counter.read' });
  assert.is(reply.version, 3);
  assert.is((reply as { result: { total: number } }).result.total, 7);
  assert.is(stored(journal, 'counter/t/a')?.['total'], 7);
  assert.is(journal.actors.get('counter/t/a' as never)?.actor.uid, stored(journal, 'counter/t/a')?.['uid']);
  await host.drain();
});

test('the history names the transitions that were taken: guards chose between the candidates', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry: plainRegistry() });
  for (const event of [{ type: 'counter.create' }, { type: 'counter.add' }, { type: 'counter.add', by: -1 }]) {
    await ask(host, 'counter/t/a', event);
  }
  await ask(host, 'counter/t/a', { type: 'counter.add', by: 2 });
  assert.equal(
    journal.history.get('counter/t/a' as never)?.map(({ kind, taken }) => [kind, taken]),
    [
      ['transition', ['absent:counter.create:1']],
      ['transition', ['counting:counter.add:1']],
      ['rejected', ['counting:counter.add']],
      ['transition', ['counting:counter.add:1']],
    ],
  );
  await host.drain();
});

test('messages arrive once, in order, and leave the outbox', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry: plainRegistry() });
  const sent = Array.from({ length: 20 }, () => ask(host, 'relay/t/r', { type: 'relay.send', to: 'sink/t/s' }));
  for (const reply of await Promise.all(sent)) assert.ok(reply.ok);
  const expected = Array.from({ length: 20 }, (_, index) => index + 1);
  await until(
    '20 items in the sink',
    () => (stored(journal, 'sink/t/s')?.['items'] as unknown[] | undefined)?.length === 20,
  );
  assert.equal(stored(journal, 'sink/t/s')?.['items'], expected);
  await until('the outbox is empty', () => journal.outbox.size === 0);
  await host.drain();
});

test('an effect is performed after its commit and its result answers the deferred command', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry: plainRegistry() });
  const reply = await ask(host, 'oven/t/o', { type: 'oven.bake', loaf: 'spelt' });
  assert.is(said(reply), 'spelt');
  assert.is(host.figures().effects, 0);
  await host.drain();
});

test('a timer fires, and the effect of the left state is cancelled', async () => {
  const journal = new MemoryJournal();
  let aborted = false;
  const registry = plainRegistry(
    (_, { signal }) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => ((aborted = true), reject(new Error('stopped')))),
      ),
  );
  const host = await ownerOn(journal, { registry });
  void host.command(commandOf('oven/t/o', { type: 'oven.bake', patienceMs: 30 }));
  await until('the loaf is burnt', () => journal.actors.get('oven/t/o' as never)?.actor.state === 'burnt');
  await until('the effect is told to stop', () => aborted);
  const actor = journal.actors.get('oven/t/o' as never)?.actor;
  assert.equal(actor?.timers, []);
  assert.equal(actor?.effects, []);
  await host.drain();
});

test.run();
