/**
 * At the end of a run, while no fault is active: the gateway host that leads loses power, or its worker dies, under an
 * established flow through an external address. The flow must go on by the other gateway host within the time that
 * docs/decisions/0017-leading-gateway.md states (K23). Makes the objects that it needs first. Used by
 * cloud-scenario.ts; needs two hosts.
 */
import { gatewayPermitMs } from '@photoncloud/machines/values/router-elements';
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudHosts } from './cloud-hosts.ts';
import type { CloudWorkload, Request } from './cloud-workload.ts';
import { roundTrip } from './simulated-flows.ts';
import { storedActors } from './stored-actors.ts';

const sendEveryMs = 50;
/** The flow is looked at for so long after the strike. */
const lookForMs = 15_000;
const againMs = 2_000;
const tenant = 'flows';
const external = 'external-network/system/public';
const pools = [{ from: '203.0.113.10', to: '203.0.113.40' }];

/** What dies -> after how long the next one leads, at most, as the decision states it; the publication comes on top. */
const statedMs = { 'a gateway host': 800 + 900, 'the worker of a gateway host': 2_500 + gatewayPermitMs };

/** Echoes and watches of the dataplane look only so often. */
const looksMs = 500;
/** Messages, commits and effects one after the other, from the first report to the last host that is told. */
const stepsOfPublication = 40;

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

export class FailoverCheck {
  readonly checks: readonly (() => void)[];
  private readonly simulation: Simulation;
  private readonly hosts: CloudHosts;
  private readonly workload: CloudWorkload;
  private readonly chance: Chance;
  /** Steps that have begun and not ended. */
  private open = 0;
  private isPrepared = false;

  constructor(simulation: Simulation, hosts: CloudHosts, workload: CloudWorkload) {
    this.simulation = simulation;
    this.hosts = hosts;
    this.workload = workload;
    this.chance = simulation.chance.split('failover check');
    const isPossible = hosts.kernels.size > 1;
    this.checks = isPossible ? [() => this.prepare(), () => this.openFlow(), () => this.strike()] : [];
  }

  /** @returns undefined when it waits for nothing */
  get unsettled(): string | undefined {
    if (this.open > 0) return 'the failover of a gateway host is still being looked at';
    return this.isPrepared && !this.hasStandby ? 'no gateway host stands by' : undefined;
  }

  private prepare(): void {
    this.isPrepared = true;
    const gateways = [...this.hosts.kernels.keys()].slice(0, 2);
    const network = { vpc: 'main', subnets: [{ name: 'a', cidr: '10.9.0.0/28' }] };
    this.insist([
      // Addresses that tenants have given back may rest: there are others.
      this.workload.externalNetwork('apply', { hosts: gateways, tenants: null, pools }),
      ['tenant.create', tenant, {}],
      ['network.create', 'front', network],
      ['router.create', 'way', { vpc: 'main', external: { network: 'public', snat: true }, routes: [] }],
    ]);
  }

  /** The port is on another host than the one that leads: it is to live on. */
  private openFlow(): void {
    const others = [...this.hosts.kernels.keys()].filter((host) => host !== this.leader);
    this.insist([
      ['port.create', 'server', { network: 'front', host: this.chance.pick(others) }],
      ['external-address.create', 'entry', { network: 'public', target: { port: 'server' } }],
    ]);
  }

  private insist([request, ...more]: readonly Request[]): void {
    if (request === undefined) return;
    this.open += 1;
    const of = request[0].startsWith('external-network') ? 'system' : tenant;
    this.workload.ask(of, request, 'operator', ({ outcome }) => {
      this.open -= 1;
      if (outcome === 'ok') return this.insist(more);
      this.open += 1;
      this.simulation.time.after(againMs, undefined, 'operator', () => {
        this.open -= 1;
        this.insist([request, ...more]);
      });
    });
  }

  private context(id: string): Fields {
    return fields(storedActors(this.simulation.server).find((one) => String(one.id) === id)?.context);
  }

  private get hasStandby(): boolean {
    const conditions = this.context(external)['conditions'];
    return (
      Array.isArray(conditions) &&
      conditions.some((one) => fields(one)['type'] === 'Standby' && fields(one)['status'] === 'True')
    );
  }

  private get leader(): string {
    return String(this.context(external)['active']);
  }

  private strike(): void {
    const { simulation, hosts, leader } = this;
    const entry = String(this.context(`external-address/${tenant}/entry`)['address']);
    const passes = (): boolean => !('lost' in roundTrip(hosts.underlay, 'the flow', entry));
    if (!passes()) {
      const before = roundTrip(hosts.underlay, 'the flow', entry);
      return simulation.violate(`K23: no flow to ${entry} by ${leader} in a settled cloud: ${JSON.stringify(before)}`);
    }
    const what = this.chance.pick(['a gateway host', 'the worker of a gateway host'] as const);
    simulation.note('check', `${what} dies: ${leader}`);
    simulation.reach(`a flow while ${what} died`);
    const struckMs = simulation.time.nowMs;
    if (what === 'a gateway host') {
      simulation.switchOff(leader);
      hosts.kernels.get(leader)?.reset();
    } else {
      simulation.keepDown(leader, true);
      simulation.processOf(leader)?.kill();
    }
    this.open += 1;
    this.follow(passes, struckMs, struckMs, (lostMs) => {
      this.open -= 1;
      const { network, store, replicas } = simulation.options;
      // A commit may wait for a replica.
      const stepMs = network.delayMs + store.delayMs + (replicas?.lagMs ?? 0);
      const mostMs = statedMs[what] + stepsOfPublication * stepMs + looksMs;
      const outage = `the flow to ${entry} was interrupted for ${lostMs} ms after ${what} died: ${leader}`;
      simulation.note('check', outage);
      if (lostMs > mostMs) simulation.violate(`K23: ${outage}; ${mostMs} ms are allowed`);
      simulation.keepDown(leader, false);
      simulation.switchOn(leader);
    });
  }

  /** @param then told how long after the strike the last packet was lost */
  private follow(passes: () => boolean, struckMs: number, lostMs: number, then: (lostMs: number) => void): void {
    this.simulation.time.after(sendEveryMs, undefined, 'a packet of the flow', () => {
      const { nowMs } = this.simulation.time;
      const last = passes() ? lostMs : nowMs;
      if (nowMs - struckMs < lookForMs) this.follow(passes, struckMs, last, then);
      else then(last - struckMs);
    });
  }
}
