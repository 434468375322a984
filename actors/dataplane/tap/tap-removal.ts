/**
 * Removes a port from this host: route, rules, tap, neighbour, DHCP host, conntrack entries of its address.
 * Entries that are keyed by the address are removed only while this tap has the address. The DHCP host file says which
 * tap has it: the file is written before them and removed after them. Called by network-operations.ts and the sweep.
 * Promise: entries of another port that has the address by now are not changed.
 */
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import { command } from '../kernel-command.ts';
import type { Command } from '../kernel-command.ts';
import type { TapRef } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import {
  deleteDhcpHost,
  dhcpFolderOf,
  macOfLine,
  readDhcpHost,
  readDhcpHosts,
  readHoldings,
} from '../dhcp/dhcp-hosts.ts';
import { refreshDhcpServer } from '../dhcp/dhcp-server.ts';
import { dismissPort } from '../firewall/firewall-ports.ts';
import type { PortIdentity } from '../firewall/firewall-rules.ts';
import { withdrawRecord } from '../metadata/metadata-records.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { deleteLocalRoute } from '../overlay/overlay-device.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { ownerOfAlias, refuseOlder } from '../owner-alias.ts';
import { followNextHops } from '../router/static-routes.ts';
import { checkTapRef } from '../wiring-checks.ts';
import { deleteTap, findTap } from './tap-device.ts';
import { deleteFlows, dropPairs } from './tap-pairs.ts';
import { nameTaken, tapErrors } from './tap-errors.ts';

export async function dropTap(site: DataplaneSite, ref: TapRef): Promise<{ removed: boolean }> {
  checkTapRef(ref);
  const tap = site.names.tapOf(ref.owner);
  const found = await findTap(site, ref.vpc, tap);
  if (found !== null) {
    const owner: OwnerToken | null = ownerOfAlias(site.options.cluster, found.device.ifalias);
    if (owner === null && found.place === 'segment') throw nameTaken(tap);
    refuseOlder(`tap ${tap}`, ref.owner, owner);
  }
  const namespace = site.names.namespaceOf(ref.vpc);
  const wired = (await readNamespace(namespace)) === 'present';
  const link = wired ? site.links.of(namespace) : null;
  const bridge = site.names.bridgeOf(ref.network);
  const folder = dhcpFolderOf(site.folders.dhcp, namespace, bridge);
  const holder = await readDhcpHost(folder, ref.address);
  const takenOver = holder !== null && holder.tap !== tap;
  const port = { tap, mac: ref.mac, address: ref.address, pairs: takenOver || holder === null ? [] : holder.pairs };
  const standby = holder?.standby === true;
  if (link !== null) await unbind(site, link, port, bridge, { takenOver, standby });
  if (found !== null) await deleteTap(found);
  // Flows to a port that stood by here go on: another host has it.
  if (link !== null && !takenOver && !standby) await deleteFlows(link, ref.address);
  if (holder !== null && !takenOver) {
    await withdrawRecord(site, namespace, ref.address);
    await unserve(site, folder, ref.address);
  }
  return { removed: found !== null };
}

/** Addresses of a namespace that other taps than these have, their pairs included. */
export async function heldByOthers(
  site: DataplaneSite,
  namespace: string,
  taps: readonly string[],
): Promise<ReadonlySet<string>> {
  const holdings = await readHoldings(site.folders.dhcp, namespace);
  return new Set(holdings.filter(({ tap }) => !taps.includes(tap)).map(({ address }) => address));
}

async function unbind(
  site: DataplaneSite,
  link: NamespaceLink,
  port: PortIdentity,
  bridge: string,
  { takenOver, standby }: { readonly takenOver: boolean; readonly standby: boolean },
): Promise<void> {
  const keeps = new Set(takenOver ? [port.address] : []);
  if (port.pairs.length > 0) {
    const others = await heldByOthers(site, String(link.name), [port.tap]);
    await dropPairs(link, { ...port, pairs: [] }, bridge, port.pairs, others, standby);
    for (const address of others) keeps.add(address);
  }
  const facts = await link.portFacts(port.tap, bridge, port.address);
  const mine = !takenOver && facts.neighbour?.lladdr === port.mac;
  const commands: Command[] = [
    ...(mine && facts.route?.dev === bridge ? [deleteLocalRoute(port.address, bridge)] : []),
    ...(mine ? [command`neigh delete ${port.address} dev ${bridge}`] : []),
  ];
  await link.ip(`unbinding ${port.address} from ${port.tap}`, commands, tapErrors);
  await followNextHops(link);
  await dismissPort(link, port, keeps);
}

async function unserve(site: DataplaneSite, folder: string, address: string): Promise<void> {
  await site.locks.hold(`dhcp ${folder}`, async () => {
    await deleteDhcpHost(folder, address);
    await refreshDhcpServer(folder);
  });
}

/** Removes a tap without a known binding, for the sweep: its address and MAC are read from its DHCP host file. */
export async function dropStrayTap(site: DataplaneSite, namespace: string, device: KernelLink): Promise<void> {
  const link = site.links.of(namespace);
  const tap = device.ifname;
  for (const [address, { tap: holder, line, folder, pairs, standby }] of await readDhcpHosts(
    site.folders.dhcp,
    namespace,
  )) {
    if (holder !== tap) continue;
    const mac = macOfLine(line);
    const port = { tap, mac, address, pairs };
    if (device.master !== undefined) await unbind(site, link, port, device.master, { takenOver: false, standby });
    if (!standby) await deleteFlows(link, address);
    await unserve(site, folder, address);
  }
  await deleteTap({ place: 'segment', link, device });
}
