/**
 * Mutants of durability, supervision, snapshots, history, bounds and drain (G3, G8 to G12). As in mutant-list.ts, the
 * scenario of the runtime must catch them, several of them by the checks at the end of a run, when no fault is active.
 */
import type { Mutant } from './mutant-list.ts';

const admission = 'runtime/hosting/snapshot-admission.ts';
const archiveLua = 'runtime/journal/scripts/archive.lua';
const archiver = 'runtime/archive/history-archiver.ts';
const host = 'runtime/hosting/host.ts';
const inputCheck = 'runtime/hosting/input-check.ts';
const verbs = 'runtime/hosting/operator-verbs.ts';

const one = (name: string, promise: string, file: string, find: string, put: string): Mutant => ({
  name,
  promise,
  patches: [{ file, find, put }],
});

const inSupervision: readonly Mutant[] = [
  one(
    'a chart that throws stops its shard',
    'G8',
    host,
    'return this.shards.entry(shard);',
    'const stops = ({ actor }) => actor !== id && this.journal.shardOf(actor) === shard;\n' +
      '    return this.figures().held.some(stops) ? undefined : this.shards.entry(shard);',
  ),
  one(
    'poison is dropped without a dead letter',
    'G8',
    'runtime/hosting/holding.ts',
    "    input.kind === 'command'\n      ? {}",
    "    input.kind !== 'deadLetter'\n      ? {}",
  ),
  one(
    'a paused actor takes messages',
    'G8',
    inputCheck,
    "if (actor.ahead.hold !== undefined) {\n    input.settle({ result: 'busy'",
    "if (actor.ahead.hold?.kind === 'quarantined') {\n    input.settle({ result: 'busy'",
  ),
  one(
    'a timer of a held actor fires',
    'G8',
    inputCheck,
    'if (timer === undefined || actor.ahead.hold !== undefined) return',
    'if (timer === undefined) return',
  ),
  one(
    'a skip is not recorded',
    'G8',
    verbs,
    'stageVerb(host, builder, input, { skipped: gone.map(({ deadLetterId }) => deadLetterId) });',
    'stageInput(builder, input);\n' +
      '  const reply = { ok: true, version: actor.version, result: null } as const;\n' +
      '  stageReply(builder, open.command.commandId, open.command.digest, reply);',
  ),
  one('a verb is recorded without its principal', 'G8', verbs, 'event: { ...event, principal }', 'event'),
  one('the next owner does not know of a hold', 'G8', 'runtime/hosting/activation.ts', 'ahead.hold = stored.hold;', ''),
  one(
    'a dead letter is still stored after its redelivery',
    'G8',
    'runtime/hosting/commit-builder.ts',
    'builder.deadLettersGone.push(input.deadLetter.place);',
    '',
  ),
];

const inDrain: readonly Mutant[] = [
  one(
    'shards are handed over before commits in flight are durable',
    'G12',
    'runtime/hosting/shard-lifecycle.ts',
    'while (this.isBusy(closing) &&',
    'while (this.isBusy(new Set()) &&',
  ),
  one(
    'a node ends without handing over',
    'G12',
    'runtime/directory/node-departure.ts',
    'await handover.giveAll(steady.length > 0 ? steady : others);',
    '',
  ),
  one(
    'a shard that is being handed over still sends',
    'G12',
    host,
    'isClosing: (shard) => this.shards.isClosing(shard),',
    'isClosing: () => false,',
  ),
  one(
    'a shard is handed over while delivered messages are being removed',
    'G12',
    'runtime/hosting/outbox.ts',
    'Promise.all([this.forgetting, this.forgetAcknowledged()])',
    'Promise.all([this.forgetAcknowledged()])',
  ),
  one(
    'a node does not take a shard that was handed to it',
    'G12',
    'runtime/directory/owned-shards.ts',
    'if (node === self.name) return true;',
    'if (node === self.name) return false;',
  ),
];

const inBounds: readonly Mutant[] = [
  one(
    'a mailbox takes messages without bound',
    'G11',
    host,
    'if (actor.mailbox.offered >= this.limits.mailboxDepth)',
    'if (actor.mailbox.offered < 0)',
  ),
  one(
    'a mailbox takes commands without bound',
    'G11',
    host,
    'actor.mailbox.offered >= this.limits.mailboxDepth || this',
    'this',
  ),
  one('an outbox grows without bound', 'G11', host, ' || this.outbox.depthOf(actor.id) >= this.limits.outboxDepth', ''),
  one(
    'a full node takes commands for actors that are not in memory',
    'G11',
    host,
    'return !this.activations.passivation.hasRoom(command.to) && !this.isExemptFromOverload(command);',
    'return false;',
  ),
  one('effects run without bound', 'G11', 'runtime/hosting/effect-places.ts', ' || share.held >= free', ''),
  one(
    'answers are remembered without bound',
    'G11',
    'runtime/hosting/gate.ts',
    'if (answered.size <= host.limits.receiptsRemembered) break;',
    'if (answered.size > 0) break;',
  ),
  one(
    'commits of one actor are in flight without bound',
    'G11',
    'runtime/hosting/activation-table.ts',
    'if (actor.inFlight.length >= this.host.limits.commitsInFlight) return;',
    '',
  ),
  one(
    'a refusal names no time to ask again',
    'G11',
    'runtime/hosting/command-answers.ts',
    'const options = { retryable: true, retryAfterMs: overloadRetryMs, actor };',
    'const options = { retryable: true, actor };',
  ),
  one('history grows without bound', 'G11', 'runtime/journal/scripts/commit.lua', "if tail == '' then", 'if true then'),
];

const inHistory: readonly Mutant[] = [
  one(
    'history is trimmed before it is on the disk',
    'G10',
    'runtime/archive/chunk-writer.ts',
    '    await at.file.datasync();\n    at.bytes = bytes;',
    '    at.bytes = bytes;',
  ),
  one(
    'a new chunk is relied upon before its folder is synced',
    'G10',
    'runtime/archive/chunk-writer.ts',
    'await this.#platform.syncFolder(folder);',
    '',
  ),
  one(
    'an archived run does not name the run before it',
    'G10',
    archiver,
    'runLine(actor, before, entries)',
    "runLine(actor, '', entries)",
  ),
  one(
    'one version more than was archived is trimmed',
    'G10',
    archiver,
    '`${version}-${Number(n) + 1}`',
    '`${Number(version) + 2}-${Number(n) * 0}`',
  ),
  {
    // Each of these three guards alone refuses a former owner.
    name: 'a former owner moves the pointer of an archive',
    promise: 'G10',
    patches: [
      { file: archiveLua, find: "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end", put: '' },
      { file: archiveLua, find: 'if pointer ~= ARGV[2] or not record[2] then return 0 end', put: '' },
      { file: archiveLua, find: "if #redis.call('XRANGE', KEYS[3], ARGV[4], ARGV[4]) == 0 then return 0 end", put: '' },
    ],
  },
  one(
    'a fold keeps removed context keys',
    'G10',
    'runtime/archive/history-fold.ts',
    'for (const key of entry.gone ?? []) delete after[key];',
    '',
  ),
  one(
    'a removed context key is not recorded in the history',
    'G10',
    'runtime/hosting/commit-staging.ts',
    'if (after[key] === undefined) gone.push(key);',
    'if (after[key] === undefined) continue;',
  ),
];

const lines = 'runtime/journal/commit-connections.ts';

const inDurability: readonly Mutant[] = [
  one(
    'the level is not waited for',
    'G3',
    lines,
    "if (level === 'primary' || (await",
    "if (level !== 'fsync' || (await",
  ),
  one(
    'the number that WAIT answers is not compared',
    'G3',
    'runtime/journal/durability-plan.ts',
    'isEnough: (reply) => Number(reply) >= replicas,',
    'isEnough: (reply) => Number(reply) >= 0,',
  ),
  one(
    'a promoted server is taken for an unreachable replica',
    'G3',
    'runtime/journal/replica-watch.ts',
    "return role === 'master' && (hasFollowed || formerReplicationId === this.#replicationId);",
    'return !hasFollowed && role === formerReplicationId;',
  ),
  {
    name: 'writes of a lost connection are waited for on the next one',
    promise: 'G3',
    patches: [
      {
        file: lines,
        find: 'for (let wrote = where.reads',
        put: 'let once: { result: Result } | undefined;\n    for (let wrote = where.reads',
      },
      { file: lines, find: 'await work(link.redis);', put: '(once ??= { result: await work(link.redis) }).result;' },
    ],
  },
  one(
    'an answer names a higher level than was reached',
    'G3',
    'runtime/journal/commit-batcher.ts',
    'decodeOutcomes(reply, count, reached)',
    "decodeOutcomes(reply, count, reached === 'primary' ? 'replicas' : reached)",
  ),
  one(
    'a receipt is answered at a weaker level than was asked for',
    'G3',
    'runtime/journal/redis-journal.ts',
    'const level = strongerOf(asked, this.durability.default);',
    'const level = strongerOf(undefined, this.durability.default);',
  ),
];

const inSnapshots: readonly Mutant[] = [
  one(
    'a snapshot of an unknown version is loaded as it is',
    'G9',
    admission,
    'if (stored.chartVersion > chartVersion) throw',
    'if (stored.chartVersion < 0) throw',
  ),
  one(
    'the chain of upgrades leaves out a step',
    'G9',
    admission,
    'version < chartVersion; version += 1) {',
    'version < chartVersion; version += 2) {',
  ),
  one('a snapshot is not upgraded', 'G9', admission, 'at = upgrade(at);', 'upgrade(at);'),
  one(
    'an upgrade is not recorded',
    'G9',
    'runtime/hosting/step.ts',
    'if (actor.ahead.upgraded !== undefined) stageUpgrade(builder, actor.ahead.upgraded, host.clock.sharedMs());',
    '',
  ),
];

export const promiseMutants: readonly Mutant[] = [
  ...inDurability,
  ...inSupervision,
  ...inDrain,
  ...inBounds,
  ...inHistory,
  ...inSnapshots,
];
