/**
 * Adds and removes single routes to ports on other hosts as ports are wired and removed there. This is a hot path: no
 * program is started. Called by network-operations.ts. Promise: an addition replaces a local route to the same address
 * (the port has moved to another host); a removal deletes only a route that leads to the named host.
 */
import type { RouteChange } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { addRemoteRoute, deleteRemoteRoute, readRemoteRoutes } from '../overlay/overlay-device.ts';
import { overlayErrors } from '../overlay/overlay-errors.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { checkActor, checkOwner, checkRoutes } from '../wiring-checks.ts';
import { segmentMissing } from './segment-errors.ts';

export async function changeRoutes(site: DataplaneSite, change: RouteChange): Promise<{ applied: number }> {
  checkOwner(change.segment.owner);
  checkActor('segment.vpc', change.segment.vpc);
  checkRoutes('added', change.added);
  checkRoutes('removed', change.removed);
  const namespace = site.names.namespaceOf(change.segment.vpc);
  if ((await readNamespace(namespace)) !== 'present') throw segmentMissing(change.segment.vpc);
  const link = site.links.of(namespace);
  const actual = change.removed.length === 0 ? new Map<string, number>() : await readRemoteRoutes(link);
  const commands = [
    ...change.removed.filter((route) => actual.get(route.address) === route.host).map(deleteRemoteRoute),
    ...change.added.map(addRemoteRoute),
  ];
  await link.ip(`changing routes of ${change.segment.vpc}`, commands, overlayErrors);
  return { applied: commands.length };
}
