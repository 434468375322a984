/**
 * Reads the simulated store directly, without a node: the records of actors and the rows of a collection. For checkers
 * and the counts of rare situations only; nodes use their readers.
 */
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { decodeActor } from '@photoncloud/runtime/journal/record-decoding';
import type { SimulatedServer } from '../store/simulated-server.ts';

export function storedActors({ space }: SimulatedServer): StoredActor[] {
  return [...space.keys.keys()].flatMap((key) => {
    const id = /^[^{]*\{[^}]+\}:a:(.+)$/.exec(key)?.[1];
    const fields = id === undefined ? undefined : space.hash(key);
    const actor = fields === undefined ? undefined : decodeActor(actorId(id ?? ''), Object.fromEntries(fields));
    return actor === undefined ? [] : [actor];
  });
}

/** @returns row key -> value */
export function storedRows<Value>({ space }: SimulatedServer, id: string, collection: string): Map<string, Value> {
  for (const key of space.keys.keys())
    if (key.endsWith(`}:c:${id}:${collection}`))
      return new Map([...(space.hash(key) ?? [])].map(([name, text]) => [name, JSON.parse(text) as Value]));
  return new Map();
}
