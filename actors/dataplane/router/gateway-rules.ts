/**
 * The nft table of a gateway namespace as text, and the marks by which its packets find their way. Pure.
 *
 * Inside is the VPC (`in0`), outside the external network (`ext0`). An external address is an element of two maps:
 * `inside` leads packets to it to an address of the VPC, `outside` gives what this address sends its own source. Both
 * keep ports. Everything else leaves with the one address for that. The translation is of flows, so answers and ICMP
 * errors about them are translated back.
 *
 * Routes lead inside; only a packet with the mark 2 leads outside. So nobody needs to know here which addresses the VPC
 * has, and what is not understood stays inside, where chain `forward` drops it. A packet from inside leads outside
 * unless it goes to an external address, or is an answer to somebody inside (mark 1 of the flow: it was opened inside).
 * In an answer the destination is translated back before the mark is set, because conntrack does it at priority -100.
 *
 * Inwards pass only packets to an external address, and answers. Outwards passes nothing that is not translated
 * (`bare`). Senders that nobody outside can have are dropped here; that a sender is none of the VPC's own addresses is
 * checked behind `gw0`, by its routes (docs/threats.md#t4).
 *
 * Written as `nft -n` prints it, because what stands in the kernel is compared with it line by line.
 */

/** In the VPC's namespace; both ends of the pair have addresses that no guest and no host has. */
export const vpcSide = 'gw0';
export const insideName = 'in0';
export const outsideName = 'ext0';
export const vpcSideAddress = '169.254.65.1';
export const insideAddress = '169.254.65.2';

export const outwardMark = 2;
export const outwardTable = 100;

/** To nft `gateway` is a word of its own, here and there. */
export const gatewayTable = 'ip translation';

export interface GatewayRules {
  /** Source of whatever has no external address. */
  readonly snat: string | null;
  /** No TCP segment through here is larger. */
  readonly segmentBytes: number;
}

const established = 'ct state 0x2,0x4';
const toExternal = 'ct direction 0 ct status 0x20';
const answersInside = 'ct direction 1 ct mark 0x00000001';
const outward = `iifname "${insideName}" oifname "${outsideName}"`;
const bogus = '{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 }';

/** Chain -> its lines, the first of which says where it hooks in. */
export function gatewayChains({ snat, segmentBytes }: GatewayRules): Readonly<Record<string, readonly string[]>> {
  return {
    spoofed: [
      'type filter hook prerouting priority -300; policy accept;',
      `iifname "${outsideName}" ip saddr ${bogus} drop`,
    ],
    arriving: ['type nat hook prerouting priority -100; policy accept;', 'dnat to ip daddr map @inside'],
    leading: [
      'type filter hook prerouting priority -50; policy accept;',
      `iifname "${insideName}" ct state 0x8 ct mark set 0x00000001`,
      `${toExternal} accept`,
      `${answersInside} accept`,
      `iifname "${insideName}" meta mark set 0x0000000${outwardMark}`,
    ],
    // Errors that the namespace itself has to tell.
    telling: [
      'type route hook output priority -50; policy accept;',
      `${toExternal} accept`,
      `${answersInside} accept`,
      `ct state 0x4 meta mark set 0x0000000${outwardMark}`,
    ],
    input: ['type filter hook input priority 0; policy drop;', `${established} accept`],
    forward: [
      'type filter hook forward priority 0; policy drop;',
      'ct state 0x1 drop',
      `tcp flags 0x2 / 0x2,0x4 tcp option maxseg size set ${segmentBytes}`,
      `${established} accept`,
      ...(snat === null ? [`${outward} ip saddr != @outside reject with icmp 13`] : []),
      `${outward} accept`,
      `ct status 0x20 oifname "${insideName}" accept`,
    ],
    leaving: [
      'type nat hook postrouting priority 100; policy accept;',
      `iifname "${insideName}" snat to ip saddr map @outside`,
      ...(snat === null ? [] : [`iifname "${insideName}" snat to ${snat}`]),
    ],
    bare: ['type filter hook postrouting priority 200; policy accept;', `${outward} ct status ! 0x10,0x20 drop`],
  };
}

export const addressMaps = ['inside', 'outside'] as const;
export type AddressMap = (typeof addressMaps)[number];

/** The table without what differs between gateways: one transaction, in which the maps keep their elements. */
export const gatewayStatements = (rules: GatewayRules): readonly string[] => [
  `add table ${gatewayTable}`,
  ...addressMaps.map((map) => `add map ${gatewayTable} ${map} { type ipv4_addr : ipv4_addr; }`),
  ...Object.entries(gatewayChains(rules)).flatMap(([name, [hook = '', ...lines]]) => [
    `add chain ${gatewayTable} ${name} { ${hook} }`,
    `flush chain ${gatewayTable} ${name}`,
    ...lines.map((line) => `add rule ${gatewayTable} ${name} ${line}`),
  ]),
];
