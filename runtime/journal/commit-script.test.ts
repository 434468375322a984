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
    const receipts = (await redis.hkeys(key('r:acme'))).filter((field) => field.startsWith(`${id}|`));
    assert.equal(receipts.toSorted(), model.receipts.map((commandId) => `${id}|${commandId}`).toSorted());
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

const limits = { receiptBytes: 20_000, receiptKeepMs: 1_000_000 };
const ulidAt = (ms: number): string =>
  [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    .map((place) => Math.floor(ms / 32 ** place) % 32)
    .reduce((text, digit) => text + '0123456789ABCDEFGHJKMNPQRSTVWXYZ'[digit], '') + 'AAAAAAAAAAAAAAAA';

/** The receipts of one scope in the shard of an actor, and what a commit of that actor with a command gives. */
async function receiptsOf(store: Store, id: ActorId) {
  const key = (what: string): string => store.keys.inShard(grantFor(id).shard, what);
  const { redis } = store.shared;
  await redis.set(key('o'), grantText(grantFor(id)));
  let version = 0;
  const write = async (changes: Partial<Commit>, wallMs: number): Promise<CommitOutcome['result'] | undefined> => {
    const groups = [{ actor: id, commits: [commitOf(id, version + 1, changes)] }];
    const { keys, args } = encodeBatch(groups, store.keys, wallMs, 0, false, limits);
    const [outcome] = decodeOutcomes(await runScript(redis, commitScript, keys, args), 1, 'primary');
    if (outcome?.result === 'committed') version += 1;
    return outcome?.result;
  };
  const scope = id.split('/')[1];
  return {
    answer: (commandId: string, wallMs: number) => write({ receipts: [receiptOf(commandId, version + 1)] }, wallMs),
    ask: (commandId: string, wallMs: number) => write({ unproven: [commandId] }, wallMs),
    bytes: async () => {
      const all = await Promise.all(['r', 'ro'].map((what) => redis.hgetall(key(`${what}:${scope}`))));
      return JSON.stringify(all).length;
    },
    knows: async (commandId: string) =>
      (await Promise.all(['r', 'ro'].map((what) => redis.hexists(key(`${what}:${scope}`), `${id}|${commandId}`)))).some(
        (found) => found === 1,
      ),
  };
}

test('receipts of a scope are bounded by their bytes, and a command older than a dropped one is refused', async ({
  store,
}) => {
  const id = actorId('vm/flood/receipts');
  const startMs = 1_800_000_000_000;
  const { answer, ask, bytes, knows } = await receiptsOf(store, id);
  const first = `alice:${ulidAt(startMs)}`;
  assert.is(await answer(first, startMs), 'committed');
  let most = 0;
  for (let turn = 1; turn <= 400; turn += 1) {
    await answer(`alice:${ulidAt(startMs + turn * 10)}`, startMs + turn * 10);
    most = Math.max(most, await bytes());
  }
  assert.ok(most < 2 * limits.receiptBytes, `${most} bytes`);
  assert.not.ok(await knows(first));
  const nowMs = startMs + 4_010;
  assert.is(await ask(first, nowMs), 'answered', 'it was applied, and its receipt is gone');
  assert.is(await ask(`alice:${ulidAt(startMs + 20)}`, nowMs), 'answered');
  assert.is(await ask(`alice:${ulidAt(startMs + 4_000)}`, nowMs), 'answered', 'its receipt is still there');
  assert.is(await ask(`alice:${ulidAt(startMs + 4_005)}`, nowMs), 'committed', 'it is younger than all dropped ones');
  assert.is(await ask('alice:no-time', nowMs), 'answered', 'it may be any of those that were dropped');
  assert.is(await ask(`alice:${startMs + 20}-x`, nowMs), 'answered');
  assert.is(await ask('alice:01a3185c-5014-7abc-8abc-0123456789ab', nowMs), 'answered');
});

test('a receipt stays for its time, then goes with a later one; keys without a time are taken again', async ({
  store,
}) => {
  const id = actorId('vm/calm/receipts');
  const startMs = 1_800_000_000_000;
  const { answer, ask, knows } = await receiptsOf(store, id);
  const keepMs = limits.receiptKeepMs;
  await answer('early', startMs);
  await answer('second', startMs + keepMs);
  assert.ok(await knows('early'), 'the first receipt of a generation ends it, and stays with it');
  await answer('third', startMs + 2 * keepMs);
  assert.not.ok(await knows('early'));
  assert.ok(await knows('second'));
  assert.is(await ask('second', startMs + 2 * keepMs), 'answered');
  assert.is(await ask('new', startMs + 2 * keepMs), 'committed');
  assert.is(await ask(`alice:${ulidAt(startMs)}`, startMs + 2 * keepMs), 'answered');
});

test('a clock of a client that is ahead does not let its command be applied twice', async ({ store }) => {
  const id = actorId('vm/ahead/receipts');
  const startMs = 1_800_000_000_000;
  const { answer, ask, knows } = await receiptsOf(store, id);
  const ahead = `alice:${ulidAt(startMs + 60_000)}`;
  await answer(ahead, startMs);
  for (let turn = 1; turn <= 400; turn += 1) await answer(`bob:${ulidAt(startMs + turn)}`, startMs + turn);
  assert.not.ok(await knows(ahead));
  assert.is(await ask(ahead, startMs + 401), 'answered');
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
