/**
 * K2 of docs/promises.md: only the process that holds the latest grant of a shard commits in it; era and epoch of a
 * shard never fall; the versions of an actor have neither gap nor fork (G1). Pure. Called by runtime-promises.ts.
 */
import { parseGrant } from '@photoncloud/runtime/journal/store-keys';
import type { StoreFact } from './store-facts.ts';

interface Owner {
  readonly grant: string;
  /** Label of the process that claimed it; undefined after a handover, whose grant names a node and no process. */
  readonly taker: string | undefined;
}

const nodeOf = (label: string): string => label.slice(0, label.lastIndexOf('.'));

export function checkWriters(facts: readonly StoreFact[]): string[] {
  const owners = new Map<string, Owner>();
  const versions = new Map<string, number>();
  const broken: string[] = [];
  for (const fact of facts) {
    if (fact.fact === 'rolled back') {
      owners.clear();
      versions.clear();
    } else if (fact.fact === 'grant') {
      const before = owners.get(fact.shard);
      const taken = parseGrant(fact.grant).node === nodeOf(fact.by);
      if (before !== undefined && !mayFollow(before.grant, fact.grant, taken))
        broken.push(`K2: ${fact.by} changed the grant of ${fact.shard} from ${before.grant} to ${fact.grant}`);
      owners.set(fact.shard, { grant: fact.grant, taker: taken ? fact.by : undefined });
    } else if (fact.fact === 'record' && 'version' in fact.fields) {
      const owner = owners.get(fact.shard);
      const { node } = parseGrant(owner?.grant ?? '');
      if (owner !== undefined && (node !== nodeOf(fact.by) || (owner.taker ?? fact.by) !== fact.by))
        broken.push(
          `K2: ${fact.by} committed ${fact.actor} at ${fact.atMs.toFixed(3)} ms while ${owner.grant} ` +
            `(${owner.taker ?? 'handed over'}) owned ${fact.shard}`,
        );
    } else if (fact.fact === 'history') {
      const last = versions.get(fact.actor);
      const { version, kind } = fact.entry;
      const next = kind === 'transition' ? [1] : [0, 1];
      if (last !== undefined && !next.includes(version - last))
        broken.push(
          `K2: ${fact.actor} went from version ${last} to ${version} (${kind} by ${fact.entry.cause}), by ${fact.by}`,
        );
      versions.set(fact.actor, version);
    }
  }
  return broken;
}

/** A claim raises the epoch of the shard, or the era; a handover leaves both. */
function mayFollow(before: string, after: string, taken: boolean): boolean {
  const [one, other] = [parseGrant(before), parseGrant(after)];
  if (other.era !== one.era) return other.era > one.era;
  return taken ? other.ownerEpoch > one.ownerEpoch : other.ownerEpoch === one.ownerEpoch;
}
