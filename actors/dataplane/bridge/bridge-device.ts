/**
 * A network's bridge in the VPC namespace: the same gateway address and MAC on every host, answering ARP for everybody
 * (its ports are isolated from each other, so every packet between guests is routed and filtered).
 * Called by networks-section.ts. Promise: only bridges of our own naming are touched, and none that still has ports.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { NetworkSpec, OwnerToken } from '@photoncloud/machines/values/wiring';
import { gatewayMac } from '../kernel-names.ts';
import { command } from '../kernel-command.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { setBridgeSysctls } from '../overlay/overlay-namespace.ts';
import { aliasOf } from '../owner-alias.ts';
import { cidrParts } from '../wiring-checks.ts';
import { bridgeErrors } from './bridge-errors.ts';

export interface WantedBridge {
  readonly bridge: string;
  readonly network: NetworkSpec;
}

export const gatewayAddresses = (network: NetworkSpec): string[] =>
  network.subnets.map((subnet) => `${subnet.gateway}/${cidrParts(subnet.cidr).prefixLength}`);

/** @param actual the links of the namespace, those of these bridges at least */
export async function ensureBridges(
  link: NamespaceLink,
  cluster: string,
  owner: OwnerToken,
  wanted: readonly WantedBridge[],
  actual: readonly KernelLink[],
): Promise<void> {
  const present = new Map(actual.map((one) => [one.ifname, one]));
  const missing = wanted.filter(({ bridge }) => !present.has(bridge));
  await link.ip(
    'making bridges',
    missing.map(
      ({ bridge }) =>
        command`link add ${bridge} address ${gatewayMac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    ),
    bridgeErrors,
  );
  for (const { bridge } of missing) link.appeared(bridge);
  const down = wanted.filter(({ bridge }) => !(present.get(bridge)?.flags.includes('UP') ?? false));
  if (down.length > 0)
    await setBridgeSysctls(
      String(link.name),
      down.map(({ bridge }) => bridge),
    );
  for (const { bridge, network } of wanted)
    await configureBridge(link, bridge, network, aliasOf(cluster, owner), present.get(bridge));
}

async function configureBridge(
  link: NamespaceLink,
  bridge: string,
  network: NetworkSpec,
  alias: string,
  actual: KernelLink | undefined,
): Promise<void> {
  const addresses = gatewayAddresses(network);
  const had = actual === undefined ? [] : await link.addresses(bridge);
  const attributes = actual?.mtu === network.mtu && actual.ifalias === alias && actual.flags.includes('UP');
  await link.ip(
    `setting up ${bridge} of ${network.network}`,
    [
      ...(attributes
        ? []
        : [command`link set ${bridge} mtu ${network.mtu} alias ${alias}`, command`link set ${bridge} up`]),
      ...addresses.filter((one) => !had.includes(one)).map((one) => command`addr replace ${one} dev ${bridge}`),
      ...had.filter((one) => !addresses.includes(one)).map((one) => command`addr delete ${one} dev ${bridge}`),
    ],
    bridgeErrors,
  );
}

/** @throws fault `network_in_use` while a tap is still its slave */
export async function removeBridge(link: NamespaceLink, bridge: string, actual: readonly KernelLink[]): Promise<void> {
  const slave = actual.find((one) => one.master === bridge);
  if (slave !== undefined) {
    throw new PhotonError(
      'fault',
      'network_in_use',
      `Bridge ${bridge} still has port ${slave.ifname}; remove the port first.`,
    );
  }
  await link.ip(`removing ${bridge}`, [command`link delete ${bridge}`], bridgeErrors);
}
