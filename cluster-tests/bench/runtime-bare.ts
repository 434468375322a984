/**
 * The bare limits of the runtime bench: the commits of a real press, recorded once and sent again by a plain client
 * without actor, mailbox, decision or encoding. `single`: one EVALSHA per commit. `grouped`: one EVALSHA per batch of
 * 32, two in flight. `reference`: a fixed small script (epoch check, HSET of 500 B, two XADD), so that a slower commit
 * script cannot improve the ratios. Actors of a group take each step together, so only version, sequence and ids
 * change.
 */
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { Commit } from '@photoncloud/runtime/contract/journal';
import { encodeBatch } from '@photoncloud/runtime/journal/commit-encoding';
import { commitScript } from '@photoncloud/runtime/journal/script-library';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { storeKeys } from '@photoncloud/runtime/journal/store-keys';
import { benchActor } from './runtime-kinds.ts';
import { closedLoop, grantsAt, type BareRedis } from './runtime-stage.ts';

const keys = storeKeys('ph:');
const batchCommits = 32;

/** Placeholders of the usual length, which are found and replaced among the arguments. */
const expectedMark = 70_001;
const versionMark = 70_002;
const seqMark = 70_003;
const commitMark = '01JBENCHBENCHBENCHBENCHBEN.';

/** The arguments of one EVALSHA; only the numbers of its round are filled in later. */
interface Template {
  readonly words: readonly string[];
  /** Positions that get the round less one, the round, the round as history id, the round behind what is there. */
  readonly expectedAt: readonly number[];
  readonly roundAt: readonly number[];
  readonly historyAt: readonly number[];
  readonly stampAt: readonly number[];
}

function templateOf(actors: readonly ActorId[], model: Commit): Template {
  const grants = new Map(grantsAt(1).map((grant) => [grant.shard, grant]));
  const groups = actors.map((actor) => {
    const grant = grants.get(shardOf(actor));
    if (grant === undefined) throw new Error(`${actor} is in no shared shard`);
    const commit: Commit = {
      ...model,
      grant,
      actor,
      commitId: commitMark,
      expectedVersion: expectedMark,
      version: versionMark,
      watermarks: model.watermarks.map(({ sender }) => ({ sender, seq: seqMark, after: 0 })),
      history: model.history.map((entry) => ({ ...entry, version: versionMark })),
    };
    return { actor, commits: [commit] };
  });
  const batch = encodeBatch(groups, keys, Date.now());
  const words = [commitScript.sha, String(batch.keys.length), ...batch.keys, ...batch.args];
  const at = (...texts: string[]): number[] => words.flatMap((word, index) => (texts.includes(word) ? [index] : []));
  return {
    words,
    expectedAt: at(String(expectedMark)),
    roundAt: at(String(versionMark), String(seqMark)),
    historyAt: at(`${versionMark}-*`),
    stampAt: words.flatMap((word, index) => (word.endsWith(commitMark) ? [index] : [])),
  };
}

function fill(template: Template, round: number): string[] {
  const words = template.words.slice();
  const text = String(round);
  const before = String(round - 1);
  for (const at of template.expectedAt) words[at] = before;
  for (const at of template.roundAt) words[at] = text;
  for (const at of template.historyAt) words[at] = `${text}-*`;
  for (const at of template.stampAt) words[at] += text;
  return words;
}

/** Actors that take each step together, and one template per step of the cycle. */
interface Troop {
  readonly size: number;
  readonly templates: readonly Template[];
  round: number;
}

const troopOf = (actors: readonly ActorId[], cycle: readonly Commit[]): Troop => ({
  size: actors.length,
  templates: cycle.map((model) => templateOf(actors, model)),
  round: 0,
});

async function evaluate(redis: BareRedis, troop: Troop): Promise<number> {
  const template = troop.templates[troop.round % troop.templates.length];
  if (template === undefined) throw new Error('the cycle of commits is empty');
  troop.round += 1;
  const reply = (await redis.call('evalsha', fill(template, troop.round))) as readonly number[];
  if (reply.length !== troop.size || reply.some((ordinal) => ordinal <= 0)) {
    throw new Error(`the store refused a bare commit: ${reply.join()}`);
  }
  return troop.size;
}

/** A load of the bare client, run for so many ms. @returns number of commits */
export type BareLoad = (forMs: number) => Promise<number>;

function loadOf(redis: BareRedis, troops: readonly Troop[], lanes: number): BareLoad {
  let turn = 0;
  return (forMs) =>
    closedLoop(lanes, forMs, () => {
      turn = (turn + 1) % troops.length;
      return evaluate(redis, troops[turn] as Troop);
    });
}

/** @param cycle one commit per step of a press, as the product made them */
export async function bareLoads(
  redis: BareRedis,
  cycle: readonly Commit[],
  actors: number,
): Promise<{ readonly single: BareLoad; readonly grouped: BareLoad; readonly reference: BareLoad }> {
  await redis.script('LOAD', commitScript.source);
  const ids = (group: string): ActorId[] => Array.from({ length: actors }, (_, n) => benchActor('press', group, n));
  const singles = ids('single').map((id) => troopOf([id], cycle));
  const all = ids('grouped');
  const groups: Troop[] = [];
  for (let from = 0; from + batchCommits <= all.length; from += batchCommits) {
    groups.push(troopOf(all.slice(from, from + batchCommits), cycle));
  }
  return {
    single: loadOf(redis, singles, 64),
    grouped: loadOf(redis, groups, 2),
    reference: await referenceLoad(redis, actors),
  };
}

const referenceSource = `
if redis.call('HGET', KEYS[1], 'grant') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], 'v', ARGV[2], 's', ARGV[3])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', '32', '*', 'e', ARGV[4])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', '10000', '*', 'e', ARGV[5])
return 1`;

async function referenceLoad(redis: BareRedis, actors: number): Promise<BareLoad> {
  const sha = (await redis.script('LOAD', referenceSource)) as string;
  await redis.hset('{ref}:o', 'grant', '1|1|bench');
  const [state, entry] = ['s'.repeat(490), 'h'.repeat(200)];
  let turn = 0;
  return (forMs) =>
    closedLoop(64, forMs, async () => {
      turn += 1;
      const actor = turn % actors;
      const named = ['{ref}:o', `{ref}:a${actor}`, `{ref}:h${actor}`, '{ref}:f'];
      const reply = await redis.call('evalsha', [sha, '4', ...named, '1|1|bench', String(turn), state, entry, entry]);
      if (reply !== 1) throw new Error('the reference script was refused');
      return 1;
    });
}

/** Runs one bare commit after another on one actor. */
export function bareStepper(redis: BareRedis, cycle: readonly Commit[]): () => Promise<number> {
  const troop = troopOf([benchActor('press', 'alone', 0)], cycle);
  return () => evaluate(redis, troop);
}
