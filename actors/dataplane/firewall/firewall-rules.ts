/**
 * The nft ruleset of one VPC namespace as text: a fixed skeleton, one chain per network, elements per port.
 *
 * Anti-spoofing and its rule order (docs/threats.md#t13): a frame from a tap passes only with the MAC and address of
 * its port. The policy of chain `bridge port pre` is drop, and only taps are bridge ports, so a tap that is not yet
 * admitted passes nothing even when it is up (docs/threats.md#t14). Three fields of a DHCP message say who its client
 * is (docs/threats.md#t41): `@th,288,48` is chaddr, its MAC, which must be that of the port: otherwise a guest could
 * decline its neighbour's address, and dnsmasq would withhold that address for ten minutes. `@th,160,32` is ciaddr, its
 * address, to which dnsmasq answers: none, or that of the port. `@th,256,32` is giaddr, the address of a relay: no
 * guest is one.
 *
 * Guests reach what is declared: ports, gateways, DHCP (docs/threats.md#t43). Packets to the addresses between hosts,
 * 169.254.64.0/24, are dropped before routing: the kernel would ask on vx0 for each that nobody has, and all namespaces
 * of a host share the room for such questions. Undeclared addresses of subnets end in chain `forward`, which also comes
 * before the kernel asks for them. Answers to a host that asked a guest pass.
 *
 * Ports are elements of sets and have no chains of their own, so adding the 200th port costs as much as adding the
 * first. Every transaction also replaces the only element of the set `inet photon generation`: a proof reads the
 * generation of the loaded rules from it. Called by firewall-ports.ts.
 */
import type { SubnetSpec } from '@photoncloud/machines/values/wiring';
import { addressNumber } from '../wiring-checks.ts';
import { defaultIngress } from './default-rules.ts';
import type { IngressRule } from './default-rules.ts';

export const skeleton = `
table inet photon {
  set generation { type mark; }
}
table bridge port {
  set macs { type ifname . ether_addr; }
  set spoof { type ifname . ether_addr . ipv4_addr; }
  set clients { typeof iifname . @th,160,32 . @th,288,48; }
  chain pre {
    type filter hook prerouting priority -300; policy drop;
    iifname . ether saddr != @macs drop
    ether type arp arp operation { request, reply } iifname . arp saddr ether . arp saddr ip @spoof accept
    ether type arp arp operation request iifname . arp saddr ether @macs arp saddr ip 0.0.0.0 accept
    ether type ip udp sport 67 drop
    ether type ip udp dport 67 goto client
    ether type ip iifname . ether saddr . ip saddr @spoof accept
  }
  chain client {
    @th,256,32 != 0 drop
    iifname . @th,160,32 . @th,288,48 @clients ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 accept
    iifname . @th,160,32 . @th,288,48 @clients iifname . ether saddr . ip saddr @spoof accept
    drop
  }
}
table inet sg {
  map inmap { type ipv4_addr : verdict; }
  chain guest {
    type filter hook prerouting priority -150; policy accept;
    iifname { "vx0", "lo" } accept
    ct state established,related accept
    ip daddr 169.254.0.0/16 drop
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ct state invalid drop
    ip daddr vmap @inmap
    oifname "vx0" accept
  }
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established,related accept
    iifname != "vx0" udp sport 68 udp dport 67 accept
    icmp type { echo-request, destination-unreachable, time-exceeded } accept
  }
}
add element inet photon generation { 1 }
`;

/** The chain that filters packets to the ports of the network behind this bridge. */
export const ingressChain = (bridge: string): string => `in_${bridge}`;

/** The statements that set the network's ingress chain; the caller runs them in one transaction. */
export function ingressStatements(bridge: string, subnets: readonly SubnetSpec[]): string[] {
  const chain = ingressChain(bridge);
  const own = subnets.map((subnet) => subnet.cidr);
  return [
    `add chain inet sg ${chain}`,
    `flush chain inet sg ${chain}`,
    ...defaultIngress.flatMap((rule) => ingressRule(rule, own)).map((rule) => `add rule inet sg ${chain} ${rule}`),
    `add rule inet sg ${chain} drop`,
  ];
}

/** How a source stands in a rule, also as the kernel prints it. */
export const sourceText = (cidr: string): string => `ip saddr ${cidr} `;

/** A rule for each subnet: a set of them would be printed with its neighbours merged, and could not be read back. */
function ingressRule(rule: IngressRule, own: readonly string[]): string[] {
  const sources = (rule.from === 'network' ? own : ['169.254.64.0/24']).map(sourceText);
  switch (rule.protocol) {
    case 'any':
      return sources.map((from) => `${from}accept`);
    case 'ping':
      return sources.map((from) => `${from}icmp type echo-request accept`);
    case 'tcp':
      return sources.map((from) => `${from}tcp dport ${rule.listenPort} accept`);
  }
}

export interface PortIdentity {
  readonly tap: string;
  readonly mac: string;
  readonly address: string;
}

export const macElement = (port: PortIdentity): string => `bridge port macs { "${port.tap}" . ${port.mac} }`;
export const spoofElement = (port: PortIdentity): string =>
  `bridge port spoof { "${port.tap}" . ${port.mac} . ${port.address} }`;
/** A client that has its address, and one that has none yet. */
export const clientElements = (port: PortIdentity): readonly string[] =>
  [addressNumber(port.address), 0].map(
    (address) =>
      `bridge port clients { "${port.tap}" . 0x${address.toString(16)} . 0x${port.mac.replaceAll(':', '')} }`,
  );
export const ingressKey = (address: string): string => `inet sg inmap { ${address} }`;
export const ingressElement = (address: string, bridge: string): string =>
  `inet sg inmap { ${address} : goto ${ingressChain(bridge)} }`;
