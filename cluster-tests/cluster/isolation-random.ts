/**
 * Random frames of a hostile guest, from a seed: ordinary and broken packets of many protocols with its own, borrowed
 * and invented identities, tagged, double tagged, and changed at random places. And the judgement of a frame: whose
 * identity it has. Pure. Used by isolation.test.ts, whose sniffers say which frames came out.
 */
import type { Chance } from '../simulation/seeded-random.ts';
import * as frames from './isolation-frames.ts';
import { arpType, everybody, gatewayMac, ip, strangerMac, type Scene } from './isolation-scene.ts';

const vlan = 0x8100;
const serviceVlan = 0x88a8;
const ipv6 = 0x86dd;
const otherTypes = [0x88cc, 0x8809, 0x888e, 0x8808, 0x8035, 0x8847, 0x8863, 0x88f7, 0x9000, 0x0022, 0x05dc];

const bytes = (chance: Chance, count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, () => Math.floor(chance.fraction() * 256)));
const number = (chance: Chance, below: number): number => Math.floor(chance.fraction() * below);

function anyMac(chance: Chance, { own, near, far, other }: Scene): string {
  const known = [own.mac, near.mac, far.mac, other.mac, gatewayMac, strangerMac, everybody];
  return chance.pick([...known, '01:80:c2:00:00:00', '33:33:00:00:00:01', '01:00:5e:00:00:fb']);
}

function anyAddress(chance: Chance, { own, near, far, other, gateway, underlay }: Scene): string {
  const known = [own.address, near.address, far.address, other.address, gateway, underlay];
  const odd = [
    '0.0.0.0',
    '255.255.255.255',
    '127.0.0.1',
    '224.0.0.1',
    '169.254.64.1',
    '169.254.169.254',
    '10.20.0.255',
  ];
  return chance.pick([...known, ...odd, [...bytes(chance, 4)].join('.')]);
}

function ipv4Body(chance: Chance, scene: Scene, mark: Buffer): Buffer {
  const from = chance.happens(0.6) ? scene.own.address : anyAddress(chance, scene);
  const ends = { from, to: anyAddress(chance, scene) };
  const port = (): number => chance.pick([22, 53, 67, 68, 80, 123, 4789, 5353, 7443, number(chance, 65_536)]);
  const flags = chance.pick(['syn', 'syn-ack', 'ack'] as const);
  switch (number(chance, 5)) {
    case 0:
      return frames.ipv4(ends, 1, frames.echoRequest(mark));
    case 1:
      return frames.ipv4(ends, 17, frames.udp(port(), port(), mark));
    case 2:
      return frames.tcpPacket(ends, { from: port(), to: port(), flags, sequence: number(chance, 2 ** 32) }, mark);
    case 3: {
      const fields = { operation: chance.pick([1, 2]), messageType: 1 + number(chance, 8) };
      const clientMac = anyMac(chance, scene);
      return frames.ipv4(
        ends,
        17,
        frames.udp(chance.pick([67, 68]), chance.pick([67, 68]), frames.dhcp({ ...fields, clientMac }, mark)),
      );
    }
    default:
      return frames.ipv4(ends, number(chance, 256), Buffer.concat([bytes(chance, number(chance, 40)), mark]));
  }
}

function arpBody(chance: Chance, scene: Scene, mark: Buffer): Buffer {
  const fields = {
    operation: chance.pick([1, 2, 1, 2, number(chance, 65_536)]),
    senderMac: anyMac(chance, scene),
    senderAddress: anyAddress(chance, scene),
    targetMac: anyMac(chance, scene),
    targetAddress: anyAddress(chance, scene),
  };
  return frames.arp(fields, mark);
}

/** @param mark is in the frame, whole */
export function randomFrame(chance: Chance, scene: Scene, mark: Buffer): Buffer {
  // Half of the frames have the right outside, so that what is inside is looked at.
  const from = chance.happens(0.5) ? scene.own.mac : anyMac(chance, scene);
  const macs = { from, to: chance.happens(0.5) ? gatewayMac : anyMac(chance, scene) };
  const made = [
    () => frames.ethernet(macs, ip, ipv4Body(chance, scene, mark)),
    () => frames.ethernet(macs, ip, ipv4Body(chance, scene, mark)),
    () => frames.ethernet(macs, arpType, arpBody(chance, scene, mark)),
    () => frames.ethernet(macs, ipv6, frames.routerAdvertisement(mark)),
    () => frames.ethernet(macs, ipv6, Buffer.concat([bytes(chance, 40), mark])),
    () => frames.ethernet(macs, chance.pick(otherTypes), Buffer.concat([bytes(chance, number(chance, 60)), mark])),
    () => frames.ethernet(macs, number(chance, 65_536), Buffer.concat([bytes(chance, number(chance, 60)), mark])),
  ];
  let frame = chance.pick(made)();
  for (let tags = chance.pick([0, 0, 0, 1, 2]); tags > 0; tags -= 1)
    frame = frames.tagged(frame, [{ type: chance.pick([vlan, serviceVlan]), vlan: number(chance, 4096) }]);
  if (chance.happens(0.3)) {
    const head = frame.indexOf(mark);
    for (let changes = 1 + number(chance, 4); changes > 0; changes -= 1)
      frame[number(chance, head)] = number(chance, 256);
  }
  return frame.length < 60 ? Buffer.concat([frame, Buffer.alloc(60 - frame.length)]) : frame;
}

/** Whether a guest without an address asks for its own by DHCP: its bridge takes the frame, and nobody else. */
export function isOwnDhcp({ own }: Scene, frame: Buffer): boolean {
  const [type, body] = [frame.readUInt16BE(12), frame.subarray(14)];
  const mac = frames.macBytes(own.mac);
  if (type !== ip || !frame.subarray(6, 12).equals(mac) || (body[0] ?? 0) !== 0x45 || body[9] !== 17) return false;
  const isFromNobody = body.readUInt32BE(12) === 0 && body.readUInt32BE(16) === 0xffff_ffff;
  const isAsking = body.readUInt16BE(20) === 68 && body.readUInt16BE(22) === 67;
  return isFromNobody && isAsking && body.length > 28 + 34 && body.subarray(28 + 28, 28 + 34).equals(mac);
}

/**
 * Whether a frame says of itself nothing but what its guest is: then it may go where the guest may speak to. DHCP has a
 * path of its own, which isolation-attacks.ts covers, and never leaves the host.
 */
export function isOwnIdentity({ own }: Scene, frame: Buffer): boolean {
  const isFrom = frame.subarray(6, 12).equals(frames.macBytes(own.mac));
  const address = frames.addressBytes(own.address);
  const [type, body] = [frame.readUInt16BE(12), frame.subarray(14)];
  if (!isFrom) return false;
  if (type === arpType) {
    const sender = body.subarray(14, 18);
    const speaksForItself = body.subarray(8, 14).equals(frames.macBytes(own.mac));
    return speaksForItself && (sender.equals(address) || sender.equals(Buffer.alloc(4)));
  }
  return type === ip && body.subarray(12, 16).equals(address);
}
