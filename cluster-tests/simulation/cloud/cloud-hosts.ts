/**
 * The nodes and hosts of a simulated cloud: a kernel per worker, a registry for each boot of a node, and the events
 * that a node is told when it has joined, as controller-node.ts and worker-node.ts of actors/photon do it. The rest of
 * a node is simulation/simulated-node.ts. Records every start of an effect, and rare situations in which a process
 * died.
 */
import { unusedTaps } from '@photoncloud/actors/agent/kept-objects';
import { StrayBindings } from '@photoncloud/actors/agent/stray-bindings';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from '@photoncloud/actors/photon/no-dataplane';
import type { Dataplane } from '@photoncloud/actors/dataplane/contract/dataplane-contract';
import { emptyHost, tellGone } from '@photoncloud/actors/photon/fenced-host';
import { createNodeDeployer } from '@photoncloud/actors/photon/node-deployer';
import { createRegistry } from '@photoncloud/actors/registry';
import { agentId, clusterId, hostId } from '@photoncloud/machines/values/identifiers';
import type { ActorDefinition, ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { EffectBinding } from '@photoncloud/runtime/contract/effect';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { RedisReader } from '@photoncloud/runtime/journal/redis-reader';
import type { Host } from '@photoncloud/runtime/hosting/host';
import type { KernelFact } from '../../checkers/kernel-facts.ts';
import type { Performance } from '../../checkers/runtime-promises.ts';
import type { SimulatedProcess } from '../simulated-process.ts';
import type { Simulation } from '../simulation.ts';
import { noFaults, type FaultRates } from './dataplane-faults.ts';
import { createSimulatedDataplane } from './simulated-dataplane.ts';
import type { Underlay } from './simulated-flows.ts';
import { SimulatedKernel } from './simulated-kernel.ts';
import { SimulatedSystems } from './simulated-systems.ts';
import { storedActors } from './stored-actors.ts';

export const imageRoot = '/images';
/** What every host can fetch, and what every client sends. */
export const sourceUrl = 'https://images.example/disk';
export const sourceDigest = '5e'.repeat(32);
const files = [
  ['vmlinuz', 'kernel'],
  ['initrd', 'initrd'],
  ['disk', 'raw'],
] as const;

export class CloudHosts {
  readonly facts: KernelFact[] = [];
  readonly performances: Performance[] = [];
  readonly kernels = new Map<string, SimulatedKernel>();
  rates: FaultRates = noFaults;
  private readonly systems: SimulatedSystems;
  /** Worker -> the dataplane of its present process. */
  private readonly dataplanes = new Map<string, Dataplane>();
  private readonly simulation: Simulation;
  private readonly memoryMib: number;

  constructor(simulation: Simulation, workers: number, memoryMib: number) {
    this.simulation = simulation;
    this.memoryMib = memoryMib;
    for (let at = 1; at <= workers; at += 1) this.addKernel(`w${at}`, at);
    this.systems = new SimulatedSystems(simulation, [...this.kernels.keys()], (fact) => this.facts.push(fact));
  }

  get underlay(): Underlay {
    const { simulation, kernels } = this;
    return { kernels: [...kernels.values()], carries: (from, to) => simulation.echoes(from, to) };
  }

  private addKernel(host: string, index: number): void {
    const { simulation } = this;
    const note = (fact: KernelFact): void => {
      this.facts.push(fact);
      const { atMs: _, host: at, fact: what, ...rest } = fact;
      simulation.note(at, `${what} ${Object.values(rest).join(' ')}`);
    };
    const kernel = new SimulatedKernel(host, index, () => simulation.time.nowMs, note);
    for (const [name, format] of files) {
      const sha256 = name.charCodeAt(0).toString(16).repeat(32);
      const proof = { sha256, sizeBytes: 1 << 20, virtualSizeBytes: 1 << 20 };
      kernel.files.set(`${imageRoot}/${name}`, { format, proof });
    }
    const proof = { sha256: sourceDigest, sizeBytes: 1 << 20, virtualSizeBytes: 1 << 20 };
    for (const name of [sourceUrl, `upload:${sourceDigest}`]) kernel.files.set(name, { format: 'raw', proof });
    this.kernels.set(host, kernel);
  }

  addNodes(): void {
    const { simulation } = this;
    const { limits, controllers } = simulation.options;
    let registry = createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts);
    for (let at = 1; at <= controllers; at += 1)
      simulation.addNode({
        name: `c${at}`,
        role: 'controller',
        limits,
        registry: ({ process, fence, reader, clock, rows, ask }) => {
          this.noteDeath(process);
          const rollouts = { reach: this.systems.reach(process.name), follow: noRollouts.follow };
          const [random, { log }] = [process.random.split('deployer'), process];
          const deployer = createNodeDeployer({ registry: () => own, reader, rows, ask, clock, random, log });
          const own: ActorRegistry = createRegistry(noDataplane, noAgent, { fence }, deployer, rollouts);
          return (registry = own);
        },
        onStarted: ({ host }) => this.say(host, clusterId, { type: 'cluster.open', name: 'simulated' }),
        onHostShard: (grant, { host: inlet, reader, process: { log } }) =>
          void tellGone({ grant, inlet, reader, registry, log }),
        onNode: ({ event, node }, host) => {
          if (node.role !== 'worker' || event === 'joined') return;
          this.say(host, hostId(node.name), { type: event === 'back' ? 'host.back' : 'host.silent' });
        },
      });
    for (const name of this.kernels.keys())
      simulation.addNode({
        name,
        role: 'worker',
        limits,
        registry: ({ process, reader }) => this.workerRegistry(process, reader),
        onHostShard: (_, { host, process }) =>
          this.say(host, agentId(name), { type: 'agent.boot', boot: process.boot, host: name }),
        onBeat: (agoMs) => void this.dataplanes.get(name)?.beatReached(agoMs),
        onHostFenced: async (reader) => {
          simulation.reach('a fenced host came back');
          const { log } = simulation.processOf(name) as SimulatedProcess;
          await emptyHost(name, this.dataplanes.get(name) as Dataplane, reader, log);
        },
      });
  }

  private say(host: Host, to: string, event: ActorEvent): void {
    host.tell(actorId(to), event).catch(() => this.simulation.reach(`${event.type} was refused`));
  }

  private workerRegistry(process: SimulatedProcess, reader: RedisReader): ActorRegistry {
    const { simulation } = this;
    const { name } = process;
    const dataplane = createSimulatedDataplane({
      kernel: this.kernels.get(name) as SimulatedKernel,
      clock: process.clock,
      random: process.random.split('dataplane'),
      rates: () => this.rates,
      count: (what) => simulation.reach(`dataplane: ${what}`),
      allowedRoots: [imageRoot],
      // Some of them.
      storage: name !== 'w1',
      memoryMib: this.memoryMib,
      peer: (host) => (simulation.node(host) === undefined ? undefined : this.kernels.get(host)),
      echoes: (host) => simulation.echoes(name, host),
    });
    const strayBindings = new StrayBindings(name, reader, () => process.clock.monotonicMs());
    this.noteDeath(process);
    this.dataplanes.set(name, dataplane);
    process.onEnd(() => dataplane.kill());
    const registry = createRegistry(
      dataplane,
      {
        observe: async (call) => ({ ...(await dataplane.observeHost(call)), peerUrl: `https://${name}` }),
        // Nothing is kept: this store is never rolled back.
        readDisk: () => dataplane.readDisk(),
        readInventory: async () => ({ ...(await dataplane.readInventory()), kept: [] }),
        readDescriptors: () => dataplane.readDescriptors(),
        readStrayBindings: () => strayBindings.find(),
        freeOf: (kept) => unusedTaps(name, kept, dataplane, reader),
        pause: async (ms, signal) => {
          await new Promise<void>((resolve) => process.clock.after(ms, resolve));
          signal.throwIfAborted();
        },
        sweep: (kept, call) => {
          const owners = async () => (await reader.onHost(name)).map((item) => item.id);
          return dataplane.sweep({ owners, kept }, call);
        },
      },
      noHosts,
      noDeployer,
      { follow: this.systems.follow(name, process), reach: noRollouts.reach },
    );
    return { kinds: new Map([...registry.kinds].map(([kind, one]) => [kind, this.watched(one, process)])) };
  }

  /** Records every start of an effect, for K7. */
  private watched(definition: ActorDefinition, process: SimulatedProcess): ActorDefinition {
    const watch = ({ timeoutMs, perform }: EffectBinding): EffectBinding => ({
      timeoutMs,
      perform: (params, context) => {
        const { effectId, actor, fence, recovered } = context;
        const atMs = this.simulation.time.nowMs;
        this.performances.push({ atMs, by: process.label, effectId, actor, fence, recovered, stale: false });
        return perform(params, context);
      },
    });
    const effects = Object.entries(definition.effects).map(([type, binding]) => [type, watch(binding)] as const);
    return { ...definition, effects: Object.fromEntries(effects) };
  }

  private noteDeath(process: SimulatedProcess): void {
    const { simulation } = this;
    process.onEnd(() => {
      const isController = process.name.startsWith('c');
      for (const { id, status, state } of storedActors(simulation.server)) {
        const text = JSON.stringify(state);
        if (status !== 'live') continue;
        if (isController && id.startsWith('vm/') && text.includes('preparing'))
          simulation.reach('a controller process died while a VM was preparing');
        if (isController && id.startsWith('vm/') && text.includes('stopping'))
          simulation.reach('a controller process died while a VM was stopping');
        if (!id.endsWith(`@${process.name}`) || !id.startsWith('incarnation/')) continue;
        if (text.includes('running')) simulation.reach('a worker process died under a running VM');
        if (text.includes('spawning')) simulation.reach('a worker process died while it started QEMU');
      }
    });
  }
}
