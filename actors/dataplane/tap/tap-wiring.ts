/**
 * Wires a tap to its network: moves it into the VPC, makes it an isolated bridge slave with a permanent neighbour, adds
 * DHCP host, rules and static FDB entry, sets it up and adds the /32 route, in this order: the rules are loaded before
 * the tap is up (docs/threats.md#t14). The /32 route is what makes this host the place of the address; a binding that
 * stands by has everything but that (tap-routes.ts).
 * Called by network-operations.ts. Promise: the proof is read back from the kernel; drift after the change is a fault.
 */
import type { TapProof, TapSpec } from '@photoncloud/machines/values/wiring';
import type { TapReading } from '../contract/network-contract.ts';
import { command } from '../kernel-command.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { hostLine } from '../dhcp/dhcp-config.ts';
import { dhcpFolderOf, readDhcpHost, remembersOther, writeDhcpHost } from '../dhcp/dhcp-hosts.ts';
import { refreshDhcpServer, restartDhcpServer } from '../dhcp/dhcp-server.ts';
import { admitPort, readPort, type PortPolicy } from '../firewall/firewall-ports.ts';
import { holdingsOf, type PortIdentity } from '../firewall/firewall-rules.ts';
import { publishRecord } from '../metadata/metadata-records.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { aliasOf, ownerOfAlias, refuseOlder, sameOwner } from '../owner-alias.ts';
import { followNextHops } from '../router/static-routes.ts';
import { reviewFlows } from '../security-group/flow-review.ts';
import { toldPolicy } from '../security-group/group-policy.ts';
import { segmentMissing } from '../segment/segment-errors.ts';
import { checkTap } from '../wiring-checks.ts';
import { findTap, isHeld } from './tap-device.ts';
import type { FoundTap } from './tap-device.ts';
import { dropPairs, pairEntries, pairNeighbours, readPairs, without } from './tap-pairs.ts';
import { heldByOthers } from './tap-removal.ts';
import { routeDrift, routesOf, shownRoute, standsBy } from './tap-routes.ts';
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
  // A tap that stands there with its rules is only led to, or away from: that is what a guest that moves waits for.
  if (found.place === 'segment' && found.device.master === bridge && found.device.flags.includes('UP'))
    await link.ip(`leading to ${spec.port}`, await routesOf(site, link, spec, tap, bridge), tapErrors);
  await attach(site, link, spec, tap, bridge, namespace);
  await followNextHops(link);
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
  const port = identityOf(tap, spec);
  const { pairs } = port;
  const host = { ...port, hostname: spec.hostname, standby: standsBy(spec) };
  const folder = dhcpFolderOf(site.folders.dhcp, namespace, bridge);
  const entry = await readDhcpHost(folder, spec.address);
  // Of this tap, or of the one that had the address before.
  const gone = entry === null ? [] : without(entry.pairs, entry.tap === tap ? pairs : []);
  const left = entry === null ? [] : without(entry.pairs, pairs);
  await link.ip(
    what,
    [
      command`link set ${tap} mtu ${spec.mtu} alias ${aliasOf(site.options.cluster, spec.owner)} master ${bridge}`,
      command`link set ${tap} type bridge_slave isolated on learning off flood off mcast_flood off`,
      command`link set ${tap} type bridge_slave group_fwd_mask ${groupForwarding}`,
      command`neigh replace ${spec.address} lladdr ${spec.mac} dev ${bridge} nud permanent`,
      ...pairNeighbours(pairs, bridge),
    ],
    tapErrors,
  );
  await site.locks.hold(`dhcp ${folder}`, async () => {
    await writeDhcpHost(folder, { ...host, pairs: [...pairs, ...left] });
    if (await remembersOther(folder, port.address, port.mac)) await restartDhcpServer(folder, namespace);
    else await refreshDhcpServer(folder);
  });
  const regrouped = await admitPort(link, port, policyOf(spec));
  if (regrouped || toldPolicy(link).inherited) await reviewFlows({ site, namespace }, true);
  await link.bridge(what, [command`fdb replace ${spec.mac} dev ${tap} master static`, ...pairEntries(port)], tapErrors);
  await link.ip(what, [command`link set ${tap} up`, ...(await routesOf(site, link, spec, tap, bridge))], tapErrors);
  await publishRecord(site, namespace, tap, spec.address);
  if (entry === null || gone.length === 0) return;
  const keeps = await heldByOthers(site, namespace, [tap, entry.tap]);
  if (entry.tap === tap) await dropPairs(link, port, bridge, gone, keeps);
  else {
    const before = { tap: entry.tap, mac: spec.mac, address: spec.address, pairs: [] };
    const mine = holdingsOf(port).map(({ address }) => address);
    await dropPairs(link, before, bridge, gone, new Set([...keeps, ...mine]));
  }
  await site.locks.hold(`dhcp ${folder}`, () => writeDhcpHost(folder, host));
}

const identityOf = (tap: string, { mac, address, pairs = [] }: TapSpec): PortIdentity => ({ tap, mac, address, pairs });

const policyOf = ({ groups, portSecurity = true }: TapSpec): PortPolicy => ({ groups, portSecurity });

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
  const port = identityOf(tap, spec);
  const folder = dhcpFolderOf(site.folders.dhcp, site.names.namespaceOf(spec.vpc), bridge);
  const [facts, rules, host, another, fdb] = await Promise.all([
    link.portFacts(tap, bridge, spec.address),
    readPort(link, port, policyOf(spec)),
    readDhcpHost(folder, spec.address),
    remembersOther(folder, spec.address, spec.mac),
    link.fdbOf(tap),
  ]);
  const paired = await readPairs(
    link,
    port,
    bridge,
    host?.tap === tap ? without(host.pairs, port.pairs) : [],
    standsBy(spec),
  );
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
    ...paired.drift,
    ...(another ? ['dnsmasq remembers another MAC for its address'] : []),
    ...routeDrift(spec, bridge, facts.route),
    ...(host?.standby === standsBy(spec) ? [] : ['its entry says otherwise whether it stands by']),
  ];
  if (facts.link === null || facts.route === null) return { proof: null, drift };
  return {
    proof: {
      tap,
      ifindex: facts.link.ifindex,
      bridge: facts.link.master ?? '',
      mtu: facts.link.mtu,
      route: shownRoute(facts.route),
      dhcpHost,
      nftGeneration: rules.generation,
      groups: rules.groups,
      pairs: paired.pairs,
      portSecurity: rules.portSecurity,
      ...(facts.route.dev === bridge ? {} : { standby: true }),
    },
    drift,
  };
}
