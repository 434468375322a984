/**
 * Nodes on one machine: each has its own network, mount and process namespaces, its own folder and a private /run. A
 * bridge in one more network namespace connects them (the underlay, MTU 1600, not reachable from elsewhere). With
 * `uplinks` there is a node `outside` that is not on the underlay: it stands for the rest of the world, a bridge with
 * an address and a link to each of those nodes. The topology does not depend on what runs in the nodes. Used by
 * cluster-launch.ts, the guest tests and cluster-main.ts.
 *
 * The first process of a node is the root of a process namespace: when it ends, the kernel ends every process of the
 * node, and with them mounts, namespaces, links and taps. So cleaning up is one kill per node and needs no list of what
 * the node has made. Rejected: finding a node's processes by their namespaces, because a program that enters another
 * network namespace with `ip netns exec` leaves the mount namespace too and would be missed.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  claimPrefix,
  clusterFolder,
  forgetRecord,
  insideFolder,
  processMark,
  prefixOfMark,
  readRecord,
  writeRecord,
  type ClusterRecord,
  type NodeRecord,
} from './topology-record.ts';
import {
  childrenOf,
  endProcesses,
  identify,
  isAlive,
  processesWithArgument,
  signal,
  until,
  type ProcessIdentity,
} from './process-identity.ts';

const run = promisify(execFile);

export interface TopologyOptions {
  /** First part of the cluster's prefix: `demo` gives `demo-3fa9`. */
  readonly stem: string;
  readonly nodes: readonly string[];
  /** IPv4 addresses on the underlay, which is a /24, by node; by default 192.0.2.1 for the first node, and so on. */
  readonly addresses?: Readonly<Record<string, string>>;
  readonly underlayMtu?: number;
  /** Nodes with an uplink to a network outside of the cloud, for gateway hosts. */
  readonly uplinks?: readonly string[];
  /** Folders of this machine that every node sees read-only, by their path inside the node, below /run. */
  readonly shows?: Readonly<Record<string, string>>;
}

/** The world outside of the cloud, of a topology with uplinks: its node, address and bridge, and each host's uplink. */
export const outside = {
  node: 'outside',
  address: '203.0.113.1',
  prefixLength: 24,
  bridge: 'obr',
  uplink: 'ext',
} as const;

/** Prefixes of this checkout's clusters that still have a process, found by the marks in command lines. */
export function runningPrefixes(): string[] {
  const marked = processesWithArgument((argument) => prefixOfMark(argument) !== undefined);
  return [...new Set(marked.flatMap((one) => one.found.map((mark) => prefixOfMark(mark) ?? '')))].sort();
}

// $1: the node's folder; $2: the folder with all nodes' folders, which is hidden so that no node reads another's by
// accident; then pairs of a folder to show and its path inside the node.
const nodeScript = `set -e
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir ${insideFolder}
mount --bind "$1" ${insideFolder}
mount -t tmpfs -o mode=755,ro tmpfs "$2"
cd ${insideFolder}
shift 2
while [ $# -gt 1 ]; do mkdir -p "$2"; mount -o bind,ro "$1" "$2"; shift 2; done`;

// Runs as the node's init and reaps orphaned processes, which would stay as zombies.
const waitScript = `echo ready
exec </dev/null >/dev/null 2>&1
while :; do sleep 86400 || exit; done`;

type Init = Promise<ProcessIdentity>;

async function startInit(prefix: string, node: string, script: string, argv: readonly string[]): Init {
  const flags = ['--net', '--mount', '--pid', '--fork', '--mount-proc'];
  const child = spawn(
    'unshare',
    [...flags, 'sh', '-c', `${script}\n${waitScript}`, processMark(prefix, node), ...argv],
    {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('error', reject);
    child.once('close', () => reject(new Error(`node ${node} did not start (root is needed): ${complaint.trim()}`)));
  });
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
  const [pid] = childrenOf(child.pid ?? 0);
  if (pid === undefined) throw new Error(`node ${node} ended at once: ${complaint.trim()}`);
  return identify(pid);
}

async function batch(pid: number, lines: readonly string[]): Promise<void> {
  const child = run('nsenter', ['-t', String(pid), '--net', 'ip', '-batch', '-'], { timeout: 10_000 });
  child.child.stdin?.end(`${lines.join('\n')}\n`);
  await child;
}

async function quietSettings(pid: number): Promise<void> {
  const settings = ['net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1'];
  await run('nsenter', ['-t', String(pid), '--net', 'sysctl', '-q', '-e', '-w', ...settings], { timeout: 10_000 });
}

/** The root processes of the cluster: when they have ended, nothing of the cluster runs. */
function rootsOf(record: ClusterRecord | undefined): ProcessIdentity[] {
  return record === undefined ? [] : [record.underlay, ...record.nodes.map((node) => node.init), ...record.relays];
}

export class Topology {
  #record: ClusterRecord;

  private constructor(record: ClusterRecord) {
    this.#record = record;
  }

  /**
   * Makes underlay and nodes. They end with this process (after SIGKILL: with `clean`) unless `keep` is called. On
   * failure nothing is left. @throws Error with the stderr of the program that failed
   */
  static async create(options: TopologyOptions): Promise<Topology> {
    const prefix = claimPrefix(options.stem);
    endWithThisProcess(prefix);
    try {
      const mtu = options.underlayMtu ?? 1600;
      const underlay = await startInit(prefix, 'underlay', 'set -e', []);
      const record: ClusterRecord = {
        prefix,
        underlay,
        launcher: identify(process.pid),
        createdAt: new Date().toISOString(),
        kept: false,
        nodes: [],
        relays: [],
        notes: {},
      };
      const topology = new Topology(record);
      topology.#write({});
      await quietSettings(underlay.pid);
      await batch(underlay.pid, ['link set lo up', 'link add name ubr type bridge forward_delay 0', 'link set ubr up']);
      for (const [at, name] of options.nodes.entries()) {
        const address = options.addresses?.[name] ?? `192.0.2.${at + 1}`;
        await topology.#addNode(name, address, mtu, options.shows ?? {});
      }
      if (options.uplinks !== undefined) await topology.#addOutside(options.uplinks);
      return topology;
    } catch (error) {
      await Topology.clean(prefix);
      throw error;
    }
  }

  /** The running cluster of that prefix, started by another process. @throws Error when there is none. */
  static find(prefix: string): Topology {
    const record = readRecord(prefix);
    if (record === undefined) throw new Error(`no cluster ${prefix}: see \`npm run cluster -- status\``);
    return new Topology(record);
  }

  /** Ends all processes of the prefix, by its record and by its mark in command lines, and deletes the record. */
  static async clean(prefix: string): Promise<void> {
    const record = readRecord(prefix);
    const marked = processesWithArgument((argument) => prefixOfMark(argument) === prefix);
    await endProcesses([...rootsOf(record), ...marked], 0);
    forgetRecord(prefix);
  }

  get prefix(): string {
    return this.#record.prefix;
  }

  get record(): ClusterRecord {
    return this.#record;
  }

  node(name: string): NodeRecord {
    const found = this.#record.nodes.find((node) => node.name === name);
    if (found !== undefined) return found;
    const names = this.#record.nodes.map((node) => node.name);
    throw new Error(`no node ${name} in ${this.prefix}; there are: ${names.join(', ')}`);
  }

  /** Program and arguments that run `argv` in the node, to be started from this machine. */
  enter(name: string, argv: readonly string[]): string[] {
    const { init } = this.node(name);
    if (!isAlive(init)) throw new Error(`node ${name} is down: npm run cluster -- clean --cluster ${this.prefix}`);
    const pid = String(init.pid);
    return ['nsenter', '-t', pid, '--net', '--mount', '--pid', `--wd=/proc/${pid}/cwd`, '--', ...argv];
  }

  /** Runs a program in the node to its end. @throws execFile's error, with its stderr, on another status than 0. */
  async exec(name: string, argv: readonly string[], timeoutMs = 30_000): Promise<string> {
    const [program = '', ...rest] = this.enter(name, argv);
    return (await run(program, rest, { timeout: timeoutMs, maxBuffer: 16 << 20 })).stdout;
  }

  /** Changes the record; a node replaces the one of its name. */
  update(change: Partial<Pick<ClusterRecord, 'relays' | 'notes'>> & { readonly node?: NodeRecord }): void {
    const { node, ...rest } = change;
    const nodes = this.#record.nodes.map((one) => (one.name === node?.name ? node : one));
    this.#write({ ...rest, nodes });
  }

  /** From now on the cluster does not end with this process; it runs until `stop`. */
  keep(): void {
    this.#write({ kept: true });
  }

  #write(change: Partial<ClusterRecord>): void {
    this.#record = { ...this.#record, ...change };
    writeRecord(this.#record);
  }

  /** A node without a network. */
  async #startNode(name: string, address: string, shown: readonly string[]): Init {
    const folder = join(clusterFolder(this.prefix), name);
    mkdirSync(folder);
    const init = await startInit(this.prefix, name, nodeScript, [folder, clusterFolder(this.prefix), ...shown]);
    this.#write({ nodes: [...this.#record.nodes, { name, address, init, folder, programs: [] }] });
    await quietSettings(init.pid);
    return init;
  }

  async #addOutside(uplinks: readonly string[]): Promise<void> {
    const { node: name, address, prefixLength, bridge } = outside;
    const init = await this.#startNode(name, address, []);
    await batch(init.pid, [
      'link set lo up',
      `link add name ${bridge} type bridge forward_delay 0 mcast_snooping 0`,
      `addr add ${address}/${prefixLength} dev ${bridge}`,
      `link set ${bridge} up`,
    ]);
    for (const one of uplinks) await this.plugUplink(one);
  }

  /** Makes the uplink of a node, also when it was deleted. */
  async plugUplink(name: string): Promise<void> {
    const { pid } = this.node(name).init;
    await batch(this.node(outside.node).init.pid, [
      `link add name o-${name} type veth peer name ${outside.uplink} netns ${pid}`,
      `link set o-${name} master ${outside.bridge} up`,
    ]);
    await batch(pid, [`link set ${outside.uplink} up`]);
  }

  async #addNode(name: string, address: string, mtu: number, shows: Readonly<Record<string, string>>): Promise<void> {
    const index = this.#record.nodes.length + 1;
    const shown = Object.entries(shows).flatMap(([inside, here]) => [here, inside]);
    const init = await this.#startNode(name, address, shown);
    await batch(init.pid, [
      'link set lo up',
      `link add name und0 type veth peer name n${index} netns ${this.#record.underlay.pid}`,
      `link set und0 mtu ${mtu} up`,
      `addr add ${address}/24 dev und0`,
    ]);
    await batch(this.#record.underlay.pid, [`link set n${index} mtu ${mtu} master ubr up`]);
  }

  /** Programs get SIGTERM and the grace period, then every node is ended. */
  async stop(graceMs = 5000): Promise<void> {
    // As recorded by now: `npm run cluster -- start NODE` may have started some of them again.
    const programs = (readRecord(this.prefix) ?? this.#record).nodes.flatMap((node) => node.programs);
    if (graceMs > 0) {
      for (const program of programs) signal(program, 'SIGTERM');
      // Those that do not end in time are killed with their nodes.
      await until('programs end', () => !programs.some(isAlive), graceMs).catch(() => undefined);
    }
    await Topology.clean(this.prefix);
  }
}

/** Path on this machine of a socket in the node's folder, within the 107 bytes that a socket address can hold. */
export function socketIn(topology: Topology, node: string, name: string): string {
  const { folder, init } = topology.node(node);
  const path = join(folder, name);
  return Buffer.byteLength(path) <= 107 ? path : `/proc/${init.pid}/cwd/${name}`;
}

/** Kills the nodes when this process ends, also by a signal; synchronous, so that it works in the exit handler. */
function endWithThisProcess(prefix: string): void {
  process.once('exit', () => {
    const record = readRecord(prefix);
    if (record?.kept === true) return;
    const marked = processesWithArgument((argument) => prefixOfMark(argument) === prefix);
    for (const one of [...rootsOf(record), ...marked]) signal(one, 'SIGKILL');
    forgetRecord(prefix);
  });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Only when no other part of the program handles the signal.
    if (process.listenerCount(name) === 0) process.once(name, () => process.exit(name === 'SIGINT' ? 130 : 143));
  }
}
