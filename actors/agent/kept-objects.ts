/**
 * Objects that a host had without an owner in the store when an era began (docs/decisions/0007-era-and-barrier.md):
 * which they are, and which of them nobody uses. Reads only. Called by the worker for its agent.
 */
import { hostNames, type PortContext } from '@photoncloud/machines/port/port-context';
import { idOf, partsOfId } from '@photoncloud/machines/values/identifiers';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Reader } from '@photoncloud/runtime/contract/reader';
import type { HostDataplane } from '../dataplane/contract/host-contract.ts';

type Records = Pick<Reader, 'get'>;
type Found = Pick<HostDataplane, 'residue'>;

/** Names of objects on this host whose owner mark fits no actor in the store with the same uid and run epoch. */
export async function withoutOwner(dataplane: Found, reader: Records): Promise<string[]> {
  const names: string[] = [];
  for (const { name, owner } of await dataplane.residue()) {
    const stored = owner === null ? undefined : await reader.get(actorId(owner.actor));
    const spec = stored?.status === 'live' ? (stored.context as { spec?: { owner?: OwnerToken } | null }).spec : null;
    if (owner === null || spec?.owner?.uid !== owner.uid || spec.owner.runEpoch !== owner.runEpoch) names.push(name);
  }
  return names;
}

/**
 * Names of taps that neither a binding nor a port of the store wants on this host, and that no VM which runs here can
 * have open. What else is kept stays: a process, a disk, or a network that a VM without a record may need.
 */
export async function unusedTaps(
  host: string,
  kept: readonly string[],
  dataplane: Pick<HostDataplane, 'residue' | 'readInventory'>,
  reader: Records,
): Promise<string[]> {
  const running = new Set((await dataplane.readInventory()).runs.map(({ vm }) => vm));
  const unused: string[] = [];
  for (const { what, name, owner } of await dataplane.residue()) {
    if (what !== 'interface' || owner === null || !kept.includes(name)) continue;
    const { kind, tenant, name: port } = partsOfId(owner.actor);
    const [vm = ''] = port.split('.');
    if (kind !== 'binding' || running.has(idOf('vm', tenant, vm)) || (await isLive(reader, owner.actor))) continue;
    const wanted = await reader.get(actorId(idOf('port', tenant, port)));
    const isWanted = wanted?.status === 'live' && hostNames(wanted.context as PortContext).includes(host);
    if (!isWanted) unused.push(name);
  }
  return unused;
}

const isLive = async (reader: Records, actor: string): Promise<boolean> =>
  (await reader.get(actorId(actor)))?.status === 'live';
