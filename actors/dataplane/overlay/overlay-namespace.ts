/**
 * The network namespace of a VPC on this host: creation, owner mark on `lo`, sysctls, removal.
 * Called by segment-making.ts and segment-removal.ts. Promise: after `ensureNamespace` and `markNamespace` the name
 * refers to a live namespace with the owner's mark, or an error was thrown; a namespace of a later run is not changed.
 */
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { command } from '../kernel-command.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { aliasOf, ownerOfAlias, refuseOlder, sameOwner } from '../owner-alias.ts';
import { runProgram } from '../program.ts';
import { overlayErrors } from './overlay-errors.ts';

const nsfsMagic = 0x6e736673;
export const namespacePath = (namespace: string): string => `/run/netns/${namespace}`;

/** `stale`: the file exists but no namespace is mounted on it; a crash between the two steps of `ip netns add`. */
export async function readNamespace(namespace: string): Promise<'present' | 'stale' | 'absent'> {
  try {
    return (await statfs(namespacePath(namespace))).type === nsfsMagic ? 'present' : 'stale';
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'absent';
    throw fileError(`reading namespace ${namespace}`, error);
  }
}

/** @returns true when this call made the namespace. */
export async function ensureNamespace(namespace: string): Promise<boolean> {
  const found = await readNamespace(namespace);
  if (found === 'present') return false;
  if (found === 'stale') await deleteNamespace(namespace);
  await runProgram({
    program: 'ip',
    args: ['netns', 'add', namespace],
    what: `making namespace ${namespace}`,
    rules: overlayErrors,
  });
  return true;
}

export async function deleteNamespace(namespace: string): Promise<void> {
  await runProgram({
    program: 'ip',
    args: ['netns', 'delete', namespace],
    what: `removing namespace ${namespace}`,
    rules: overlayErrors,
  });
}

export async function readNamespaceOwner(link: NamespaceLink, cluster: string): Promise<OwnerToken | null> {
  return ownerOfAlias(cluster, (await link.link('lo'))?.ifalias);
}

/** @throws ownership_lost when the namespace has the mark of a later run */
export async function markNamespace(link: NamespaceLink, cluster: string, owner: OwnerToken): Promise<void> {
  const actual = await readNamespaceOwner(link, cluster);
  refuseOlder(`namespace ${link.name}`, owner, actual);
  if (actual !== null && sameOwner(actual, owner)) return;
  await link.ip(`marking namespace ${link.name}`, [
    command`link set lo alias ${aliasOf(cluster, owner)}`,
    command`link set lo up`,
  ]);
}

export async function setSysctls(namespace: string, settings: readonly string[]): Promise<void> {
  await runProgram({
    program: 'nsenter',
    args: [`--net=${namespacePath(namespace)}`, 'sysctl', '-q', '-w', ...settings],
    what: `setting sysctls of ${namespace}`,
  });
}

/** Call it after the firewall's skeleton is loaded: loading it creates conntrack's sysctl in the namespace. */
export async function setNamespaceSysctls(namespace: string): Promise<void> {
  const bridgeFilter = existsSync('/proc/sys/net/bridge/bridge-nf-call-iptables');
  const ipv6 = existsSync('/proc/sys/net/ipv6');
  await setSysctls(namespace, [
    'net.ipv4.ip_forward=1',
    'net.ipv4.conf.all.send_redirects=0',
    'net.ipv4.conf.default.send_redirects=0',
    'net.ipv4.conf.all.rp_filter=0',
    'net.ipv4.conf.default.rp_filter=0',
    // With the default of 1, a flow whose rule was removed would be tracked and accepted again at its next packet.
    'net.netfilter.nf_conntrack_tcp_loose=0',
    ...(ipv6 ? ['net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1'] : []),
    ...(bridgeFilter ? ['net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-arptables=0'] : []),
  ]);
}

/** Call it before the bridge is up: without proxy_delay 0 the kernel delays ARP answers by a random time. */
export async function setBridgeSysctls(namespace: string, bridges: readonly string[]): Promise<void> {
  await setSysctls(
    namespace,
    bridges.flatMap((bridge) => [
      `net.ipv4.conf.${bridge}.send_redirects=0`,
      `net.ipv4.conf.${bridge}.rp_filter=0`,
      `net.ipv4.conf.${bridge}.proxy_arp=1`,
      `net.ipv4.conf.${bridge}.proxy_arp_pvlan=1`,
      `net.ipv4.neigh.${bridge}.proxy_delay=0`,
    ]),
  );
}
