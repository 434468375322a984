/**
 * K8: between two actors every message is applied once, in the order it was sent, and none is left out. Sent is what
 * the sender's commit put into its outbox; applied is what the receiver's history says. Pure. Called by
 * runtime-promises.ts, after the cluster came to rest.
 */
import type { StoreFact } from './store-facts.ts';

const causePattern = /^message:(.*):(\d+)$/;

export function checkMessages(facts: readonly StoreFact[]): string[] {
  const sent = new Map<string, number[]>();
  const applied = new Map<string, number[]>();
  for (const fact of facts) {
    if (fact.fact === 'rolled back') return [];
    if (fact.fact === 'sent') add(sent, `${fact.message.from} to ${fact.message.to}`, fact.message.seq);
    if (fact.fact !== 'history' || fact.entry.kind === 'operated') continue;
    const match = causePattern.exec(fact.entry.cause);
    if (match !== null) add(applied, `${match[1]} to ${fact.actor}`, Number(match[2]));
  }
  const broken: string[] = [];
  for (const pair of new Set([...sent.keys(), ...applied.keys()])) {
    const [one, other] = [sent.get(pair) ?? [], applied.get(pair) ?? []];
    const at = one.findIndex((seq, index) => seq !== other[index]);
    if (at < 0 && one.length === other.length) continue;
    const where = at < 0 ? one.length : at;
    broken.push(
      `K8: ${pair}: sent ${one.length}, applied ${other.length}; ` +
        `at ${where} sent ${one.slice(where, where + 4).join(' ')}, ` +
        `applied ${other.slice(where, where + 4).join(' ')}`,
    );
  }
  return broken;
}

function add(lists: Map<string, number[]>, key: string, value: number): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
