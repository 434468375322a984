/**
 * Starts a whole photoncloud on this machine: topology, `photon init`, one program per node, and a wait for readiness.
 * Used by the demo, `npm run cluster -- start`, the cluster tests and the bench's product leg; it creates no tenants
 * and no VMs.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { clusterFolder, insideFolder, type NodeRecord } from './topology-record.ts';
import { startRelay } from './cluster-relay.ts';
import { Topology, socketIn } from './cluster-topology.ts';
import { isRunning, logPath, startProgram } from './node-program.ts';
import {
  checkout,
  apiSocketName,
  cliCommand,
  initCommand,
  nodeRoles,
  roleCommand,
  type NodeRole,
  type PlannedNode,
} from './photon-commands.ts';
import { canServe, openApi, tokenOf } from './api-session.ts';
import { until } from './process-identity.ts';
import { startBoxes } from './store-boxes.ts';

const run = promisify(execFile);

export interface LaunchOptions {
  readonly stem: string;
  /** Once it is up, the cluster goes on when this process ends. */
  readonly keep?: boolean;
  readonly nodes?: readonly PlannedNode[];
  /** Nodes whose programs start together, in groups; each group is ready before the next starts. By default one. */
  readonly order?: readonly (readonly string[])[];
  /** As those of a topology. */
  readonly addresses?: Readonly<Record<string, string>>;
  /**
   * Instead of a store node: names of three nodes with a Redis and a Sentinel each (store-boxes.ts). They may be nodes
   * of the cluster.
   */
  readonly storeBoxes?: readonly string[];
  readonly tenants?: readonly string[];
  /** Workers that can be gateway hosts: each has an uplink to the topology's `outside`. */
  readonly uplinks?: readonly string[];
  /** Folders whose images workers may import, by their path inside the nodes, below /run. */
  readonly images?: Readonly<Record<string, string>>;
  /** The `limits` of node.json, by node. */
  readonly limits?: Readonly<Record<string, object>>;
  /** Workers whose nix-agent has its folder in that of the node, where tests see it. */
  readonly nixAgents?: readonly string[];
  readonly say?: (line: string) => void;
  /** How long a group may take until it is ready. */
  readonly readyMs?: number;
  /** Called with the prefix of a cluster that does not become ready, before it is removed. */
  readonly failed?: (prefix: string) => void;
}

export interface PhotonCluster {
  readonly topology: Topology;
  readonly nodes: readonly PlannedNode[];
  /** Operator's client file, for `photon --as`. */
  readonly clientFile: string;
  /** Client file of one tenant. */
  readonly tenantFile: (tenant: string) => string;
  /** `127.0.0.1:<TCP port>`, relayed to the controller. */
  readonly relay: string;
}

export const defaultNodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker' },
];

/** Runs the CLI on this machine. @throws execFile's error, with stdout and stderr, on another status than 0. */
export async function photonCli(clientFile: string, argv: readonly string[], timeoutMs = 120_000): Promise<string> {
  const [program = '', ...rest] = cliCommand(clientFile, argv);
  return (await run(program, rest, { timeout: timeoutMs, maxBuffer: 16 << 20 })).stdout;
}

/** Runs the CLI on this machine and passes its lines on as they come. @throws Error on another status than 0 */
export async function photonLines(
  clientFile: string,
  argv: readonly string[],
  onLine: (line: string) => void,
): Promise<void> {
  const [program = '', ...rest] = cliCommand(clientFile, argv);
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', onLine);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`photon ${argv.join(' ')} ended with status ${code}`);
}

export const clientsFolder = (prefix: string): string => join(clusterFolder(prefix), 'init/clients');

/**
 * Changes a client file to use the controller's socket (no TLS, root only) instead of its underlay address; a browser,
 * for which `photon open` prints a link, goes through the relay.
 */
function useSocket(file: string, socketPath: string, relay: string): void {
  const { token } = JSON.parse(readFileSync(file, 'utf8')) as { token: string };
  const client = { url: 'ws://localhost/api', token, socketPath, browserUrl: `http://${relay}` };
  writeFileSync(file, `${JSON.stringify(client, null, 2)}\n`, { mode: 0o600 });
}

/** Note in the cluster's record: the URL of the store, for programs that are started again. */
const storeNote = 'store';

/** The role of a node whose program was started, whether it still runs or not; undefined for a node without one. */
export const roleOf = (node: NodeRecord): NodeRole | undefined =>
  nodeRoles.find((one) => node.programs.some((program) => program.name === one));

/** Starts the program of a node's role, for the first time or again. */
export async function startNode(topology: Topology, node: PlannedNode): Promise<void> {
  const store = topology.record.notes[storeNote];
  const environment = {
    PHOTON_CACHE: join(checkout, '.cache/pages'),
    ...(store === undefined ? {} : { REDIS_URL: store }),
  };
  await startProgram(topology, node.name, node.role, roleCommand(node.role), environment);
}

interface WrittenConfig {
  readonly store: object;
}

/** Changes the node.json that `photon init` has written. */
function editConfig(path: string, change: (config: WrittenConfig) => object): void {
  const config = JSON.parse(readFileSync(path, 'utf8')) as WrittenConfig;
  writeFileSync(path, `${JSON.stringify(change(config), null, 2)}\n`);
}

/** Configures a node to acknowledge a commit only when this many replicas have it. */
const waitForReplicas = (path: string, replicas: number): void =>
  editConfig(path, (config) => ({ ...config, store: { ...config.store, replicas } }));

/** @throws Error with the end of the log of a program that has ended */
function checkPrograms(topology: Topology, nodes: readonly PlannedNode[]): void {
  for (const node of nodes) {
    if (isRunning(topology, node.name, node.role)) continue;
    const log = readFileSync(logPath(topology, node.name, node.role), 'utf8')
      .trimEnd()
      .split('\n')
      .slice(-15);
    throw new Error(`${node.role} ${node.name} ended; the end of its log:\n${log.join('\n')}`);
  }
}

/**
 * Resolves when every controller can serve and every worker is known and ready.
 * @throws Error naming the program that ended or the host that is not ready; then nothing is left of the cluster
 */
export async function launchCluster(options: LaunchOptions): Promise<PhotonCluster> {
  const say = options.say ?? (() => undefined);
  const nodes = options.nodes ?? defaultNodes;
  const boxes = options.storeBoxes ?? [];
  const tenants = options.tenants ?? [];
  const topology = await Topology.create({
    stem: options.stem,
    nodes: [...new Set([...nodes.map((node) => node.name), ...boxes])],
    shows: options.images ?? {},
    ...(options.addresses === undefined ? {} : { addresses: options.addresses }),
    ...(options.uplinks === undefined ? {} : { uplinks: options.uplinks }),
  });
  try {
    const { prefix } = topology;
    say(`cluster ${prefix}: ${nodes.map((node) => `${node.name} ${topology.node(node.name).address}`).join(', ')}`);
    const folder = join(clusterFolder(prefix), 'init');
    const allowedRoots = Object.keys(options.images ?? {});
    // `photon init` requires a store node; where boxes are the store, REDIS_URL overrides it.
    const stores = boxes
      .slice(0, 1)
      .map((box) => ({ name: 'store', role: 'store', address: topology.node(box).address }) as const);
    const placed = [...nodes.map((node) => ({ ...node, address: topology.node(node.name).address })), ...stores];
    const [program = '', ...argv] = initCommand({ folder, cluster: prefix, nodes: placed, allowedRoots, tenants });
    await run(program, argv, { timeout: 60_000 });
    for (const { name } of nodes) cpSync(join(folder, 'nodes', name), topology.node(name).folder, { recursive: true });
    if (boxes.length > 0) {
      topology.update({ notes: { ...topology.record.notes, [storeNote]: await startBoxes(topology, boxes) } });
      say(`store ready: ${boxes.join(', ')}`);
      for (const { name } of nodes) waitForReplicas(join(topology.node(name).folder, 'node.json'), 1);
    }
    for (const [name, limits] of Object.entries(options.limits ?? {}))
      editConfig(join(topology.node(name).folder, 'node.json'), (config) => ({ ...config, limits }));
    for (const name of options.nixAgents ?? [])
      editConfig(join(topology.node(name).folder, 'node.json'), (config) => ({
        ...config,
        nixAgentFolder: `${insideFolder}/nix-agent`,
      }));
    for (const { name, guests } of nodes)
      if (guests === false)
        editConfig(join(topology.node(name).folder, 'node.json'), (config) => ({ ...config, guests }));
    let cluster: PhotonCluster | undefined;
    for (const names of options.order ?? [nodes.map(({ name }) => name)]) {
      const group = nodes.filter(({ name }) => names.includes(name));
      for (const node of group) await startNode(topology, node);
      cluster ??= await openCluster(topology, nodes, tenants);
      await waitReady(cluster, group, options.readyMs);
      if (options.order !== undefined) say(`ready: ${group.map(({ name, role }) => `${name} (${role})`).join(', ')}`);
    }
    if (cluster === undefined) throw new Error('a cluster needs nodes');
    if (options.keep === true) topology.keep();
    return cluster;
  } catch (error) {
    options.failed?.(topology.prefix);
    await topology.stop(0);
    throw error;
  }
}

/** Relay and client files of a cluster whose programs have just been started. */
async function openCluster(
  topology: Topology,
  nodes: readonly PlannedNode[],
  tenants: readonly string[],
): Promise<PhotonCluster> {
  const controller = nodes.find((node) => node.role === 'controller');
  if (controller === undefined) throw new Error('a cluster needs a controller');
  const socketPath = socketIn(topology, controller.name, apiSocketName);
  const relay = await startRelay(topology, socketPath);
  const cluster = clusterOf(topology, nodes, relay);
  for (const name of ['operator', ...tenants]) useSocket(cluster.tenantFile(name), socketPath, relay);
  return cluster;
}

function clusterOf(topology: Topology, nodes: readonly PlannedNode[], relay: string): PhotonCluster {
  const tenantFile = (tenant: string): string => join(clientsFolder(topology.prefix), `${tenant}.json`);
  return { topology, nodes, clientFile: tenantFile('operator'), tenantFile, relay };
}

/** A cluster that another process has launched. @throws Error when there is none of that prefix */
export function runningCluster(prefix: string): PhotonCluster {
  const topology = Topology.find(prefix);
  const nodes = topology.record.nodes.flatMap((node) => {
    const role = roleOf(node);
    return role === undefined ? [] : [{ name: node.name, role }];
  });
  const [relay] = topology.record.relays;
  if (relay === undefined) throw new Error(`cluster ${prefix} was never ready`);
  return clusterOf(topology, nodes, relay.url);
}

/** Pause between two looks at a cluster that starts. */
const lookEveryMs = 100;

/** What the nodes still lack, in words; empty when every controller can serve and every worker is known and ready. */
export async function troublesOf(cluster: PhotonCluster, nodes: readonly PlannedNode[]): Promise<string[]> {
  const ofRole = (role: NodeRole): string[] => nodes.filter((node) => node.role === role).map(({ name }) => name);
  const controllers = ofRole('controller');
  const serving = await Promise.all(
    controllers.map((name) => canServe(socketIn(cluster.topology, name, apiSocketName))),
  );
  const troubles = controllers.filter((_, at) => serving[at] !== true).map((name) => `${name} cannot serve yet`);
  const workers = ofRole('worker');
  if (workers.length === 0 || troubles.length > 0) return troubles;
  const states = await hostStates(cluster);
  return workers
    .filter((name) => !/^(ready|.*\.ready)$/.test(states.get(name) ?? ''))
    .map((name) => `host ${name} is ${states.get(name) ?? 'not known'}`);
}

async function hostStates({ relay, clientFile }: PhotonCluster): Promise<ReadonlyMap<string, string>> {
  const client = await openApi(relay, tokenOf(clientFile));
  try {
    const { actors } = await client.call('actor.list', { kind: 'host', limit: 500 });
    return new Map(actors.map(({ id, stateName }) => [id.slice('host/system/'.length), stateName]));
  } finally {
    client.close();
  }
}

/** Resolves when these nodes serve; also after a node was started again. @throws Error naming what is not ready */
export async function waitReady(
  cluster: PhotonCluster,
  group: readonly PlannedNode[],
  readyMs = 60_000,
): Promise<void> {
  let last = 'the control API has not answered';
  const ready = async (): Promise<boolean> => {
    checkPrograms(cluster.topology, group);
    try {
      const troubles = await troublesOf(cluster, group);
      last = troubles.join(', ');
      if (troubles.length > 0) await pause(lookEveryMs);
      return troubles.length === 0;
    } catch (error) {
      last = error instanceof Error ? error.message.split('\n').slice(-2).join(' ') : String(error);
      return false; // not up yet; the error of the deadline below says what was last seen
    }
  };
  await until(`${group.map(({ name }) => name).join(', ')} are ready`, ready, readyMs).catch((error: unknown) => {
    const late = error instanceof Error && error.message.startsWith('not within');
    throw late ? new Error(`${error.message} (${last})`) : error;
  });
}
