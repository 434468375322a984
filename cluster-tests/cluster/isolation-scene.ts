/**
 * The guests of an attack, and the frames that most attacks consist of: echoes and ARP with chosen senders. Used by
 * isolation-attacks.ts, which lists the attacks, and by isolation.test.ts, which sends them.
 */
import * as frames from './isolation-frames.ts';

export interface Identity {
  readonly mac: string;
  readonly address: string;
}

/** The attacker (`own`), a neighbour on the same host (`near`) and on another (`far`), a guest of another network. */
export interface Scene {
  readonly own: Identity;
  readonly near: Identity;
  readonly far: Identity;
  readonly other: Identity;
  readonly gateway: string;
  /** Underlay address of a worker. */
  readonly underlay: string;
}

export interface Attack {
  readonly what: string;
  readonly frame: (scene: Scene, mark: Buffer) => Buffer;
  /** The frame has the guest's own MAC and address: its bridge may see it, nothing behind the bridge. */
  readonly own?: true;
}

export const gatewayMac = '02:00:5e:00:00:01';
export const everybody = 'ff:ff:ff:ff:ff:ff';
export const strangerMac = '06:66:66:66:66:66';
export const ip = 0x0800;
export const arpType = 0x0806;

export interface Spoof {
  readonly fromMac?: (scene: Scene) => string;
  readonly toMac?: (scene: Scene) => string;
  readonly from?: (scene: Scene) => string;
  readonly to?: (scene: Scene) => string;
}

export const echo =
  (spoof: Spoof) =>
  (scene: Scene, mark: Buffer): Buffer => {
    const { fromMac, toMac, from, to } = spoof;
    const addresses = { from: from?.(scene) ?? scene.own.address, to: to?.(scene) ?? scene.near.address };
    const macs = { from: fromMac?.(scene) ?? scene.own.mac, to: toMac?.(scene) ?? gatewayMac };
    return frames.ethernet(macs, ip, frames.ipv4(addresses, 1, frames.echoRequest(mark)));
  };

export const arp = (
  what: string,
  fields: (scene: Scene) => Partial<frames.ArpFields>,
  macs: (scene: Scene) => Partial<frames.Ends> = () => ({}),
): Attack => ({
  what: `ARP: ${what}`,
  frame: (scene, mark) => {
    const body = frames.arp(
      {
        operation: 1,
        senderMac: scene.own.mac,
        senderAddress: scene.own.address,
        targetAddress: scene.near.address,
        ...fields(scene),
      },
      mark,
    );
    return frames.ethernet({ from: scene.own.mac, to: everybody, ...macs(scene) }, arpType, body);
  },
});
