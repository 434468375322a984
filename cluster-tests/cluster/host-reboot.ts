/**
 * What a reboot does to the host of a node whose worker has ended: QEMU, daemons of exports and dnsmasq end, network
 * namespaces, devices, rules and everything below /run are gone, and the boot id is another one; the disk and the
 * underlay's device stay. Used by tests that reboot a host.
 */
import { randomUUID } from 'node:crypto';
import type { Topology } from './cluster-topology.ts';
import { killInside, sightOf } from './crash-sight.ts';
import { until } from './process-identity.ts';
import { residueOf } from './residue-check.ts';

const script = `set -e
for daemon in $(pgrep -f '[q]emu-storage-daemon' || true); do kill -9 $daemon; done
for space in $(ip netns list | cut -d' ' -f1); do ip netns delete $space; done
for link in $(ip -o link show | cut -d: -f2 | cut -d@ -f1); do
  case $link in lo | und0) ;; *) ip link delete $link ;; esac
done
nft flush ruleset
rm -rf /run/photon-*
echo "$1" >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id`;

export async function loseEverything(topology: Topology, node: string): Promise<void> {
  const { qemus, dhcpServers } = await sightOf(topology, node);
  for (const one of [...qemus, ...dhcpServers]) await killInside(topology, node, one);
  await topology.exec(node, ['sh', '-c', script, 'sh', randomUUID()]);
  // The kernel takes a namespace apart a moment after its deletion; what is on the disk is no matter.
  let left: readonly string[] = [];
  await until('the host has lost everything', async () => {
    left = (await residueOf(topology, [node])).filter((line) => !/: file (machines|volumes|images)\//.test(line));
    return left.length === 0;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}; there is: ${left.join('; ')}`);
  });
}
