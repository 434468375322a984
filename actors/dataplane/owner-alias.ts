/**
 * The owner mark of a kernel object: written to `ifalias`, which survives moves between namespaces, and into files
 * beside the stored data. Read by ensure, remove, sweep and residue. Promise (docs/threats.md#t18): a lower run epoch
 * never changes an object that a higher one has marked, and an object without a mark of this cluster is not ours.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';

const mark = 'photon1';
const aliasLimit = 255;
const word = /^[A-Za-z0-9@./_-]+$/;

/** `photon1,<cluster>,<actor>,<uid>,<runEpoch>`, without spaces because `ip -batch` splits at spaces. */
export function aliasOf(cluster: string, owner: OwnerToken): string {
  for (const part of [cluster, owner.actor, owner.uid]) {
    if (!word.test(part)) throw new TypeError(`not fit for an owner token: ${JSON.stringify(part)}`);
  }
  const alias = [mark, cluster, owner.actor, owner.uid, owner.runEpoch].join(',');
  if (alias.length > aliasLimit) throw new TypeError(`owner token longer than ${aliasLimit}: ${alias}`);
  return alias;
}

/** The owner, or null when there is no mark or the mark names another cluster. */
export function ownerOfAlias(cluster: string, alias: string | undefined): OwnerToken | null {
  const [head, where, actor, uid, epoch] = (alias ?? '').split(',');
  if (head !== mark || where !== cluster || actor === undefined || uid === undefined || epoch === undefined)
    return null;
  const runEpoch = Number(epoch);
  return Number.isSafeInteger(runEpoch) ? { actor, uid, runEpoch } : null;
}

export const sameOwner = (a: OwnerToken, b: OwnerToken): boolean =>
  a.actor === b.actor && a.uid === b.uid && a.runEpoch === b.runEpoch;

/** @throws ownership_lost `run_epoch_older` when the object belongs to a later run of the same actor. */
export function refuseOlder(what: string, asking: OwnerToken, actual: OwnerToken | null): void {
  if (actual === null || actual.actor !== asking.actor || actual.runEpoch <= asking.runEpoch) return;
  throw new PhotonError(
    'ownership_lost',
    'run_epoch_older',
    `${what} belongs to run ${actual.runEpoch} of ${actual.actor}; run ${asking.runEpoch} may no longer change it.`,
  );
}
