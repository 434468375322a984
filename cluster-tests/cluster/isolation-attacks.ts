/**
 * A table of frames that must not get out of a guest's tap: frames with a false sender, frames that are neither ARP nor
 * IPv4, and frames that would reach a neighbour without the router. The threats are listed in docs/threats.md. Data
 * only; isolation.test.ts sends them and looks where they come out. Every frame carries the mark it is given.
 */
import * as frames from './isolation-frames.ts';
import { everybody, strangerMac, ip, echo, arp, gatewayMac, type Attack, type Scene } from './isolation-scene.ts';

const spoofs: readonly Attack[] = [
  { what: 'an unknown MAC', frame: echo({ fromMac: () => strangerMac }) },
  { what: "the neighbour's MAC", frame: echo({ fromMac: ({ near }) => near.mac, to: ({ far }) => far.address }) },
  {
    what: "the neighbour's MAC and address",
    frame: echo({
      fromMac: ({ near }) => near.mac,
      from: ({ near }) => near.address,
      to: ({ far }) => far.address,
    }),
  },
  { what: "the gateway's MAC", frame: echo({ fromMac: () => gatewayMac }) },
  { what: 'a multicast MAC as sender', frame: echo({ fromMac: () => '03:00:00:00:00:01' }) },
  { what: "the neighbour's address", frame: echo({ from: ({ near }) => near.address, to: ({ far }) => far.address }) },
  { what: "the far neighbour's address", frame: echo({ from: ({ far }) => far.address }) },
  { what: 'an address of another network', frame: echo({ from: ({ other }) => other.address }) },
  { what: "the gateway's address", frame: echo({ from: ({ gateway }) => gateway }) },
  { what: 'an address from outside', frame: echo({ from: () => '198.51.100.7' }) },
  { what: 'an address of the overlay', frame: echo({ from: () => '169.254.64.2' }) },
  { what: 'no address', frame: echo({ from: () => '0.0.0.0' }) },
  { what: 'loopback', frame: echo({ from: () => '127.0.0.1' }) },
  {
    what: "the neighbour's address, to the gateway",
    frame: echo({
      from: ({ near }) => near.address,
      to: ({ gateway }) => gateway,
    }),
  },
];

/** Link-local group addresses, which a bridge handles before any rule of its forwarding path. */
const groups = Array.from({ length: 16 }, (_, last) => `01:80:c2:00:00:0${last.toString(16)}`);
const reflections: readonly Attack[] = groups.flatMap((group) => [
  {
    what: `a spoofed echo through ${group}`,
    frame: echo({
      from: ({ near }) => near.address,
      to: ({ gateway }) => gateway,
      toMac: () => group,
    }),
  },
  {
    what: `a spoofed MAC through ${group}`,
    frame: echo({
      fromMac: () => strangerMac,
      from: ({ near }) => near.address,
      to: ({ gateway }) => gateway,
      toMac: () => group,
    }),
  },
  arp(
    `the gateway's address through ${group}`,
    ({ gateway, own }) => ({
      operation: 2,
      senderAddress: gateway,
      targetAddress: own.address,
    }),
    () => ({ to: group }),
  ),
]);

const past: readonly Attack[] = [
  { what: "straight to the neighbour's MAC", own: true, frame: echo({ toMac: ({ near }) => near.mac }) },
  { what: 'to everybody', own: true, frame: echo({ toMac: () => everybody }) },
  {
    what: "to the network's broadcast address",
    own: true,
    frame: echo({
      toMac: () => everybody,
      to: ({ own }) => own.address.replace(/\d+$/, '255'),
    }),
  },
  {
    what: 'to a multicast group',
    own: true,
    frame: echo({
      toMac: () => '01:00:5e:00:00:fb',
      to: () => '224.0.0.251',
    }),
  },
  { what: 'to another network', own: true, frame: echo({ to: ({ other }) => other.address }) },
  { what: 'to nowhere', own: true, frame: echo({ to: () => '198.51.100.7' }) },
  { what: 'to a host of the underlay', own: true, frame: echo({ to: ({ underlay }) => underlay }) },
  {
    what: 'a VXLAN datagram to a host of the underlay',
    own: true,
    frame: (scene, mark) => {
      const inner = Buffer.concat([Buffer.from('0800000000000100', 'hex'), echo({})(scene, mark)]);
      const packet = frames.ipv4({ from: scene.own.address, to: scene.underlay }, 17, frames.udp(5555, 4789, inner));
      return frames.ethernet({ from: scene.own.mac, to: gatewayMac }, ip, packet);
    },
  },
];

const arps: readonly Attack[] = [
  arp("a reply for the neighbour's address", ({ near, far }) => ({
    operation: 2,
    senderAddress: near.address,
    targetAddress: far.address,
  })),
  arp("a request with the neighbour's address", ({ near, far }) => ({
    senderAddress: near.address,
    targetAddress: far.address,
  })),
  arp(
    "the neighbour's whole identity",
    ({ near, far }) => ({
      senderMac: near.mac,
      senderAddress: near.address,
      targetAddress: far.address,
    }),
    ({ near }) => ({ from: near.mac }),
  ),
  arp('the gateway announced, as a request', ({ gateway }) => ({ senderAddress: gateway, targetAddress: gateway })),
  arp('the gateway announced, as a reply', ({ gateway }) => ({
    operation: 2,
    senderAddress: gateway,
    targetMac: everybody,
    targetAddress: gateway,
  })),
  arp(
    "the gateway's address to the neighbour alone",
    ({ gateway, near }) => ({
      operation: 2,
      senderAddress: gateway,
      targetAddress: near.address,
    }),
    ({ near }) => ({ to: near.mac }),
  ),
  arp("another's MAC inside", ({ near }) => ({ operation: 2, senderMac: near.mac })),
  arp("another's MAC in a probe", ({ near }) => ({ senderMac: near.mac, senderAddress: '0.0.0.0' })),
  arp('an address from outside', () => ({ senderAddress: '198.51.100.7' })),
  arp('a reverse request', () => ({ operation: 3 })),
  arp('an operation nobody knows', () => ({ operation: 9 })),
];

type To = (scene: Scene) => { readonly mac: string; readonly address: string };
const toAll: To = () => ({ mac: everybody, address: '255.255.255.255' });
const fromServer = (what: string, messageType: number, to: To = toAll): Attack => ({
  what: `DHCP: ${what}`,
  frame: (scene, mark) => {
    const server = frames.addressBytes(scene.own.address);
    const message = frames.dhcp(
      {
        operation: 2,
        messageType,
        clientMac: scene.near.mac,
        yourAddress: '198.51.100.7',
        options: [
          [54, server],
          [3, server],
        ],
      },
      mark,
    );
    const { mac, address } = to(scene);
    const packet = frames.ipv4({ from: scene.own.address, to: address }, 17, frames.udp(67, 68, message));
    return frames.ethernet({ from: scene.own.mac, to: mac }, ip, packet);
  },
});
/** A client message in the neighbour's name; a server that believed it would take the neighbour's address away. */
const asClient = (what: string, messageType: number, way: 'broadcast' | 'renewal' = 'broadcast'): Attack => ({
  what: `DHCP: ${what} for the neighbour, ${way}`,
  frame: (scene, mark) => {
    const options: [number, Buffer][] = [
      [61, Buffer.concat([Buffer.from([1]), frames.macBytes(scene.near.mac)])],
      [54, frames.addressBytes(scene.gateway)],
      [50, frames.addressBytes(scene.near.address)],
    ];
    const message = frames.dhcp({ operation: 1, messageType, clientMac: scene.near.mac, options }, mark);
    const isRenewal = way === 'renewal';
    const from = isRenewal ? scene.own.address : '0.0.0.0';
    const to = isRenewal ? scene.gateway : '255.255.255.255';
    const packet = frames.ipv4({ from, to }, 17, frames.udp(68, 67, message));
    return frames.ethernet({ from: scene.own.mac, to: isRenewal ? gatewayMac : everybody }, ip, packet);
  },
});
const dhcp: readonly Attack[] = [
  fromServer('an offer to everybody', 2),
  fromServer('an acknowledgement to everybody', 5),
  fromServer('an acknowledgement to the neighbour, routed', 5, ({ near }) => ({ ...near, mac: gatewayMac })),
  fromServer("an acknowledgement to the neighbour's MAC", 5, ({ near }) => near),
  asClient('a discover', 1),
  asClient('a request', 3),
  asClient('a decline', 4),
  asClient('a release', 7),
  asClient('a request', 3, 'renewal'),
  asClient('a decline', 4, 'renewal'),
  asClient('a release', 7, 'renewal'),
];

const body = (mark: Buffer, length = 60): Buffer => Buffer.concat([mark, Buffer.alloc(length, 0x5a)]);
const typed = (what: string, type: number, to: string, head = ''): Attack => ({
  what,
  frame: ({ own }, mark) =>
    frames.ethernet({ from: own.mac, to }, type, Buffer.concat([Buffer.from(head, 'hex'), body(mark)])),
});
/** An 802.3 frame, whose type field is the length of the body. */
const lengthed = (what: string, to: string, head: string): Attack => ({
  what,
  frame: ({ own }, mark) => {
    const whole = Buffer.concat([Buffer.from(head, 'hex'), body(mark)]);
    return frames.ethernet({ from: own.mac, to }, whole.length, whole);
  },
});
const others: readonly Attack[] = [
  {
    what: 'IPv6: a router advertisement',
    frame: ({ own }, mark) =>
      frames.ethernet({ from: own.mac, to: '33:33:00:00:00:01' }, 0x86dd, frames.routerAdvertisement(mark)),
  },
  {
    what: 'IPv6: a router advertisement to the neighbour alone',
    frame: ({ own, near }, mark) =>
      frames.ethernet({ from: own.mac, to: near.mac }, 0x86dd, frames.routerAdvertisement(mark)),
  },
  {
    what: 'IPv6: a neighbour solicitation',
    frame: ({ own }, mark) =>
      frames.ethernet(
        { from: own.mac, to: '33:33:ff:00:ba:d2' },
        0x86dd,
        frames.neighbourDiscovery('solicitation', own.mac, mark),
      ),
  },
  {
    what: "IPv6: the neighbour's address announced",
    frame: ({ own }, mark) =>
      frames.ethernet(
        { from: own.mac, to: '33:33:00:00:00:01' },
        0x86dd,
        frames.neighbourDiscovery('advertisement', own.mac, mark),
      ),
  },
  lengthed('STP: a configuration message', groups[0] ?? '', '424203000000000000000000'),
  lengthed('STP: to everybody', everybody, '424203000000000000000000'),
  lengthed('PVST', '01:00:0c:cc:cc:cd', 'aaaa0300000c010b'),
  lengthed('CDP', '01:00:0c:cc:cc:cc', 'aaaa0300000c2000'),
  lengthed('IPX over 802.3', everybody, 'ffff'),
  typed('LLDP', 0x88cc, groups[14] ?? ''),
  typed('LLDP to the nearest customer bridge', 0x88cc, groups[0] ?? ''),
  typed('LLDP to everybody', 0x88cc, everybody),
  typed('LACP', 0x8809, groups[2] ?? ''),
  typed('802.1X', 0x888e, groups[3] ?? ''),
  typed('a pause frame', 0x8808, groups[1] ?? '', '0001ffff'),
  typed('MPLS', 0x8847, gatewayMac, '00001140'),
  typed('PPPoE discovery', 0x8863, everybody, '11090000'),
  typed('PPPoE session', 0x8864, everybody, '11000001'),
  typed('PTP', 0x88f7, '01:1b:19:00:00:00'),
  typed('wake on LAN', 0x0842, everybody),
  typed('a local experiment', 0x88b5, everybody),
  typed('RARP', 0x8035, everybody),
  typed('IPv4 with a wrong version', ip, gatewayMac, '60'),
  typed('IPv4 cut short', ip, gatewayMac, '4500'),
];

const tag = (what: string, tags: readonly { type: number; vlan: number }[]): readonly Attack[] => [
  { what: `${what}: an echo`, frame: (scene, mark) => frames.tagged(echo({})(scene, mark), tags) },
  {
    what: `${what}: a spoofed echo`,
    frame: (scene, mark) =>
      frames.tagged(echo({ from: ({ near }) => near.address, to: ({ far }) => far.address })(scene, mark), tags),
  },
  {
    what: `${what}: to the neighbour's MAC`,
    frame: (scene, mark) => frames.tagged(echo({ toMac: ({ near }) => near.mac })(scene, mark), tags),
  },
];
const tags: readonly Attack[] = [
  ...tag('a tag', [{ type: 0x8100, vlan: 5 }]),
  ...tag("the bridge's own VLAN", [{ type: 0x8100, vlan: 1 }]),
  ...tag('a priority tag', [{ type: 0x8100, vlan: 0xe000 }]),
  ...tag('two tags', [
    { type: 0x8100, vlan: 1 },
    { type: 0x8100, vlan: 5 },
  ]),
  ...tag('a service tag', [{ type: 0x88a8, vlan: 5 }]),
  ...tag('a service and a customer tag', [
    { type: 0x88a8, vlan: 1 },
    { type: 0x8100, vlan: 5 },
  ]),
  ...tag('two priority tags', [
    { type: 0x8100, vlan: 0 },
    { type: 0x8100, vlan: 0 },
  ]),
];

export const attacks: readonly Attack[] = [...spoofs, ...reflections, ...past, ...arps, ...dhcp, ...others, ...tags];
