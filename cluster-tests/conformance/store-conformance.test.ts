// servers: redis valkey
// time limit: 120 s
// test limit: 100 s
/**
 * Holds the simulated store to the real one: the same 10,000 random commands and 3,000 runs of our own scripts on
 * both, replies and dumps equal. What the simulation says about the journal is worth as much as this. Known
 * differences: order within sets and hashes, old entries of trimmed streams, wording behind the code of an error.
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

/** In a form that does not depend on the order of what has none. */
function settled(name: string, reply: unknown): unknown {
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

/** As the wire has it: without what the client library makes of some replies. */
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
    assert.equal(settled(name, ours), settled(name, theirs), `${type} ${key}`);
  }
}

test('answers 10,000 random commands as the real one, and holds the same in the end', async (stage) => {
  const chance = new Chance('conformance');
  for (let done = 0; done < 10_000; done += perPipeline) {
    const commands = Array.from({ length: perPipeline }, () => randomCommand(chance));
    const theirs = await real(stage.client, commands);
    for (const [at, [name = '', ...args]] of commands.entries()) {
      const ours = simulated(() => runCommand({ space: stage.space, wallMs: 0 }, name, args));
      const word = name.toLowerCase();
      assert.equal(settled(word, ours), settled(word, theirs[at]), [name, ...args].join(' '));
    }
  }
  await compareDumps(stage);
});

test('runs our own scripts as the real one does', async (stage) => {
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
  // Every answer the script has was given: else the comparison says nothing about it.
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
