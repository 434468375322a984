/**
 * K8: between two actors every message is applied once, in the order it was sent, and none is left out. Sent is what
 * the sender's commit put into its outbox; applied is what the receiver's history says. Where the store went back, what
 * was sent since is judged. Pure. Called by runtime-promises.ts, after the cluster came to rest.
 */
import type { Message } from '@photoncloud/runtime/contract/envelope';
import type { StoreFact } from './store-facts.ts';

const causePattern = /^message:(.*):(\d+)$/;

/** Whether the receiver's chart may leave it alone without a word in its history (`ignored` of its definition). */
export type IsQuiet = (message: Message) => boolean;

export function checkMessages(facts: readonly StoreFact[], isQuiet: IsQuiet = () => false): string[] {
  const sent = new Map<string, Message[]>();
  const applied = new Map<string, number[]>();
  let wentBack = false;
  for (const fact of facts) {
    if (fact.fact === 'rolled back') {
      wentBack = true;
      sent.clear();
      applied.clear();
    }
    if (fact.fact === 'sent') add(sent, `${fact.message.from} to ${fact.message.to}`, fact.message);
    if (fact.fact !== 'history' || fact.entry.kind === 'operated') continue;
    const match = causePattern.exec(fact.entry.cause);
    if (match !== null) add(applied, `${match[1]} to ${fact.actor}`, Number(match[2]));
  }
  const compare = wentBack ? comparePairSince : comparePair;
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

/** After the store went back: what was sent since is applied in its order, between what was sent before. */
function comparePairSince(
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
  return [`K8: ${pair}: ${seq} of life ${senderUid}, era ${era}, sent since the store went back, was not applied`];
}

function add<Item>(lists: Map<string, Item[]>, key: string, value: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
