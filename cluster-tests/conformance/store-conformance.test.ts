// servers: redis valkey
// test limit: 100 s
/**
 * Compares the simulated store with a real server: both get the same 10,000 random commands and 3,000 runs of our own
 * scripts, and replies and final contents must be equal. The simulation proves as much about the journal as this test
 * proves about the simulated store. Known differences, which are ignored here: the order within sets and hashes, old
 * entries of trimmed streams, the text after the code of an error.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Redis } from 'ioredis';
import { TestRedis } from '@photoncloud/runtime/journal/redis-for-tests';
import { Chance } from '../simulation/seeded-random.ts';
import { Keyspace, ReplyFault, StatusReply, type StoreReply } from '../simulation/store/keyspace.ts';
import { runCommand, runScriptText } from '../simulation/store/store-commands.ts';
import { randomCommand } from './random-commands.ts';
import { RandomScripts, type ScriptCall } from './random-commits.ts';

const perPipeline = 100;
const unordered = new Set(['hkeys', 'hvals', 'smembers']);

interface Stage {
  redis: TestRedis;
  client: Redis;
  space: Keyspace;
}

const test = suite<Stage>('the simulated store');

test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  stage.client = stage.redis.client();
  stage.space = new Keyspace();
});

test.after.each(async ({ redis, client }) => {
  client.disconnect();
  await redis.remove();
});

const errorCode = (error: Error): string => `error ${error.message.split(' ', 1)[0] ?? ''}`;

function plain(reply: StoreReply): unknown {
  if (reply instanceof StatusReply) return reply.text;
  return Array.isArray(reply) ? reply.map(plain) : reply;
}

/** The reply in an order that does not depend on the server, for replies without a defined order. */
function normalized(name: string, reply: unknown): unknown {
  if (!Array.isArray(reply)) return reply;
  const items = reply as string[];
  if (unordered.has(name)) return items.toSorted();
  if (name !== 'hgetall') return items;
  return items.flatMap((field, at) => (at % 2 === 0 ? [`${field}=${items[at + 1]}`] : [])).toSorted();
}

function simulated(run: () => StoreReply): unknown {
  try {
    return plain(run());
  } catch (error) {
    if (error instanceof ReplyFault) return errorCode(error);
    throw error;
  }
}

/** The replies as the server sent them, without the conversions of the client library. */
async function real(client: Redis, commands: readonly (readonly string[])[]): Promise<unknown[]> {
  const pipeline = client.pipeline();
  for (const [name = '', ...args] of commands) pipeline.call(name, ...args);
  const replies = (await pipeline.exec()) ?? [];
  return replies.map(([error, reply]) => (error === null ? flattened(reply) : errorCode(error)));
}

function flattened(reply: unknown): unknown {
  if (typeof reply !== 'object' || reply === null || Array.isArray(reply)) return reply;
  return Object.entries(reply).flat();
}

async function compareDumps({ client, space }: Stage): Promise<void> {
  const names = (await client.keys('*')).toSorted();
  assert.equal([...space.keys.keys()].toSorted(), names);
  const reads: Readonly<Record<string, (key: string) => string[]>> = {
    string: (key) => ['get', key],
    hash: (key) => ['hgetall', key],
    set: (key) => ['smembers', key],
    list: (key) => ['lrange', key, '0', '-1'],
    zset: (key) => ['zrangebyscore', key, '-inf', '+inf'],
    stream: (key) => ['xrevrange', key, '+', '-', 'COUNT', '8'],
  };
  for (const key of names) {
    const type = await client.type(key);
    const [name = '', ...args] = reads[type]?.(key) ?? [];
    const [theirs] = await real(client, [[name, ...args]]);
    const ours = simulated(() => runCommand({ space, wallMs: 0 }, name, args));
    assert.equal(normalized(name, ours), normalized(name, theirs), `${type} ${key}`);
  }
}

test('10,000 random commands have the same replies and the same final contents', async (stage) => {
  const chance = new Chance('conformance');
  for (let done = 0; done < 10_000; done += perPipeline) {
    const commands = Array.from({ length: perPipeline }, () => randomCommand(chance));
    const theirs = await real(stage.client, commands);
    for (const [at, [name = '', ...args]] of commands.entries()) {
      const ours = simulated(() => runCommand({ space: stage.space, wallMs: 0 }, name, args));
      const word = name.toLowerCase();
      assert.equal(normalized(word, ours), normalized(word, theirs[at]), [name, ...args].join(' '));
    }
  }
  await compareDumps(stage);
});

test('3,000 runs of our own scripts have the same replies and the same final contents', async (stage) => {
  const { client, space } = stage;
  const scripts = new RandomScripts(new Chance('scripts'), space);
  const answers = new Set<string>();
  for (let done = 0; done < 3_000; done += perPipeline) {
    const calls: ScriptCall[] = [];
    const ours: unknown[] = [];
    for (let at = 0; at < perPipeline; at += 1) {
      const call = scripts.next();
      calls.push(call);
      ours.push(simulated(() => runScriptText({ space, wallMs: 0 }, call.script.source, call.keys, call.args)));
    }
    const theirs = await real(client, calls.map(evalOf));
    for (const [at, { script, args }] of calls.entries()) {
      assert.equal(ours[at], theirs[at], `${script.name} ${args.slice(0, 30).join(' ')}`);
      for (const word of [ours[at]].flat()) {
        if (typeof word === 'number') answers.add(word > 0 ? 'committed' : String(word));
      }
    }
  }
  await compareDumps(stage);
  // Every possible answer of the script must occur, or the comparison would say nothing about it.
  for (const answer of ['committed', '-1', '-2', '-3', '-4'])
    assert.ok(answers.has(answer), `never answered ${answer}`);
});

const evalOf = ({ script, keys, args }: ScriptCall): string[] => [
  'eval',
  script.source,
  String(keys.length),
  ...keys,
  ...args,
];

test.run();
