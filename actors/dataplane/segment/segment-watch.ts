/**
 * Waits until something of a segment has vanished: dnsmasq (its start time), the namespace, vx0, a bridge.
 * A look costs three small reads of /proc each 500 ms; the interfaces are seen through dnsmasq's own /proc entry, so no
 * program runs. Called by linux-dataplane.ts. Promise: it says what is missing only after it has seen it missing.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SegmentSpec } from '@photoncloud/machines/values/wiring';
import type { SegmentBroken } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readDhcpServer } from '../dhcp/dhcp-server.ts';
import { vxlanName } from '../kernel-names.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { interfacesOf, isSame } from '../process-sight.ts';
import type { ProcessSight } from '../process-sight.ts';

const lookEveryMs = 500;

export async function watchForLoss(
  site: DataplaneSite,
  spec: SegmentSpec,
  signal: AbortSignal,
): Promise<SegmentBroken> {
  const namespace = site.names.namespaceOf(spec.vpc);
  let server: ProcessSight | null = null;
  for (;;) {
    signal.throwIfAborted();
    if ((await readNamespace(namespace)) !== 'present')
      return { reason: 'namespace_gone', detail: `Namespace ${namespace} of ${spec.vpc} is gone.` };
    if (server === null || !(await isSame(server))) server = await readDhcpServer(site.folders.dhcp, namespace);
    const broken = server === null ? withoutServer(spec, namespace) : await missingInterface(site, spec, server);
    if (broken !== null) return broken;
    await pause(lookEveryMs, undefined, { signal });
  }
}

function withoutServer(spec: SegmentSpec, namespace: string): SegmentBroken | null {
  if (spec.networks.length === 0) return null;
  return { reason: 'dnsmasq_gone', detail: `dnsmasq of ${spec.vpc} in ${namespace} is gone.` };
}

async function missingInterface(
  site: DataplaneSite,
  spec: SegmentSpec,
  server: ProcessSight,
): Promise<SegmentBroken | null> {
  const interfaces = await interfacesOf(server.pid);
  // an empty answer means the process ended between two looks: the next one says so
  if (interfaces.size === 0) return null;
  if (!interfaces.has(vxlanName)) return { reason: 'vxlan_gone', detail: `vx0 of ${spec.vpc} is gone.` };
  const network = spec.networks.find((one) => !interfaces.has(site.names.bridgeOf(one.network)));
  return network === undefined ? null : { reason: 'bridge_gone', detail: `The bridge of ${network.network} is gone.` };
}
