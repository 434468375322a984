/**
 * What exists of tenants on a worker, read from its kernel and never from the product: QEMU and dnsmasq processes,
 * taps, DHCP host entries. Crash tests compare two of these snapshots or count in them. Reads only, except
 * `killInside`.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import type { Topology } from './cluster-topology.ts';
import { until } from './process-identity.ts';

/** A process inside the node; pid and start time together are unique. */
export interface SeenProcess {
  readonly pid: number;
  readonly startTime: string;
  /** Its command line, at most 600 characters. */
  readonly words: string;
}

export interface SeenTap {
  readonly name: string;
  readonly ifindex: number;
  /** Namespace of the VPC; empty for the node's own. */
  readonly namespace: string;
  /** Actor in its ifalias. */
  readonly owner: string;
}

export interface SeenDhcpHost {
  readonly address: string;
  /** `<mac>,<address>,<hostname>` */
  readonly line: string;
}

export interface Sight {
  readonly qemus: readonly SeenProcess[];
  readonly dhcpServers: readonly SeenProcess[];
  readonly taps: readonly SeenTap[];
  readonly dhcpHosts: readonly SeenDhcpHost[];
}

// Prints one line per object, fields separated by blanks, kind first. A starting agent asks QEMU for its version, so
// processes with the option --version are not VMs and are left out.
const script = `
for p in /proc/[0-9]*; do
  read -r name 2>/dev/null <$p/comm || continue
  case $name in
    qemu-system*) kind=qemu ;;
    dnsmasq) kind=dhcp ;;
    redis-server) kind=redis ;;
    *) continue ;;
  esac
  read -r stat 2>/dev/null <$p/stat || continue
  set -- \${stat##*) }
  case $1 in Z|X) continue ;; esac
  shift 19
  words=$(tr '\\0' ' ' 2>/dev/null <$p/cmdline | cut -c1-600)
  case $words in '' | *' --version ') continue ;; esac
  echo $kind \${p#/proc/} $1 "$words"
done
ip -o link show type tun | sed 's/^/tap . /'
for n in $(ip netns list | cut -d' ' -f1); do ip -n $n -o link show type tun | sed "s/^/tap $n /"; done
grep -H , /run/photon-*/dhcp/*/*/hosts/* 2>/dev/null | sed 's/^/host /'
true`;

function tapOf(line: string): SeenTap {
  const [, namespace = '', index = '', name = ''] = line.split(/:?\s+/);
  const alias = /alias (\S+)/.exec(line)?.[1]?.split(',') ?? [];
  return { name, ifindex: Number(index), namespace: namespace === '.' ? '' : namespace, owner: alias[2] ?? '' };
}

function processOf(line: string): SeenProcess {
  const [, pid = '', startTime = '', ...words] = line.split(' ');
  return { pid: Number(pid), startTime, words: words.join(' ') };
}

function dhcpHostOf(line: string): SeenDhcpHost {
  const [path = '', ...rest] = line.slice('host '.length).split(':');
  return { address: path.slice(path.lastIndexOf('/') + 1), line: rest.join(':') };
}

/** What exists on one worker at this moment; every list is sorted, so that two results can be compared. */
export async function sightOf(topology: Topology, node: string): Promise<Sight> {
  const lines = (await topology.exec(node, ['sh', '-c', script])).split('\n').map((line) => line.trim());
  const processes = (kind: string): SeenProcess[] =>
    lines
      .filter((line) => line.startsWith(`${kind} `))
      .map(processOf)
      .toSorted((a, b) => a.pid - b.pid);
  return {
    qemus: processes('qemu'),
    dhcpServers: processes('dhcp'),
    taps: lines
      .filter((line) => line.startsWith('tap '))
      .map(tapOf)
      .toSorted((a, b) => a.name.localeCompare(b.name)),
    dhcpHosts: lines
      .filter((line) => line.startsWith('host '))
      .map(dhcpHostOf)
      .toSorted((a, b) => a.address.localeCompare(b.address)),
  };
}

/** The sights of several workers as one, to count what must exist once in the whole cluster. */
export async function sightOfAll(topology: Topology, nodes: readonly string[]): Promise<Sight> {
  const sights = await Promise.all(nodes.map((node) => sightOf(topology, node)));
  return {
    qemus: sights.flatMap((sight) => sight.qemus),
    dhcpServers: sights.flatMap((sight) => sight.dhcpServers),
    taps: sights.flatMap((sight) => sight.taps),
    dhcpHosts: sights.flatMap((sight) => sight.dhcpHosts),
  };
}

/** A sight as text, for messages. */
export function wordsFor(sight: Sight): string {
  const taps = sight.taps.map((tap) => `${tap.namespace || 'the node'}/${tap.name} of ${tap.owner}`);
  return [
    `QEMU ${sight.qemus.map((one) => one.pid).join(' ') || 'none'}`,
    `dnsmasq ${sight.dhcpServers.map((one) => one.pid).join(' ') || 'none'}`,
    `taps ${taps.join(' ') || 'none'}`,
    `DHCP hosts ${sight.dhcpHosts.map((one) => one.line).join(' ') || 'none'}`,
  ].join('; ');
}

/** Waits until a store node has exactly one redis-server and it is not `than`; one that forks is two for a moment. */
export async function redisOf(topology: Topology, node: string, than?: SeenProcess): Promise<SeenProcess> {
  let found: SeenProcess[] = [];
  await until(`one redis-server runs in ${node}`, async () => {
    const text = await topology.exec(node, ['sh', '-c', script]);
    found = text
      .split('\n')
      .filter((line) => line.startsWith('redis '))
      .map(processOf);
    return found.length === 1 && found[0]?.pid !== than?.pid;
  });
  return found[0] as SeenProcess;
}

/** SIGKILL to a process by its pid inside the node. */
export async function killInside(topology: Topology, node: string, target: SeenProcess): Promise<void> {
  // Pids of 0 and below mean process groups: `kill` would end the group of the test itself.
  if (!(target.pid > 1)) throw new Error(`${target.pid} is not a process of ${node} that may be killed`);
  await topology.exec(node, ['kill', '-9', String(target.pid)]);
}

/** Namespaces that a process of this machine is in, by the kernel's names: `net:[4026532301]`. */
export const namespacesOf = (pid: number | string): string[] =>
  ['net', 'mnt', 'pid'].map((kind) => readlinkSync(`/proc/${pid}/ns/${kind}`));

/** Namespaces that some process of this machine is in. */
export function namespacesInUse(): Set<string> {
  const found = new Set<string>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      for (const name of namespacesOf(pid)) found.add(name);
    } catch {
      continue; // ended while we looked
    }
  }
  return found;
}
