import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Command, Reply } from '../contract/envelope.ts';
import { actorId } from '../contract/identifiers.ts';
import type { RecordHead } from '../journal/record-decoding.ts';
import { TestRedis } from '../journal/redis-for-tests.ts';
import { shardOf } from '../journal/shard-placement.ts';
import { commandOf, said } from './host-for-tests.ts';
import { patienceMs } from '../contract/patience-for-tests.ts';

const program = join(import.meta.dirname, 'host-process-for-tests.ts');

interface Stage {
  redis: TestRedis;
  folder: string;
  children: ChildProcess[];
  epoch: number;
}

/** A node that can be killed; answers are collected by command id. */
interface Victim {
  readonly child: ChildProcess;
  readonly answers: Map<string, Reply>;
  send(command: Command): void;
  kill(): Promise<void>;
}

const test = suite<Stage>('host on the real journal');
const ids = ['relay/t/r', 'sink/t/s', 'oven/t/o', 'oven/t/late', 'counter/t/a'].map(actorId);

test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  stage.folder = await mkdtemp(join(tmpdir(), 'photon-hosting-test-'));
  stage.children = [];
  stage.epoch = 0;
});

test.after.each(async ({ redis, folder, children }) => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  await redis.remove();
  await rm(folder, { recursive: true, force: true });
});

async function start(stage: Stage): Promise<Victim> {
  stage.epoch += 1;
  const orders = {
    url: stage.redis.url,
    node: `n${stage.epoch}`,
    epoch: stage.epoch,
    folder: stage.folder,
    shards: [...new Set(ids.map(shardOf))],
  };
  const child = fork(program, [JSON.stringify(orders)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  stage.children.push(child);
  const answers = new Map<string, Reply>();
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (news: { ready?: true; commandId?: string; answer?: Reply }) => {
      if (news.ready === true) resolve();
      if (news.commandId !== undefined && news.answer !== undefined) answers.set(news.commandId, news.answer);
    });
    child.once('exit', () => reject(new Error('the node ended before it was ready')));
  });
  await ready;
  return {
    child,
    answers,
    send: (command) => void child.send(command),
    async kill() {
      child.kill('SIGKILL');
      if (child.signalCode === null) await once(child, 'exit');
    },
  };
}

async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + patienceMs();
  while (!(await check())) {
    if (performance.now() > endMs) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function field(stage: Stage, id: string, name: string): Promise<unknown> {
  const text = (await stage.redis.ask('HGET', `ph:{${shardOf(actorId(id))}}:a:${id}`, name)) as string | null;
  return text === null ? undefined : JSON.parse(text);
}

async function stateOf(stage: Stage, id: string): Promise<unknown> {
  return ((await field(stage, id, 'head')) as RecordHead | undefined)?.state;
}

const answered = async (node: Victim, command: Command): Promise<Reply> => {
  await until(`an answer to ${command.commandId}`, () => node.answers.has(command.commandId));
  return node.answers.get(command.commandId) as Reply;
};

test('killed three times under load: every command once, every message once and in order', async (stage) => {
  const total = 300;
  const commands = Array.from({ length: total }, () => commandOf('relay/t/r', { type: 'relay.send', to: 'sink/t/s' }));
  const replies = new Map<string, Reply>();
  for (const killAt of [40, 120, 200, total]) {
    const node = await start(stage);
    // Asked again also when it was answered: a receipt must say the same as before.
    for (const command of commands.slice(0, killAt + 60)) node.send(command);
    await until(`${killAt} answers`, () => node.answers.size >= Math.min(killAt, total));
    if (killAt < total) await node.kill();
    for (const [commandId, reply] of node.answers) {
      if (replies.has(commandId))
        assert.equal(reply, replies.get(commandId), `${commandId} was answered otherwise before`);
      replies.set(commandId, reply);
    }
  }
  const expected = Array.from({ length: total }, (_, index) => index + 1);
  assert.equal(
    [...replies.values()].map(({ version }) => version).toSorted((a, b) => a - b),
    expected,
  );
  const items = async (): Promise<unknown[]> =>
    ((await field(stage, 'sink/t/s', 'context')) as { items: unknown[] } | undefined)?.items ?? [];
  await until(`${total} items`, async () => (await items()).length >= total);
  assert.equal(await items(), expected);
  const outbox = `ph:{${shardOf(actorId('relay/t/r'))}}:q`;
  await until('an empty outbox', async () => (await stage.redis.ask('HLEN', outbox)) === 0);
});

test('effects, timers and deferred replies outlive the process that began them', async (stage) => {
  const order = commandOf('oven/t/o', { type: 'oven.bake', loaf: 'spelt' });
  const late = commandOf('oven/t/late', { type: 'oven.bake', loaf: 'never', patienceMs: 300 });
  const first = await start(stage);
  first.send(order);
  first.send(late);
  const bakes = async (): Promise<string> => {
    try {
      return await readFile(join(stage.folder, 'bakes'), 'utf8');
    } catch {
      return '';
    }
  };
  await until('both bakes', async () => /spelt first 1/.test(await bakes()) && /never first 1/.test(await bakes()));
  await first.kill();
  await new Promise((resolve) => setTimeout(resolve, 320));
  assert.is(await stateOf(stage, 'oven/t/late'), 'baking');
  const second = await start(stage);
  second.send(order);
  await until('the timer', async () => (await stateOf(stage, 'oven/t/late')) === 'burnt');
  await until('the bake again', async () => /spelt again 2/.test(await bakes()));
  assert.not(second.answers.has(order.commandId));
  await writeFile(join(stage.folder, 'spelt'), '');
  assert.is(said(await answered(second, order)), 'spelt');
  await second.kill();
  const third = await start(stage);
  third.send(order);
  assert.is(said(await answered(third, order)), 'spelt', 'from the receipt');
  assert.not(/3/.test(await bakes()), 'nothing is baked a third time');
});

test('a node that was paused while another took over emits nothing', async (stage) => {
  const first = await start(stage);
  const create = commandOf('counter/t/a', { type: 'counter.create', by: 1 });
  first.send(create);
  await answered(first, create);
  first.child.kill('SIGSTOP');
  const burst = commandOf('counter/t/a', { type: 'counter.burst' });
  const bake = commandOf('oven/t/o', { type: 'oven.bake', loaf: 'rye' });
  first.send(burst);
  first.send(bake);
  const second = await start(stage);
  const add = commandOf('counter/t/a', { type: 'counter.add', by: 10 });
  second.send(add);
  await answered(second, add);
  first.child.kill('SIGCONT');
  // It has seen the refusal when it answers nothing and owns nothing: a later command finds no owner either.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal([...first.answers.keys()], [create.commandId]);
  assert.equal(((await field(stage, 'counter/t/a', 'context')) as { total: number }).total, 11);
  assert.is(await stateOf(stage, 'oven/t/o'), undefined);
  assert.is(await stateOf(stage, 'sink/t/a'), undefined);
});

test('killed amid a redrive: each dead letter once; a quarantine is kept by the next owner', async (stage) => {
  const total = 300;
  const node = await start(stage);
  for (let sent = 0; sent < total; sent += 1)
    node.send(commandOf('relay/t/r', { type: 'relay.send', to: 'counter/t/a', as: 'counter.add' }));
  const stream = `ph:{${shardOf(actorId('counter/t/a'))}}:x`;
  const lying = async (): Promise<number> => (await stage.redis.ask('XLEN', stream)) as number;
  await until('all are dead letters', async () => (await lying()) === total);
  const create = commandOf('counter/t/a', { type: 'counter.create', by: 0 });
  node.send(create);
  await answered(node, create);
  const redrive = commandOf('counter/t/a', { type: 'actor.redrive', reason: 'it is there now' });
  node.send(redrive);
  await until('the first are gone', async () => (await lying()) < total);
  await node.kill();
  const next = await start(stage);
  const rest = commandOf('counter/t/a', { type: 'actor.redrive', reason: 'and the rest' });
  // The first again under its own id, then another for what one redrive leaves.
  for (const command of [redrive, rest]) {
    next.send(command);
    await answered(next, command);
  }
  assert.is(await lying(), 0);
  assert.is(((await field(stage, 'counter/t/a', 'context')) as { total: number }).total, total);
  const crash = commandOf('counter/t/a', { type: 'counter.crash' });
  next.send(crash);
  assert.is(said(await answered(next, crash)), 'chart_failed');
  await next.kill();
  const third = await start(stage);
  const add = commandOf('counter/t/a', { type: 'counter.add' });
  third.send(add);
  assert.is(said(await answered(third, add)), 'quarantined');
  const resume = commandOf('counter/t/a', { type: 'actor.resume', reason: 'mended' });
  const again = commandOf('counter/t/a', { type: 'counter.add' });
  third.send(resume);
  await answered(third, resume);
  third.send(again);
  assert.ok((await answered(third, again)).ok);
});

test('the store killed and started again: nothing lost, nothing twice', async (stage) => {
  const node = await start(stage);
  const commands = Array.from({ length: 120 }, () => commandOf('counter/t/a', { type: 'counter.add' }));
  const create = commandOf('counter/t/a', { type: 'counter.create', by: 0 });
  node.send(create);
  await answered(node, create);
  for (const [index, command] of commands.entries()) {
    node.send(command);
    if (index !== 60) continue;
    await until('some answers', () => node.answers.size > 20);
    await stage.redis.kill();
    await stage.redis.launch();
  }
  await until('all answers', () => node.answers.size === commands.length + 1);
  assert.is(((await field(stage, 'counter/t/a', 'context')) as { total: number }).total, 120);
});

test.run();
