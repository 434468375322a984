// servers: redis valkey
/** When a receiver may prune the watermark of a sender, and how it asks: `endedSequences` and `isOutstanding`. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import { actorId } from '../contract/identifiers.ts';
import type { Commit } from '../contract/journal.ts';
import { commitOf, grantFor, messageOf } from './commit-for-tests.ts';
import { closeStage, openStage, own, type JournalStage } from './journal-for-tests.ts';
import { shardOf } from './shard-placement.ts';

const test = suite<JournalStage>('ends of senders');
const receiver = actorId('network/acme/net');
const oldUid = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
const newUid = '01BX5ZZKBKACTAV9WEVGEMMVRZ';
/** The time in the ULID of the second uid. */
const newUidMs = 1_508_808_576_371;

test.before(async (stage) => void Object.assign(stage, await openStage()));
test.after(closeStage);

async function commit(stage: JournalStage, text: string, version: number, changes: Partial<Commit>): Promise<string> {
  const id = actorId(text);
  if (version === 1) await own(stage, grantFor(id));
  assert.is((await stage.journal.commit(commitOf(id, version, changes))).result, 'committed');
  return `${text}~${changes.uid}`;
}

const ended = (stage: JournalStage, watermarks: readonly string[], beforeMs = Infinity): Promise<readonly string[]> =>
  stage.journal.endedSequences(watermarks, beforeMs);

test('a sender uid has ended when its actor was removed or has a newer uid, and not before', async (stage) => {
  const live = await commit(stage, 'port/acme/live', 1, { uid: oldUid });
  const removed = await commit(stage, 'port/acme/removed', 1, { uid: oldUid, status: 'removed' });
  const again = await commit(stage, 'port/acme/again', 1, { uid: newUid });
  const former = `port/acme/again~${oldUid}`;
  const inEra = `${removed}~3`;
  const watermarks = [live, removed, again, former, inEra, `port/acme/never~${oldUid}`];
  assert.equal([...(await ended(stage, watermarks))].toSorted(), [former, inEra, removed].toSorted());
  assert.equal(await ended(stage, [removed], 1), [], 'not for long enough');
  assert.equal(await ended(stage, [former], newUidMs), []);
  assert.equal(await ended(stage, [former], newUidMs + 1), [former]);
});

test('the end of a former uid is told by the next uid that is known', async (stage) => {
  const newest = '01HZZZZZZZKBACTAV9WEVGEMMV';
  const again = (uid: string): string => `port/acme/cycled~${uid}`;
  await commit(stage, 'port/acme/cycled', 1, { uid: newest });
  const watermarks = [oldUid, newUid, newest].map(again);
  assert.equal(await ended(stage, watermarks, newUidMs + 1), [again(oldUid)]);
  assert.equal(await ended(stage, watermarks.slice(0, 1), newUidMs + 1), [], 'nothing tells when it ended');
});

test('a sender uid with a message in the outbox has not ended, whatever other uids have sent', async (stage) => {
  const from = actorId('port/acme/sender');
  const message = { ...messageOf(from, receiver, 1), senderUid: oldUid };
  const watermark = await commit(stage, from, 1, { uid: oldUid, messages: [message] });
  await commit(stage, from, 2, { uid: oldUid, status: 'removed' });
  assert.equal(await ended(stage, [watermark]), []);
  assert.is(await stage.journal.isOutstanding(message), true);
  assert.is(await stage.journal.isOutstanding({ ...message, senderUid: newUid }), false, 'of another uid');
  assert.is(await stage.journal.isOutstanding({ ...message, era: 2 }), false, 'of another era');
  await commit(stage, from, 3, { uid: newUid, messages: [{ ...message, senderUid: newUid, seq: 2 }] });
  assert.equal(await ended(stage, [watermark]), []);
  await stage.journal.forgetMessages(grantFor(from), [{ from, seq: 1 }]);
  assert.equal(await ended(stage, [watermark]), [watermark]);
  assert.is(await stage.journal.isOutstanding(message), false);
});

test('an unreadable sender keeps its watermark, and its unreadable message counts as outstanding', async (stage) => {
  const from = actorId('port/acme/corrupt');
  const watermark = await commit(stage, from, 1, { uid: oldUid, status: 'removed' });
  const key = (what: string): string => stage.store.keys.inShard(shardOf(from), what);
  assert.equal(await ended(stage, [watermark]), [watermark]);
  await stage.redis.ask('HSET', key('q'), `${from}|5`, 'no message');
  assert.equal(await ended(stage, [watermark]), []);
  const asked = stage.journal.isOutstanding({ ...messageOf(from, receiver, 5), senderUid: oldUid });
  const failure: unknown = await asked.catch((error: unknown) => error);
  assert.is(failure instanceof PhotonError && failure.record.code, 'record_unreadable');
  await stage.redis.ask('HDEL', key('q'), `${from}|5`);
  await stage.redis.ask('HSET', key(`a:${from}`), 'head', '{');
  const other = await commit(stage, 'port/acme/other', 1, { uid: oldUid, status: 'removed' });
  const strange = await commit(stage, 'port/acme/strange', 1, { uid: 'no ulid' });
  assert.equal(await ended(stage, [watermark, strange.replace('no ulid', oldUid), other]), [other]);
});

test('a pruning commit removes watermarks from the record and stores the newest pruned uid', async (stage) => {
  const watermarks = [1, 2, 3].map((n) => ({ sender: `port/acme/p${n}~${oldUid}`, seq: n, after: 0 }));
  await commit(stage, receiver, 1, { watermarks });
  const watermarksPruned = watermarks.slice(0, 2).map(({ sender }) => sender);
  await commit(stage, receiver, 2, { watermarksPruned, prunedUid: oldUid });
  const stored = await stage.journal.load(receiver);
  assert.equal(stored?.watermarks, { [`port/acme/p3~${oldUid}`]: 3 });
  assert.is(stored?.prunedUid, oldUid);
  await commit(stage, receiver, 3, { prunedUid: oldUid });
  assert.is((await stage.journal.load(receiver))?.prunedUid, oldUid);
});

test.run();
