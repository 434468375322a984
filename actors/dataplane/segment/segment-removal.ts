/**
 * Removes a VPC from this host: its sections in reverse order, then the namespace with everything else in it.
 * Called by linux-dataplane.ts and the sweep. Promise: the VNI is free again when it resolves; a segment that still
 * has ports or belongs to a later run is left as it is.
 */
import type { OwnerToken, SegmentRef } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { deleteNamespace, readNamespace, readNamespaceOwner } from '../overlay/overlay-namespace.ts';
import { refuseOlder } from '../owner-alias.ts';
import { checkActor, checkOwner } from '../wiring-checks.ts';
import { segmentInUse } from './segment-errors.ts';
import { segmentSections } from './segment-sections.ts';

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
  }
  for (const section of segmentSections.toReversed()) await section.remove({ site, namespace });
  // an open coprocess would keep the namespace alive
  await site.links.forget(namespace);
  if (found !== 'absent') await deleteNamespace(namespace);
  return { removed: found !== 'absent' };
}
