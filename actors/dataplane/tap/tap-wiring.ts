/**
 * Wires a tap to its network: moves it into the VPC, makes it an isolated bridge slave with a permanent neighbour, adds
 * DHCP host, rules and static FDB entry, sets it up and adds the /32 route, in this order: the rules are loaded before
 * the tap is up (docs/threats.md#t14). The /32 route is what makes this host the place of the address.
 * Called by network-operations.ts. Promise: the proof is read back from the kernel; drift after the change is a fault.
 */
import type { TapProof, TapSpec } from '@photoncloud/machines/values/wiring';
import type { TapReading } from '../contract/network-contract.ts';
import { command } from '../kernel-command.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { hostLine } from '../dhcp/dhcp-config.ts';
import { dhcpFolderOf, readDhcpHost, remembersOther, writeDhcpHost } from '../dhcp/dhcp-hosts.ts';
import { refreshDhcpServer, restartDhcpServer } from '../dhcp/dhcp-server.ts';
import { admitPort, readPort } from '../firewall/firewall-ports.ts';
import { vxlanName } from '../kernel-names.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { aliasOf, ownerOfAlias, refuseOlder, sameOwner } from '../owner-alias.ts';
import { reviewFlows } from '../security-group/flow-review.ts';
import { toldPolicy } from '../security-group/group-policy.ts';
import { segmentMissing } from '../segment/segment-errors.ts';
import { checkTap } from '../wiring-checks.ts';
import { findTap, isHeld } from './tap-device.ts';
import type { FoundTap } from './tap-device.ts';
import { nameTaken, networkMissing, tapDrifted, tapErrors, tapMissing } from './tap-errors.ts';

export async function wireTap(site: DataplaneSite, spec: TapSpec, signal: AbortSignal): Promise<TapProof> {
  checkTap(spec);
  const { cluster } = site.options;
  const tap = site.names.tapOf(spec.owner);
  const bridge = site.names.bridgeOf(spec.network);
  const namespace = site.names.namespaceOf(spec.vpc);
  if ((await readNamespace(namespace)) !== 'present') throw segmentMissing(spec.vpc);
  const link = site.links.of(namespace);
  const found = await findTap(site, spec.vpc, tap);
  if (found === null) throw tapMissing(tap, spec.port);
  const owner = ownerOfAlias(cluster, found.device.ifalias);
  if (owner === null) throw nameTaken(tap);
  refuseOlder(`tap ${tap}`, spec.owner, owner);
  if ((await link.link(bridge)) === null) throw networkMissing(spec.network);
  if (found.place === 'host') {
    await site.links.host.ip(
      `moving tap ${tap} into ${namespace}`,
      [command`link set ${tap} netns ${namespace}`],
      tapErrors,
    );
    link.appeared(tap);
  }
  signal.throwIfAborted();
  await attach(site, link, spec, tap, bridge, namespace);
  const reading = await readWiring(site, spec);
  if (reading.proof === null || reading.drift.length > 0) throw tapDrifted(tap, reading.drift);
  return reading.proof;
}

/**
 * By default, frames to 01:80:c2:00:00:0x bypass the bridge's rules: the kernel delivers them locally as received on
 * the tap, and would answer a guest's forged packet. Frames that group_fwd_mask marks for forwarding pass the rules
 * like all others. All bits are set except that of 802.3 pause frames, which the kernel drops.
 */
const groupForwarding = 0xfffd;

const isIsolated = (slave: Readonly<Record<string, unknown>> | undefined): boolean =>
  slave?.['isolated'] === true &&
  slave['learning'] === false &&
  slave['flood'] === false &&
  Number(slave['group_fwd_mask']) === groupForwarding;

async function attach(
  site: DataplaneSite,
  link: NamespaceLink,
  spec: TapSpec,
  tap: string,
  bridge: string,
  namespace: string,
): Promise<void> {
  const what = `wiring tap ${tap} of ${spec.port}`;
  const port = { tap, mac: spec.mac, address: spec.address };
  await link.ip(
    what,
    [
      command`link set ${tap} mtu ${spec.mtu} alias ${aliasOf(site.options.cluster, spec.owner)} master ${bridge}`,
      command`link set ${tap} type bridge_slave isolated on learning off flood off mcast_flood off`,
      command`link set ${tap} type bridge_slave group_fwd_mask ${groupForwarding}`,
      command`neigh replace ${spec.address} lladdr ${spec.mac} dev ${bridge} nud permanent`,
    ],
    tapErrors,
  );
  const folder = dhcpFolderOf(site.folders.dhcp, namespace, bridge);
  await site.locks.hold(`dhcp ${folder}`, async () => {
    await writeDhcpHost(folder, { ...port, hostname: spec.hostname });
    if (await remembersOther(folder, port.address, port.mac)) await restartDhcpServer(folder, namespace);
    else await refreshDhcpServer(folder);
  });
  const regrouped = await admitPort(link, port, spec.groups);
  if (regrouped || toldPolicy(link).inherited) await reviewFlows({ site, namespace }, true);
  await link.bridge(what, [command`fdb replace ${spec.mac} dev ${tap} master static`], tapErrors);
  await link.ip(
    what,
    [command`link set ${tap} up`, command`route replace ${spec.address}/32 dev ${bridge}`],
    tapErrors,
  );
}

export async function readWiring(site: DataplaneSite, spec: TapSpec): Promise<TapReading> {
  checkTap(spec);
  const tap = site.names.tapOf(spec.owner);
  const found = await findTap(site, spec.vpc, tap);
  if (found === null) return { place: 'none', owner: null, carrier: false, proof: null, drift: ['no tap'] };
  const owner = ownerOfAlias(site.options.cluster, found.device.ifalias);
  const carrier = await isHeld(found);
  if (found.place === 'host')
    return { place: 'host', owner, carrier, proof: null, drift: ['tap is not moved into the segment'] };
  const { proof, drift } = await readProof(site, spec, found);
  const marked = owner !== null && sameOwner(owner, spec.owner);
  return {
    place: 'segment',
    owner,
    carrier,
    proof,
    drift: marked ? drift : [...drift, 'tap is marked for another run'],
  };
}

async function readProof(
  site: DataplaneSite,
  spec: TapSpec,
  found: FoundTap,
): Promise<{ proof: TapProof | null; drift: string[] }> {
  const { link } = found;
  const tap = found.device.ifname;
  const bridge = site.names.bridgeOf(spec.network);
  const port = { tap, mac: spec.mac, address: spec.address };
  const folder = dhcpFolderOf(site.folders.dhcp, site.names.namespaceOf(spec.vpc), bridge);
  const [facts, rules, host, another, fdb] = await Promise.all([
    link.portFacts(tap, bridge, spec.address),
    readPort(link, port, spec.groups),
    readDhcpHost(folder, spec.address),
    remembersOther(folder, spec.address, spec.mac),
    link.fdbOf(tap),
  ]);
  const slave = facts.link?.linkinfo?.info_slave_data;
  const dhcpHost = host === null ? '' : host.line;
  const drift = [
    ...(facts.link?.master === bridge ? [] : ['not a slave of its bridge']),
    ...(facts.link?.mtu === spec.mtu ? [] : [`mtu is ${facts.link?.mtu}`]),
    ...(facts.link?.flags.includes('UP') ? [] : ['down']),
    ...(isIsolated(slave) ? [] : ['not isolated']),
    ...(rules.admitted ? [] : ['not admitted by the firewall']),
    ...(rules.grouped ? [] : ['its security groups do not apply']),
    ...(facts.neighbour?.lladdr === spec.mac ? [] : ['no neighbour entry']),
    ...(fdb.some((one) => one.mac === spec.mac) ? [] : ['no FDB entry']),
    ...(dhcpHost === hostLine({ ...port, hostname: spec.hostname }) && host?.tap === tap ? [] : ['no DHCP host']),
    ...(another ? ['dnsmasq remembers another MAC for its address'] : []),
    ...(facts.route?.dev === bridge
      ? []
      : [facts.route?.dev === vxlanName ? 'its route points to another host' : 'no route']),
  ];
  if (facts.link === null || facts.route === null) return { proof: null, drift };
  return {
    proof: {
      tap,
      ifindex: facts.link.ifindex,
      bridge: facts.link.master ?? '',
      mtu: facts.link.mtu,
      route: `${facts.route.dst} dev ${facts.route.dev}`,
      dhcpHost,
      nftGeneration: rules.generation,
      groups: rules.groups,
    },
    drift,
  };
}
