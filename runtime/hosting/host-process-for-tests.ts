/**
 * Test support: a host in a process of its own on the real journal, to be killed. Never used in production. Argument:
 * JSON {url, node, epoch, folder}. It owns every shard at that epoch. The parent sends commands over IPC and gets
 * `{commandId, answer}`; a loaf is baked when the parent has put a file of its name into the folder, and every bake
 * is a line of `bakes` there.
 */
import { access, appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from '../contract/envelope.ts';
import type { ShardId } from '../contract/identifiers.ts';
import { done } from '../contract/outcome.ts';
import { createJournal } from '../journal/redis-journal.ts';
import { connectStore } from '../journal/store-connection.ts';
import { grantText } from '../journal/store-keys.ts';
import { testLog as log } from './host-for-tests.ts';
import { createHost } from './host.ts';
import { plainRegistry } from './kinds-for-tests.ts';
import { nextRelease } from './release-for-tests.ts';
import { systemClock as clock } from './system-clock.ts';
import { createSystemRandom } from './system-random.ts';

interface Orders {
  readonly url: string;
  readonly node: string;
  readonly epoch: number;
  readonly folder: string;
  readonly shards: readonly ShardId[];
  /** Of the program: 2 has newer charts, 1 is the default. */
  readonly release?: number;
}

const { url, node, epoch, folder, shards, release = 1 } = JSON.parse(process.argv[2] ?? '{}') as Orders;

async function baked(loaf: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await access(join(folder, loaf));
      return;
    } catch (failure) {
      if (signal.aborted) throw failure;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

const store = await connectStore({ url, clock, log });
const journal = createJournal({ store, clock, log });
const registry = plainRegistry(async ({ loaf }, { signal, recovered, fence }) => {
  await appendFile(join(folder, 'bakes'), `${loaf} ${recovered ? 'again' : 'first'} ${fence.ownerEpoch}\n`);
  await baked(loaf, signal);
  return done({ loaf });
});
const host = createHost({
  registry: release === 1 ? registry : nextRelease(registry),
  journal,
  directory: { ownerOf: () => node, refresh: async () => {} },
  outlet: { deliver: () => Promise.reject(new Error('alone')), command: () => Promise.reject(new Error('alone')) },
  nodeName: node,
  clock,
  random: createSystemRandom(),
  log,
  limits: { mailboxDepth: 1000, outboxDepth: 1000 },
});

for (const shard of shards) {
  const grant = { shard, node, era: 1, ownerEpoch: epoch };
  await store.shared.redis.set(store.keys.inShard(shard, 'o'), grantText(grant));
  journal.adopt(grant);
  await host.grant(grant);
}

process.on('message', (command: Command) => {
  void host.ask(command).then((answer) => process.send?.({ commandId: command.commandId, answer }));
});
process.on('disconnect', () => process.exit(0));
process.send?.({ ready: true });
