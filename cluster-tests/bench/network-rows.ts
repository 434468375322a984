/**
 * Rows of the network bench that a whole cluster is measured in: commands, a network with a port, rules of security
 * groups, idling. A row measures in rounds, both legs in each, so that both see the same machine. Each row makes what
 * it needs in its first round. Called by network-bench.ts; goals are in network-goals.ts.
 */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { groupChain } from '@photoncloud/actors/dataplane/security-group/group-chains';
import { runBareLeg } from './bare-leg.ts';
import type { RowReport } from './bench-goals.ts';
import { tenant, type BenchSession } from './bench-session.ts';
import { commandGoals, idleGoals, networkGoals, ruleGoals } from './network-goals.ts';
import { bareNetworkAndPort, idleCpu, networkAndPort } from './product-steps.ts';
import { RuleMonitor } from './rule-monitor.ts';
import { closedLoop, forEachOf } from './runtime-stage.ts';

export interface NetworkScene {
  /** Names of the workers. */
  readonly hosts: readonly string[];
  /** On each host. */
  readonly ports: number;
  /** Of the security group. */
  readonly rules: number;
}

export interface ClusterRow {
  /** Only the first round is measured. */
  readonly once?: true;
  round(index: number): Promise<void>;
  report(): RowReport;
  /** Ends programs that it has started. */
  close?(): void;
}

export const storeNode = 's1';

const latencyCommands = 200;
const rateLanes = 32;
const rateMs = 3_000;

const diskWrites = 50;

/** The store syncs to its disk before each answer. @returns ms of each of some writes that are synced */
function syncedWrites(folder: string): number[] {
  const path = join(folder, 'bench-write');
  const file = openSync(path, 'w');
  try {
    return Array.from({ length: diskWrites }, () => {
      const at = performance.now();
      writeSync(file, 'x'.repeat(1_024));
      fdatasyncSync(file);
      return performance.now() - at;
    });
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

/** Ports without a host: only the control plane works. */
export class CommandRow implements ClusterRow {
  readonly #session: BenchSession;
  readonly #latencies: number[][] = [];
  readonly #rates: number[] = [];
  readonly #writes: number[][] = [];

  constructor(session: BenchSession) {
    this.#session = session;
  }

  async round(index: number): Promise<void> {
    const session = this.#session;
    const network = `calls-${index}`;
    await session.command('vpc', network, 'create', {});
    await session.command('network', network, 'create', {
      vpc: network,
      subnets: [{ name: 'a', cidr: '10.90.0.0/20' }],
    });
    this.#writes.push(syncedWrites(session.cluster.topology.node(storeNode).folder));
    let made = 0;
    const create = async (): Promise<number> => {
      await session.command('port', `call-${index}-${made++}`, 'create', { network });
      return 1;
    };
    const latencies: number[] = [];
    for (let command = 0; command < latencyCommands; command++) {
      const at = performance.now();
      await create();
      latencies.push(performance.now() - at);
    }
    this.#latencies.push(latencies);
    const at = performance.now();
    const count = await closedLoop(rateLanes, rateMs, create);
    this.#rates.push((count / (performance.now() - at)) * 1_000);
  }

  report(): RowReport {
    return commandGoals(this.#latencies, this.#rates, this.#writes);
  }
}

const networksInRound = 2;

export class NetworkRow implements ClusterRow {
  readonly #session: BenchSession;
  readonly #host: string;
  readonly #product: number[] = [];
  readonly #bare: number[] = [];

  constructor(session: BenchSession, { hosts: [host = ''] }: NetworkScene) {
    this.#session = session;
    this.#host = host;
  }

  async round(index: number): Promise<void> {
    for (let run = 0; run < networksInRound; run++) {
      this.#bare.push(bareNetworkAndPort(await runBareLeg({ leg: 'network', runs: 1 })));
      this.#product.push(await networkAndPort(this.#session, this.#host, index * networksInRound + run));
    }
  }

  report(): RowReport {
    return networkGoals(this.#product, this.#bare);
  }
}

const changesInRound = 10;
const group = 'rules';
const groupId = `security-group/${tenant}/${group}`;
const chain = groupChain('ingress', groupId);
const firstPort = 10_000;

export class RuleRow implements ClusterRow {
  readonly #session: BenchSession;
  readonly #scene: NetworkScene;
  readonly #namespaces = new Map<string, string>();
  readonly #monitors: RuleMonitor[] = [];
  readonly #enforced: number[][] = [];
  readonly #observed: number[][] = [];
  readonly #bare: number[][] = [];
  #changes = 0;

  constructor(session: BenchSession, scene: NetworkScene) {
    this.#session = session;
    this.#scene = scene;
  }

  async round(index: number): Promise<void> {
    if (index === 0) await this.#prepare();
    const { ports, rules } = this.#scene;
    const bare = await runBareLeg({ leg: 'rules', runs: changesInRound, count: ports, rules });
    this.#bare.push([...(bare['rules_replace'] ?? [])]);
    const [enforced, observed]: [number[], number[]] = [[], []];
    for (let change = 0; change < changesInRound; change++) {
      const at = performance.now();
      const listened = await this.#change();
      await this.#session.untilObserved(groupId);
      observed.push(performance.now() - at);
      await Promise.all(this.#scene.hosts.map((host) => this.#mustHave(host, listened)));
      const rule = `tcp dport ${listened} accept`;
      const committed = await Promise.all(this.#monitors.map((monitor) => monitor.committedAt(rule)));
      enforced.push(Math.max(...committed) - at);
    }
    this.#enforced.push(enforced);
    this.#observed.push(observed);
  }

  /** All rules as before but the first, which lets in another port. @returns that port */
  async #change(): Promise<number> {
    const changed = firstPort + ++this.#changes;
    await this.#session.command('security-group', group, 'update', { rules: this.#rules(changed) });
    return changed;
  }

  #rules(changed: number): object[] {
    const ports = [changed, ...Array.from({ length: this.#scene.rules - 1 }, (_, rule) => 1_000 + rule)];
    return ports.map((port) => ({ direction: 'ingress', protocol: 'tcp', ports: { from: port, to: port } }));
  }

  async #prepare(): Promise<void> {
    const session = this.#session;
    const { hosts, ports } = this.#scene;
    await session.command('vpc', group, 'create', {});
    await session.command('network', group, 'create', { vpc: group, subnets: [{ name: 'a', cidr: '10.91.0.0/20' }] });
    await session.command('security-group', group, 'create', { rules: this.#rules(firstPort) });
    await forEachOf(hosts.length * ports, 4, async (index) => {
      const host = hosts[index % hosts.length];
      await session.command('port', `rules-${index}`, 'create', { network: group, host, securityGroups: [group] });
      await session.reach(`port/${tenant}/rules-${index}`);
    });
    for (const host of hosts) {
      const { status } = await session.get(`segment/${tenant}/${group}@${host}`);
      const proof = status['proof'] as { namespace?: string } | null;
      if (proof?.namespace === undefined) throw new Error(`no namespace proven on ${host}`);
      this.#namespaces.set(host, proof.namespace);
    }
    await session.untilObserved(groupId);
    for (const host of hosts) {
      const inside = this.#session.cluster.topology.enter(host, this.#inside(host));
      this.#monitors.push(await RuleMonitor.open(host, inside, chain));
    }
  }

  #inside(host: string): string[] {
    return ['nsenter', `--net=/run/netns/${this.#namespaces.get(host)}`];
  }

  /** @throws Error when the host's kernel has not the rule that it has proven */
  async #mustHave(host: string, port: number): Promise<void> {
    const read = [...this.#inside(host), 'nft', '-n', 'list', 'chain', 'inet', 'sg', chain];
    const listing = await this.#session.cluster.topology.exec(host, read);
    if (!listing.includes(`tcp dport ${port} accept`))
      throw new Error(`${groupId} says that every host has its rules, but ${host} has: ${listing.trim()}`);
  }

  close(): void {
    for (const monitor of this.#monitors) monitor.close();
  }

  report(): RowReport {
    const rounds = { enforced: this.#enforced, observed: this.#observed, bare: this.#bare };
    const { hosts, ports } = this.#scene;
    return ruleGoals(rounds, `${hosts.length} x ${ports} ports`);
  }
}

const idleSeconds = 20;
const fewPorts = 2;

export class IdleRow implements ClusterRow {
  readonly once = true;
  readonly #session: BenchSession;
  readonly #scene: NetworkScene;
  readonly #controller: string;
  #percent: { readonly controller: number; readonly worker: number } | undefined;

  constructor(session: BenchSession, scene: NetworkScene, controller: string) {
    this.#session = session;
    this.#scene = scene;
    this.#controller = controller;
  }

  async round(): Promise<void> {
    const session = this.#session;
    await session.command('network', 'idle', 'create', { vpc: 'main', subnets: [{ name: 'a', cidr: '10.92.0.0/24' }] });
    for (const host of this.#scene.hosts)
      for (let port = 0; port < fewPorts; port++) {
        await session.command('port', `idle-${host}-${port}`, 'create', { network: 'idle', host });
        await session.reach(`port/${tenant}/idle-${host}-${port}`);
      }
    const [controller = 0, worker = 0] = await idleCpu(
      session,
      [
        [this.#controller, 'controller'],
        [this.#scene.hosts[0] ?? '', 'worker'],
      ],
      idleSeconds,
    );
    this.#percent = { controller, worker };
  }

  report(): RowReport {
    if (this.#percent === undefined) throw new Error('it did not run');
    return idleGoals(this.#percent.controller, this.#percent.worker, idleSeconds);
  }
}
