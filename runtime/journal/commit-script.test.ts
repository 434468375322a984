// servers: redis valkey
/** The commit script compared with a small model: random commits, every batch sent twice as after a lost reply. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import type { Commit, CommitOutcome } from '../contract/journal.ts';
import { decodeOutcomes, encodeBatch, type CommitGroup } from './commit-encoding.ts';
import { commitOf, grantFor, historyOf, messageOf, receiptOf } from './commit-for-tests.ts';
import { createJournal } from './redis-journal.ts';
import { processClock as clock, recordedLog, TestRedis } from './redis-for-tests.ts';
import { commitScript } from './script-library.ts';
import { connectStore, runScript, type Store } from './store-connection.ts';
import { grantText } from './store-keys.ts';

interface Stage {
  redis: TestRedis;
  store: Store;
}

interface Request {
  readonly actor: number;
  readonly advances: boolean;
  readonly wrongVersion: boolean;
  readonly stale: boolean;
  readonly watermark: { readonly sender: string; readonly seq: number; readonly after: number } | null;
  readonly timer: { readonly set: boolean; readonly id: number } | null;
  readonly row: { readonly put: boolean; readonly key: number } | null;
  readonly busy: boolean;
  readonly removed: boolean;
  /** Number of a command whose receipt the script must look up. */
  readonly asked: number | null;
}

/** The expected stored state of one actor. */
interface ModelActor {
  version: number;
  entries: number;
  busy: boolean;
  removed: boolean;
  sent: number[];
  watermarks: Record<string, number>;
  timers: Set<string>;
  rows: Set<string>;
  receipts: string[];
}

const requests: fc.Arbitrary<Request> = fc.record({
  actor: fc.nat(2),
  advances: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
  wrongVersion: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  stale: fc.integer({ min: 0, max: 14 }).map((n) => n === 0),
  watermark: fc.option(
    fc.record({
      sender: fc.constantFrom('a/b/c~1', 'a/b/d~1'),
      seq: fc.integer({ min: 1, max: 8 }),
      after: fc.nat(4),
    }),
  ),
  timer: fc.option(fc.record({ set: fc.boolean(), id: fc.nat(2) })),
  row: fc.option(fc.record({ put: fc.boolean(), key: fc.nat(3) })),
  busy: fc.boolean(),
  removed: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  asked: fc.option(fc.nat(20), { freq: 3 }),
});

const test = suite<Stage>('commit script');
let round = 0;

test.before(async (stage) => {
  stage.redis = await TestRedis.start(['--appendfsync', 'no']);
  const log = recordedLog();
  stage.store = await connectStore({ url: stage.redis.url, clock, log });
});

test.after(async ({ redis, store }) => {
  store.close();
  await redis.remove();
});

function commitFor(id: ActorId, request: Request, expected: number, serial: number): Commit {
  const before = request.wrongVersion ? expected + 1 : expected;
  const version = before + (request.advances || before === 0 ? 1 : 0);
  const row = { collection: 'rows', key: `k${request.row?.key}` };
  const timer = { timerId: `t${request.timer?.id}`, dueMs: 5, eventType: 'due' };
  return commitOf(id, version, {
    expectedVersion: before,
    grant: grantFor(id, 'n1', request.stale ? 1 : 2),
    history: [historyOf(version)],
    historyTail: 10_000,
    watermarks: request.watermark === null ? [] : [request.watermark],
    messages: [messageOf(id, id, serial)],
    receipts: [receiptOf(`c${serial}`, version)],
    unproven: [`c${request.asked ?? serial}`],
    effects: request.busy ? [{ effectId: `${id}#1`, type: 'x', params: {}, stateId: 's' }] : [],
    timersSet: request.timer?.set === true ? [timer] : [],
    timersCancelled: request.timer?.set === false ? [timer.timerId] : [],
    rowsPut: request.row?.put === true ? [{ ...row, value: '1' }] : [],
    rowsRemoved: request.row?.put === false ? [row] : [],
    status: request.removed ? 'removed' : 'live',
  });
}

const newActor = (): ModelActor => ({
  version: 0,
  entries: 0,
  busy: false,
  removed: true,
  sent: [],
  watermarks: {},
  timers: new Set(),
  rows: new Set(),
  receipts: [],
});

function refusalOf(model: ModelActor, commit: Commit): CommitOutcome | undefined {
  if (commit.grant.ownerEpoch !== 2) return { result: 'fenced' };
  if (commit.expectedVersion !== model.version) return { result: 'conflict', storedVersion: model.version };
  for (const { sender, seq, after } of commit.watermarks) {
    if (seq <= (model.watermarks[sender] ?? 0)) return { result: 'duplicate', sender };
    if (after > (model.watermarks[sender] ?? 0)) return { result: 'gap', sender };
  }
  const commandId = commit.unproven.find((one) => model.receipts.includes(one));
  if (commandId !== undefined) return { result: 'answered', commandId };
  return undefined;
}

function apply(model: ModelActor, commit: Commit): void {
  model.version = commit.version;
  model.entries += 1;
  model.removed = commit.status === 'removed';
  model.busy = !model.removed && commit.effects.length > 0;
  for (const watermark of commit.watermarks) model.watermarks[watermark.sender] = watermark.seq;
  for (const message of commit.messages) model.sent.push(message.seq);
  for (const receipt of commit.receipts) model.receipts.push(receipt.commandId);
  for (const timerId of commit.timersCancelled) model.timers.delete(timerId);
  for (const timer of commit.timersSet) model.timers.add(timer.timerId);
  for (const row of commit.rowsRemoved) model.rows.delete(row.key);
  for (const row of commit.rowsPut) model.rows.add(row.key);
  if (model.removed) model.rows.clear();
}

function expectedOf(model: ModelActor, group: CommitGroup): readonly CommitOutcome['result'][] {
  let failed = false;
  return group.commits.map((commit) => {
    // The script checks the fence first; commits behind a refused one of the batch are conflicts.
    const refusal = refusalOf(model, commit);
    if (failed) return refusal?.result === 'fenced' ? 'fenced' : 'conflict';
    if (refusal !== undefined) {
      failed = true;
      return refusal.result;
    }
    apply(model, commit);
    return 'committed';
  });
}

async function send(store: Store, groups: readonly CommitGroup[]): Promise<readonly CommitOutcome[]> {
  const { keys, args } = encodeBatch(groups, store.keys, 1_000);
  const count = groups.reduce((sum, group) => sum + group.commits.length, 0);
  return decodeOutcomes(await runScript(store.shared.redis, commitScript, keys, args), count, 'primary');
}

async function compare(store: Store, id: ActorId, model: ModelActor): Promise<void> {
  const journal = createJournal({ store, clock, log: recordedLog() });
  try {
    const stored = await journal.load(id);
    assert.is(stored?.version ?? 0, model.version);
    assert.equal(stored?.watermarks ?? {}, model.watermarks);
    const { outbox, timers, busy } = await journal.backlog(grantFor(id, 'n1', 2));
    const mine = outbox.filter((message) => message.from === id);
    assert.equal(
      mine.map((message) => message.seq),
      model.sent,
    );
    assert.equal(
      timers
        .filter((timer) => timer.actor === id)
        .map((timer) => timer.timerId)
        .sort(),
      [...model.timers].sort(),
    );
    assert.is(busy.includes(id), model.busy);
    const key = (what: string): string => store.keys.inShard(grantFor(id).shard, what);
    const { redis } = store.shared;
    assert.equal((await redis.hkeys(key(`c:${id}:rows`))).sort(), [...model.rows].sort());
    assert.equal(
      await redis.lrange(key(`rz:${id}`), 0, -1),
      model.receipts.map((commandId) => `1000|${commandId}`),
    );
    assert.is(await redis.hlen(key(`r:${id}`)), model.receipts.length);
    assert.is(await redis.xlen(key(`h:${id}`)), model.entries);
    assert.is(await redis.sismember(key('i'), id), model.removed ? 0 : 1);
  } finally {
    journal.close();
  }
}

async function checkRound(store: Store, batches: readonly (readonly Request[])[]): Promise<void> {
  round += 1;
  const ids = [0, 1, 2].map((index) => actorId(`vm/acme/r${round}-${index}`));
  for (const id of ids) {
    await store.shared.redis.set(store.keys.inShard(grantFor(id).shard, 'o'), grantText(grantFor(id, 'n1', 2)));
  }
  const models = ids.map(newActor);
  let serial = 0;
  for (const batch of batches) {
    const groups = ids.map((id, index): CommitGroup => {
      // As hosting does, each commit expects the version that the one before it would leave.
      let expected = (models[index] as ModelActor).version;
      const commits = batch
        .filter((request) => request.actor === index)
        .map((request) => {
          serial += 1;
          const commit = commitFor(id, request, expected, serial);
          expected = commit.version;
          return commit;
        });
      return { actor: id, commits };
    });
    const present = groups.filter((group) => group.commits.length > 0);
    const results = async () => (await send(store, present)).map((outcome) => outcome.result);
    const wanted = groups.flatMap((group, index) => expectedOf(models[index] as ModelActor, group));
    assert.equal(await results(), wanted);
    assert.equal(await results(), wanted, 'a resend is answered as the first time');
  }
  for (const [index, id] of ids.entries()) await compare(store, id, models[index] as ModelActor);
}

test('random batches, each sent twice, leave the store as the model predicts', async ({ store }) => {
  const seed = Number(process.env['PHOTON_SEED'] ?? Date.now() % 1_000_000_000);
  console.log(`seed ${seed} (PHOTON_SEED=${seed} repeats it)`);
  const batches = fc.array(fc.array(requests, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 8 });
  const property = fc.asyncProperty(batches, (each) => checkRound(store, each));
  await fc.assert(property, { seed, numRuns: 60, includeErrorInReport: true });
});

test('old receipts are dropped a few at a time, and the newest 1,024 stay whatever their age', async ({ store }) => {
  const id = actorId('vm/acme/receipts');
  await store.shared.redis.set(store.keys.inShard(grantFor(id).shard, 'o'), grantText(grantFor(id)));
  const day = 24 * 3_600_000;
  const write = async (version: number, from: number, count: number, wallMs: number): Promise<void> => {
    const receipts = Array.from({ length: count }, (_, index) => receiptOf(`c${from + index}`, version));
    const { keys, args } = encodeBatch(
      [{ actor: id, commits: [commitOf(id, version, { receipts })] }],
      store.keys,
      wallMs,
    );
    await runScript(store.shared.redis, commitScript, keys, args);
  };
  const held = () => store.shared.redis.hlen(store.keys.inShard(grantFor(id).shard, `r:${id}`));
  await write(1, 0, 1_100, day);
  assert.is(await held(), 1_100, 'receipts younger than a day stay, however many');
  await write(2, 2_000, 1, 2 * day + 1);
  assert.is(await held(), 1_097, 'one was added, four were dropped');
  await write(3, 3_000, 200, 2 * day + 2);
  assert.is(await held(), 1_024);
  await write(4, 3_000, 1, 2 * day + 3);
  assert.is(await held(), 1_024, 'a receipt that is written again is not counted twice');
});

test('a commit with more watermarks, rows and messages than one redis.call can take is applied', async ({ store }) => {
  const id = actorId('vm/acme/large');
  await store.shared.redis.set(store.keys.inShard(grantFor(id).shard, 'o'), grantText(grantFor(id)));
  const watermarks = Array.from({ length: 5_000 }, (_, index) => ({ sender: `a/b/s${index}~u`, seq: 1, after: 0 }));
  const rowsPut = Array.from({ length: 9_000 }, (_, index) => ({ collection: 'rows', key: `k${index}`, value: '1' }));
  const messages = Array.from({ length: 5_000 }, (_, index) => messageOf(id, id, index + 1));
  const [outcome] = await send(store, [{ actor: id, commits: [commitOf(id, 1, { watermarks, rowsPut, messages })] }]);
  assert.is(outcome?.result, 'committed');
  const key = (what: string): string => store.keys.inShard(grantFor(id).shard, what);
  assert.is(await store.shared.redis.hlen(key(`c:${id}:rows`)), 9_000);
  const outbox = await store.shared.redis.hkeys(key('q'));
  assert.is(outbox.filter((field) => field.startsWith(`${id}|`)).length, 5_000);
  const [again] = await send(store, [
    { actor: id, commits: [commitOf(id, 2, { watermarks: watermarks.slice(0, 3) })] },
  ]);
  assert.equal(again, { result: 'duplicate', sender: 'a/b/s0~u' });
});

test.run();
