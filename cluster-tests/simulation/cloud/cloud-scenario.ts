/**
 * The workload of the cloud: all charts and actors of the product's registry on controllers and workers, tenants with
 * their requests, hosts with their faults. The second Scenario beside runtime-scenario.ts; judged by the checkers of
 * the runtime and by K1, K3, K4, K10, K11, K13, K17 to K25 and K27 to K29. Started by simulation-run.ts.
 */
import { checkGatewayPermits, checkGivenNics, checkRunningIncarnations } from '../../checkers/kernel-facts.ts';
import { checkTenantSegments, checkWiredAddresses } from '../../checkers/kernel-facts.ts';
import {
  checkAddressHolders,
  checkGenerations,
  checkPortProofs,
  checkTenantReferences,
  movesIn,
} from '../../checkers/network-promises.ts';
import { givenUpIn } from '../../checkers/given-up-runs.ts';
import { checkManagedObjects } from '../../checkers/deployments.ts';
import { checkHostsUnderWay, checkStops } from '../../checkers/rollouts.ts';
import { checkRunEpochs } from '../../checkers/moved-vms.ts';
import { checkStoredSnapshots } from '../../checkers/legal-snapshots.ts';
import { judgeRuntime } from '../../checkers/runtime-promises.ts';
import { unsettledParts, type CloudListing, type HostListing } from '../../checkers/settled-cloud.ts';
import { factsOf } from '../../checkers/store-facts.ts';
import { checkOpenDisks, checkVolumeUsers } from '../../checkers/volume-users.ts';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from '@photoncloud/actors/photon/no-dataplane';
import { createRegistry } from '@photoncloud/actors/registry';
import type { Message } from '@photoncloud/runtime/contract/envelope';
import { partsOf } from '@photoncloud/runtime/contract/identifiers';
import type { HistoryEntry } from '@photoncloud/runtime/contract/journal';
import { sharedShards } from '@photoncloud/runtime/journal/shard-placement';
import type { Scenario, ScenarioOf } from '../runtime-scenario.ts';
import type { SimulatedClients } from '../simulated-clients.ts';
import type { Simulation } from '../simulation.ts';
import { CloudDeployments } from './cloud-deployments.ts';
import { CloudFaults } from './cloud-faults.ts';
import { CloudHosts } from './cloud-hosts.ts';
import { CloudLosses } from './cloud-losses.ts';
import { CloudNics } from './cloud-nics.ts';
import { CloudPlugs } from './cloud-plugs.ts';
import { CloudRollouts } from './cloud-rollouts.ts';
import { CloudStorage } from './cloud-storage.ts';
import { CloudWorkload } from './cloud-workload.ts';
import { FailoverCheck } from './failover-check.ts';
import { FlowWatch } from './flow-watch.ts';
import { RowWatch } from './row-watch.ts';
import type { SimulatedKernel } from './simulated-kernel.ts';
import { remotesOf } from './simulated-routes.ts';
import { storedActors, storedRows } from './stored-actors.ts';

const registry = createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts);

const isQuiet = ({ to, event }: Message): boolean =>
  registry.kinds.get(partsOf(to).kind)?.ignored?.includes(event.type) === true;

const resultOf = (event: unknown): string =>
  (event as { readonly summary?: { readonly result?: string } }).summary?.result ?? '';

class CloudScenario implements Scenario {
  readonly clients: SimulatedClients;
  readonly finalChecks: readonly (() => void)[];
  private readonly simulation: Simulation;
  private readonly hosts: CloudHosts;
  private readonly workload: CloudWorkload;
  private readonly storage: CloudStorage;
  private readonly rollouts: CloudRollouts;
  private readonly losses: CloudLosses;
  private readonly plugs: CloudPlugs;
  private readonly nics: CloudNics;
  private readonly deployments: CloudDeployments;
  private readonly faults: CloudFaults;
  private readonly flows: FlowWatch;
  private readonly rows: RowWatch;
  private readonly failover: FailoverCheck;

  constructor(simulation: Simulation) {
    const chance = simulation.chance.split('cloud');
    this.simulation = simulation;
    this.hosts = new CloudHosts(simulation, chance.pick([1, 2, 2, 3, 3]), chance.pick([1_200, 2_400, 8_000]));
    this.workload = new CloudWorkload(simulation, chance.whole(1, 3), [...this.hosts.kernels.keys()]);
    this.storage = new CloudStorage(simulation, this.workload, [...this.hosts.kernels.values()]);
    this.rollouts = new CloudRollouts(simulation, this.workload, [...this.hosts.kernels.keys()]);
    this.losses = new CloudLosses(simulation, this.workload, [...this.hosts.kernels.values()]);
    this.plugs = new CloudPlugs(simulation, this.workload, [...this.hosts.kernels.values()]);
    this.nics = new CloudNics(simulation, this.workload);
    this.deployments = new CloudDeployments(simulation, this.workload);
    this.clients = this.workload.clients;
    this.faults = new CloudFaults(simulation, this.hosts, this.clients);
    this.flows = new FlowWatch(simulation, this.hosts.underlay);
    this.rows = new RowWatch(simulation, [...this.hosts.kernels.values()]);
    this.failover = new FailoverCheck(simulation, this.hosts, this.workload);
    this.finalChecks = [...this.deployments.checks, ...this.failover.checks];
  }

  start(): void {
    this.hosts.addNodes();
    this.workload.start(this.simulation.chance.split('pace').pick([2_000, 5_000, 10_000]));
    this.storage.start();
    this.rollouts.start();
    this.losses.start();
    this.plugs.start();
    this.nics.start();
    this.deployments.start();
    this.faults.begin();
    this.flows.begin();
    this.rows.begin();
  }

  stopAsking(): void {
    this.workload.stop();
    this.storage.stop();
    this.rollouts.stop();
    this.losses.stop();
    this.plugs.stop();
    this.nics.stop();
    this.deployments.stop();
    this.faults.heal();
  }

  unsettled(): string | undefined {
    const checked = this.deployments.unsettled ?? this.failover.unsettled;
    if (checked !== undefined) return checked;
    const running = this.simulation.nodes();
    let shards = 0;
    for (const { host, process } of running) {
      const figures = host.figures();
      shards += figures.shards;
      const { mailboxDepth, commitsInFlight, outboxDepth } = figures;
      if (mailboxDepth + commitsInFlight + outboxDepth > 0)
        return `${process.label} has ${JSON.stringify({ mailboxDepth, commitsInFlight, outboxDepth })}`;
    }
    // A shard without an owner may have messages in the store that no node sends at the moment.
    const all = sharedShards.length + running.filter(({ role }) => role === 'worker').length;
    return shards === all ? unsettledParts(this.listing())[0] : `${shards} of ${all} shards have an owner`;
  }

  judge(): readonly string[] {
    const { simulation, hosts, clients } = this;
    const { writes } = simulation;
    const stored = factsOf(writes.past);
    for (const fact of stored) if (fact.fact === 'history') this.noteBranch(fact.actor, fact.entry);
    const givenUp = givenUpIn(stored);
    if (hosts.facts.some(({ fact }) => fact === 'nic.given')) simulation.reach('a guest that runs got a NIC');
    const twice = checkRunningIncarnations(hosts.facts, givenUp);
    if (checkRunningIncarnations(hosts.facts).length > twice.length)
      simulation.reach('a VM ran elsewhere while the run that it had given up went on');
    const ofCloud = [
      ...twice,
      ...checkWiredAddresses(hosts.facts, movesIn(stored), givenUp),
      ...checkTenantSegments(hosts.facts),
      ...checkAddressHolders(stored, !simulation.faults.has('wall clock step')),
      ...checkTenantReferences(stored, new Set(registry.kinds.keys())),
      ...checkGenerations(stored, hosts.facts),
      ...checkPortProofs(stored, hosts.facts),
      ...checkVolumeUsers(hosts.facts),
      ...checkGivenNics(hosts.facts),
      ...checkOpenDisks(hosts.facts, stored, givenUp),
      ...checkRunEpochs(stored),
      ...checkHostsUnderWay(hosts.facts, stored),
      ...checkStops(stored),
      ...checkManagedObjects(stored),
      // Beats that a deposed primary still takes count for their sender only: docs/decisions/0017-leading-gateway.md.
      ...(simulation.options.replicas === undefined ? checkGatewayPermits(hosts.facts) : []),
      ...checkStoredSnapshots(registry, storedActors(simulation.server), simulation.time.nowMs),
    ];
    return [
      ...ofCloud.map(({ checker, atMs, what }) => `${checker}: ${what} (at ${(atMs / 1_000).toFixed(3)} s)`),
      ...judgeRuntime({ ...writes, records: clients.records, performances: hosts.performances, isQuiet }),
    ];
  }

  /** Counts rare branches, found in the history; cloud-simulation.test.ts demands some of them. */
  private noteBranch(actor: string, { event, kind, from, to }: HistoryEntry): void {
    const { type = '' } = event as { type?: string };
    const { simulation } = this;
    if (kind === 'dropped' && type.endsWith('.done')) simulation.reach('a late result of an effect was dropped');
    if (type.endsWith('.unknown')) simulation.reach(`${actor.split('/')[0]} saw an unknown outcome`);
    if (actor.startsWith('peering/') && from !== to) simulation.reach(`a peering was ${String(to)}`);
    const { code = '', message } = (event as { error?: { code?: string; message?: string } | null }).error ?? {};
    if (code === 'effect_failed') simulation.violate(`an effect has a defect: ${actor}: ${message}`);
    if (type === 'address.refused') simulation.reach('an address was refused');
    if (type === 'place.refused') simulation.reach('no host had room');
    if (type === 'migration.committed') simulation.reach('a VM was moved');
    if (type === 'migration.ended') simulation.reach(`a move of a VM has ended as ${resultOf(event)}`);
    if (type === 'loss.granted') simulation.reach('a run might be given up');
    if (type === 'loss.refused') simulation.reach('a run had to be kept');
    if (type === 'incarnation.plugged') simulation.reach('disks of a run were changed');
    if (type === 'host.silent') simulation.reach('a host fell silent');
    if (type === 'external.changed') simulation.reach('a router was told of another gateway host');
    if (type.startsWith('xstate.after.handover')) simulation.reach('a gateway host was waited for');
    if (type === 'volume.refused' || type === 'image.refused') simulation.reach(`${type} to ${actor.split('/')[0]}`);
  }

  private listing(): CloudListing {
    const { server } = this.simulation;
    const actors = storedActors(server);
    const networks = actors.filter(({ id, status }) => /^(?:external-)?network\//.test(id) && status === 'live');
    const owners = new Map(
      networks.map(({ id }) => [String(id), storedRows<{ port: string; mac: string }>(server, id, 'owner')]),
    );
    const vpcs = actors.filter(({ id, status }) => id.startsWith('vpc/') && status === 'live');
    const locations = new Map(
      vpcs.map(({ id }) => [
        String(id),
        storedRows<{ groups: readonly string[]; port: string; host: number }>(server, id, 'location'),
      ]),
    );
    return { registry, actors, owners, locations, hosts: [...this.hosts.kernels.values()].map(listingOf) };
  }
}

function listingOf(kernel: SimulatedKernel): HostListing {
  const segments = [...kernel.segments.values()];
  return {
    host: kernel.host,
    incarnations: [...kernel.incarnations.values()].map(({ spec, owner, status, leaving, frozen }) => ({
      vm: spec.vm,
      incarnationUid: owner.uid,
      owner: owner.actor,
      runs: status === 'running',
      frozen,
      nics: spec.nics.map(({ port }) => port),
      disks: spec.disks.map(({ volume, volumeUid: uid }) => ({ volume, uid, leaving: leaving.has(uid) })),
    })),
    taps: [...kernel.taps.values()].map(({ name, owner, wiring }) => ({
      tap: name,
      owner: owner.actor,
      port: wiring?.port ?? null,
      address: wiring?.address ?? null,
      mac: wiring?.mac ?? null,
      groups: wiring?.groups ?? [],
      pairs: wiring?.pairs.map(({ address }) => address) ?? [],
      standby: wiring !== null && kernel.segments.get(wiring.vpc)?.dhcpHosts.get(wiring.address)?.standby === true,
    })),
    services: segments.flatMap(({ vpc, elements }) =>
      [...(elements.get('service-ips') ?? [])].map(([key, element]) => ({ vpc, key, element })),
    ),
    segments: segments.map((segment) => ({ ...segment, owner: segment.owner.actor, routes: remotesOf(segment) })),
    permits: new Map([...kernel.permits].map(([network, untilMs]) => [network, untilMs > kernel.nowMs()])),
    leases: segments.flatMap(({ vpc, dhcpHosts }) =>
      [...dhcpHosts].map(([address, { mac, tap }]) => ({ vpc, address, mac, tap })),
    ),
  };
}

export const cloudScenario: ScenarioOf = (simulation) => new CloudScenario(simulation);
