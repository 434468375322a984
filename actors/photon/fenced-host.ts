/**
 * What the product does at the begin and at the end of a fencing; runtime/directory/node-fencing.ts changes the shard's
 * owner. At the begin, the controller that becomes surrogate owner sends `host.gone` to the counterparts of the fenced
 * host. At the end, the returning worker removes what earlier runs have left on its host. Called by the composition
 * roots, also those of the simulation (docs/decisions/0012-surrogate-owner.md).
 */
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { ShardGrant } from '@photoncloud/runtime/contract/journal';
import type { Inlet } from '@photoncloud/runtime/contract/link';
import type { Log } from '@photoncloud/runtime/contract/log';
import type { RedisReader } from '@photoncloud/runtime/journal/redis-reader';
import { systemPrincipal } from '@photoncloud/runtime/hosting/input-check';
import { hostOfShard } from '@photoncloud/runtime/journal/shard-placement';
import type { HostDataplane } from '../dataplane/contract/host-contract.ts';

export interface HostTakeover {
  /** The grant under which this controller owns the host's shard. */
  readonly grant: ShardGrant;
  readonly inlet: Inlet;
  readonly reader: Pick<RedisReader, 'onHost'>;
  readonly registry: ActorRegistry;
  readonly log: Log;
}

const gone = { type: 'host.gone' };

/**
 * Tells the counterparts of a fenced host that the host is gone. A counterpart with a pending effect also learns it
 * from that effect, which is answered `host_gone`. The event is delivered only to actors that this node owns, so that a
 * late one cannot reach a host that has returned. Each controller that becomes surrogate owner sends it again.
 */
export async function tellGone({ grant, inlet, reader, registry, log }: HostTakeover): Promise<void> {
  const host = hostOfShard(grant.shard) ?? '';
  const accepts = ({ id }: { readonly id: ActorId }): boolean =>
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
  const items = await reader.onHost(host);
  const delivered = await Promise.all(items.filter(accepts).map(tell));
  const undelivered = delivered.filter((isDelivered) => !isDelivered).length;
  log.warn(
    { host, counterparts: items.length, undelivered },
    'a host was fenced; this controller is the surrogate owner of its counterparts',
  );
}

/** Kinds whose objects are files on a disk: they survive the fencing, so their counterparts stay valid. */
const kindsOnDisk = ['image-copy', 'replica'];

/**
 * Empties this host after an operator fenced it as powered off: what still runs here may have been started elsewhere.
 * Everything is removed except images and volumes.
 * @throws PhotonError fault `host_not_empty`
 */
export async function emptyHost(
  host: string,
  dataplane: HostDataplane,
  reader: Pick<RedisReader, 'onHost'>,
  log: Log,
): Promise<void> {
  const owners = async (): Promise<string[]> => {
    const items = await reader.onHost(host);
    return items.map(({ id }) => id).filter((id) => kindsOnDisk.includes(partsOf(id).kind));
  };
  // No actor requests this sweep; a sweep does not compare fences.
  const call = { fence: { era: 0, ownerEpoch: 0, version: 0 }, signal: new AbortController().signal };
  const { removed, failed } = await dataplane.sweep({ owners }, call);
  log.warn(
    { host, removed: removed.map(({ what, name }) => `${what} ${name}`) },
    'removed what was left on this host, which was fenced',
  );
  const [stuck] = failed;
  if (stuck === undefined) return;
  const text = `${stuck.item.what} ${stuck.item.name} and ${failed.length - 1} more were not removed: ${stuck.reason}`;
  throw new PhotonError('fault', 'host_not_empty', text);
}
