/**
 * Faults put upon a running cluster from outside: kill -9, SIGSTOP, a network that loses everything between two
 * nodes, a store that restarts or loses its primary. Each heals by itself or by the function it returns; all of it
 * ends with the cluster. Called by faults-*.test.ts.
 */
import { startNode, type PhotonCluster } from './cluster-launch.ts';
import type { Topology } from './cluster-topology.ts';
import { killInside, redisOf } from './crash-sight.ts';
import { findProgram, isRunning } from './node-program.ts';
import { isAlive, parentOf, signal, until } from './process-identity.ts';
import { allInStep, askFailover, boxProgram, primaryBox, startBox } from './store-boxes.ts';

export interface Fault {
  readonly name: string;
  /** @returns how it is undone. */
  strike(cluster: PhotonCluster): Promise<() => Promise<void>>;
}

function roleOf(cluster: PhotonCluster, node: string): string {
  const found = cluster.nodes.find((one) => one.name === node);
  if (found === undefined) throw new Error(`no node ${node}`);
  return found.role;
}

/** The node's program ends without a word; undone by starting it again. */
export const killed = (node: string): Fault => ({
  name: `kill -9 ${node}`,
  async strike(cluster) {
    const program = findProgram(cluster.topology, node, roleOf(cluster, node));
    signal(program, 'SIGKILL');
    await until(`${node} is gone`, () => !isAlive(program));
    return async () => {
      const planned = cluster.nodes.find((one) => one.name === node);
      if (planned !== undefined) await startNode(cluster.topology, planned);
    };
  },
});

/** The node's program stands still, its sockets open; undone by letting it go on as if nothing had been. */
export const stopped = (node: string): Fault => ({
  name: `SIGSTOP ${node}`,
  async strike(cluster) {
    const program = findProgram(cluster.topology, node, roleOf(cluster, node));
    signal(program, 'SIGSTOP');
    return async () => {
      // nsenter, its parent, stops itself when its child is stopped, and would not notice the child's end.
      process.kill(parentOf(program.pid), 'SIGCONT');
      signal(program, 'SIGCONT');
      await until(`${node} runs on`, () => isRunning(cluster.topology, node, roleOf(cluster, node)));
    };
  },
});

async function part(topology: Topology, node: string, others: readonly string[]): Promise<() => Promise<void>> {
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

/** Everything between the node and the others is lost, both ways; no reset, no answer. */
export const parted = (node: string, others: readonly string[]): Fault => ({
  name: `partition ${node} | ${others.join(' ')}`,
  strike: ({ topology }) => part(topology, node, others),
});

/** redis-server ends without a word; the store node starts it again. */
export const storeKilled = (node: string): Fault => ({
  name: `kill -9 redis-server of ${node}`,
  async strike({ topology }) {
    const struck = await redisOf(topology, node);
    await killInside(topology, node, struck);
    return async () => void (await redisOf(topology, node, struck));
  },
});

const otherThan = (primary: string, boxes: readonly string[]): string[] => boxes.filter((box) => box !== primary);

/** The primary's redis-server ends without a word and is started again only after another was promoted. */
export const primaryKilled = (boxes: readonly string[]): Fault => ({
  name: 'kill -9 the primary of the store',
  async strike({ topology }) {
    const primary = await primaryBox(topology, boxes);
    signal(findProgram(topology, primary, boxProgram), 'SIGKILL');
    return async () => {
      await primaryBox(topology, otherThan(primary, boxes));
      await startBox(topology, primary);
      await allInStep(topology, boxes);
    };
  },
});

/** The primary is alone with the nodes that write to it: another is promoted, and two take themselves for it. */
export const primaryParted = (boxes: readonly string[]): Fault => ({
  name: 'partition the primary | other boxes',
  async strike({ topology }) {
    const primary = await primaryBox(topology, boxes);
    const heal = await part(topology, primary, otherThan(primary, boxes));
    return async () => {
      await heal();
      await allInStep(topology, boxes);
    };
  },
});

/** The primary is cut off from everybody. */
export const primaryCutOff = (boxes: readonly string[]): Fault => ({
  name: 'partition the primary | everybody',
  async strike({ topology, nodes }) {
    const primary = await primaryBox(topology, boxes);
    const heal = await part(topology, primary, [...otherThan(primary, boxes), ...nodes.map((node) => node.name)]);
    return async () => {
      await heal();
      await allInStep(topology, boxes);
    };
  },
});

/** The Sentinels are asked for another primary. */
export const failoverAsked = (boxes: readonly string[]): Fault => ({
  name: 'SENTINEL FAILOVER',
  async strike({ topology }) {
    const primary = await primaryBox(topology, boxes);
    await askFailover(topology, primary);
    await until('another box is the primary', async () => (await primaryBox(topology, boxes)) !== primary, 30_000);
    return () => allInStep(topology, boxes);
  },
});
