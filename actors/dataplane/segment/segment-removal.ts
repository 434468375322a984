/**
 * Removes a VPC from this host: dnsmasq, then vx0, then the namespace with everything else in it.
 * Called by network-operations.ts and the sweep. Promise: the VNI is free again when the call resolves; a segment that
 * still has ports or belongs to a later run is not changed.
 */
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { SegmentRef } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { removeDhcpServer } from '../dhcp/dhcp-server.ts';
import { deleteOverlay } from '../overlay/overlay-device.ts';
import { deleteNamespace, readNamespace, readNamespaceOwner } from '../overlay/overlay-namespace.ts';
import { refuseOlder } from '../owner-alias.ts';
import { checkActor, checkOwner } from '../wiring-checks.ts';
import { segmentInUse } from './segment-errors.ts';

export async function dropSegment(site: DataplaneSite, segment: SegmentRef): Promise<{ removed: boolean }> {
  checkOwner(segment.owner);
  checkActor('vpc', segment.vpc);
  return dropNamespace(site, site.names.namespaceOf(segment.vpc), segment.vpc, segment.owner);
}

/** @param owner null removes the namespace whoever owns it (for the sweep) */
export async function dropNamespace(
  site: DataplaneSite,
  namespace: string,
  vpc: string,
  owner: OwnerToken | null,
): Promise<{ removed: boolean }> {
  const found = await readNamespace(namespace);
  if (found === 'present') {
    const link = site.links.of(namespace);
    if (owner !== null)
      refuseOlder(`namespace ${namespace}`, owner, await readNamespaceOwner(link, site.options.cluster));
    const port = (await link.links()).find((one) => site.names.isTap(one.ifname));
    if (port !== undefined) throw segmentInUse(vpc, port.ifname);
    await removeDhcpServer(site.folders.dhcp, namespace);
    await deleteOverlay(link);
  } else {
    await removeDhcpServer(site.folders.dhcp, namespace);
  }
  // An open coprocess would keep the namespace alive.
  await site.links.forget(namespace);
  if (found !== 'absent') await deleteNamespace(namespace);
  return { removed: found !== 'absent' };
}
