/**
 * The append-only file of the simulated store as facts: who was granted which shard, who committed which version, which
 * messages were sent, which timers were armed. Pure; the other checkers read facts instead of store commands. Only the
 * store's scripts write this file, so a faulty node cannot talk its way out of it.
 */
import type { Message } from '@photoncloud/runtime/contract/envelope';
import type { HistoryEntry } from '@photoncloud/runtime/contract/journal';
import type { DeadLetter } from '@photoncloud/runtime/contract/supervision';
import type { StoreEntry } from '../simulation/store/simulated-server.ts';
import type { StoreRollback } from '../simulation/store/simulated-store.ts';

interface At {
  readonly atMs: number;
  /** Label of the process: `<node>.<boot number>`. */
  readonly by: string;
  readonly shard: string;
  /** Number of the store command that wrote it; everything of one command happens at one instant. */
  readonly run: number;
}

type ActorDeadLetter = DeadLetter & { readonly actor: string };

export type StoreFact = At &
  (
    | { readonly fact: 'grant'; readonly grant: string }
    | { readonly fact: 'record'; readonly actor: string; readonly fields: Readonly<Record<string, string>> }
    | { readonly fact: 'history'; readonly actor: string; readonly entry: HistoryEntry }
    | { readonly fact: 'sent'; readonly message: Message }
    | { readonly fact: 'forgotten'; readonly from: string; readonly seq: number }
    | { readonly fact: 'timer'; readonly actor: string; readonly timerId: string; readonly dueMs: number }
    | { readonly fact: 'no timer'; readonly actor: string; readonly timerId: string }
    | { readonly fact: 'dead letter'; readonly place: string; readonly deadLetter: ActorDeadLetter }
    | { readonly fact: 'dead letter gone'; readonly place: string }
    | { readonly fact: 'rolled back' }
  );

const keyPattern = /^[^{]*\{([^}]+)\}:([a-z]+)(?::(.*))?$/;

export function factsOf(past: readonly (StoreEntry | StoreRollback)[]): StoreFact[] {
  const facts: StoreFact[] = [];
  for (const [run, entry] of past.entries()) {
    if ('rolledBackTo' in entry) facts.push({ atMs: entry.atMs, by: '', shard: '', run, fact: 'rolled back' });
    else for (const effect of entry.effects) facts.push(...factsOfEffect(entry, run, effect));
  }
  return facts;
}

function pairs(items: readonly string[]): [string, string][] {
  const found: [string, string][] = [];
  for (let at = 0; at + 1 < items.length; at += 2) found.push([items[at] as string, items[at + 1] as string]);
  return found;
}

function halves(text: string): [string, string] {
  const bar = text.indexOf('|');
  return [text.slice(0, bar), text.slice(bar + 1)];
}

function factsOfEffect(
  { atMs, by }: StoreEntry,
  run: number,
  [verb = '', key = '', ...rest]: readonly string[],
): StoreFact[] {
  const match = keyPattern.exec(key);
  if (match === null) return [];
  const [, shard = '', keyType = '', tail = ''] = match;
  const at = { atMs, by, shard, run };
  switch (`${verb} ${keyType}`) {
    case 'SET o':
      return [{ ...at, fact: 'grant', grant: rest[0] ?? '' }];
    case 'HSET a':
      return [{ ...at, fact: 'record', actor: tail, fields: Object.fromEntries(pairs(rest)) }];
    case 'XADD h':
      return [{ ...at, fact: 'history', actor: tail, entry: JSON.parse(rest.at(-1) ?? '') as HistoryEntry }];
    case 'XADD x':
      return [
        {
          ...at,
          fact: 'dead letter',
          place: rest.at(-3) ?? '',
          deadLetter: JSON.parse(rest.at(-1) ?? '') as ActorDeadLetter,
        },
      ];
    case 'XDEL x':
      return rest.map((place) => ({ ...at, fact: 'dead letter gone', place }));
    case 'HSET q':
      return pairs(rest).map(([, text]) => ({ ...at, fact: 'sent', message: JSON.parse(text) as Message }));
    case 'HDEL q':
      return rest.map((field) => {
        const [from, seq] = halves(field);
        return { ...at, fact: 'forgotten', from, seq: Number(seq) };
      });
    case 'HSET t':
      return pairs(rest).map(([field, value]) => {
        const [actor, timerId] = halves(field);
        return { ...at, fact: 'timer', actor, timerId, dueMs: Number(value.split(' ', 1)[0]) };
      });
    case 'HDEL t':
      return rest.map((field) => {
        const [actor, timerId] = halves(field);
        return { ...at, fact: 'no timer', actor, timerId };
      });
    default:
      return [];
  }
}
