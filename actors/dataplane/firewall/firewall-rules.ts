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
 * A port may have further addresses, its allowed address pairs, which are elements like its own. A port without port
 * security sends packets with any source address; its MAC, its ARP and its DHCP stay pinned: the host answers for
 * gateways and serves DHCP, whoever else says so. Such packets carry a mark through the bridge, by which chain `egress`
 * accepts them; chain `ingress` accepts what is routed to such a port as the next hop.
 *
 * Guests reach what is declared: ports, gateways, DHCP (docs/threats.md#t43). Packets to the addresses between hosts,
 * 169.254.64.0/24, are dropped before routing: the kernel would ask on vx0 for each that nobody has, and all namespaces
 * of a host share the room for such questions. Undeclared addresses of subnets end in chain `ingress`, which
 * also comes before the kernel asks for them. Answers to a host that asked a guest pass.
 *
 * Networks with metadata (docs/threats.md#t17) may reach 169.254.169.254, port 80, in their namespace: from a tap that
 * sends with the address it has, not as anybody. The answers end at the guest, which may not route them on.
 *
 * Security groups are two chains that every forwarded packet meets: `egress` on the host of its sender, then `ingress`
 * on that of its receiver. What comes from one interface of set `transit` and goes to another, such as vx0, is on its
 * way between hosts that filter it; here it may be seen in one direction only, so no connection is asked for.
 * Egress and ingress are separate because nft checks, at each change, every way that a packet can take: with
 * egress rules that lead into ingress chains the ways would multiply. The address is a sound key because anti-spoofing
 * pins it to the tap, except for taps that may send as anybody. Ports of one bridge are isolated from each other, so
 * packets between them are forwarded, too. A namespace itself, for an operator, reaches its own ports unfiltered, and
 * those of other hosts as chain `platform` says.
 *
 * A port that speaks to a service IP may be led to itself. A guest takes no packet from its own address, so to such a
 * packet the gateway is the sender. Rules cannot compare two fields; set `self` pairs each address of a port of this
 * host with itself.
 *
 * Ports are elements of sets and have no chains of their own, so adding the 200th port costs as much as adding the
 * first. Every transaction also replaces the only element of the set `inet photon generation`: a proof reads the
 * generation of the loaded rules from it. Called by firewall-changes.ts and firewall-ports.ts.
 */
import type { AddressPair } from '@photoncloud/machines/values/wiring';
import { portMap, type Direction } from '../security-group/group-chains.ts';
import { addressNumber } from '../wiring-checks.ts';

/** Where guests of some networks may ask about themselves; `metadataSet` has the bridges of these networks. */
export const metadataAddress = '169.254.169.254';
export const metadataSet = 'metadata';

/** No guest has a source address among these; the overlay has some of them. */
const nobodys = '{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 }';
/** Of packets from ports without port security; nothing outside of the namespace sees it. */
const unguardedMark = 1;

const unguardedRule = `ether type ip iifname @unguarded ip saddr != ${nobodys} meta mark set ${unguardedMark} accept`;

const antiSpoofing = `
table bridge port {
  set unguarded { type ifname; }
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
    ${unguardedRule}
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
  set transit { type ifname; elements = { "vx0" } }
  set unguarded { type ipv4_addr; }
  set ${metadataSet} { type ifname; }
  map egress_ports { type ipv4_addr : verdict; }
  map ingress_ports { type ipv4_addr : verdict; }
  set self { type ipv4_addr . ipv4_addr; }
  chain guest {
    type filter hook prerouting priority -150; policy accept;
    iifname { "vx0", "lo" } accept
    ct state established,related accept
    iifname @${metadataSet} meta mark 0 ip daddr ${metadataAddress} tcp dport 80 accept
    ip daddr 169.254.0.0/16 drop
  }
  chain egress {
    type filter hook forward priority -10; policy drop;
    iifname @transit oifname @transit accept
    ct state established,related accept
    ct state invalid drop
    iifname @transit accept
    meta mark ${unguardedMark} meta mark set 0 accept
    ip saddr vmap @egress_ports
    drop
  }
  chain ingress {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "vx0" ip saddr 169.254.64.0/24 jump platform
    ip daddr vmap @ingress_ports
    rt ip nexthop @unguarded accept
    rt ip nexthop vmap @ingress_ports
    oifname @transit accept
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
    iifname @${metadataSet} meta mark 0 ip daddr ${metadataAddress} tcp dport 80 accept
    icmp type { echo-request, destination-unreachable, time-exceeded } accept
  }
  chain output {
    type filter hook output priority 0; policy accept;
    ip saddr ${metadataAddress} ip ttl set 1
  }
  chain hairpin {
    type nat hook postrouting priority 100; policy accept;
    ct status dnat ip saddr . ip daddr @self masquerade
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

/** Interfaces over which packets leave this namespace for another one, or come from it: quoted names. */
export const transitSet = 'transit';

/**
 * Replaces, in a namespace of an older release, the table that filters what is forwarded. To the other one it adds what
 * is missing: the ports that stand keep their elements.
 */
export const groupTableAnew = `
table inet sg
delete table inet sg
${groupTable}
add set bridge port unguarded { type ifname; }
add rule bridge port pre ${unguardedRule}
`;

export interface PortIdentity {
  readonly tap: string;
  readonly mac: string;
  readonly address: string;
  /** Allowed address pairs. */
  readonly pairs: readonly AddressPair[];
}

/** All addresses of a port, its own first. */
export const holdingsOf = ({ mac, address, pairs }: PortIdentity): readonly AddressPair[] => [
  { mac, address },
  ...pairs,
];

export const macElement = (tap: string, mac: string): string => `bridge port macs { "${tap}" . ${mac} }`;
export const spoofElement = (tap: string, { mac, address }: AddressPair): string =>
  `bridge port spoof { "${tap}" . ${mac} . ${address} }`;
/** Of a port without port security: its tap, and the address that packets for others are routed to. */
export const unguardedElements = ({ tap, address }: PortIdentity): readonly string[] => [
  `bridge port unguarded { "${tap}" }`,
  `inet sg unguarded { ${address} }`,
];
/** A client that has its address, and one that has none yet. */
export const clientElements = (port: PortIdentity): readonly string[] =>
  [addressNumber(port.address), 0].map(
    (address) =>
      `bridge port clients { "${port.tap}" . 0x${address.toString(16)} . 0x${port.mac.replaceAll(':', '')} }`,
  );
/** Pairs the address with itself. */
export const selfElement = ({ address }: PortIdentity): string => `inet sg self { ${address} . ${address} }`;
export const portKey = (direction: Direction, address: string): string =>
  `inet sg ${portMap(direction)} { ${address} }`;
/** @param verdict `goto <chain>`, or `accept` for a port without port security */
export const portElement = (direction: Direction, address: string, verdict: string): string =>
  `inet sg ${portMap(direction)} { ${address} : ${verdict} }`;
