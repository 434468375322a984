/**
 * Encodes a batch of commits as the flat string arguments of scripts/commit.lua, and decodes its reply into outcomes.
 * The head of the script describes the layout; the two files change together. Pure: no connection, no clock.
 */
import type { Durability } from '../contract/durability.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Commit, CommitOutcome, ShardGrant } from '../contract/journal.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { ActorSummary } from '../contract/reader.ts';
import { waitingOf, type RecordHead } from './record-decoding.ts';
import { answerableFrom, defaultReceiptLimits, latestTimeOf, type ReceiptLimits } from './receipt-limits.ts';
import { grantText, scopeOf, type StoreKeys } from './store-keys.ts';
import { shardOf } from './shard-placement.ts';

const deadLetterTail = '1000';
const trimVersions = 8;
/** Lua's unpack takes about 8,000 values, so longer writes are split. Even, because some arguments are pairs. */
const writeArguments = 2_000;

/** All commits of one actor in a batch, in order. */
export interface CommitGroup {
  readonly actor: ActorId;
  readonly commits: readonly Commit[];
}

export interface EncodedBatch {
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/**
 * @param wallMs wall time put into records and receipts; it decides how long receipts are kept, and which commands are
 *   too old to be told from repeats
 * @param historyCap the commit trims history to no fewer entries than this: with an archive, the archiver trims
 * @param declaresAll declare every key the script touches, not only the ownership keys. While a slot of a Redis Cluster
 *   is being moved, the server then refuses the script before it starts instead of failing it half way
 */
export function encodeBatch(
  groups: readonly CommitGroup[],
  keys: StoreKeys,
  wallMs: number,
  historyCap = 0,
  declaresAll = false,
  limits = defaultReceiptLimits,
): EncodedBatch {
  // Keyed by identity, since each activation passes one grant object. Two equal objects cost a second entry, no more.
  const grants = new Map<ShardGrant, string>();
  const ownerKeys: string[] = [];
  const args: string[] = ['', String(groups.length)];
  for (const { commits } of groups) {
    for (const { grant } of commits) {
      if (grants.has(grant)) continue;
      grants.set(grant, String(ownerKeys.push(keys.inShard(grant.shard, 'o'))));
      args.push(grantText(grant));
    }
  }
  args[0] = String(ownerKeys.length);
  for (const { actor, commits } of groups) {
    const senders = sendersOf(commits);
    args.push(actor, String(commits.length), String(senders.size));
    for (const sender of senders.keys()) args.push(`m:${sender}`);
    for (const commit of commits)
      encodeCommit(commit, grants.get(commit.grant), senders, args, { wallMs, historyCap, limits });
  }
  if (declaresAll) for (const group of groups) declareKeys(group, keys, ownerKeys);
  return { keys: ownerKeys, args };
}

/** Appended behind the ownership keys, which the script finds by index. */
function declareKeys({ actor, commits }: CommitGroup, keys: StoreKeys, declared: string[]): void {
  const rows = commits.flatMap((commit) => [...commit.rowsPut, ...commit.rowsRemoved]);
  const collections = new Set(rows.map((row) => row.collection));
  const ofShard = ['f', 'i', 'q', 't', 'b', 'x'];
  const ofActor = ['a', 'h'].map((what) => `${what}:${actor}`);
  const ofScope = ['r', 'ro'].map((what) => `${what}:${scopeOf(actor)}`);
  const ofRows = [...collections].map((name) => `c:${actor}:${name}`);
  const shard = shardOf(actor);
  for (const what of [...ofShard, ...ofActor, ...ofScope, ...ofRows]) declared.push(keys.inShard(shard, what));
}

/** Sender -> its index in the group, from 1. */
function sendersOf(commits: readonly Commit[]): ReadonlyMap<string, number> {
  const places = new Map<string, number>();
  for (const { watermarks } of commits) {
    for (const { sender } of watermarks) if (!places.has(sender)) places.set(sender, places.size + 1);
  }
  return places;
}

interface Settings {
  readonly wallMs: number;
  readonly historyCap: number;
  readonly limits: ReceiptLimits;
}

function encodeCommit(
  commit: Commit,
  grant = '',
  senders: ReadonlyMap<string, number>,
  args: string[],
  settings: Settings,
): void {
  const { history, watermarks, unproven } = commit;
  const { wallMs, historyCap, limits } = settings;
  const start = args.length;
  const atMs = history.at(-1)?.at ?? wallMs;
  args.push(
    '',
    grant,
    String(commit.expectedVersion),
    String(commit.version),
    `${modeOf(commit)} ${commit.commitId}`,
    commit.context,
    encodeHead(commit, atMs),
    encodeFeedLine(commit, atMs),
    String(watermarks.length + unproven.length),
  );
  for (const { sender, seq, after } of watermarks) args.push(String(senders.get(sender)), String(seq), String(after));
  for (const commandId of unproven) args.push('0', commandId, String(answerableFrom(commandId, wallMs, limits)));
  args.push(trimsHistory(commit) ? String(Math.max(commit.historyTail, historyCap)) : '', String(history.length * 2));
  // `<version>-*`: Redis numbers the entries of one version.
  for (const entry of history) args.push(`${entry.version}-*`, JSON.stringify(entry));
  if (commit.receipts.length > 0) encodeReceipts(commit, args, settings);
  encodeMessages(commit, args);
  encodeTimers(commit, args);
  if (commit.watermarksPruned.length > 0) encodePruning(commit, args);
  if (commit.rowsPut.length > 0 || commit.rowsRemoved.length > 0) encodeRows(commit, args);
  args[start] = String(args.length - start);
}

/** Trimming costs as much as an entry, so it is done every `trimVersions` versions, and if the version is unchanged. */
function trimsHistory({ expectedVersion, version }: Commit): boolean {
  return (
    version === expectedVersion || Math.floor(version / trimVersions) !== Math.floor(expectedVersion / trimVersions)
  );
}

function encodeHead(commit: Commit, at: number): string {
  const { uid, status, chartVersion, schemaHash, stateName, lastSeq, effects, timers, deferred, hold } = commit;
  const head: Omit<RecordHead, 'state'> = {
    uid,
    status,
    chartVersion,
    schemaHash,
    stateName,
    lastSeq,
    at,
    ...(effects.length > 0 ? { effects } : {}),
    ...(timers.length > 0 ? { timers } : {}),
    ...(hasKeys(deferred) ? { deferred } : {}),
    ...(hold === undefined ? {} : { hold }),
  };
  // The commit carries its state as JSON text.
  return `${JSON.stringify(head).slice(0, -1)},"state":${commit.state}}`;
}

function hasKeys(record: Readonly<Record<string, unknown>>): boolean {
  for (const _ in record) return true;
  return false;
}

function modeOf(commit: Commit): 'idle' | 'busy' | 'removed' {
  if (commit.status === 'removed') return 'removed';
  return commit.effects.length > 0 ? 'busy' : 'idle';
}

function encodeFeedLine(commit: Commit, at: number): string {
  const { actor, uid, version, stateName, status, hold } = commit;
  return JSON.stringify({
    id: actor,
    uid,
    version,
    stateName,
    status,
    waitingOn: waitingOf(commit),
    at,
    ...(hold === undefined ? {} : { held: hold.kind }),
  } satisfies ActorSummary);
}

function encodeReceipts(commit: Commit, args: string[], { wallMs, limits }: Settings): void {
  const { receiptKeepMs, receiptBytes } = limits;
  for (let from = 0; from < commit.receipts.length; from += writeArguments / 2) {
    const part = commit.receipts.slice(from, from + writeArguments / 2);
    const newestMs = latestTimeOf(
      part.map(({ commandId }) => commandId),
      wallMs,
      limits,
    );
    const times = [String(wallMs), String(wallMs - receiptKeepMs)];
    const mostBytes = String(Math.ceil(receiptBytes / 2));
    args.push('receipt', ...times, mostBytes, String(newestMs), String(part.length * 2));
    for (const receipt of part) args.push(receipt.commandId, JSON.stringify(receipt));
  }
}

function encodeMessages(commit: Commit, args: string[]): void {
  const { actor, messages, ackedSeqs } = commit;
  if (messages.length > 0) {
    pushWrite(
      args,
      'HSET',
      'q',
      messages.flatMap((message) => [`${actor}|${message.seq}`, JSON.stringify(message)]),
    );
  }
  if (ackedSeqs.length > 0)
    pushWrite(
      args,
      'HDEL',
      'q',
      ackedSeqs.map((seq) => `${actor}|${seq}`),
    );
  if (commit.deadLettersGone.length > 0) pushWrite(args, 'XDEL', 'x', commit.deadLettersGone);
  for (const dead of commit.deadLetters) {
    args.push('XADD', 'x', '6', 'MAXLEN', '~', deadLetterTail, '*', 'd', JSON.stringify({ actor, ...dead }));
  }
}

function encodeTimers(commit: Commit, args: string[]): void {
  const { actor, timersSet, timersCancelled } = commit;
  // Cancelled first: a step that leaves a state and enters it again cancels and sets a timer of the same id.
  if (timersCancelled.length > 0)
    pushWrite(
      args,
      'HDEL',
      't',
      timersCancelled.map((timerId) => `${actor}|${timerId}`),
    );
  if (timersSet.length > 0) {
    pushWrite(
      args,
      'HSET',
      't',
      timersSet.flatMap((timer) => [`${actor}|${timer.timerId}`, `${timer.dueMs} ${timer.eventType}`]),
    );
  }
}

/**
 * `prunedUid` is written first: without it, a missing watermark would let an old copy of a message be applied again.
 */
function encodePruning({ actor, watermarksPruned, prunedUid }: Commit, args: string[]): void {
  const key = `a:${actor}`;
  pushWrite(args, 'HSET', key, ['prunedUid', prunedUid]);
  pushWrite(
    args,
    'HDEL',
    key,
    watermarksPruned.map((watermark) => `m:${watermark}`),
  );
}

function encodeRows(commit: Commit, args: string[]): void {
  const puts = new Map<string, string[]>();
  for (const row of commit.rowsPut) listOf(puts, row.collection).push(row.key, row.value);
  const removals = new Map<string, string[]>();
  for (const row of commit.rowsRemoved) listOf(removals, row.collection).push(row.key);
  // Removed first: a row that the same step puts must remain.
  for (const [collection, rows] of removals) pushWrite(args, 'HDEL', `c:${commit.actor}:${collection}`, rows);
  for (const [collection, rows] of puts) {
    pushWrite(args, 'HSET', `c:${commit.actor}:${collection}`, rows);
    args.push('HSET', `a:${commit.actor}`, '2', `c:${collection}`, '1');
  }
}

function listOf(lists: Map<string, string[]>, name: string): string[] {
  let list = lists.get(name);
  if (list === undefined) lists.set(name, (list = []));
  return list;
}

function pushWrite(args: string[], verb: 'HSET' | 'HDEL' | 'XDEL', key: string, items: readonly string[]): void {
  for (let from = 0; from < items.length; from += writeArguments) {
    const part = items.slice(from, from + writeArguments);
    args.push(verb, key, String(part.length), ...part);
  }
}

/**
 * @param reply as scripts/commit.lua returns it
 * @param count number of commits in the batch, in the order of its groups
 * @param durability the level that the whole batch has reached
 */
export function decodeOutcomes(reply: unknown, count: number, durability: Durability): readonly CommitOutcome[] {
  const words = reply as readonly (number | string)[];
  const outcomes: CommitOutcome[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as number;
    if (word >= 0) outcomes.push({ result: 'committed', ordinal: word, durability });
    else if (word === -1) outcomes.push({ result: 'fenced' });
    else {
      at += 1;
      const detail = String(words[at]);
      if (word === -2) outcomes.push({ result: 'conflict', storedVersion: Number(detail) });
      else if (word === -5) outcomes.push({ result: 'answered', commandId: detail });
      else outcomes.push({ result: word === -3 ? 'duplicate' : 'gap', sender: detail.slice('m:'.length) });
    }
  }
  if (outcomes.length !== count) {
    throw new PhotonError(
      'bug',
      'commit_reply_malformed',
      `the store answered ${outcomes.length} of ${count} commits; this is a defect, report it`,
    );
  }
  return outcomes;
}
