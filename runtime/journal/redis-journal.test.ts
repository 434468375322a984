// servers: redis valkey
import { Redis } from 'ioredis';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PhotonError } from '../contract/errors.ts';
import { actorId } from '../contract/identifiers.ts';
import { answerOf, commitOf, grantFor, historyOf, deadLetterOf, messageOf, receiptOf } from './commit-for-tests.ts';
import { closeStage, openStage, own, type JournalStage } from './journal-for-tests.ts';
import { until } from './redis-for-tests.ts';

const test = suite<JournalStage>('redis journal');

async function assertFenced(work: Promise<unknown>): Promise<void> {
  const failure = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.is((failure as PhotonError | undefined)?.record.code, 'shard_fenced');
}

test.before(async (stage) => void Object.assign(stage, await openStage()));
test.after(closeStage);

test('a commit is stored whole and loaded back', async (stage) => {
  const id = actorId('vm/acme/first');
  await own(stage, grantFor(id));
  const effects = [{ effectId: `${id}#1.0`, type: 'tap.create', params: { a: 1 }, stateId: 'preparing' }];
  const timers = [{ timerId: 'xstate.after.slow', dueMs: 5_000, eventType: 'timed out' }];
  const outcome = await stage.journal.commit(
    commitOf(id, 1, {
      effects,
      timersSet: timers,
      timers,
      deferred: { c9: { digest: 'd9', durability: 'replicas' } },
      lastSeq: 3,
      watermarks: [{ sender: 'a/b/c~u', seq: 7, after: 0 }],
    }),
  );
  assert.equal(outcome, { result: 'committed', ordinal: 1, durability: 'primary' });
  assert.equal(await stage.journal.load(id), {
    id,
    uid: 'u1',
    status: 'live',
    version: 1,
    chartVersion: 1,
    schemaHash: 'schema',
    state: 'running',
    context: { count: 1 },
    effects,
    timers,
    deferred: { c9: { digest: 'd9', durability: 'replicas' } },
    lastSeq: 3,
    watermarks: { 'a/b/c~u': 7 },
    prunedUid: '',
  });
  const backlog = await stage.journal.backlog(grantFor(id));
  assert.equal(backlog.busy, [id]);
  assert.equal(backlog.timers, [{ actor: id, ...timers[0] }]);
  assert.equal(await stage.journal.load(actorId('vm/acme/none')), undefined);
});

test('a commit under another epoch, era or node is fenced, and listeners are called once', async (stage) => {
  const id = actorId('vm/acme/fenced');
  const fenced: string[] = [];
  stage.journal.onFenced((shard) => fenced.push(shard));
  await own(stage, grantFor(id, 'n1', 4));
  stage.journal.adopt(grantFor(id, 'n1', 3));
  for (const grant of [grantFor(id, 'n1', 3), grantFor(id, 'n2', 4), { ...grantFor(id, 'n1', 4), era: 2 }]) {
    assert.equal(await stage.journal.commit(commitOf(id, 1, { grant })), { result: 'fenced' });
  }
  assert.equal(fenced, [grantFor(id).shard]);
  assert.equal(await stage.journal.load(id), undefined);
});

test('a version that is not the expected one is a conflict', async (stage) => {
  const id = actorId('vm/acme/conflict');
  await own(stage, grantFor(id));
  assert.is((await stage.journal.commit(commitOf(id, 1))).result, 'committed');
  assert.equal(await stage.journal.commit(commitOf(id, 1)), { result: 'conflict', storedVersion: 1 });
  assert.equal(await stage.journal.commit(commitOf(id, 3)), { result: 'conflict', storedVersion: 1 });
});

test('an unproven command that has a receipt refuses its commit, and nothing of it is written', async (stage) => {
  const id = actorId('vm/acme/unproven');
  await own(stage, grantFor(id));
  const command = (commandId: string, version: number) =>
    commitOf(id, version, { unproven: [commandId], receipts: [receiptOf(commandId, version)] });
  const first = command('c1', 1);
  assert.is((await stage.journal.commit(first)).result, 'committed');
  assert.is((await stage.journal.commit(first)).result, 'committed', 'sent again it is the same commit');
  const outcomes = await Promise.all(
    [command('c2', 2), command('c1', 3), command('c3', 4)].map((one) => stage.journal.commit(one)),
  );
  assert.equal(
    outcomes.map(({ result }) => result),
    ['committed', 'answered', 'conflict'],
  );
  assert.equal(outcomes[1], { result: 'answered', commandId: 'c1' });
  assert.is((await stage.journal.load(id))?.version, 2);
  assert.is(answerOf(await stage.journal.receipt(id, 'c1'))?.version, 1);
  assert.is(await stage.journal.receipt(id, 'c3'), undefined);
});

test('history is trimmed every few versions, and also while the version does not change', async (stage) => {
  const id = actorId('vm/acme/long');
  await own(stage, grantFor(id));
  const kept = (): Promise<number> =>
    stage.store.shared.redis.xlen(stage.store.keys.inShard(grantFor(id).shard, `h:${id}`));
  const event = { type: 'x', text: 'x'.repeat(1_000) };
  for (let version = 1; version <= 40; version += 1)
    await stage.journal.commit(commitOf(id, version, { historyTail: 4, history: [{ ...historyOf(version), event }] }));
  assert.ok((await kept()) < 20, `${await kept()} of 40`);
  for (let times = 0; times < 40; times += 1)
    await stage.journal.commit(
      commitOf(id, 40, { expectedVersion: 40, historyTail: 4, history: [{ ...historyOf(40, 'ignored'), event }] }),
    );
  assert.ok((await kept()) < 20, `${await kept()} of 80`);
});

test('a repeated message is a duplicate, a missing one a gap, and both commits write nothing', async (stage) => {
  const id = actorId('vm/acme/marked');
  await own(stage, grantFor(id));
  const watermark = (seq: number, after: number) => ({ watermarks: [{ sender: 'net/acme/x~u1', seq, after }] });
  assert.is((await stage.journal.commit(commitOf(id, 1, watermark(4, 0)))).result, 'committed');
  assert.equal(await stage.journal.commit(commitOf(id, 2, watermark(4, 0))), {
    result: 'duplicate',
    sender: 'net/acme/x~u1',
  });
  assert.equal(await stage.journal.commit(commitOf(id, 2, watermark(9, 6))), {
    result: 'gap',
    sender: 'net/acme/x~u1',
  });
  const drained = [
    ...watermark(5, 4).watermarks,
    ...watermark(8, 5).watermarks,
    { sender: 'net/acme/y~u1', seq: 1, after: 0 },
  ];
  assert.is((await stage.journal.commit(commitOf(id, 2, { watermarks: drained }))).result, 'committed');
  assert.equal((await stage.journal.load(id))?.watermarks, { 'net/acme/x~u1': 8, 'net/acme/y~u1': 1 });
});

test('commits of one actor keep their order, and a refused commit refuses the later ones', async (stage) => {
  const id = actorId('vm/acme/ahead');
  await own(stage, grantFor(id));
  const good = await Promise.all(
    Array.from({ length: 100 }, (_, index) => stage.journal.commit(commitOf(id, index + 1))),
  );
  assert.ok(good.every((outcome) => outcome.result === 'committed'));
  const still = { expectedVersion: 100, history: [historyOf(100, 'ignored')] };
  const results = await Promise.all([
    stage.journal.commit(commitOf(id, 100, still)),
    stage.journal.commit(commitOf(id, 100, { ...still, watermarks: [{ sender: 's', seq: 2, after: 1 }] })),
    stage.journal.commit(commitOf(id, 100, still)),
    stage.journal.commit(commitOf(id, 101)),
  ]);
  assert.equal(
    results.map((outcome) => outcome.result),
    ['committed', 'gap', 'conflict', 'conflict'],
  );
  assert.is((await stage.journal.load(id))?.version, 100);
});

test('history entries of one version keep their order', async (stage) => {
  const id = actorId('vm/acme/past');
  await own(stage, grantFor(id));
  await stage.journal.commit(
    commitOf(id, 1, { history: [historyOf(0, 'dropped'), historyOf(0, 'rejected'), historyOf(1)] }),
  );
  await stage.journal.commit(commitOf(id, 1, { expectedVersion: 1, history: [historyOf(1, 'ignored')] }));
  const key = stage.store.keys.inShard(grantFor(id).shard, `h:${id}`);
  const entries = await stage.store.shared.redis.xrange(key, '-', '+');
  assert.equal(
    entries.map((entry) => entry[0]),
    ['0-1', '0-2', '1-0', '1-1'],
  );
});

/** Sends the pipelines that begin with this key command by command, and calls `before` before each. */
function slowPipelines(key: string, before: () => Promise<void>): () => void {
  const { pipeline } = Redis.prototype;
  Redis.prototype.pipeline = function (this: Redis, commands?: unknown[][]) {
    if (commands?.[0]?.[1] !== key) return pipeline.call(this, commands);
    const exec = async (): Promise<[null, unknown][]> => {
      const replies: [null, unknown][] = [];
      for (const [name, ...words] of commands as string[][]) {
        await before();
        replies.push([null, await this.call(name ?? '', words)]);
      }
      return replies;
    };
    return { exec } as unknown as ReturnType<typeof pipeline>;
  };
  return () => {
    Redis.prototype.pipeline = pipeline;
  };
}

test('a receipt that is forgotten while it is read is said to be forgotten, not absent', async (stage) => {
  const id = actorId('vm/acme/forgotten');
  const { store } = stage;
  const { redis } = store.shared;
  const key = (what: string): string => store.keys.inShard(grantFor(id).shard, `${what}:acme`);
  const commandId = `${Date.now()}-c`;
  const field = `${id}|${commandId}`;
  /** As the commit script does it when the newer receipts are full. */
  const turn = async (): Promise<void> => {
    const newest = await redis.hget(key('ro'), '.newest');
    await redis.rename(key('r'), key('ro'));
    await redis.hset(key('r'), '.newest', '0', ...(newest === null ? [] : ['.forgotten', newest]));
  };
  // However many reads come first: the receipts turn before the n-th.
  for (const at of [1, 2, 3, 4, 5, 6]) {
    for (const place of ['r', 'ro']) {
      await redis.del(key('r'), key('ro'));
      await redis.hset(key('r'), '.newest', '1');
      await redis.hset(key('ro'), '.newest', '1');
      await redis.hset(key(place), field, JSON.stringify(receiptOf(commandId, 1)), '.newest', String(Date.now() + 1));
      let reads = 0;
      const restore = slowPipelines(key('r'), async () => {
        reads += 1;
        if (reads === at) for (let turns = place === 'ro' ? 1 : 2; turns > 0; turns -= 1) await turn();
      });
      try {
        const receipt = await stage.journal.receipt(id, commandId);
        assert.ok(receipt !== undefined, `absent when the receipts turn before read ${at}, from ${place}`);
      } finally {
        restore();
      }
    }
  }
});

test('receipts, outbox, rows and dead letters are written and removed by commits', async (stage) => {
  const id = actorId('vm/acme/busy');
  const to = actorId('net/acme/to');
  const grant = grantFor(id);
  await own(stage, grant);
  await stage.journal.commit(
    commitOf(id, 1, {
      receipts: [receiptOf('cmd-1', 1)],
      messages: [messageOf(id, to, 1), messageOf(id, to, 2, 1), messageOf(id, to, 10, 2)],
      rowsPut: [{ collection: 'ports', key: 'p1', value: '{"mac":"m"}' }],
      deadLetters: [deadLetterOf('l1'), deadLetterOf('l2')],
    }),
  );
  const receipt = receiptOf('cmd-1', 1);
  const reply = { ...receipt.reply, durability: 'fsync' };
  assert.equal(await stage.journal.receipt(id, 'cmd-1'), { ...receipt, reply });
  assert.is(await stage.journal.receipt(id, 'cmd-2'), undefined);
  const asked = [
    { collection: 'ports', key: 'p1' },
    { collection: 'ports', key: 'p2' },
    { collection: 'free', key: 'x' },
  ];
  assert.equal(await stage.journal.loadRows(id, asked), {
    'ports/p1': { mac: 'm' },
    'ports/p2': null,
    'free/x': null,
  });
  const seqs = async () =>
    (await stage.journal.backlog(grant)).outbox.filter((row) => row.from === id).map((row) => row.seq);
  assert.equal(await seqs(), [1, 2, 10]);
  await stage.journal.commit(commitOf(id, 2, { ackedSeqs: [1], rowsRemoved: [{ collection: 'ports', key: 'p1' }] }));
  assert.equal(await seqs(), [2, 10]);
  assert.equal(await stage.journal.loadRows(id, asked.slice(0, 1)), { 'ports/p1': null });
  await stage.journal.forgetMessages(grant, [{ from: id, seq: 2 }]);
  assert.equal(await seqs(), [10]);
  const [first, second] = await stage.journal.deadLetters(id);
  assert.equal(first, { ...deadLetterOf('l1'), actor: id, place: first?.place });
  await stage.journal.commit(commitOf(id, 3, { deadLettersGone: [first?.place ?? ''] }));
  assert.equal(await stage.journal.deadLetters(id), [second]);
  assert.equal(await stage.journal.deadLetters(to), []);
});

test('a hold is stored with the actor and removed by the commit that ends it', async (stage) => {
  const id = actorId('vm/acme/held');
  await own(stage, grantFor(id));
  const hold = { kind: 'quarantined', reason: 'chart_failed: x', at: 5, by: 'host', deadLetterId: 'l1' } as const;
  await stage.journal.commit(commitOf(id, 1, { hold }));
  assert.equal((await stage.journal.load(id))?.hold, hold);
  await stage.journal.commit(commitOf(id, 2));
  assert.is((await stage.journal.load(id))?.hold, undefined);
});

test('a removed actor leaves the index, loses its rows, and keeps its version for a successor', async (stage) => {
  const id = actorId('net/acme/gone');
  await own(stage, grantFor(id));
  const { keys, shared } = stage.store;
  await stage.journal.commit(commitOf(id, 1, { rowsPut: [{ collection: 'ports', key: 'p', value: '1' }] }));
  assert.is(await shared.redis.sismember(keys.inShard(grantFor(id).shard, 'i'), id), 1);
  await stage.journal.commit(commitOf(id, 2, { status: 'removed' }));
  assert.is(await shared.redis.sismember(keys.inShard(grantFor(id).shard, 'i'), id), 0);
  assert.equal(await stage.journal.loadRows(id, [{ collection: 'ports', key: 'p' }]), { 'ports/p': null });
  assert.is((await stage.journal.load(id))?.status, 'removed');
  assert.is((await stage.journal.commit(commitOf(id, 3, { uid: 'u2' }))).result, 'committed');
});

test('a commit with a foreign grant, a decreasing version or unordered history is never sent', async (stage) => {
  const id = actorId('vm/acme/wrong');
  const other = { ...grantFor(id), shard: grantFor(actorId('vm/acme/w@h1')).shard };
  for (const wrong of [{ grant: other }, { version: 0, expectedVersion: 1 }, { history: [historyOf(9)] }]) {
    await stage.journal.commit(commitOf(id, 1, wrong)).then(
      () => assert.unreachable(),
      (error: { record: { code: string } }) => assert.is(error.record.code, 'commit_malformed'),
    );
  }
});

test('scripts are loaded again after SCRIPT FLUSH', async (stage) => {
  const id = actorId('vm/acme/flush');
  await own(stage, grantFor(id));
  await stage.redis.ask('SCRIPT', 'FLUSH');
  assert.is((await stage.journal.commit(commitOf(id, 1))).result, 'committed');
});

test('a commit waits while the store refuses writes, and the log says what to do', async (stage) => {
  const id = actorId('vm/acme/full');
  await own(stage, grantFor(id));
  await stage.redis.ask('CONFIG', 'SET', 'maxmemory', '1');
  const pending = stage.journal.commit(commitOf(id, 1));
  await until('the log says what to do', () => stage.log.lines.some((line) => line.includes('maxmemory')));
  await stage.redis.ask('CONFIG', 'SET', 'maxmemory', '0');
  assert.is((await pending).result, 'committed');
});

test('only the owner gets a backlog: its claim may have been lost with a replaced primary', async (stage) => {
  const grant = grantFor(actorId('vm/acme/claimed'));
  await own(stage, grant);
  await stage.journal.backlog(grant);
  const key = stage.store.keys.inShard(grant.shard, 'o');
  const before = await stage.store.shared.redis.getdel(key);
  await assertFenced(stage.journal.backlog(grant));
  await stage.store.shared.redis.set(key, before ?? '');
  await stage.journal.backlog(grant);
});

test.run();
