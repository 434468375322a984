/**
 * A whole simulated cloud: kernels, nodes and their lives, the store, the links, who owns which shard. It starts,
 * kills, pauses and cuts; what it does when is decided by cloud-faults.ts, what tenants want by cloud-workload.ts.
 * Ownership follows the rules of runtime/directory: observed silence permits a takeover, the epoch makes it safe.
 */
import type { KernelFact } from '../../checkers/kernel-facts.ts';
import { noAgent, noDataplane } from '@photoncloud/actors/photon/no-dataplane';
import { createRegistry } from '@photoncloud/actors/registry';
import { agentId, clusterId, hostId } from '@photoncloud/machines/values/identifiers';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { actorId, type ShardId } from '@photoncloud/runtime/contract/identifiers';
import type { Log } from '@photoncloud/runtime/contract/log';
import { CloudLinks } from './cloud-links.ts';
import { CloudNode } from './cloud-node.ts';
import { CloudStore } from './cloud-store.ts';
import { calmRates, type FaultRates } from './dataplane-fate.ts';
import { SimulatedKernel } from './simulated-kernel.ts';
import { SeededRandom, VirtualTime } from './cloud-time.ts';

export interface CloudOptions {
  readonly seed: number;
  readonly controllers: number;
  readonly workers: number;
  readonly memoryMib: number;
  readonly log: Log;
}

const silenceMs = 2_000;
const beatMs = 500;
export const imageRoot = '/images';

export class CloudWorld {
  readonly options: CloudOptions;
  /** For checkers: the charts, without a host to work on. */
  readonly registry = createRegistry(noDataplane, noAgent);
  readonly time: VirtualTime;
  readonly store: CloudStore;
  readonly links: CloudLinks;
  readonly facts: KernelFact[] = [];
  readonly kernels = new Map<string, SimulatedKernel>();
  /** The present life of each node; none while it is down. */
  readonly nodes = new Map<string, CloudNode>();
  /** How often what happened: faults, fates, rare branches. */
  readonly counts = new Map<string, number>();
  rates: FaultRates = calmRates;
  readonly controllerNames: readonly string[];
  readonly workerNames: readonly string[];
  private lives = 0;

  constructor(options: CloudOptions) {
    this.options = options;
    this.time = new VirtualTime(() => this.store.inFlight > 0);
    this.store = new CloudStore(this.time, new SeededRandom(options.seed, 'store'));
    this.links = new CloudLinks(this.time, new SeededRandom(options.seed, 'links'), (what) => this.count(what));
    const named = (letter: string, count: number): string[] =>
      Array.from({ length: count }, (_, at) => `${letter}${at + 1}`);
    this.controllerNames = named('c', options.controllers);
    this.workerNames = named('w', options.workers);
    for (const [at, host] of this.workerNames.entries()) {
      const kernel = new SimulatedKernel(
        host,
        at + 1,
        () => this.time.nowMs,
        (fact) => this.facts.push(fact),
      );
      for (const [name, format] of [
        ['vmlinuz', 'kernel'],
        ['initrd', 'initrd'],
        ['disk', 'raw'],
      ] as const) {
        const sha256 = name.charCodeAt(0).toString(16).repeat(32);
        const proof = { sha256, sizeBytes: 1 << 20, virtualSizeBytes: 1 << 20 };
        kernel.files.set(`${imageRoot}/${name}`, { format, proof });
      }
      this.kernels.set(host, kernel);
    }
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  async open(): Promise<void> {
    for (const name of [...this.controllerNames, ...this.workerNames]) this.start(name);
    this.beat();
    await this.time.runUntil(this.time.nowMs + 5_000);
  }

  isWorker(name: string): boolean {
    return this.kernels.has(name);
  }

  start(name: string): void {
    if (this.nodes.has(name)) return;
    this.lives += 1;
    const node = new CloudNode({
      name,
      time: this.time,
      random: new SeededRandom(this.options.seed, `${name} ${this.lives}`),
      store: this.store,
      links: this.links,
      log: this.options.log,
      ...(this.isWorker(name) ? { site: this.siteOf(name) } : {}),
      onFenced: () => this.count('a stale owner was fenced'),
    });
    this.nodes.set(name, node);
    if (this.isWorker(name)) {
      this.give(`host:${name}` as ShardId, node);
      const event = { type: 'agent.boot', boot: node.boot, host: name };
      this.say(node, agentId(name), event);
      return;
    }
    this.balance();
    this.say(node, clusterId, { type: 'cluster.open', name: 'sim' });
  }

  private say(node: CloudNode, to: string, event: ActorEvent): void {
    node.host.tell(actorId(to), event).catch(() => this.count(`${event.type} was refused`));
  }

  kill(name: string): void {
    const node = this.nodes.get(name);
    if (node === undefined) return;
    this.nodes.delete(name);
    this.noteBusy(node);
    node.kill();
  }

  private siteOf(name: string) {
    const kernel = this.kernels.get(name) as SimulatedKernel;
    return {
      kernel,
      rates: () => this.rates,
      count: (what: string) => this.count(what),
      allowedRoots: [imageRoot],
      memoryMib: this.options.memoryMib,
      peer: (host: string) => (this.hears(host) ? this.kernels.get(host) : undefined),
    };
  }

  private hears(name: string): boolean {
    const node = this.nodes.get(name);
    return node !== undefined && !node.clock.paused && node.way.cutUntilMs <= this.time.nowMs;
  }

  private give(shard: ShardId, node: CloudNode): void {
    const grant = this.store.journal.ownOne(node.name, shard);
    node.clock.after(1, () => void node.host.grant(grant));
  }

  // Membership: every half second somebody looks who has been silent for long.

  private readonly silent = new Map<string, number>();

  private beat(): void {
    this.time.after(beatMs, () => this.beat());
    for (const name of [...this.controllerNames, ...this.workerNames]) {
      if (this.hears(name)) {
        const since = this.silent.get(name);
        this.silent.delete(name);
        if (since !== undefined && since < 0 && this.isWorker(name)) this.tellHost(name, 'host.back');
        if (since !== undefined && since < 0 && !this.isWorker(name)) this.balance();
        continue;
      }
      const since = this.silent.get(name) ?? this.time.nowMs;
      if (since < 0) continue;
      const known = this.time.nowMs - since >= silenceMs;
      this.silent.set(name, known ? -1 : since);
      if (!known) continue;
      if (this.isWorker(name)) this.tellHost(name, 'host.silent');
      else this.balance();
    }
  }

  private tellHost(name: string, type: string): void {
    for (const node of this.liveControllers()) this.say(node, hostId(name), { type });
  }

  liveControllers(): CloudNode[] {
    return this.controllerNames.flatMap((name) => {
      const node = this.nodes.get(name);
      return node !== undefined && this.hears(name) ? [node] : [];
    });
  }

  /** Shards of silent controllers go to the others, and a newcomer gets its share. */
  private balance(): void {
    const live = this.liveControllers();
    if (live.length === 0) return;
    const { journal } = this.store;
    const shards = Array.from({ length: journal.shards }, (_, at) => `s${at}` as ShardId);
    for (const [at, shard] of shards.entries()) {
      const owner = live[at % live.length] as CloudNode;
      const held = journal.holderOf(shard);
      if (held === owner.name && this.granted.get(shard) === owner) continue;
      const before = this.granted.get(shard);
      if (before !== undefined && before !== owner && before.clock.alive && this.hears(before.name)) {
        before.host.revoke(shard);
        this.count('a shard was handed over');
      } else if (before !== undefined) this.count('a shard was taken over');
      this.granted.set(shard, owner);
      this.give(shard, owner);
    }
  }

  private readonly granted = new Map<ShardId, CloudNode>();

  /** Rare branches worth knowing that they were reached. */
  private noteBusy(node: CloudNode): void {
    for (const { id, status, state } of this.store.stored()) {
      if (status !== 'live' || this.store.journal.ownerOf(id) !== node.name) continue;
      const text = JSON.stringify(state);
      if (id.startsWith('vm/') && text.includes('preparing')) this.count('takeover amid preparing');
      if (id.startsWith('vm/') && text.includes('stopping')) this.count('takeover amid stopping');
      if (id.startsWith('incarnation/') && text.includes('running')) this.count('worker restart under a running VM');
      if (id.startsWith('incarnation/') && text.includes('spawning')) this.count('worker death amid a QEMU start');
    }
  }
}
