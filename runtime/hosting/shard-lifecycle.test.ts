/** Shards taken up and handed over between hosts on one journal in memory: order, and nothing sent twice. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Message } from '../contract/envelope.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { Journal, ShardBacklog } from '../contract/journal.ts';
import type { Delivery } from '../contract/link.ts';
import type { Host } from './host.ts';
import { ask, commandOf, hostOn, Net, stored, until } from './host-for-tests.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import { MemoryJournal } from './memory-journal.ts';

const registry = plainRegistry();
const relay = 'relay/t/r';
const sink = 'sink/t/s';
const send = { type: 'relay.send', to: sink };
const items = (journal: MemoryJournal): unknown => stored(journal, sink)?.['items'];
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

/** A journal whose backlogs come only when the test lets them. */
class SlowBacklog extends MemoryJournal {
  private readonly waiting: (() => void)[] = [];

  override async backlog(...args: Parameters<Journal['backlog']>): Promise<ShardBacklog> {
    const found = await super.backlog(...args);
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    return found;
  }

  get asked(): number {
    return this.waiting.length;
  }

  answer(): void {
    for (const settle of this.waiting.splice(0)) settle();
  }
}

/** Counts what a host is sent although the store has it already, whichever way it came there. */
class Witness {
  sent = 0;
  again = 0;
  private readonly journal: MemoryJournal;

  constructor(journal: MemoryJournal) {
    this.journal = journal;
  }

  watch(host: Host): void {
    const deliver = host.deliver.bind(host);
    const watched = (message: Message): Promise<Delivery> => {
      const { to, from, senderUid, seq } = message;
      const watermarks = this.journal.actors.get(to)?.actor.watermarks ?? {};
      this.sent += 1;
      if ((watermarks[`${from}~${senderUid}`] ?? 0) >= seq) this.again += 1;
      return deliver(message);
    };
    Object.assign(host, { deliver: watched });
  }
}

test('no actor steps before the messages of the earlier owner are in the outbox', async () => {
  const journal = new SlowBacklog(16);
  const net = new Net();
  const target = hostOn(journal, { registry, node: 'target', net });
  const relayShard = journal.shardOf(relay as ActorId);
  const sinkShard = journal.shardOf(sink as ActorId);
  assert.is.not(relayShard, sinkShard, 'the test needs two shards');
  const opened = [target.grant(journal.ownOne('target', sinkShard))];
  await until('the first backlog', () => journal.asked === 1);
  journal.answer();
  const cut = { deliver: () => Promise.reject(new Error('cut')), command: () => Promise.reject(new Error('cut')) };
  const first = hostOn(journal, { registry, node: 'first', outlet: cut });
  opened.push(first.grant(journal.ownOne('first', relayShard)));
  await until('the second backlog', () => journal.asked === 1);
  journal.answer();
  await Promise.all(opened);
  for (const _ of numbers(3)) await ask(first, relay, send);
  first.revoke(relayShard);
  const second = hostOn(journal, { registry, node: 'second', net });
  const taken = second.grant(journal.ownOne('second', relayShard));
  await until('the third backlog', () => journal.asked === 1);
  const asked = ask(second, relay, send);
  // Nothing to wait for: it must not happen. The command has had its turns of the loop.
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.is(journal.outbox.size, 3, 'the fourth message was committed too early');
  journal.answer();
  await taken;
  assert.ok((await asked).ok);
  await until('all items', () => (items(journal) as unknown[] | undefined)?.length === 4);
  assert.equal(items(journal), numbers(4));
  for (const host of [first, second, target]) await host.drain();
});

test('shards handed over under load: commands go on, order holds, nothing is sent twice', async () => {
  const journal = new MemoryJournal(16);
  const net = new Net();
  const witness = new Witness(journal);
  const hosts = ['n1', 'n2'].map((node) => hostOn(journal, { registry, node, net }));
  const [n1, n2] = hosts as [Host, Host];
  for (const host of hosts) witness.watch(host);
  for (const grant of journal.own('n1')) await n1.grant(grant);
  const total = 400;
  const replies: Promise<{ ok: boolean }>[] = [];
  const owners = new Map([relay, sink].map((id) => [journal.shardOf(id as ActorId), 'n1']));
  assert.is(owners.size, 2, 'the test needs two shards');
  for (let round = 0; round < 20; round += 1) {
    const asking = round % 2 === 0 ? n2 : n1;
    for (let count = 0; count < total / 20; count += 1) replies.push(asking.ask(commandOf(relay, send)));
    // From round to round the hand-over meets the commands further on their way.
    for (let turn = 0; turn < round; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const [shard, owner] = [...owners][round % 2] as [ShardId, string];
    const [giver, taker, next] = owner === 'n1' ? [n1, n2, 'n2'] : [n2, n1, 'n1'];
    await giver.retire([shard]);
    owners.set(shard, next);
    const grant = journal.ownOne(next, shard);
    giver.revoke(shard);
    await taker.grant(grant);
  }
  const refused = (await Promise.all(replies)).filter(({ ok }) => !ok);
  assert.equal(refused, []);
  await until('all items', () => (items(journal) as unknown[] | undefined)?.length === total);
  assert.equal(items(journal), numbers(total));
  assert.ok(witness.sent >= total);
  assert.is(witness.again, 0);
  for (const host of hosts) await host.drain();
});

/** A journal that removes acknowledged messages only when the test lets it. */
class SlowForget extends MemoryJournal {
  readonly waiting: (() => void)[] = [];

  override async forgetMessages(...args: Parameters<Journal['forgetMessages']>): Promise<void> {
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    return super.forgetMessages(...args);
  }
}

test('a shard is given away only when what was delivered is removed: its next owner would send it again', async () => {
  const journal = new SlowForget();
  const host = hostOn(journal, { registry });
  for (const grant of journal.own('n1')) await host.grant(grant);
  await ask(host, relay, send);
  await until('the message is being removed', () => journal.waiting.length === 1);
  let retired = false;
  const retiring = host.retire([journal.shardOf(relay as ActorId)]).then(() => (retired = true));
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.is(retired, false, 'the row of a message that was delivered is still there');
  for (const settle of journal.waiting.splice(0)) settle();
  await retiring;
  assert.is(journal.outbox.size, 0);
  await host.drain();
});

test('a store that removes nothing any more does not keep a host from its end', async () => {
  const journal = new SlowForget();
  const host = hostOn(journal, { registry, limits: { drainMs: 50 } });
  for (const grant of journal.own('n1')) await host.grant(grant);
  await ask(host, relay, send);
  await until('the message is being removed', () => journal.waiting.length === 1);
  await host.drain();
  assert.is(journal.waiting.length, 1, 'its next owner finds the row');
});

test('a host tells when it is taken for the owner of a shard it does not hold', async () => {
  const journal = new MemoryJournal();
  const strangers: ShardId[] = [];
  const host = hostOn(journal, { registry, onStranger: (shard) => strangers.push(shard) });
  const command = commandOf(relay, send);
  assert.equal(await host.command(command), { moved: true });
  const shard = journal.shardOf(command.to);
  assert.equal(strangers, [shard]);
  await host.grant(journal.ownOne('n1', shard));
  assert.is.not((await host.command(command)) as unknown, { moved: true });
  assert.equal(strangers, [shard]);
  await host.drain();
});

test.run();
