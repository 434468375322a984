/**
 * Faults that are injected into a running cluster from outside: kill -9, SIGSTOP, a network that drops everything
 * between two nodes, a store that restarts or loses its primary. Each is undone by the function that it returns, and
 * ends with the cluster. Used by faults.test.ts and faults-store.test.ts; a new fault of real programs is added here.
 */
import { startNode, type PhotonCluster } from './cluster-launch.ts';
import type { Topology } from './cluster-topology.ts';
import { killInside, redisOf } from './crash-sight.ts';
import { findProgram, isRunning } from './node-program.ts';
import { isAlive, parentOf, signal, until } from './process-identity.ts';
import { allInSync, askFailover, boxProgram, primaryBox, startBox } from './store-boxes.ts';

export interface Fault {
  readonly name: string;
  /** @returns undoes the fault */
  inject(cluster: PhotonCluster): Promise<() => Promise<void>>;
}

function roleOf(cluster: PhotonCluster, node: string): string {
  const found = cluster.nodes.find((one) => one.name === node);
  if (found === undefined) throw new Error(`no node ${node}`);
  return found.role;
}

/** Kills the node's program; undone by starting it again. */
export const killed = (node: string): Fault => ({
  name: `kill -9 ${node}`,
  async inject(cluster) {
    const program = findProgram(cluster.topology, node, roleOf(cluster, node));
    signal(program, 'SIGKILL');
    await until(`${node} is gone`, () => !isAlive(program));
    return async () => {
      const planned = cluster.nodes.find((one) => one.name === node);
      if (planned !== undefined) await startNode(cluster.topology, planned);
    };
  },
});

/** Stops the node's program, which keeps its sockets open; undone by letting it continue. */
export const stopped = (node: string): Fault => ({
  name: `SIGSTOP ${node}`,
  async inject(cluster) {
    const program = findProgram(cluster.topology, node, roleOf(cluster, node));
    signal(program, 'SIGSTOP');
    return async () => {
      // Its parent nsenter stops itself together with its child, and a stopped nsenter would not notice the child's
      // end.
      process.kill(parentOf(program.pid), 'SIGCONT');
      signal(program, 'SIGCONT');
      await until(`${node} runs on`, () => isRunning(cluster.topology, node, roleOf(cluster, node)));
    };
  },
});

async function partition(topology: Topology, node: string, others: readonly string[]): Promise<() => Promise<void>> {
  const addresses = others.map((other) => topology.node(other).address).join(', ');
  const rules = [
    'table inet nemesis {',
    `  chain in { type filter hook input priority -300; ip saddr { ${addresses} } drop; }`,
    `  chain out { type filter hook output priority -300; ip daddr { ${addresses} } drop; }`,
    '}',
  ];
  await topology.exec(node, ['nft', rules.join('\n')]);
  return async () => void (await topology.exec(node, ['nft', 'delete table inet nemesis']));
}

/** All packets between the node and the others are dropped in both directions, without a reset. */
export const parted = (node: string, others: readonly string[]): Fault => ({
  name: `partition ${node} | ${others.join(' ')}`,
  inject: ({ topology }) => partition(topology, node, others),
});

/** Kills redis-server; the store node starts it again. */
export const storeKilled = (node: string): Fault => ({
  name: `kill -9 redis-server of ${node}`,
  async inject({ topology }) {
    const redis = await redisOf(topology, node);
    await killInside(topology, node, redis);
    return async () => void (await redisOf(topology, node, redis));
  },
});

const otherThan = (primary: string, boxes: readonly string[]): string[] => boxes.filter((box) => box !== primary);

/** Kills the primary's redis-server, which is started again only after another box was promoted. */
export const primaryKilled = (boxes: readonly string[]): Fault => ({
  name: 'kill -9 the primary of the store',
  async inject({ topology }) {
    const primary = await primaryBox(topology, boxes);
    signal(findProgram(topology, primary, boxProgram), 'SIGKILL');
    return async () => {
      await primaryBox(topology, otherThan(primary, boxes));
      await startBox(topology, primary);
      await allInSync(topology, boxes);
    };
  },
});

/** The primary is cut off from the other boxes but not from the nodes: another is promoted, and both act as primary. */
export const primaryParted = (boxes: readonly string[]): Fault => ({
  name: 'partition the primary | other boxes',
  async inject({ topology }) {
    const primary = await primaryBox(topology, boxes);
    const heal = await partition(topology, primary, otherThan(primary, boxes));
    return async () => {
      await heal();
      await allInSync(topology, boxes);
    };
  },
});

/** The primary is cut off from the other boxes and all nodes. */
export const primaryCutOff = (boxes: readonly string[]): Fault => ({
  name: 'partition the primary | other boxes and nodes',
  async inject({ topology, nodes }) {
    const primary = await primaryBox(topology, boxes);
    const heal = await partition(topology, primary, [...otherThan(primary, boxes), ...nodes.map((node) => node.name)]);
    return async () => {
      await heal();
      await allInSync(topology, boxes);
    };
  },
});

/** Asks the Sentinels to promote another box. */
export const failoverAsked = (boxes: readonly string[]): Fault => ({
  name: 'SENTINEL FAILOVER',
  async inject({ topology }) {
    const primary = await primaryBox(topology, boxes);
    await askFailover(topology, primary);
    await until('another box is the primary', async () => (await primaryBox(topology, boxes)) !== primary);
    return () => allInSync(topology, boxes);
  },
});
