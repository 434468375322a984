/**
 * K5 and K6 of docs/promises.md. K5: no acknowledged command is lost, none is applied twice, a repeated command gets
 * the first answer again, an answer names no weaker durability than was asked for, and a counter equals the sum of its
 * committed history. K6: an answer never rests on an older version than an answer that was given before the command was
 * sent. Pure. Called by runtime-promises.ts.
 */
import type { Reply } from '@photoncloud/runtime/contract/envelope';
import type { HistoryEntry } from '@photoncloud/runtime/contract/journal';
import type { RecordHead } from '@photoncloud/runtime/journal/record-decoding';
import { strongerOf } from '@photoncloud/runtime/contract/durability';
import { parseGrant } from '@photoncloud/runtime/journal/store-keys';
import type { ClientRecord } from '../simulation/simulated-clients.ts';
import type { StoreFact } from './store-facts.ts';

type Applied = ReadonlyMap<string, readonly Extract<StoreFact, { fact: 'history' }>[]>;

/** @param keptFacts facts from the final primary's file; asked for only after a store rollback */
export function checkCommands(
  facts: readonly StoreFact[],
  records: readonly ClientRecord[],
  keptFacts: () => readonly StoreFact[],
): string[] {
  const applied = appliedBy(facts);
  const always = [...checkOnce(applied), ...checkLevels(records)];
  // A rollback may take away what was acknowledged before a replica had it. Nothing excuses applying twice.
  if (facts.some(({ fact }) => fact === 'rolled back'))
    return [...always, ...checkKept(appliedBy(keptFacts()), records)];
  return [
    ...always,
    ...records.flatMap((record) => checkRecord(applied, record)),
    ...checkTotals(facts),
    ...checkOrder(records),
  ];
}

const isLive = ({ head = '{}' }: Readonly<Record<string, string>>): boolean =>
  (JSON.parse(head) as Partial<RecordHead>).status !== 'removed';

function appliedBy(facts: readonly StoreFact[]): Applied {
  const found = new Map<string, Extract<StoreFact, { fact: 'history' }>[]>();
  for (const fact of facts) {
    if (fact.fact === 'rolled back') found.clear();
    if (fact.fact !== 'history' || !fact.entry.cause.startsWith('command:')) continue;
    const key = `${fact.actor} ${fact.entry.cause.slice('command:'.length)}`;
    found.set(key, [...(found.get(key) ?? []), fact]);
  }
  return found;
}

/** Whether the entry changed the actor: a transition, or an operator's verb. */
const hasEffect = ({ kind }: HistoryEntry): boolean => kind === 'transition' || kind === 'operated';

/** A rejection may be recorded twice, because it changes nothing; a transition may not. */
function checkOnce(applied: Applied): string[] {
  return [...applied].flatMap(([key, all]) => {
    const changes = all.filter(({ entry }) => hasEffect(entry));
    return changes.length > 1
      ? [`K5: ${key} was applied ${changes.length} times, by ${changes.map(({ by }) => by).join(' ')}`]
      : [];
  });
}

function checkRecord(applied: Applied, record: ClientRecord): string[] {
  const { command, reply, repeats, outcome } = record;
  const key = `${command.to} ${command.commandId}`;
  if (command.event['dryRun'] === true) return [];
  const isApplied = (applied.get(key) ?? []).some(({ entry }) => hasEffect(entry));
  const broken: string[] = [];
  if (outcome === 'ok' && !isApplied)
    broken.push(`K5: ${key} (${command.event.type}) was acknowledged and is not in the history`);
  // Only a success binds: a rejection without a receipt may succeed the second time, and so may one that overtook it.
  const earlier = (repeats?.endedMs ?? Infinity) < record.invokedMs ? repeats?.reply : undefined;
  if (earlier?.ok === true && reply !== undefined && !isForgotten(reply) && comparable(earlier) !== comparable(reply))
    broken.push(`K5: ${key} was answered ${JSON.stringify(earlier)}, and on repetition ${JSON.stringify(reply)}`);
  return broken;
}

/** The first answer was dropped, and the client is told that nobody knows it any more. */
const isForgotten = (reply: Reply): boolean => !reply.ok && reply.error.code === 'command_too_old';

/** An answer without its durability, which may have grown since the first time. */
const comparable = (reply: Reply): string => JSON.stringify({ ...reply, durability: undefined });

/** G3: the answer names a durability that is no weaker than the one asked for. */
function checkLevels(records: readonly ClientRecord[]): string[] {
  return records.flatMap(({ command: { to, commandId, durability: asked }, reply }) => {
    const told = reply?.durability;
    if (asked === undefined || told === undefined || strongerOf(told, asked) === told) return [];
    return [`K5: ${to} ${commandId} asked for durability ${asked} and was answered ${told}`];
  });
}

/** G3: a command that was acknowledged above `primary` is in the file of the final primary. */
function checkKept(applied: Applied, records: readonly ClientRecord[]): string[] {
  return records.flatMap((record) => {
    const { command, reply, outcome } = record;
    const told = reply?.durability ?? 'primary';
    if (outcome !== 'ok' || told === 'primary' || command.event['dryRun'] === true) return [];
    const key = `${command.to} ${command.commandId}`;
    if ((applied.get(key) ?? []).some(({ entry }) => hasEffect(entry))) return [];
    return [`K5: ${key} (${command.event.type}) was acknowledged at ${told}, and the failover lost it`];
  });
}

/**
 * A new era declares that acknowledged commits are lost, so none may begin while none was lost.
 * @param foundings how often a cluster record was created; more than one means that the store lost even that record
 */
export function checkEras(facts: readonly StoreFact[], foundings: number): string[] {
  if (foundings > 1 || facts.some(({ fact }) => fact === 'rolled back')) return [];
  const later = facts.find((fact) => fact.fact === 'grant' && parseGrant(fact.grant).era > 1);
  if (later?.fact !== 'grant') return [];
  return [`K5: a new era began (${later.grant} of ${later.shard}), although no acknowledged commit was lost`];
}

interface Count {
  total: number;
}

function checkTotals(facts: readonly StoreFact[]): string[] {
  const counts = new Map<string, Count>();
  const broken: string[] = [];
  for (const fact of facts) {
    if (fact.fact === 'rolled back') return broken;
    if (fact.fact === 'history' && fact.actor.startsWith('counter/') && fact.entry.kind === 'transition') {
      const event = fact.entry.event as { type: string; by?: number };
      const born = fact.entry.from === null;
      const count = born ? { total: 0 } : (counts.get(fact.actor) ?? { total: 0 });
      if (['counter.create', 'counter.add', 'counter.burst'].includes(event.type)) count.total += event.by ?? 1;
      counts.set(fact.actor, count);
    } else if (fact.fact === 'record' && fact.actor.startsWith('counter/') && isLive(fact.fields)) {
      const context = JSON.parse(fact.fields['context'] ?? 'null') as Count | null;
      const count = counts.get(fact.actor);
      if (context !== null && count !== undefined && context.total !== count.total)
        broken.push(
          `K5: ${fact.actor} counts ${context.total} at version ${fact.fields['version']}, ` +
            `and its history adds up to ${count.total}`,
        );
    }
  }
  return broken;
}

/** K6: a command's answer rests on a version at least as high as every answer that came before it was sent. */
function checkOrder(records: readonly ClientRecord[]): string[] {
  const broken: string[] = [];
  const byActor = new Map<string, ClientRecord[]>();
  for (const record of records) {
    if (record.outcome !== 'ok' || record.repeats !== undefined || record.command.event.type === 'oven.bake') continue;
    byActor.set(record.command.to, [...(byActor.get(record.command.to) ?? []), record]);
  }
  for (const [actor, own] of byActor) {
    const ended = own.toSorted((a, b) => (a.endedMs ?? 0) - (b.endedMs ?? 0));
    let at = 0;
    let highest = 0;
    for (const record of own.toSorted((a, b) => a.invokedMs - b.invokedMs)) {
      for (; (ended[at]?.endedMs ?? Infinity) < record.invokedMs; at += 1)
        highest = Math.max(highest, ended[at]?.reply?.version ?? 0);
      const version = record.reply?.version ?? 0;
      if (version < highest)
        broken.push(
          `K6: ${record.command.commandId} of ${actor} was answered at version ${version}, ` +
            `after an earlier answer at version ${highest}`,
        );
    }
  }
  return broken;
}
