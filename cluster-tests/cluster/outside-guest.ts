/**
 * What tests have outside of a cluster with uplinks: the external network that leads there, as it is declared, and a
 * guest on its wire, which has an address of it and no rules.
 */
import { TapGuest } from '../harness/tap-guest.ts';
import type { PhotonCluster } from './cluster-launch.ts';
import { outside } from './cluster-topology.ts';

/** Spec of an external network whose gateway hosts are w1 and w2. */
export const publicNetwork = {
  cidr: `203.0.113.0/${outside.prefixLength}`,
  gateway: outside.address,
  pools: [{ from: '203.0.113.10', to: '203.0.113.20' }],
  hosts: ['w1', 'w2'],
  interface: outside.uplink,
};

const self = { address: '203.0.113.2', mac: '02:00:00:00:0e:02' };

/** @returns it with its address and MAC; it ends with the caller's `close` */
export async function openOutsideGuest({ topology }: PhotonCluster): Promise<typeof self & { readonly tap: TapGuest }> {
  const name = 'guest';
  await topology.exec(outside.node, ['ip', 'tuntap', 'add', 'dev', name, 'mode', 'tap']);
  await topology.exec(outside.node, ['ip', 'link', 'set', name, 'master', outside.bridge, 'up']);
  const namespace = `/proc/${topology.node(outside.node).init.pid}/ns/net`;
  const tap = await TapGuest.open({ tap: name, mac: self.mac, namespace });
  await tap.configure({ address: self.address, prefix: outside.prefixLength, gateway: outside.address });
  return { ...self, tap };
}
