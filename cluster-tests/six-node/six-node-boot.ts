/**
 * Boots the declared six-node cluster on this machine, each node in namespaces of its own, in the order of what needs
 * what, and says whether the whole of it is ready. Called by the verbs of `npm run cluster`.
 */
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { launchCluster, troublesOf, type PhotonCluster } from '../cluster/cluster-launch.ts';
import { socketIn } from '../cluster/cluster-topology.ts';
import { openSession, tokenOf } from '../cluster/api-session.ts';
import { isRunning } from '../cluster/node-program.ts';
import { apiSocketName, type PlannedNode } from '../cluster/photon-commands.ts';
import { until } from '../cluster/process-identity.ts';
import { allInSync } from '../cluster/store-boxes.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { holdersOf, nodesOf, readCluster, type DeclaredCluster } from './declared-cluster.ts';

export interface SixNodes {
  readonly declared: DeclaredCluster;
  readonly cluster: PhotonCluster;
  /** Nodes that hold the store. */
  readonly boxes: readonly string[];
  readonly controllers: readonly string[];
  /** Nodes that VMs are placed on. */
  readonly workers: readonly string[];
  readonly gateways: readonly string[];
  /** Nodes that have the bytes of shared volumes. */
  readonly storages: readonly string[];
}

/** The running cluster together with what was declared. */
export const sixNodesOf = (cluster: PhotonCluster, declared: DeclaredCluster = readCluster()): SixNodes => ({
  declared,
  cluster,
  boxes: nodesOf(declared, 'redis-sentinel'),
  controllers: nodesOf(declared, 'controller'),
  workers: holdersOf(declared, 'worker'),
  gateways: holdersOf(declared, 'gateway'),
  storages: holdersOf(declared, 'storage'),
});

/** Programs of photoncloud, in the groups in which they start; the store is up before them. */
function programsInOrder(declared: DeclaredCluster): PlannedNode[][] {
  const [storage, guests] = [holdersOf(declared, 'storage'), holdersOf(declared, 'worker')];
  const planned = (name: string, role: PlannedNode['role']): PlannedNode =>
    role === 'worker' ? { name, role, storage: storage.includes(name), guests: guests.includes(name) } : { name, role };
  return declared.order
    .map((group) =>
      group.flatMap(({ node, program }) => (program === 'redis-sentinel' ? [] : [planned(node, program)])),
    )
    .filter((group) => group.length > 0);
}

/** How long one thing may take on a busy machine before it counts as broken. */
export const patienceMs = 180_000;

export interface Boot {
  /** The cluster goes on when this process ends. */
  readonly keep: boolean;
  readonly say: (line: string) => void;
  /** Called with the prefix of a cluster that does not become ready, before it is removed. */
  readonly failed: (prefix: string) => void;
}

/** @throws Error naming what is not ready; nothing is left then */
export async function bootSixNodes({ keep, say, failed }: Boot): Promise<SixNodes> {
  const declared = readCluster();
  const guest = await buildGuestImage();
  const order = programsInOrder(declared);
  const cluster = await launchCluster({
    stem: declared.name,
    keep,
    nodes: order.flat(),
    storeBoxes: nodesOf(declared, 'redis-sentinel'),
    order: order.map((group) => group.map(({ name }) => name)),
    addresses: Object.fromEntries(Object.entries(declared.nodes).map(([name, { address }]) => [name, address])),
    uplinks: holdersOf(declared, 'gateway'),
    tenants: Object.keys(declared.tenants),
    images: { '/run/guest': guest.folder },
    say,
    readyMs: patienceMs,
    failed,
  });
  return sixNodesOf(cluster, declared);
}

/** A session of the operator, or of a tenant, with one controller. */
export async function openController(
  { cluster }: Pick<SixNodes, 'cluster'>,
  controller: string,
  tenant?: string,
): Promise<PhotonClient> {
  const file = tenant === undefined ? cluster.clientFile : cluster.tenantFile(tenant);
  return await openSession(socketIn(cluster.topology, controller, apiSocketName), tokenOf(file));
}

/**
 * Waits until all of the cluster works: programs, store and replicas, controllers, hosts.
 * @throws Error naming what does not
 */
export async function wholeIsReady(six: SixNodes, timeoutMs = patienceMs): Promise<void> {
  const { cluster, boxes } = six;
  await allInSync(cluster.topology, boxes);
  let troubles: string[] = [];
  const isReady = async (): Promise<boolean> => {
    const ended = cluster.nodes.filter(({ name, role }) => !isRunning(cluster.topology, name, role));
    troubles = [
      ...ended.map(({ name, role }) => `the ${role} of ${name} has ended`),
      ...(await troublesOf(cluster, cluster.nodes).catch((error: Error) => [error.message])),
    ];
    return troubles.length === 0;
  };
  await until('the whole cluster is ready', isReady, timeoutMs).catch((error: unknown) => {
    throw new Error(`${error instanceof Error ? error.message : String(error)}: ${troubles.join(', ')}`);
  });
}
