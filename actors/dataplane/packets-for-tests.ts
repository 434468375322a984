/**
 * Packets for tests as Ethernet frames in hex, with the checksums that conntrack demands. The IPv4 identification marks
 * a packet: it comes out unchanged where the packet does. Not part of the product.
 */
import { gatewayMac } from './kernel-names.ts';

const numbers = (text: string, by: string, radix: number): number[] => text.split(by).map((n) => parseInt(n, radix));
const addressBytes = (address: string): number[] => numbers(address, '.', 10);

/** Checksum of IP and ICMP. */
export function sumOf(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65_536);
  return ~sum & 0xffff;
}

/** CRC32c, as SCTP has it. */
function crcOf(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

export const tcpFlags = { syn: 2, synAck: 18, ack: 16 } as const;

export interface TestPacket {
  readonly from: string;
  readonly to: string;
  readonly fromMac: string;
  /** IP protocol number. */
  readonly protocol: number;
  /** IPv4 identification. */
  readonly mark: number;
  readonly ports?: readonly [source: number, destination: number];
  readonly icmp?: { readonly type: number; readonly code: number };
  /** Of tcp; a SYN unless it says another. */
  readonly tcp?: { readonly flags: number; readonly sequence: number; readonly acknowledges: number };
}

function tcpBody({ from, to, ports = [0, 0], tcp }: TestPacket): Buffer {
  const { flags, sequence, acknowledges } = tcp ?? { flags: tcpFlags.syn, sequence: 1, acknowledges: 0 };
  const body = Buffer.alloc(20);
  body.writeUInt16BE(ports[0], 0);
  body.writeUInt16BE(ports[1], 2);
  body.writeUInt32BE(sequence, 4);
  body.writeUInt32BE(acknowledges, 8);
  body.set([5 << 4, flags, 0xff, 0xff], 12);
  const pseudo = Buffer.from([...addressBytes(from), ...addressBytes(to), 0, 6, 0, body.length]);
  body.writeUInt16BE(sumOf(Buffer.concat([pseudo, body])), 16);
  return body;
}

function udpBody({ ports = [0, 0] }: TestPacket): Buffer {
  const body = Buffer.alloc(12);
  [...ports, body.length].forEach((value, index) => body.writeUInt16BE(value, index * 2));
  return body;
}

/** An INIT chunk, with the verification tag 0 that such a packet has. */
function sctpBody({ ports = [0, 0] }: TestPacket): Buffer {
  const body = Buffer.alloc(32);
  body.writeUInt16BE(ports[0], 0);
  body.writeUInt16BE(ports[1], 2);
  body.set([1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1], 12);
  body.writeUInt32LE(crcOf(body), 8);
  return body;
}

function icmpBody({ icmp = { type: 8, code: 0 }, mark }: TestPacket): Buffer {
  const body = Buffer.alloc(20);
  body.set([icmp.type, icmp.code], 0);
  body.writeUInt16BE(mark, 4);
  body.writeUInt16BE(sumOf(body), 2);
  return body;
}

function bodyOf(packet: TestPacket): Buffer {
  switch (packet.protocol) {
    case 1:
      return icmpBody(packet);
    case 6:
      return tcpBody(packet);
    case 17:
      return udpBody(packet);
    case 132:
      return sctpBody(packet);
    default:
      return Buffer.alloc(16);
  }
}

/** The packet in a frame to its gateway. */
export function frameOf(packet: TestPacket): string {
  const body = bodyOf(packet);
  const head = Buffer.alloc(20);
  head.writeUInt16BE(0x4500, 0);
  head.writeUInt16BE(20 + body.length, 2);
  head.writeUInt16BE(packet.mark, 4);
  head.set([64, packet.protocol], 8);
  head.set([...addressBytes(packet.from), ...addressBytes(packet.to)], 12);
  head.writeUInt16BE(sumOf(head), 10);
  const ether = Buffer.from([...numbers(gatewayMac, ':', 16), ...numbers(packet.fromMac, ':', 16), 8, 0]);
  return Buffer.concat([ether, head, body]).toString('hex');
}

/** Marks of the IPv4 packets among frames that came from this address. */
export const marksOf = (frames: readonly string[], from: string): readonly number[] =>
  frames
    .map((frame) => Buffer.from(frame, 'hex'))
    .filter((frame) => frame.length >= 34 && frame.readUInt16BE(12) === 0x0800)
    .filter((frame) => [...frame.subarray(26, 30)].join('.') === from)
    .map((frame) => frame.readUInt16BE(18));
