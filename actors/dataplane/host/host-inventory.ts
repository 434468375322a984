/**
 * The inventory of this host: its runs, ports and VNIs, read from processes, taps, DHCP host entries and overlays,
 * never from desired state. After a store rollback the agent sends it to the cluster. Called by host-operations.ts.
 * Promise: every running QEMU process and every address of a tap of ours is listed, whether or not the store knows it.
 */
import { idOf, partsOfId } from '@photoncloud/machines/values/identifiers';
import type { FoundPort, FoundRun, HostInventory } from '@photoncloud/machines/values/inventory-schema';
import type { DataplaneSite } from '../dataplane-site.ts';
import { macOfLine, readDhcpHosts } from '../dhcp/dhcp-hosts.ts';
import { listRuns } from '../hypervisor/qemu-folder.ts';
import { findIncarnation } from '../hypervisor/qemu-session.ts';
import { vxlanName } from '../kernel-names.ts';
import { readNamespace, readNamespaceOwner } from '../overlay/overlay-namespace.ts';
import { ownerOfAlias } from '../owner-alias.ts';
import { inBatches } from '../process-lookup.ts';
import { listFolder } from '../storage-files.ts';

export async function readInventory(site: DataplaneSite): Promise<HostInventory> {
  const names = (await listFolder('/run/netns')).filter((name) => site.names.isNamespace(name));
  const [runs, segments] = await Promise.all([
    findRuns(site),
    Promise.all(names.map((name) => findSegment(site, name))),
  ]);
  return {
    runs,
    ports: segments.flatMap((segment) => segment.ports),
    vnis: segments.flatMap((segment) => segment.vnis),
  };
}

/** The sharded actor whose per-host counterpart the given actor is: `binding/acme/p@w1` -> `port/acme/p`. */
function shardedIdOf(actor: string, kind: string): string {
  const { tenant, name } = partsOfId(actor);
  return idOf(kind, tenant, name);
}

async function findRuns(site: DataplaneSite): Promise<FoundRun[]> {
  const found = await inBatches(await listRuns(site), async ({ paths, owner }): Promise<FoundRun[]> => {
    if (owner === null || (await findIncarnation(paths, true)) === null) return [];
    return [{ vm: shardedIdOf(owner.actor, 'vm'), incarnationUid: owner.uid, runEpoch: owner.runEpoch }];
  });
  return found.flat();
}

async function findSegment(site: DataplaneSite, namespace: string): Promise<Pick<HostInventory, 'ports' | 'vnis'>> {
  const nothing = { ports: [], vnis: [] };
  if ((await readNamespace(namespace)) !== 'present') return nothing;
  const link = site.links.of(namespace);
  const owner = await readNamespaceOwner(link, site.options.cluster);
  if (owner === null) return nothing;
  const vpc = shardedIdOf(owner.actor, 'vpc');
  const links = await link.links();
  const vni = links.find((one) => one.ifname === vxlanName)?.linkinfo?.info_data?.['id'];
  const bindings = new Map(
    links.flatMap((one) => {
      const tapOwner = site.names.isTap(one.ifname) ? ownerOfAlias(site.options.cluster, one.ifalias) : null;
      return tapOwner === null ? [] : [[one.ifname, tapOwner.actor] as const];
    }),
  );
  return {
    ports: await findPorts(site, namespace, vpc, bindings),
    vnis: typeof vni === 'number' ? [{ vpc, vni }] : [],
  };
}

/** The ports by their DHCP host entries, which name the tap of each address. */
async function findPorts(
  site: DataplaneSite,
  namespace: string,
  vpc: string,
  bindings: ReadonlyMap<string, string>,
): Promise<FoundPort[]> {
  const entries = await readDhcpHosts(site.folders.dhcp, namespace);
  return [...entries].flatMap(([address, { tap, line }]) => {
    const binding = bindings.get(tap);
    return binding === undefined ? [] : [{ vpc, port: shardedIdOf(binding, 'port'), address, mac: macOfLine(line) }];
  });
}
