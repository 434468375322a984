/**
 * Ethernet frames as bytes, those of ordinary and of hostile guests. Pure. Checksums are correct, because the kernel
 * drops a frame with a wrong one before any rule sees it, and a test of the rules would prove nothing. Used by the
 * tests of overlay and isolation.
 */

export const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');
export const addressBytes = (address: string): Buffer => Buffer.from(address.split('.').map(Number));

const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  const even = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from([0])]);
  let sum = 0;
  for (let at = 0; at < even.length; at += 2) sum += even.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export interface Ends {
  readonly from: string;
  readonly to: string;
}

/** @param type ethertype, or the length of an 802.3 frame */
export const ethernet = (macs: Ends, type: number, body: Buffer): Buffer =>
  Buffer.concat([macBytes(macs.to), macBytes(macs.from), uint16(type), body]);

/** @param more whether routers may fragment it; they may unless it says otherwise */
export function ipv4(addresses: Ends, protocol: number, body: Buffer, { whole: isWhole = false } = {}): Buffer {
  const head = Buffer.from([0x45, 0, 0, 0, 0, 1, isWhole ? 0x40 : 0, 0, 64, protocol, 0, 0]);
  head.writeUInt16BE(20 + body.length, 2);
  const whole = Buffer.concat([head, addressBytes(addresses.from), addressBytes(addresses.to)]);
  whole.writeUInt16BE(checksum(whole), 10);
  return Buffer.concat([whole, body]);
}

export function echoRequest(payload: Buffer): Buffer {
  const echo = Buffer.concat([Buffer.from([8, 0, 0, 0, 0x70, 0x68, 0, 1]), payload]);
  echo.writeUInt16BE(checksum(echo), 2);
  return echo;
}

/** Without a checksum, which UDP over IPv4 allows. */
export const udp = (from: number, to: number, payload: Buffer): Buffer =>
  Buffer.concat([uint16(from), uint16(to), uint16(8 + payload.length), uint16(0), payload]);

export interface Segment {
  readonly from: number;
  readonly to: number;
  readonly flags: 'syn' | 'syn-ack' | 'ack';
  readonly sequence?: number;
  readonly acknowledged?: number;
}

const flagBits = { syn: 0x02, 'syn-ack': 0x12, ack: 0x10 } as const;

/** An IPv4 packet with one TCP segment. */
export function tcpPacket(addresses: Ends, segment: Segment, payload: Buffer): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt16BE(segment.from, 0);
  head.writeUInt16BE(segment.to, 2);
  head.writeUInt32BE(segment.sequence ?? 1, 4);
  head.writeUInt32BE(segment.acknowledged ?? 0, 8);
  head[12] = 0x50;
  head[13] = flagBits[segment.flags];
  head.writeUInt16BE(64_000, 14);
  const whole = Buffer.concat([head, payload]);
  const around = [addressBytes(addresses.from), addressBytes(addresses.to), Buffer.from([0, 6]), uint16(whole.length)];
  whole.writeUInt16BE(checksum(Buffer.concat([...around, whole])), 16);
  return ipv4(addresses, 6, whole);
}

export interface ArpFields {
  /** 1 request, 2 reply. */
  readonly operation: number;
  readonly senderMac: string;
  readonly senderAddress: string;
  readonly targetMac?: string;
  readonly targetAddress: string;
}

/** @param trailer bytes behind the packet, where a short frame has padding */
export function arp(fields: ArpFields, trailer: Buffer): Buffer {
  const { operation, senderMac, senderAddress, targetMac = '00:00:00:00:00:00', targetAddress } = fields;
  return Buffer.concat([
    Buffer.from([0, 1, 8, 0, 6, 4, 0, operation]),
    macBytes(senderMac),
    addressBytes(senderAddress),
    macBytes(targetMac),
    addressBytes(targetAddress),
    trailer,
  ]);
}

export interface DhcpFields {
  /** BOOTP operation: 1 from a client, 2 from a server. */
  readonly operation: number;
  /** Option 53: 1 discover, 2 offer, 3 request, 4 decline, 5 ack, 7 release. */
  readonly messageType: number;
  readonly clientMac: string;
  readonly yourAddress?: string;
  readonly options?: readonly (readonly [number, Buffer])[];
}

/** Payload of a DHCP datagram; the mark is in option 43 (vendor specific), which no receiver reads. */
export function dhcp(fields: DhcpFields, mark: Buffer): Buffer {
  const head = Buffer.alloc(236);
  head.set([fields.operation, 1, 6, 0, 0x70, 0x68, 0x6f, 0x74]);
  head.writeUInt16BE(0x8000, 10);
  head.set(addressBytes(fields.yourAddress ?? '0.0.0.0'), 16);
  head.set(macBytes(fields.clientMac), 28);
  const options = [[53, Buffer.from([fields.messageType])] as const, ...(fields.options ?? []), [43, mark] as const];
  const written = options.map(([code, value]) => Buffer.concat([Buffer.from([code, value.length]), value]));
  return Buffer.concat([head, Buffer.from([0x63, 0x82, 0x53, 0x63]), ...written, Buffer.from([255])]);
}

/** Tags, outermost first, between the addresses and the frame's own type. */
export function tagged(frame: Buffer, tags: readonly { readonly type: number; readonly vlan: number }[]): Buffer {
  const between = tags.map(({ type, vlan }) => Buffer.concat([uint16(type), uint16(vlan)]));
  return Buffer.concat([frame.subarray(0, 12), ...between, frame.subarray(12)]);
}

/** ICMPv6 to all nodes, hop limit 255, with a correct checksum. @param head type, code, checksum, and what it fixes */
function icmpv6(head: Buffer, payload: Buffer): Buffer {
  const from = Buffer.from('fe80000000000000000000000000bad1', 'hex');
  const to = Buffer.from('ff020000000000000000000000000001', 'hex');
  const icmp = Buffer.concat([head, payload]);
  const around = Buffer.concat([from, to, Buffer.from([0, 0]), uint16(icmp.length), Buffer.from([0, 0, 0, 58])]);
  icmp.writeUInt16BE(checksum(Buffer.concat([around, icmp])), 2);
  return Buffer.concat([Buffer.from([0x60, 0, 0, 0]), uint16(icmp.length), Buffer.from([58, 255]), from, to, icmp]);
}

/** RFC 4861. */
export const routerAdvertisement = (payload: Buffer): Buffer =>
  icmpv6(Buffer.from([134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]), payload);

/** RFC 4861: asks for, or takes over (`override`), a link-local address with the MAC in its option. */
export function neighbourDiscovery(what: 'solicitation' | 'advertisement', mac: string, payload: Buffer): Buffer {
  const isAnswer = what === 'advertisement';
  const head = Buffer.from([isAnswer ? 136 : 135, 0, 0, 0, isAnswer ? 0x20 : 0, 0, 0, 0]);
  const target = Buffer.from('fe80000000000000000000000000bad2', 'hex');
  return icmpv6(head, Buffer.concat([target, Buffer.from([isAnswer ? 2 : 1, 1]), macBytes(mac), payload]));
}
