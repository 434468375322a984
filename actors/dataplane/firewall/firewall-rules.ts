/**
 * The nft ruleset of one VPC namespace as text: a fixed skeleton, elements per port. Chains and sets of security groups
 * are in security-group/group-chains.ts.
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
 * of a host share the room for such questions. Undeclared addresses of subnets end in chain `ingress`, which
 * also comes before the kernel asks for them. Answers to a host that asked a guest pass.
 *
 * Security groups are two chains that every forwarded packet meets: `egress` on the host of its sender, then `ingress`
 * on that of its receiver. They are separate because nft checks, at each change, every way that a packet can take: with
 * egress rules that lead into ingress chains the ways would multiply. The address is a sound key because anti-spoofing
 * pins it to the tap. Ports of one bridge are isolated from each other, so packets between them are forwarded, too. A
 * namespace itself, for an operator, reaches its own ports unfiltered, and those of other hosts as chain `platform`
 * says.
 *
 * Ports are elements of sets and have no chains of their own, so adding the 200th port costs as much as adding the
 * first. Every transaction also replaces the only element of the set `inet photon generation`: a proof reads the
 * generation of the loaded rules from it. Called by firewall-changes.ts and firewall-ports.ts.
 */
import { portMap, type Direction } from '../security-group/group-chains.ts';
import { addressNumber } from '../wiring-checks.ts';

const antiSpoofing = `
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
`;

/**
 * The chains end in a rule that drops, although that is their policy, too: while a transaction replaces the table, the
 * kernel takes away the old chains before it gives a new one its policy.
 */
const groupTable = `
table inet sg {
  map egress_ports { type ipv4_addr : verdict; }
  map ingress_ports { type ipv4_addr : verdict; }
  chain guest {
    type filter hook prerouting priority -150; policy accept;
    iifname { "vx0", "lo" } accept
    ct state established,related accept
    ip daddr 169.254.0.0/16 drop
  }
  chain egress {
    type filter hook forward priority -10; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname "vx0" accept
    ip saddr vmap @egress_ports
    drop
  }
  chain ingress {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "vx0" ip saddr 169.254.64.0/24 jump platform
    ip daddr vmap @ingress_ports
    oifname "vx0" accept
    drop
  }
  chain platform {
    tcp dport 80 accept
    icmp type echo-request accept
  }
  chain input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established,related accept
    iifname != "vx0" udp sport 68 udp dport 67 accept
    icmp type { echo-request, destination-unreachable, time-exceeded } accept
  }
}
`;

/** All tables of a namespace that has none. */
export const skeleton = `
table inet photon {
  set generation { type mark; }
}
${antiSpoofing}
${groupTable}
add element inet photon generation { 1 }
`;

/** Replaces, in a namespace of an older release, the table that filters what is forwarded. The others are the same. */
export const groupTableAnew = `
table inet sg
delete table inet sg
${groupTable}
`;

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
export const portKey = (direction: Direction, address: string): string =>
  `inet sg ${portMap(direction)} { ${address} }`;
export const portElement = (direction: Direction, address: string, chain: string): string =>
  `inet sg ${portMap(direction)} { ${address} : goto ${chain} }`;
