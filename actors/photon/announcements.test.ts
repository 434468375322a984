/** What a node tells an actor that is held: the node goes on, and the newest arrives when the actor is resumed. */
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import { ask, ownerOn, said, stored, testLog, until } from '@photoncloud/runtime/hosting/host-for-tests';
import { plainRegistry } from '@photoncloud/runtime/hosting/kinds-for-tests';
import { MemoryJournal } from '@photoncloud/runtime/hosting/memory-journal';
import { TestRedis } from '@photoncloud/runtime/journal/redis-for-tests';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Announcements } from './announcements.ts';
import { TestProgram } from './program-for-tests.ts';

const id = 'counter/t/a' as ActorId;
const add = (by: number) => ({ type: 'counter.add', by });

test('an actor that is held is told the newest when it is resumed, and whoever tells it goes on', async () => {
  const journal = new MemoryJournal();
  const host = await ownerOn(journal, { registry: plainRegistry() });
  const verb = async (name: string): Promise<unknown> =>
    said(await ask(host, id, { type: `actor.${name}`, reason: 'a test says so' }, { principal: 'root' }));
  const announcements = new Announcements(systemClock, testLog);
  const count = (): unknown => stored(journal, id)?.['total'];

  await ask(host, id, { type: 'counter.create', by: 0 });
  await announcements.tell(host, id, add(1));
  assert.is(count(), 1);
  await verb('pause');
  await announcements.tell(host, id, add(10));
  await announcements.tell(host, id, add(100));
  assert.is(count(), 1);
  await verb('resume');
  await until('it has the newest', () => count() === 101);
  // Longer than the pause between two tries.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.is(count(), 101);
  await host.drain();
});

test('a controller starts while the actor of its cluster is paused, and the operator can resume it', async () => {
  const redis = await TestRedis.start();
  let program: TestProgram | undefined;
  try {
    program = await TestProgram.start(redis.url, ['c1']);
    const hold = { id: 'cluster/system/main', reason: 'a test says so' };
    await (await program.session('c1')).call('actor.pause', { ...hold, idempotencyKey: 'pause' });
    await program.kill('c1');
    await program.launch('c1');
    await (await program.session('c1')).call('actor.resume', { ...hold, idempotencyKey: 'resume' });
  } finally {
    await program?.remove();
    await redis.remove();
  }
});

test.run();
