/**
 * Test support: fifty actors that commit turn after turn while the store fails, and a check that each turn was applied
 * exactly once. Used by the tests that kill the store or make it refuse. Never used outside of tests.
 */
import * as assert from 'uvu/assert';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import { commitOf, grantFor, historyOf, messageOf, receiptOf } from './commit-for-tests.ts';
import type { RedisJournal } from './redis-journal.ts';
import { scopeOf } from './store-keys.ts';
import type { Store } from './store-connection.ts';

export const actors = Array.from({ length: 50 }, (_, index) => actorId(`vm/acme/crash-${index}`));
export const turns = 40;

/** Even turns advance the version; odd ones record a no-op at the same version, which is harder to resend correctly. */
export async function commitTurns(
  journal: RedisJournal,
  id: ActorId,
  ahead: number,
  acknowledged: () => void,
): Promise<void> {
  for (let turn = 0; turn < turns; turn += ahead) {
    const some = Array.from({ length: ahead }, (_, step) => {
      const now = turn + step;
      const version = Math.floor(now / 2) + 1;
      const noop = now % 2 === 1;
      return journal.commit(
        commitOf(id, version, {
          expectedVersion: noop ? version : version - 1,
          historyTail: 10_000,
          history: [{ ...historyOf(version, noop ? 'ignored' : 'transition'), cause: `turn:${now}` }],
          watermarks: [{ sender: 'a/b/c~u1', seq: now + 1, after: now }],
          messages: [messageOf(id, id, now + 1, now)],
          receipts: [receiptOf(`turn-${now}`, version)],
          durability: journal.durability.default,
        }),
      );
    });
    for (const outcome of await Promise.all(some)) {
      assert.is(outcome.result, 'committed');
      acknowledged();
    }
  }
}

/** @throws unless every turn of every actor is in the store once and in order */
export async function checkAll(store: Store): Promise<void> {
  await store.shared.whenReady();
  let ordinals = 0;
  for (const shard of new Set(actors.map((id) => grantFor(id).shard))) {
    ordinals += await store.shared.redis.xlen(store.keys.inShard(shard, 'f'));
  }
  assert.is(ordinals, actors.length * turns, 'one feed entry per commit');
  for (const id of actors) {
    const key = (what: string): string => store.keys.inShard(grantFor(id).shard, `${what}:${id}`);
    const entries = await store.shared.redis.xrange(key('h'), '-', '+');
    const causes = entries.map(([, fields]) => (JSON.parse(fields[1] as string) as { cause: string }).cause);
    assert.equal(
      causes,
      Array.from({ length: turns }, (_, turn) => `turn:${turn}`),
      'every turn once and in order',
    );
    assert.is(await store.shared.redis.hget(key('a'), 'version'), String(turns / 2));
    const receipts = await store.shared.redis.hkeys(store.keys.inShard(grantFor(id).shard, `r:${scopeOf(id)}`));
    assert.is(receipts.filter((field) => field.startsWith(`${id}|`)).length, turns);
  }
}
