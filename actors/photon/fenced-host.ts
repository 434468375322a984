/**
 * The two ends of a fencing, beyond the change of owner that runtime/directory/node-fencing.ts makes: the controller
 * that takes the counterparts of a fenced host over tells those that wait for nothing, and the worker that is back
 * removes what earlier lives have left there. Called by the composition roots, of the simulation too
 * (docs/decisions/0012).
 */
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { ShardGrant } from '@photoncloud/runtime/contract/journal';
import type { Inlet } from '@photoncloud/runtime/contract/link';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { Reader } from '@photoncloud/runtime/contract/reader';
import { systemPrincipal } from '@photoncloud/runtime/hosting/input-check';
import { hostOfShard } from '@photoncloud/runtime/journal/shard-placement';
import type { HostDataplane } from '../dataplane/contract/host-contract.ts';

export interface Undertaking {
  /** The host's shard is held by it. */
  readonly grant: ShardGrant;
  readonly inlet: Inlet;
  readonly reader: Reader;
  readonly registry: ActorRegistry;
  readonly log: Log;
}

const gone = { type: 'host.gone' };

/**
 * What the counterparts keep cannot be reached any more; whose effects are pending hears it by those. Said only to
 * actors that live here: word that comes late must not reach a host that is back. Said again by each controller that
 * takes them.
 */
export async function tellGone({ grant, inlet, reader, registry, log }: Undertaking): Promise<void> {
  const host = hostOfShard(grant.shard) ?? '';
  const listens = ({ id }: { readonly id: ActorId }): boolean =>
    registry.kinds.get(partsOf(id).kind)?.machine.events.includes(gone.type) === true;
  const tell = async ({ id }: { readonly id: ActorId }): Promise<boolean> => {
    const commandId = `${systemPrincipal}-${gone.type}-${grant.era}.${grant.ownerEpoch}`;
    const reply = await inlet.command({
      to: id,
      commandId,
      digest: gone.type,
      principal: systemPrincipal,
      event: gone,
    });
    return !('moved' in reply) && (reply.ok || reply.error.code === 'not_accepted');
  };
  const { items } = await reader.list({ host });
  const told = await Promise.all(items.filter(listens).map(tell));
  const untold = told.filter((heard) => !heard).length;
  log.warn(
    { host, counterparts: items.length, untold },
    'a host was fenced; its pinned counterparts are answered for here',
  );
}

/** Kinds whose objects lie still on a disk: their counterparts stand for them also while the host is gone. */
const atRest = ['image-copy', 'replica'];

/**
 * An operator has said that this host is off, and here it is: what still runs here was started elsewhere, or may be.
 * All of it goes, but for images and volumes.
 * @throws PhotonError fault `host_not_empty`
 */
export async function emptyHost(host: string, dataplane: HostDataplane, reader: Reader, log: Log): Promise<void> {
  const owners = async (): Promise<string[]> => {
    const { items } = await reader.list({ host });
    return items.map(({ id }) => id).filter((id) => atRest.includes(partsOf(id).kind));
  };
  // No actor asks for this, and a sweep compares no fences.
  const call = { fence: { era: 0, ownerEpoch: 0, version: 0 }, signal: new AbortController().signal };
  const { removed, failed } = await dataplane.sweep({ owners }, call);
  log.warn({ host, removed: removed.map(({ what, name }) => `${what} ${name}`) }, 'a host that was fenced is emptied');
  const [stuck] = failed;
  if (stuck === undefined) return;
  const text = `${stuck.item.what} ${stuck.item.name} and ${failed.length - 1} more stay: ${stuck.reason}`;
  throw new PhotonError('fault', 'host_not_empty', text);
}
