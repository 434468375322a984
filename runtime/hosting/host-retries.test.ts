/** Deferred commands asked again of a later owner: before, while and after something else answers them. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Command } from '../contract/envelope.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { Receipt } from '../contract/journal.ts';
import { done } from '../contract/outcome.ts';
import type { Host } from './host.ts';
import { commandOf, ownerOn, said, until } from './host-for-tests.ts';
import type { HostLimits } from './host-limits.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import { MemoryJournal } from './memory-journal.ts';

const cook = 'oven/t/o' as ActorId;

/** A host that has taken over an oven whose order the earlier owner has not answered; `oven.finish` answers it. */
async function tookOver(
  journal: MemoryJournal,
  limits: Partial<HostLimits> = {},
): Promise<{ host: Host; order: Command }> {
  const never = plainRegistry(() => new Promise(() => {}));
  const first = await ownerOn(journal, { registry: never });
  const order = commandOf(cook, { type: 'oven.bake' });
  void first.command(order);
  await until('the order is stored', () => journal.actors.has(cook));
  const host = await ownerOn(journal, { registry: never, limits });
  await first.drain();
  return { host, order };
}

/** A journal whose answers about receipts come only when the test lets them: what they say may be old by then. */
class SlowReceipts extends MemoryJournal {
  readonly answers: (() => void)[] = [];
  slow = false;

  override async receipt(...args: Parameters<MemoryJournal['receipt']>): Promise<Receipt | undefined> {
    const found = await super.receipt(...args);
    if (this.slow) await new Promise<void>((resolve) => this.answers.push(resolve));
    return found;
  }
}

test('a deferred reply survives a restart: a retry waits again, or finds the receipt', async () => {
  const journal = new MemoryJournal();
  let bakes = 0;
  const stuck = plainRegistry(() => new Promise(() => {}));
  const host = await ownerOn(journal, { registry: stuck });
  const order = commandOf(cook, { type: 'oven.bake', loaf: 'spelt' });
  const lost = host.command(order);
  await until('the order is stored', () => Object.keys(journal.actors.get(cook)?.actor.deferred ?? {}).length === 1);
  let release = (): void => {};
  const working = plainRegistry(
    (params, context) =>
      new Promise((resolve) => {
        bakes += 1;
        assert.ok(context.recovered);
        release = () => resolve(done({ loaf: params.loaf }));
      }),
  );
  const next = await ownerOn(journal, { registry: working });
  await host.drain();
  assert.equal(await lost, { moved: true });
  await until('the effect is performed again', () => bakes === 1);
  const again = next.ask(order);
  const other = await next.ask({ ...order, digest: 'x' });
  assert.is(said(other), 'idempotency_conflict');
  release();
  assert.is(said(await again), 'spelt');
  assert.is(said(await next.ask(order)), 'spelt');
  assert.is(bakes, 1);
  await next.drain();
});

test('a retry that waits behind what answers it is answered, not decided again', async () => {
  const journal = new MemoryJournal();
  const { host, order } = await tookOver(journal);
  // All three receipts are read, and absent, before the first of the three answers the order.
  const finish = host.ask(commandOf(cook, { type: 'oven.finish' }));
  const again = host.ask(order);
  assert.is(said(await finish), 'finished');
  const first = await again;
  assert.is(said(first), 'half done');
  assert.equal(await host.ask(order), first, 'the receipt stands');
  assert.is(journal.actors.get(cook)?.actor.state, 'cold', 'nothing was baked again');
  await host.drain();
});

test('a retry that comes while what answers it is on its way is told with it, not decided again', async () => {
  const journal = new MemoryJournal();
  const { host, order } = await tookOver(journal);
  journal.hold();
  const finish = host.ask(commandOf(cook, { type: 'oven.finish' }));
  await until('the answer is on its way', () => journal.heldCommits === 1);
  const again = host.ask(order);
  const other = host.ask({ ...order, digest: 'another' });
  assert.is(said(await other), 'idempotency_conflict');
  await until('the retry was looked at', () => host.figures().mailboxDepth === 0);
  assert.is(journal.heldCommits, 1, 'nothing more was decided');
  journal.free();
  assert.is(said(await finish), 'finished');
  assert.is(said(await again), 'half done');
  assert.is(journal.actors.get(cook)?.actor.state, 'cold', 'nothing was baked again');
  await host.drain();
});

test('a retry is not decided again when its answer is written and forgotten while its receipt is read', async () => {
  const journal = new SlowReceipts();
  const { host, order } = await tookOver(journal, { receiptsRemembered: 1, commitsInFlight: 1 });
  journal.hold();
  const finish = host.ask(commandOf(cook, { type: 'oven.finish' }));
  await until('the answer is on its way', () => journal.heldCommits === 1);
  journal.slow = true;
  const again = host.ask(order);
  // Nothing to wait for: a read need not be made. If it is, it has found nothing by now.
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  journal.free();
  assert.is(said(await finish), 'finished');
  journal.slow = false;
  for (const answer of journal.answers) answer();
  await until('the retry was looked at', () => host.figures().mailboxDepth === 0);
  assert.is(journal.actors.get(cook)?.actor.state, 'cold');
  assert.is(host.figures().commitsInFlight, 0, 'nothing more was decided');
  assert.is(said(await again), 'half done');
  await host.drain();
});

test('what was read of a receipt for an activation that is dropped says nothing to the next one', async () => {
  const journal = new SlowReceipts();
  const { host, order } = await tookOver(journal);
  // An activation that follows a refused commit reads receipts before it decides.
  journal.refuseNext({ result: 'conflict', storedVersion: 0 });
  assert.is(said(await host.ask(commandOf(cook, { type: 'oven.unheard' }))), 'not_accepted');
  journal.slow = true;
  const again = host.ask(order);
  const finish = host.ask(commandOf(cook, { type: 'oven.finish' }));
  await until('both receipts are being read', () => journal.answers.length === 2);
  // The commit that answers both is applied, and that it was is lost: the actor is loaded anew.
  journal.loseNext();
  journal.answers[1]?.();
  await until('the receipt is being read again', () => journal.answers.length === 3);
  journal.slow = false;
  for (const answer of journal.answers) answer();
  assert.is(said(await finish), 'finished');
  await until('the retry was looked at', () => host.figures().mailboxDepth === 0);
  assert.is(journal.actors.get(cook)?.actor.state, 'cold');
  assert.is(host.figures().commitsInFlight, 0, 'nothing more was decided');
  assert.is(said(await again), 'half done');
  await host.drain();
});

test('a deferred command asked again with other parameters is refused, also behind what answers it', async () => {
  const journal = new MemoryJournal();
  const { host, order } = await tookOver(journal);
  const finish = host.ask(commandOf(cook, { type: 'oven.finish' }));
  const other = host.ask({ ...order, digest: 'another' });
  assert.is(said(await finish), 'finished');
  assert.is(said(await other), 'idempotency_conflict');
  assert.is(said(await host.ask(order)), 'half done', 'the receipt is that of the order');
  await host.drain();
});

test.run();
