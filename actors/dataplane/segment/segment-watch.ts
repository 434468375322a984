/**
 * Waits until a part of a segment is gone: dnsmasq (known by its start time), the namespace, vx0, a bridge.
 * Every 500 ms it makes three small reads of /proc. The interfaces are read through dnsmasq's /proc entry, so no
 * program is started. Called by network-operations.ts. Promise: a part is reported only after a read has shown that it
 * is gone.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SegmentSpec } from '@photoncloud/machines/values/wiring';
import type { SegmentBroken } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readDhcpServer } from '../dhcp/dhcp-server.ts';
import { vxlanName } from '../kernel-names.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { interfacesOf, isStillRunning } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';

const pollEveryMs = 500;

export async function watchForLoss(
  site: DataplaneSite,
  spec: SegmentSpec,
  signal: AbortSignal,
): Promise<SegmentBroken> {
  const namespace = site.names.namespaceOf(spec.vpc);
  let server: ProcessIdentity | null = null;
  for (;;) {
    signal.throwIfAborted();
    if ((await readNamespace(namespace)) !== 'present')
      return { reason: 'namespace_gone', detail: `Namespace ${namespace} of ${spec.vpc} is gone.` };
    if (server === null || !(await isStillRunning(server))) server = await readDhcpServer(site.folders.dhcp, namespace);
    const broken = server === null ? withoutServer(spec, namespace) : await missingInterface(site, spec, server);
    if (broken !== null) return broken;
    await pause(pollEveryMs, undefined, { signal });
  }
}

function withoutServer(spec: SegmentSpec, namespace: string): SegmentBroken | null {
  if (spec.networks.length === 0) return null;
  return { reason: 'dnsmasq_gone', detail: `dnsmasq of ${spec.vpc} in ${namespace} is gone.` };
}

async function missingInterface(
  site: DataplaneSite,
  spec: SegmentSpec,
  server: ProcessIdentity,
): Promise<SegmentBroken | null> {
  const interfaces = await interfacesOf(server.pid);
  // An empty answer means that dnsmasq has ended between two reads: the next read reports it.
  if (interfaces.size === 0) return null;
  if (!interfaces.has(vxlanName)) return { reason: 'vxlan_gone', detail: `vx0 of ${spec.vpc} is gone.` };
  const network = spec.networks.find((one) => !interfaces.has(site.names.bridgeOf(one.network)));
  return network === undefined ? null : { reason: 'bridge_gone', detail: `The bridge of ${network.network} is gone.` };
}
