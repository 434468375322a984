/**
 * Starts a whole photoncloud on this machine: topology, `photon init`, one program per node, and a wait for readiness.
 * Used by the demo, `npm run cluster -- start`, the cluster tests and the bench's product leg; it creates no tenants
 * and no VMs.
 */
import { execFile } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { clusterFolder, type NodeRecord } from './topology-record.ts';
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
import { until } from './process-identity.ts';
import { startBoxes } from './store-boxes.ts';

const run = promisify(execFile);

export interface LaunchOptions {
  readonly stem: string;
  /** Once it is up, the cluster goes on when this process ends. */
  readonly keep?: boolean;
  readonly nodes?: readonly PlannedNode[];
  /** Instead of a store node: names of three nodes with a Redis and a Sentinel each (store-boxes.ts). */
  readonly storeBoxes?: readonly string[];
  readonly tenants?: readonly string[];
  /** Folders whose images workers may import, by their path inside the nodes, below /run. */
  readonly images?: Readonly<Record<string, string>>;
  /** The `limits` of node.json, by node. */
  readonly limits?: Readonly<Record<string, object>>;
  readonly say?: (line: string) => void;
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

/** The role of a node whose program was started, whether it still runs or not. */
export function roleOf(node: NodeRecord): NodeRole {
  const role = nodeRoles.find((one) => node.programs.some((program) => program.name === one));
  if (role === undefined) throw new Error(`no program of a role was started in ${node.name}`);
  return role;
}

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
 * Resolves when the control API answers and every worker is known and ready.
 * @throws Error naming the program that ended or the host that is not ready; then nothing is left of the cluster
 */
export async function launchCluster(options: LaunchOptions): Promise<PhotonCluster> {
  const say = options.say ?? (() => undefined);
  const nodes = options.nodes ?? defaultNodes;
  const boxes = options.storeBoxes ?? [];
  const tenants = options.tenants ?? [];
  const topology = await Topology.create({
    stem: options.stem,
    nodes: [...nodes.map((node) => node.name), ...boxes],
    shows: options.images ?? {},
  });
  try {
    const { prefix } = topology;
    say(`cluster ${prefix}: ${nodes.map((node) => `${node.name} ${topology.node(node.name).address}`).join(', ')}`);
    const folder = join(clusterFolder(prefix), 'init');
    const allowedRoots = Object.keys(options.images ?? {});
    // `photon init` requires a store node; where boxes are the store, REDIS_URL overrides it.
    const stores = boxes.slice(0, 1).map((name) => ({ name, role: 'store' }) as const);
    const placed = [...nodes, ...stores].map((node) => ({ ...node, address: topology.node(node.name).address }));
    const [program = '', ...argv] = initCommand({ folder, cluster: prefix, nodes: placed, allowedRoots, tenants });
    await run(program, argv, { timeout: 60_000 });
    for (const { name } of nodes) cpSync(join(folder, 'nodes', name), topology.node(name).folder, { recursive: true });
    if (boxes.length > 0) {
      topology.update({ notes: { ...topology.record.notes, [storeNote]: await startBoxes(topology, boxes) } });
      for (const { name } of nodes) waitForReplicas(join(topology.node(name).folder, 'node.json'), 1);
    }
    for (const [name, limits] of Object.entries(options.limits ?? {}))
      editConfig(join(topology.node(name).folder, 'node.json'), (config) => ({ ...config, limits }));
    for (const node of nodes) await startNode(topology, node);
    const controller = nodes.find((node) => node.role === 'controller');
    if (controller === undefined) throw new Error('a cluster needs a controller');
    const socketPath = socketIn(topology, controller.name, apiSocketName);
    const tenantFile = (tenant: string): string => join(folder, 'clients', `${tenant}.json`);
    const relay = await startRelay(topology, socketPath);
    for (const name of ['operator', ...tenants]) useSocket(tenantFile(name), socketPath, relay);
    await waitReady(topology, nodes, tenantFile('operator'));
    if (options.keep === true) topology.keep();
    return { topology, nodes, clientFile: tenantFile('operator'), tenantFile, relay };
  } catch (error) {
    await topology.stop(0);
    throw error;
  }
}

interface ListedActor {
  readonly id: string;
  readonly stateName: string;
}

/** Actors of a kind with their states, as the operator sees them. */
export async function listActors(clientFile: string, kind: string): Promise<ListedActor[]> {
  return JSON.parse(await photonCli(clientFile, ['list', kind, '-o', 'json'], 15_000)) as ListedActor[];
}

async function waitReady(topology: Topology, nodes: readonly PlannedNode[], clientFile: string): Promise<void> {
  const workers = nodes.filter((node) => node.role === 'worker').map((node) => `host/system/${node.name}`);
  let last = 'the control API has not answered';
  const ready = async (): Promise<boolean> => {
    checkPrograms(topology, nodes);
    try {
      const hosts = await listActors(clientFile, 'host');
      last = hosts.map((host) => `${host.id} ${host.stateName}`).join(', ') || 'no host is known';
      return workers.every((id) => hosts.some((host) => host.id === id && /^(ready|.*\.ready)$/.test(host.stateName)));
    } catch (error) {
      last = error instanceof Error ? error.message.split('\n').slice(-2).join(' ') : String(error);
      return false; // not up yet; the error of the deadline below says what was last seen
    }
  };
  await until('workers are ready', ready, 60_000).catch((error: unknown) => {
    const late = error instanceof Error && error.message.startsWith('not within');
    throw late ? new Error(`${error.message} (${last})`) : error;
  });
}
