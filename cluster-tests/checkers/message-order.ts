/**
 * K8 of docs/promises.md: between two actors every message is applied once, in the order of sending, and none is left
 * out (G5). The sender's commits say what was sent, the receiver's history says what was applied. After a store
 * rollback only messages sent since are judged. Pure. Called by runtime-promises.ts, after the cluster has settled.
 */
import type { Message } from '@photoncloud/runtime/contract/envelope';
import type { StoreFact } from './store-facts.ts';

/** Sender and number; the version of the sender's step is not judged. */
const causePattern = /^message:(.*):(\d+)(?:@\d+)?$/;

/** Whether the receiver's chart ignores the message without a history entry (`ignored` of its definition). */
export type IsQuiet = (message: Message) => boolean;

export function checkMessages(facts: readonly StoreFact[], isQuiet: IsQuiet = () => false): string[] {
  const sent = new Map<string, Message[]>();
  const applied = new Map<string, number[]>();
  let hasRolledBack = false;
  for (const fact of facts) {
    if (fact.fact === 'rolled back') {
      hasRolledBack = true;
      sent.clear();
      applied.clear();
    }
    if (fact.fact === 'sent') add(sent, `${fact.message.from} to ${fact.message.to}`, fact.message);
    if (fact.fact !== 'history' || fact.entry.kind === 'operated') continue;
    const match = causePattern.exec(fact.entry.cause);
    if (match !== null) add(applied, `${match[1]} to ${fact.actor}`, Number(match[2]));
  }
  const compare = hasRolledBack ? comparePairSinceRollback : comparePair;
  return [...new Set([...sent.keys(), ...applied.keys()])].flatMap((pair) =>
    compare(pair, sent.get(pair) ?? [], applied.get(pair) ?? [], isQuiet),
  );
}

function comparePair(pair: string, sent: readonly Message[], applied: readonly number[], isQuiet: IsQuiet): string[] {
  let next = 0;
  const at = sent.findIndex((message) => {
    if (message.seq !== applied[next]) return !isQuiet(message);
    next += 1;
    return false;
  });
  if (at < 0 && next === applied.length) return [];
  const where = at < 0 ? sent.length : at;
  const seqs = sent.slice(where, where + 4).map(({ seq }) => seq);
  return [
    `K8: ${pair}: sent ${sent.length}, applied ${applied.length}; at ${where} sent ${seqs.join(' ')}, ` +
      `applied ${applied.slice(next, next + 4).join(' ')}`,
  ];
}

/** Messages sent since the rollback are applied in order; messages from before it may be applied between them. */
function comparePairSinceRollback(
  pair: string,
  sent: readonly Message[],
  applied: readonly number[],
  isQuiet: IsQuiet,
): string[] {
  let next = 0;
  const missed = sent.find((message) => {
    const at = applied.indexOf(message.seq, next);
    if (at < 0) return !isQuiet(message);
    next = at + 1;
    return false;
  });
  if (missed === undefined) return [];
  const { seq, senderUid, era } = missed;
  return [`K8: ${pair}: ${seq} of sender uid ${senderUid}, era ${era}, sent since the store rollback, was not applied`];
}

function add<Item>(lists: Map<string, Item[]>, key: string, value: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
