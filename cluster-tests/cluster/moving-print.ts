/**
 * What a host has of tenants, as text that is the same whenever the same VMs are on it: links, addresses, routes,
 * rules, forwarding entries, firewall, processes, sockets and files. Names that belong to one run are replaced, and so
 * is what the kernel has learned. Two prints of a host with the same VMs must be equal, whatever happened in between;
 * read from the kernel and the disk, never from the product. Used by moving-judge.ts.
 */
import type { Topology } from './cluster-topology.ts';

const script = `
show() {
  "$@" ip -o link show | sed 's/^[0-9]*: //'
  "$@" ip -4 -o addr show | sed 's/^[0-9]*: //'
  "$@" ip -4 route show table all
  "$@" ip rule show
  "$@" bridge fdb show | grep -v -e '^33:33:' -e '^01:00:5e:'
  "$@" nft -s list ruleset
}
ip netns list
show
for n in $(ip netns list | cut -d' ' -f1); do echo "namespace $n"; show ip netns exec $n; done
ps -e -o comm= | grep -e ^qemu -e ^dnsmasq | sed 's/^/process /'
ss -H -l -x | grep photon | sed 's/^/socket /'
ss -H -l -n -t | sed 's/^/socket /'
find /run/photon/host/machines /run/photon/host/volumes /run/photon/host/incarnations -type f 2>/dev/null
find /run -path '/run/photon-*'
true`;

/** The whole of what differs between two runs of one VM, or is of the moment. */
function plain(line: string): string {
  return line
    .replaceAll(/\b[a-z2-7]{4}p[a-z2-7]{10}\b/g, 'TAP')
    .replaceAll(/\bincarnations\/[a-z2-7]{20}/g, 'incarnations/RUN')
    .replaceAll(/dnsmasq-[a-z2-7]+\.conf/g, 'dnsmasq.conf')
    .replaceAll(/ +/g, ' ')
    .trim();
}

// Whether a guest or a test has a tap open is of no matter, and neither are numbers that the kernel gives.
const bare = (line: string): string =>
  line.startsWith('socket ')
    ? line.replace(/\s\d+\s+\*\s+0\s*$/, '')
    : line
        .replace(/<[A-Z,_-]+>/, '')
        .replace(/ state (UP|DOWN|UNKNOWN)/, '')
        .replace(/ link\/ether.*/, '')
        .replace(/ \(id: \d+\)/, '');

/** Learned addresses, the random MACs of taps, the counter of changes, and what only remembers a former guest. */
const passing = [
  /dev \S+ master \S+ $/,
  /^[0-9a-f:]{17} dev TAP master \S+ permanent$/,
  /^elements = \{ 0x[0-9a-f]+ \}$/,
  /\/retired\//,
];

/** @returns its lines, sorted */
export async function printOf(topology: Topology, node: string): Promise<string[]> {
  const text = await topology.exec(node, ['sh', '-c', script]);
  return text
    .split('\n')
    .map((line) => plain(bare(line)))
    .filter((line) => line !== '' && !passing.some((one) => one.test(line)))
    .toSorted();
}

/** Lines of one and not of the other, each as often as it is one too many. */
export function differences(wanted: readonly string[], found: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of found) counts.set(line, (counts.get(line) ?? 0) + 1);
  for (const line of wanted) counts.set(line, (counts.get(line) ?? 0) - 1);
  return [...counts].flatMap(([line, count]) =>
    Array.from({ length: Math.abs(count) }, () => `${count > 0 ? 'left' : 'missing'}: ${line}`),
  );
}
