// time limit: 60 s
// test limit: 50 s
/**
 * Three controllers as processes on a real Redis under load, while one is killed, one is stopped and goes on, links
 * are cut, one joins, one is drained: every command is answered once, every message applied once and in order.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Command, Reply } from '../contract/envelope.ts';
import { actorId } from '../contract/identifiers.ts';
import { commandOf } from '../hosting/host-for-tests.ts';
import { TestRedis, until } from '../journal/redis-for-tests.ts';
import { shardCount, shardOf } from '../journal/shard-placement.ts';
import { MemberFleet, type Member } from './member-fleet-for-tests.ts';

interface Stage {
  redis: TestRedis;
  fleet: MemberFleet;
  load: Load;
}

const test = suite<Stage>('placement under load');
const beatMs = 100;
const silenceMs = 800;
const pairs = 24;
const half = shardCount / 2;
const patienceMs = 20_000;
const askAgainMs = 1_000;

/** Commands to relays, each of which sends its sink one message per command; asked again until answered. */
class Load {
  readonly answers = new Map<string, Reply>();
  sent = 0;
  /** Longest time any command took, since it was last set to 0. */
  slowestMs = 0;
  stopped = false;
  readonly #fleet: MemberFleet;
  readonly #lanes: Promise<void>[];

  constructor(fleet: MemberFleet) {
    this.#fleet = fleet;
    this.#lanes = Array.from({ length: pairs }, (_, pair) => this.#lane(pair));
  }

  async #lane(pair: number): Promise<void> {
    for (let count = 0; !this.stopped; count += 1) {
      const command = commandOf(`relay/t/r${pair}`, { type: 'relay.send', to: `sink/t/s${pair}` });
      this.sent += 1;
      const startedMs = performance.now();
      const reply = await this.#answered(command, pair + count);
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs);
      this.answers.set(command.commandId, reply);
    }
  }

  /** As a client does: with the same key, through whichever controller is there. */
  async #answered(command: Command, first: number): Promise<Reply> {
    for (let at = first; ; at += 1) {
      const nodes = [...this.#fleet.members].filter(([, { child }]) => child.connected).map(([node]) => node);
      const asked = this.#fleet.ask(nodes[at % nodes.length] as string, command);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), askAgainMs)));
      const reply = await Promise.race([asked, late]);
      clearTimeout(timer);
      if (reply !== undefined) return reply;
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.#lanes);
  }

  /** Resolves when every pair has got some further answers. */
  async flows(commands = pairs * 4): Promise<void> {
    const wanted = this.answers.size + commands;
    await until(`${commands} further answers`, () => this.answers.size >= wanted, patienceMs);
  }
}

const owned = (...members: readonly Member[]): number => members.reduce((sum, { owns }) => sum + owns, 0);

test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  stage.fleet = new MemberFleet({ url: stage.redis.url, beatMs, silenceMs });
  const members = await Promise.all(['c1', 'c2', 'c3'].map((node) => stage.fleet.start(node)));
  const even = (): boolean => members.every(({ owns }) => owns >= Math.floor(shardCount / 3));
  await until('each has its share', () => even() && owned(...members) === shardCount, patienceMs);
  stage.load = new Load(stage.fleet);
});

test.after.each(async ({ redis, fleet, load }) => {
  await Promise.race([load.stop(), new Promise((resolve) => setTimeout(resolve, 2 * askAgainMs))]);
  await fleet.stop();
  await redis.remove();
});

/** Every command answered ok, and every sink has the numbers of its relay, once and in order. */
async function provedExact({ redis, load }: Stage): Promise<number> {
  await load.stop();
  assert.equal(
    [...load.answers.values()].filter(({ ok }) => !ok),
    [],
  );
  let total = 0;
  for (let pair = 0; pair < pairs; pair += 1) {
    const id = actorId(`sink/t/s${pair}`);
    const versions = Number(await redis.ask('HGET', keyOf(`relay/t/r${pair}`), 'version'));
    const expected = Array.from({ length: versions }, (_, index) => index + 1);
    let items: unknown;
    const arrived = async (): Promise<boolean> => {
      const text = (await redis.ask('HGET', keyOf(id), 'context')) as string | null;
      ({ items } = JSON.parse(text ?? '{"items":[]}') as { items: unknown });
      return (items as unknown[]).length >= versions;
    };
    await until(`${versions} items of ${id}`, arrived, patienceMs);
    assert.equal(items, expected, `${id}: lost, doubled or out of order`);
    total += versions;
  }
  assert.is(total, load.sent, 'every command stands once');
  return total;
}

const keyOf = (id: string): string => `ph:{${shardOf(actorId(id))}}:a:${id}`;

test('killed, stopped and continued, cut off, joined: nothing lost, nothing twice, order kept', async (stage) => {
  const { fleet, load } = stage;
  const [c2, c3] = ['c2', 'c3'].map((node) => fleet.members.get(node) as Member) as [Member, Member];
  await load.flows();

  load.slowestMs = 0;
  await fleet.end('c1', 'SIGKILL');
  await until('the others have all', () => owned(c2, c3) === shardCount, patienceMs);
  await load.flows(pairs * 8);
  console.log(`kill -9: the slowest command took ${load.slowestMs.toFixed(0)} ms (silence ${silenceMs} ms)`);

  load.slowestMs = 0;
  c2.child.kill('SIGSTOP');
  const before = c3.owns;
  await until('the last has all', () => c3.owns === shardCount && c3.owns > before, patienceMs);
  await load.flows();
  c2.child.kill('SIGCONT');
  await until('the stopped one knows that it is fenced', () => c2.owns < half, patienceMs);
  console.log(
    `SIGSTOP: the slowest command took ${load.slowestMs.toFixed(0)} ms; then ${c2.fenced} commits were fenced`,
  );
  await until('it gets its share again', () => c2.owns === half && c3.owns === half, patienceMs);
  await load.flows();

  fleet.cut('c2', 'c3');
  const shares = [c2.owns, c3.owns];
  const cutUntilMs = performance.now() + 2 * silenceMs;
  await until('the cut lasts', () => performance.now() > cutUntilMs);
  assert.equal([c2.owns, c3.owns], shares, 'a cut link alone takes nobody anything');
  fleet.heal();
  await load.flows();

  load.slowestMs = 0;
  const joined = await fleet.start('c4');
  await until('who joins gets a third', () => joined.owns >= Math.floor(shardCount / 3), patienceMs);
  await load.flows();
  console.log(`join: the slowest command took ${load.slowestMs.toFixed(0)} ms while a third of the shards moved`);
  const total = await provedExact(stage);
  console.log(`${total} commands and as many messages, ${fleet.again} of ${fleet.delivered} sent again in all`);
});

test('a controller is drained under load: handed over at once, and nothing is sent twice', async (stage) => {
  const { fleet, load } = stage;
  const c1 = fleet.members.get('c1') as Member;
  await load.flows();
  const again = fleet.again;
  load.slowestMs = 0;
  await fleet.end('c1', 'SIGTERM');
  await until('the others have all', () => {
    return owned(...['c2', 'c3'].map((node) => fleet.members.get(node) as Member)) === shardCount;
  });
  await load.flows();
  assert.is(fleet.again - again, 0, 'messages sent again');
  assert.is(c1.child.exitCode, 0);
  const drainedMs = c1.drainedMs ?? Number.NaN;
  // A tenth of a second on a machine that does nothing else; the bound only tells it from waiting.
  assert.ok(drainedMs < 5_000, `drained in ${drainedMs} ms`);
  console.log(`drain: ${drainedMs.toFixed(0)} ms; the slowest command took ${load.slowestMs.toFixed(0)} ms`);
  await provedExact(stage);
});

test.run();
