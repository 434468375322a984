/** A dry run says what its command would do, is refused like it, and leaves nothing behind. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { asDryRun } from '../contract/supervision.ts';
import { wireRules } from '../control-api/wire-rules.ts';
import { ask, commandOf, ownerOn, said, stored, until } from './host-for-tests.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import { MemoryJournal } from './memory-journal.ts';

const a = 'counter/t/a';
const registry = plainRegistry();
const none = { effectsStarted: [], effectsCancelled: [], timersSet: [], timersCancelled: [], rows: [] };

test('a dry run is answered with what would follow, and nothing is committed, sent or remembered', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  const birth = await ask(host, a, asDryRun({ type: 'counter.create', by: 5 }));
  const born = { dryRun: true, deferred: false, result: null, from: null, to: 'counting', removes: false, ...none };
  assert.equal(said(birth), { ...born, messages: [], changed: ['id', 'total', 'uid'] });
  for (const field of Object.keys(said(birth) as object)) assert.match(wireRules.commands.dryRun, field);
  assert.is(birth.version, 0);
  assert.is(journal.actors.size, 0);
  assert.is(said(await ask(host, a, { type: 'counter.add' })), 'not_found', 'it was not created');
  await ask(host, a, { type: 'counter.create', by: 1 });
  const burst = said(await ask(host, a, asDryRun({ type: 'counter.burst', by: 5 })));
  const messages = [{ to: 'sink/t/a', type: 'sink.put' }];
  assert.equal(burst, { ...born, from: 'counting', messages, changed: ['total'] });
  const gone = said(await ask(host, a, asDryRun({ type: 'counter.delete' }))) as { removes: boolean };
  assert.ok(gone.removes);
  const read = said(await ask(host, a, asDryRun({ type: 'counter.read' }))) as { result: { total: number } };
  assert.is(read.result.total, 1, 'what the command would answer');
  await host.drain();
  assert.equal([stored(journal, a)?.['total'], journal.history.get(a as never)?.length], [1, 1]);
  assert.not(journal.actors.has('sink/t/a' as never));
});

test('a dry run is refused as its command would be, also while the actor is held or has changed', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  const codeOf = async (event: { type: string }, options = {}) => said(await ask(host, a, asDryRun(event), options));
  assert.is(await codeOf({ type: 'counter.add' }), 'not_found');
  assert.is(await codeOf({ type: 'counter.create', by: -1 } as never), 'too_small');
  await ask(host, a, { type: 'counter.create' });
  assert.is(await codeOf({ type: 'counter.add', by: -1 } as never), 'too_small');
  assert.is(await codeOf({ type: 'counter.create' }), 'not_accepted');
  assert.is(await codeOf({ type: 'counter.add' }, { ifVersion: 7 }), 'version_conflict');
  assert.is(await codeOf({ type: 'counter.crash' }), 'dry_run_failed', 'a chart that throws does not quarantine it');
  assert.ok((await ask(host, a, { type: 'counter.add' })).ok);
  await ask(host, a, { type: 'actor.pause', reason: 'a test says so' });
  assert.is(await codeOf({ type: 'counter.add' }), 'paused');
  await host.drain();
});

test('a dry run has no receipt: the same id is tried again, and the outcome may be another', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry });
  const tried = commandOf(a, asDryRun({ type: 'counter.add' }));
  assert.is(said(await host.ask(tried)), 'not_found');
  await ask(host, a, { type: 'counter.create' });
  await until('created', () => stored(journal, a) !== undefined);
  assert.ok((await host.ask(tried)).ok);
  await host.drain();
});

test.run();
