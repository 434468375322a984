/**
 * One life of one node of the cloud simulation: what member-node.ts, controller-node.ts and worker-node.ts of
 * actors/photon put together, with the simulated store, links and dataplane in their places. The host, the registry
 * with all charts and actors, and the control API's command methods are the production code. cloud-world.ts starts and
 * kills them.
 */
import { noAgent, noDataplane } from '@photoncloud/actors/photon/no-dataplane';
import { createRegistry } from '@photoncloud/actors/registry';
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { Directory } from '@photoncloud/runtime/contract/link';
import type { Log } from '@photoncloud/runtime/contract/log';
import { defaultApiLimits } from '@photoncloud/runtime/control-api/api-limits';
import { commandMethods } from '@photoncloud/runtime/control-api/command-methods';
import type { ApiPorts, Caller, Method } from '@photoncloud/runtime/control-api/method-table';
import { createHost, type Host } from '@photoncloud/runtime/hosting/host';
import type { CloudLinks } from './cloud-links.ts';
import type { CloudStore, StoreWay } from './cloud-store.ts';
import { createSimulatedDataplane, type SimulatedDataplane } from './simulated-dataplane.ts';
import type { SiteOptions } from './simulated-site.ts';
import { ProcessClock, type SeededRandom, type VirtualTime } from './cloud-time.ts';

export interface NodeParts {
  readonly name: string;
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly store: CloudStore;
  readonly links: CloudLinks;
  readonly log: Log;
  /** A worker's; controllers have none. */
  readonly site?: Omit<SiteOptions, 'clock' | 'random'>;
  readonly onFenced: (shard: string) => void;
}

const refreshMs = 500;

export class CloudNode {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly way: StoreWay;
  readonly host: Host;
  readonly boot: string;
  readonly registry: ActorRegistry;
  private readonly methods: ReadonlyMap<string, Method>;
  private readonly dataplane: SimulatedDataplane | null;
  /** Since when nobody has heard of it. */
  silentSinceMs: number | null = null;

  constructor(parts: NodeParts) {
    const { name, time, random, store, links, log, site } = parts;
    this.name = name;
    this.clock = new ProcessClock(time);
    this.boot = random.ulid(this.clock.wallMs());
    this.way = { clock: this.clock, cutUntilMs: 0, busyUntilMs: 0 };
    const { clock, way } = this;
    const reader = store.readerFor(way);
    const dataplane = site === undefined ? null : createSimulatedDataplane({ ...site, clock, random });
    this.dataplane = dataplane;
    this.registry =
      dataplane === null
        ? createRegistry(noDataplane, noAgent)
        : createRegistry(dataplane, {
            observe: async (call) => ({ ...(await dataplane.observeHost(call)), peerUrl: `https://${name}:1` }),
            sweep: (call) =>
              dataplane.sweep(
                { owners: async () => (await reader.list({ host: name })).items.map((item) => item.id) },
                call,
              ),
          });
    this.host = createHost({
      registry: this.registry,
      journal: store.portFor(way),
      directory: directoryOf(store, clock),
      outlet: links.outletFor(name, clock),
      nodeName: name,
      clock,
      random,
      log,
      onFenced: ({ shard }) => parts.onFenced(shard),
    });
    links.ends.set(name, { inlet: this.host, clock });
    const limits = defaultApiLimits;
    const ask: ApiPorts['ask'] = (command) => this.host.ask(command);
    const ports = { registry: this.registry, reader, ask, clock, log, limits, waits: new Set<() => void>() };
    this.methods = commandMethods(ports as unknown as ApiPorts);
  }

  /** As the control API would answer it. @throws PhotonError */
  command(method: string, envelope: Readonly<Record<string, unknown>>, caller: Partial<Caller>): Promise<unknown> {
    const found = this.methods.get(method);
    if (found === undefined) throw new Error(`there is no method ${method}`);
    const parsed: unknown = found.params.parse(envelope);
    return Promise.resolve(found.perform(parsed as never, caller as Caller));
  }

  /** With everything in its memory. */
  kill(): void {
    this.clock.kill();
    this.dataplane?.kill();
  }
}

/** Who owns what, as it was when it was last read. */
function directoryOf(store: CloudStore, clock: ProcessClock): Directory {
  const { journal } = store;
  let known = new Map<string, string | undefined>();
  let stale = true;
  const forget = (): void => {
    stale = true;
    clock.after(refreshMs, forget);
  };
  clock.after(refreshMs, forget);
  return {
    ownerOf(id) {
      if (stale) known = new Map();
      stale = false;
      const shard = journal.shardOf(id);
      if (!known.has(shard)) known.set(shard, journal.ownerOf(id));
      return known.get(shard);
    },
    refresh() {
      stale = true;
      return Promise.resolve();
    },
  };
}
