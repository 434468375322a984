/**
 * A cluster in one process under virtual time: the store, the network, nodes that die and come back, and the record of
 * all that happened. It knows no workload and no faults of its own: a scenario starts nodes and clients on it, the
 * fault plan breaks it (fault-plan.ts), checkers judge its record. simulation-run.ts is the caller.
 */
import { describeCause } from '@photoncloud/runtime/contract/errors';
import type { HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import type { OrdinalPlatform } from '@photoncloud/runtime/journal/ordinal-memory';
import { RunTrace } from './run-trace.ts';
import { Chance } from './seeded-random.ts';
import { mayLose, type SeedOptions } from './seed-options.ts';
import type { RuntimeRecord } from '../checkers/runtime-promises.ts';
import type { Handover } from '../checkers/gentle-stops.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { SimulatedNetwork } from './simulated-network.ts';
import { startNode, type NodeParts, type SimulatedNode } from './simulated-node.ts';
import { SimulatedProcess, wallStartMs } from './simulated-process.ts';
import { asRedis, SimulatedConnection, type StoreConditions } from './store/simulated-client.ts';
import type { SimulatedServer } from './store/simulated-server.ts';
import { SimulatedStore } from './store/simulated-store.ts';
import { VirtualTime } from './virtual-time.ts';

const startAgainMs = 1_000;

/** What a scenario says about a node: everything but the simulated parts. */
export type NodePlan = Pick<NodeParts, 'role' | 'registry' | 'onNode' | 'onHostShard' | 'onHostFenced'> & {
  readonly name: string;
  readonly limits?: Partial<HostLimits>;
  /** A store that went back begins a new era. Otherwise its process ends, and the next one knows nothing of it. */
  readonly outlivesRollback?: boolean;
  /** Called whenever the node has joined, after each start. */
  readonly onStarted?: (node: SimulatedNode) => void;
};

/** A place of a node: its plan and, unless it is down, its process and parts. */
interface Seat {
  readonly plan: NodePlan;
  bootNumber: number;
  process: SimulatedProcess | undefined;
  node: SimulatedNode | undefined;
}

export class Simulation {
  readonly options: SeedOptions;
  readonly chance: Chance;
  readonly time: VirtualTime;
  readonly store: SimulatedStore;
  readonly storeConditions: StoreConditions;
  readonly network: SimulatedNetwork;
  /** Faults that happened, by kind. */
  readonly faults = new Map<string, number>();
  /** Rare things that were reached, by name: sometimes-assertions. */
  readonly reached = new Map<string, number>();
  /** Rules that were broken while it ran; the run fails with them. */
  readonly violations: string[] = [];
  /** Shards that a process has begun to hand over. */
  readonly handovers: Handover[] = [];
  /** What the box of a node keeps of a file it has written whole. */
  private readonly boxes = new Map<string, string>();
  private readonly disks = new Map<string, SimulatedDisk>();
  private readonly seats = new Map<string, Seat>();
  private readonly connections = new Set<SimulatedConnection>();
  private readonly trace = new RunTrace();
  private connectionCount = 0;

  constructor(options: SeedOptions) {
    this.options = options;
    this.chance = new Chance(`seed ${options.seed}`);
    this.time = new VirtualTime({ onEvent: (atMs, owner, label) => this.trace.mix(`${atMs} ${owner} ${label}`) });
    this.store = new SimulatedStore({
      time: this.time,
      wallMs: () => wallStartMs + this.time.nowMs,
      random: this.chance.split('store'),
      replicas: options.replicas,
    });
    this.storeConditions = { ...options.store, cutOff: new Set() };
    const onFault = (kind: string): void => this.fault(kind);
    this.network = new SimulatedNetwork(this.time, this.chance.split('network'), { ...options.network }, onFault);
  }

  /**
   * What was committed, for checkers. Where nothing acknowledged may be lost, what a failover took away must be as if
   * it had never been: then it is not here either, and every promise is judged without exception.
   */
  get writes(): Pick<RuntimeRecord, 'past' | 'lost' | 'kept' | 'foundings'> {
    const { past, lost, foundings } = this.store;
    const kept = this.server.file;
    return mayLose(this.options) ? { past, lost, kept, foundings } : { past: kept, lost: [], kept, foundings };
  }

  /** The store's primary. */
  get server(): SimulatedServer {
    return this.store.primary;
  }

  /** Counts a fault that has just happened, and notes it for the story of a failed run. */
  fault(kind: string, about = ''): void {
    this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
    this.note('fault', `${kind} ${about}`);
  }

  reach(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1);
  }

  violate(what: string): void {
    this.violations.push(`${(this.time.nowMs / 1000).toFixed(3)} s: ${what}`);
    this.note('VIOLATION', what);
  }

  /** One line of the story; it is part of the trace. */
  note(who: string, what: string): void {
    this.trace.note(this.time.nowMs, who, what);
  }

  story(): readonly string[] {
    return this.trace.story();
  }

  /** Equal for two runs of a seed, or something was not under the simulation's control. */
  traceHash(): string {
    return this.trace.hashText();
  }

  // Nodes.

  /** Starts a node and goes on starting it whenever its process has ended, unless `hold` says it stays down. */
  addNode(plan: NodePlan): void {
    this.seats.set(plan.name, { plan, bootNumber: 0, process: undefined, node: undefined });
    this.startSeat(plan.name);
  }

  nodeNames(): readonly string[] {
    return [...this.seats.keys()];
  }

  /** The node if its process runs and it has joined. */
  node(name: string): SimulatedNode | undefined {
    const node = this.seats.get(name)?.node;
    return node?.process.alive === true ? node : undefined;
  }

  /** Nodes that have joined and whose process runs, paused or not. */
  nodes(): readonly SimulatedNode[] {
    return this.nodeNames().flatMap((name) => this.node(name) ?? []);
  }

  processOf(name: string): SimulatedProcess | undefined {
    const process = this.seats.get(name)?.process;
    return process?.alive === true ? process : undefined;
  }

  startSeat(name: string): void {
    const seat = this.seats.get(name) as Seat;
    if (seat.process?.alive === true || this.off.has(name)) return;
    seat.bootNumber += 1;
    const { bootNumber, plan } = seat;
    const random = this.chance.split(`process ${name} ${bootNumber}`);
    const process = new SimulatedProcess(this.time, name, bootNumber, random, (who, level, message, fields) => {
      if (level === 'info') return;
      this.note(who, `${level}: ${message} ${describe(fields)}`);
    });
    seat.process = process;
    seat.node = undefined;
    process.onEnd(() => {
      this.note(process.label, 'ended');
      // As a supervisor does.
      this.time.after(startAgainMs, undefined, 'start again', () => {
        if (this.seats.get(name)?.process === process && !this.isHeld(name)) this.startSeat(name);
      });
    });
    this.note(process.label, 'started');
    this.time.after(0, process, 'start', () => void this.startIn(seat, process, plan));
  }

  private async startIn(seat: Seat, process: SimulatedProcess, plan: NodePlan): Promise<void> {
    try {
      const node = await startNode({
        process,
        role: plan.role,
        registry: plan.registry,
        network: this.network,
        connect: (own, server) => this.connect(own, server),
        boxes: (own) => this.boxesKnown(own),
        ...(this.options.replicas !== undefined ? { durability: this.options.replicas.durability } : {}),
        limits: plan.limits ?? {},
        ...(this.options.archive !== undefined ? { diskOf: (host: string) => this.diskOf(host) } : {}),
        onHandover: (shards) => {
          for (const shard of shards) this.handovers.push({ atMs: this.time.nowMs, by: process.label, shard });
        },
        ...(plan.outlivesRollback === true ? { box: this.boxOf(plan.name) } : {}),
        ...(plan.onNode === undefined ? {} : { onNode: plan.onNode }),
        onEra: () => this.reach('a new era'),
        ...(plan.onHostShard === undefined ? {} : { onHostShard: plan.onHostShard }),
        ...(plan.onHostFenced === undefined ? {} : { onHostFenced: plan.onHostFenced }),
      });
      seat.node = node;
      this.note(process.label, 'joined');
      plan.onStarted?.(node);
    } catch (error) {
      this.note(process.label, `could not start: ${describeCause(error)}`);
      process.kill();
    }
  }

  private readonly held = new Set<string>();
  private readonly off = new Set<string>();

  /** While held, a node that ends stays down. */
  hold(name: string, isHeld: boolean): void {
    if (isHeld) this.held.add(name);
    else this.held.delete(name);
  }

  /** Its machine has no power: whoever else would start it cannot. */
  switchOff(name: string): void {
    this.off.add(name);
    this.processOf(name)?.kill();
  }

  switchOn(name: string): void {
    this.off.delete(name);
    this.startSeat(name);
  }

  private isHeld(name: string): boolean {
    return this.held.has(name);
  }

  /** @param server always this one; else whom the Sentinels name */
  private connect(process: SimulatedProcess, server?: string): ReturnType<typeof asRedis> {
    this.connectionCount += 1;
    const connection = new SimulatedConnection({
      time: this.time,
      locate: () => (server === undefined ? this.store.named : this.store.server(server)),
      queues: server !== undefined,
      process,
      conditions: this.storeConditions,
      random: this.chance.split(`connection ${this.connectionCount}`),
      onFault: (kind) => this.fault(kind),
    });
    this.connections.add(connection);
    process.onEnd(() => this.connections.delete(connection));
    return asRedis(connection);
  }

  /** The Sentinels know every box, and name them a while after they were asked. */
  private async boxesKnown(process: SimulatedProcess): Promise<readonly string[]> {
    const { servers } = this.store;
    if (servers.length === 1) return [];
    const delayMs = this.chance.split(`sentinels ${this.connectionCount}`).around(this.storeConditions.delayMs);
    await new Promise<void>((resolve) => this.time.after(delayMs, process, 'sentinels', resolve));
    return servers.map(({ name }) => name);
  }

  diskOf(host: string): SimulatedDisk {
    let disk = this.disks.get(host);
    if (disk === undefined) {
      const delayMs = this.options.archive?.diskDelayMs ?? 1;
      disk = new SimulatedDisk(this.time, this.chance.split(`disk ${host}`), delayMs);
      this.disks.set(host, disk);
    }
    return disk;
  }

  private boxOf(name: string): OrdinalPlatform {
    return {
      read: (path) => {
        const text = this.boxes.get(`${name} ${path}`);
        if (text === undefined) throw Object.assign(new Error(`${name} has no ${path}`), { code: 'ENOENT' });
        return text;
      },
      write: (path, text) => void this.boxes.set(`${name} ${path}`, text),
    };
  }

  // The store's bad days.

  breakConnections(which: (connection: SimulatedConnection) => boolean): void {
    for (const connection of this.connections) if (which(connection)) connection.break();
  }

  /** Its process ends; what it has in its file stays. */
  stopServer(server: SimulatedServer): void {
    server.up = false;
    this.breakConnections(({ serverName }) => serverName === server.name);
  }
}

function describe(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value instanceof Error ? describeCause(value) : String(value)}`)
    .join(' ');
}
