/**
 * What is really there of tenants on a worker, read from its kernel and never from the product: QEMU and dnsmasq
 * processes, taps, DHCP host entries. Crash tests compare two sights, or count. Reads only.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import type { Topology } from './cluster-topology.ts';
import { until } from './process-identity.ts';

/** A process inside the node; pid and start time name one for ever. */
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
  readonly machines: readonly SeenProcess[];
  readonly dhcpServers: readonly SeenProcess[];
  readonly taps: readonly SeenTap[];
  readonly dhcpHosts: readonly SeenDhcpHost[];
}

// One line per thing, fields apart by a blank: kind first. An agent that starts asks QEMU for its version, so a process
// of that name may be there which runs no VM.
const script = `
for p in /proc/[0-9]*; do
  read -r name 2>/dev/null <$p/comm || continue
  case $name in
    qemu-system*) kind=machine ;;
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
grep -H , /run/photon-*/dhcp/*/hosts/* 2>/dev/null | sed 's/^/host /'
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

/** What there is on one worker at this moment; every list is sorted, so that sights can be compared. */
export async function sightOf(topology: Topology, node: string): Promise<Sight> {
  const lines = (await topology.exec(node, ['sh', '-c', script])).split('\n').map((line) => line.trim());
  const processes = (kind: string): SeenProcess[] =>
    lines
      .filter((line) => line.startsWith(`${kind} `))
      .map(processOf)
      .toSorted((a, b) => a.pid - b.pid);
  return {
    machines: processes('machine'),
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

/** Sights of several workers as one: what must be there once in a cluster is counted over all of them. */
export async function sightOfAll(topology: Topology, nodes: readonly string[]): Promise<Sight> {
  const sights = await Promise.all(nodes.map((node) => sightOf(topology, node)));
  return {
    machines: sights.flatMap((sight) => sight.machines),
    dhcpServers: sights.flatMap((sight) => sight.dhcpServers),
    taps: sights.flatMap((sight) => sight.taps),
    dhcpHosts: sights.flatMap((sight) => sight.dhcpHosts),
  };
}

/** Counts in words, for messages. */
export function wordsFor(sight: Sight): string {
  const taps = sight.taps.map((tap) => `${tap.namespace || 'the node'}/${tap.name} of ${tap.owner}`);
  return [
    `QEMU ${sight.machines.map((one) => one.pid).join(' ') || 'none'}`,
    `dnsmasq ${sight.dhcpServers.map((one) => one.pid).join(' ') || 'none'}`,
    `taps ${taps.join(' ') || 'none'}`,
    `DHCP hosts ${sight.dhcpHosts.map((one) => one.line).join(' ') || 'none'}`,
  ].join('; ');
}

/** The redis-server of a store node once there is just one, other than `than`; for a moment, one that forks is two. */
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
  // 0 and less are groups: `kill` would end the group it is in, which is the test itself.
  if (!(target.pid > 1)) throw new Error(`${target.pid} is no process of ${node} that may be killed`);
  await topology.exec(node, ['kill', '-9', String(target.pid)]);
}

/** Namespaces a process of this machine is in, as the kernel calls them: `net:[4026532301]`. */
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
