/**
 * A cluster in one process under virtual time: the store, the network, nodes that die and restart, and the record of
 * everything that happened. It has no workload and no faults of its own: a scenario starts nodes and clients, the fault
 * plan (fault-plan.ts) injects faults, checkers judge the record. Made by simulation-run.ts, once for each run.
 */
import { describeCause } from '@photoncloud/runtime/contract/errors';
import type { HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import type { OrdinalPlatform } from '@photoncloud/runtime/journal/ordinal-memory';
import { RunTrace } from './run-trace.ts';
import { Chance } from './seeded-random.ts';
import { mayLose, type SeedOptions } from './seed-options.ts';
import type { RuntimeRecord } from '../checkers/runtime-promises.ts';
import type { Handover } from '../checkers/graceful-stops.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { SimulatedNetwork } from './simulated-network.ts';
import { startNode, type NodeParts, type SimulatedNode } from './simulated-node.ts';
import { SimulatedProcess, wallStartMs } from './simulated-process.ts';
import { asRedis, SimulatedConnection, type StoreConditions } from './store/simulated-client.ts';
import type { SimulatedServer } from './store/simulated-server.ts';
import { SimulatedStore } from './store/simulated-store.ts';
import { VirtualTime } from './virtual-time.ts';

const startAgainMs = 1_000;

/** What a scenario decides about a node: everything but its simulated parts. */
export type NodePlan = Pick<NodeParts, 'role' | 'registry' | 'onNode' | 'onBeat' | 'onHostShard' | 'onHostFenced'> & {
  readonly name: string;
  readonly limits?: Partial<HostLimits>;
  /** On a store rollback the node begins a new era. Otherwise its process ends, and the next one does not notice. */
  readonly outlivesRollback?: boolean;
  /** Called after each start, when the node has joined the cluster. */
  readonly onStarted?: (node: SimulatedNode) => void;
};

/** A node by its name: its plan and, unless it is down, its process and parts. */
interface NodeSlot {
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
  /** How many faults of each kind have happened. */
  readonly faults = new Map<string, number>();
  /** Rare situations that were reached, by name, with their counts ("sometimes assertions"). */
  readonly reached = new Map<string, number>();
  /** Violations seen while it runs; the run fails with them. */
  readonly violations: string[] = [];
  /** Added to the wall clock of the store's servers; a fault steps it. */
  storeOffsetMs = 0;
  /** Shards that a process has begun to hand over. */
  readonly handovers: Handover[] = [];
  /** Small files of nodes, each written as a whole, by `<node> <path>`; they outlive processes. */
  private readonly nodeFiles = new Map<string, string>();
  private readonly disks = new Map<string, SimulatedDisk>();
  private readonly slots = new Map<string, NodeSlot>();
  private readonly connections = new Set<SimulatedConnection>();
  private readonly trace = new RunTrace();
  private connectionCount = 0;

  constructor(options: SeedOptions) {
    this.options = options;
    this.chance = new Chance(`seed ${options.seed}`);
    this.time = new VirtualTime({ onEvent: (atMs, owner, label) => this.trace.mix(`${atMs} ${owner} ${label}`) });
    this.store = new SimulatedStore({
      time: this.time,
      wallMs: () => wallStartMs + this.time.nowMs + this.storeOffsetMs,
      random: this.chance.split('store'),
      replicas: options.replicas,
    });
    this.storeConditions = { ...options.store, cutOff: new Set() };
    const onFault = (kind: string): void => this.fault(kind);
    this.network = new SimulatedNetwork(this.time, this.chance.split('network'), { ...options.network }, onFault);
  }

  /**
   * What was committed, for checkers. Where no acknowledged commit may be lost, a write that a failover discarded must
   * have had no visible consequence: it is left out here, and every promise is judged without exception.
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

  /** Counts a fault that has just happened and notes it in the event log. */
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

  /** Adds a line to the event log; the line is part of the trace hash. */
  note(who: string, what: string): void {
    this.trace.note(this.time.nowMs, who, what);
  }

  eventLog(): readonly string[] {
    return this.trace.eventLog();
  }

  /** Equal for two runs of a seed; otherwise something is not under the simulation's control. */
  traceHash(): string {
    return this.trace.hashText();
  }

  // Nodes.

  /** Starts a node, and starts it again whenever its process has ended, unless `keepDown` was called for it. */
  addNode(plan: NodePlan): void {
    this.slots.set(plan.name, { plan, bootNumber: 0, process: undefined, node: undefined });
    this.startProcessOf(plan.name);
  }

  nodeNames(): readonly string[] {
    return [...this.slots.keys()];
  }

  /** The node if its process runs and it has joined. */
  node(name: string): SimulatedNode | undefined {
    const node = this.slots.get(name)?.node;
    return node?.process.alive === true ? node : undefined;
  }

  /** Nodes that have joined and whose process runs, paused or not. */
  nodes(): readonly SimulatedNode[] {
    return this.nodeNames().flatMap((name) => this.node(name) ?? []);
  }

  processOf(name: string): SimulatedProcess | undefined {
    const process = this.slots.get(name)?.process;
    return process?.alive === true ? process : undefined;
  }

  startProcessOf(name: string): void {
    const slot = this.slots.get(name) as NodeSlot;
    if (slot.process?.alive === true || this.off.has(name)) return;
    slot.bootNumber += 1;
    const { bootNumber, plan } = slot;
    const random = this.chance.split(`process ${name} ${bootNumber}`);
    const process = new SimulatedProcess(this.time, name, bootNumber, random, (who, level, message, fields) => {
      if (level === 'info') return;
      this.note(who, `${level}: ${message} ${describe(fields)}`);
    });
    slot.process = process;
    slot.node = undefined;
    process.onEnd(() => {
      this.note(process.label, 'ended');
      // As a process supervisor does.
      this.time.after(startAgainMs, undefined, 'start again', () => {
        if (this.slots.get(name)?.process === process && !this.keptDown.has(name)) this.startProcessOf(name);
      });
    });
    this.note(process.label, 'started');
    this.time.after(0, process, 'start', () => void this.startIn(slot, process, plan));
  }

  private async startIn(slot: NodeSlot, process: SimulatedProcess, plan: NodePlan): Promise<void> {
    try {
      const node = await startNode({
        process,
        role: plan.role,
        registry: plan.registry,
        network: this.network,
        connect: (own, server) => this.connect(own, server),
        boxes: (own) => this.storeServers(own),
        ...(this.options.replicas !== undefined ? { durability: this.options.replicas.durability } : {}),
        limits: plan.limits ?? {},
        receipts: { receiptBytes: this.options.receiptBytes },
        ...(this.options.archive !== undefined ? { diskOf: (host: string) => this.diskOf(host) } : {}),
        onHandover: (shards) => {
          for (const shard of shards) this.handovers.push({ atMs: this.time.nowMs, by: process.label, shard });
        },
        ...(plan.outlivesRollback === true ? { files: this.filesOf(plan.name) } : {}),
        ...(plan.onNode === undefined ? {} : { onNode: plan.onNode }),
        ...(plan.onBeat === undefined ? {} : { onBeat: plan.onBeat }),
        onEra: () => this.reach('a new era'),
        ...(plan.onHostShard === undefined ? {} : { onHostShard: plan.onHostShard }),
        ...(plan.onHostFenced === undefined ? {} : { onHostFenced: plan.onHostFenced }),
      });
      slot.node = node;
      this.note(process.label, 'joined');
      plan.onStarted?.(node);
    } catch (error) {
      this.note(process.label, `could not start: ${describeCause(error)}`);
      process.kill();
    }
  }

  private readonly keptDown = new Set<string>();
  private readonly off = new Set<string>();

  /** While a node is kept down, it is not started again when its process ends. */
  keepDown(name: string, isKeptDown: boolean): void {
    if (isKeptDown) this.keptDown.add(name);
    else this.keptDown.delete(name);
  }

  /** The node's host loses power: until `switchOn` the node cannot be started by anybody. */
  switchOff(name: string): void {
    this.off.add(name);
    this.processOf(name)?.kill();
  }

  /** Whether the kernel of one host gets an answer from that of another, whatever their processes do. */
  echoes(from: string, to: string): boolean {
    const { network, off } = this;
    return !off.has(from) && !off.has(to) && !network.isBlocked(from, to) && !network.isBlocked(to, from);
  }

  switchOn(name: string): void {
    this.off.delete(name);
    this.startProcessOf(name);
  }

  /** @param server connects to this server only; without it, to the one that the Sentinels name */
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

  /** The names of all store servers, as the Sentinels answer them after a delay; empty without replicas. */
  private async storeServers(process: SimulatedProcess): Promise<readonly string[]> {
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

  private filesOf(name: string): OrdinalPlatform {
    return {
      read: (path) => {
        const text = this.nodeFiles.get(`${name} ${path}`);
        if (text === undefined) throw Object.assign(new Error(`${name} has no ${path}`), { code: 'ENOENT' });
        return text;
      },
      write: (path, text) => void this.nodeFiles.set(`${name} ${path}`, text),
    };
  }

  // Faults of the store.

  breakConnections(which: (connection: SimulatedConnection) => boolean): void {
    for (const connection of this.connections) if (which(connection)) connection.break();
  }

  /** Ends the process of a store server; its append-only file stays. */
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
