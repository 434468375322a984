/**
 * The tenants of the cloud simulation: they create, start, stop and delete objects under few names and in networks with
 * few addresses, so that commands meet; two clients per tenant work at the same time and repeat old commands. Params
 * are parsed and references looked up as the control API does it; now and then the look-up is left out, as if the
 * object had been deleted after it. Used by cloud-scenario.ts.
 */
import { createRegistry } from '@photoncloud/actors/registry';
import { noAgent, noDataplane, noHosts } from '@photoncloud/actors/photon/no-dataplane';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Chance } from '../seeded-random.ts';
import { SimulatedClients, type ClientRecord } from '../simulated-clients.ts';
import type { Simulation } from '../simulation.ts';
import { imageRoot } from './cloud-hosts.ts';

type Request = readonly [method: string, name: string, params: unknown];

const declaring = ['create', 'update', 'apply'];
const paramsOf = (verb: string, params: unknown): unknown => (declaring.includes(verb) ? { spec: params } : params);

const registry = createRegistry(noDataplane, noAgent, noHosts);
const openingMs = 15_000;
const againMs = 5_000;

export class CloudWorkload {
  readonly clients: SimulatedClients;
  private readonly tenants: readonly string[];
  private readonly hosts: readonly string[];
  private readonly simulation: Simulation;
  private readonly random: Chance;
  /** Objects that exist as far as clients were answered: `<tenant> <kind> <name>`. */
  private readonly existing = new Set<string>();
  private asking = true;

  constructor(simulation: Simulation, tenants: number, hosts: readonly string[]) {
    this.simulation = simulation;
    this.clients = new SimulatedClients(simulation);
    this.random = simulation.chance.split('tenants');
    this.hosts = hosts;
    this.tenants = Array.from({ length: tenants }, (_, at) => `tenant-${at + 1}`);
  }

  /** Every tenant first gets its networks and images; after `openingMs` its two clients begin. */
  start(meanMs: number): void {
    for (const tenant of this.tenants) {
      this.later(againMs, () => this.insist(tenant, ['tenant.create', tenant, {}], () => this.createBasics(tenant)));
      for (let client = 1; client <= 2; client += 1)
        this.later(openingMs, () => this.plan(tenant, `${tenant}-${client}`, meanMs));
    }
  }

  stop(): void {
    this.asking = false;
  }

  private later(delayMs: number, task: () => void): void {
    this.simulation.time.after(delayMs, undefined, 'tenant', () => {
      if (this.asking) task();
    });
  }

  private createBasics(tenant: string): void {
    for (const request of [this.network('front'), this.network('back'), ...this.images()]) this.insist(tenant, request);
  }

  /** Asks again until the command succeeds. */
  private insist(tenant: string, request: Request, then: () => void = () => {}): void {
    this.ask(tenant, request, tenant, ({ outcome }) => {
      if (outcome === 'ok') then();
      else this.later(againMs, () => this.insist(tenant, request, then));
    });
  }

  private plan(tenant: string, client: string, meanMs: number): void {
    this.later(this.random.around(meanMs), () => {
      this.plan(tenant, client, meanMs);
      if (this.random.happens(0.02)) return this.cordon();
      const { records } = this.clients;
      const repeats = this.random.happens(0.04) && records.length > 0;
      if (repeats) this.clients.repeat(this.random.pick(records.slice(-100)));
      else this.submit(tenant, this.request(tenant), client);
    });
  }

  private cordon(): void {
    const type = this.random.happens(0.4) ? 'host.cordon' : 'host.uncordon';
    this.clients.ask(actorId(`host/system/${this.random.pick(this.hosts)}`), { type }, 'operator');
  }

  /** As the control API: refuses the request when an object that its params name does not exist. */
  private submit(tenant: string, request: Request, client: string): void {
    const [method, name, params] = request;
    const [kind = '', verb = ''] = method.split('.');
    const command = registry.kinds.get(kind)?.commands[verb];
    const controllers = this.simulation.nodes().filter(({ role }) => role === 'controller');
    const node = this.random.pick(controllers);
    if (node === undefined || command === undefined) return;
    const parsed = command.params.parse(paramsOf(verb, params));
    const references = command.references?.(parsed as never, actorId(`${kind}/${tenant}/${name}`)) ?? [];
    if (references.length === 0 || this.random.happens(0.05)) return this.ask(tenant, request, client, () => {});
    this.simulation.time.after(1, node.process, 'look up references', () => {
      const reads = Promise.all(references.map(({ to }) => node.reader.get(to)));
      void reads.then(
        (found) => {
          if (found.every((one) => one?.status === 'live')) this.ask(tenant, request, client, () => {});
          else this.simulation.reach('a request was refused for a missing reference');
        },
        // The node is stopping, or the store does not answer: the request is refused and no command is sent.
        () => this.simulation.reach('the references of a request could not be looked up'),
      );
    });
  }

  private ask(
    tenant: string,
    [method, name, params]: Request,
    client: string,
    then: (record: ClientRecord) => void,
  ): void {
    const [kind = '', verb = ''] = method.split('.');
    const schema = registry.kinds.get(kind)?.commands[verb]?.params;
    const parsed = schema?.parse(paramsOf(verb, params)) as Readonly<Record<string, unknown>>;
    this.clients.ask(actorId(`${kind}/${tenant}/${name}`), { ...parsed, type: method }, client, (record) => {
      if (record.outcome === 'ok' && (verb === 'create' || verb === 'apply'))
        this.existing.add(`${tenant} ${kind} ${name}`);
      if (record.outcome === 'ok' && verb === 'delete') this.existing.delete(`${tenant} ${kind} ${name}`);
      then(record);
    });
  }

  /** A declaration that is sent again with other values: an update of what exists, or an apply. */
  private again([method, name, params]: Request): Request {
    const verb = this.random.happens(0.5) ? 'update' : 'apply';
    return [method.replace('create', verb), name, params];
  }

  private network(name: string, dns: readonly string[] = []): Request {
    // `side` has the same addresses as `front` in another VPC, and so has the `front` of every other tenant.
    const cidr = name === 'back' ? '10.0.1.0/28' : '10.0.0.0/28';
    const vpc = name === 'side' ? 'side' : 'main';
    return ['network.create', name, { vpc, subnets: [{ name: 'a', cidr }], dhcp: { dns } }];
  }

  private images(): Request[] {
    const image = (name: string, file: string, format: string): Request => [
      'image.create',
      name,
      { source: { path: `${imageRoot}/${file}` }, format },
    ];
    return [image('kernel', 'vmlinuz', 'kernel'), image('initrd', 'initrd', 'initrd'), image('base', 'disk', 'raw')];
  }

  private vm(name: string): Request {
    const { random } = this;
    const networks = random.happens(0.3) ? ['front', 'back'] : ['front'];
    const params = {
      cpus: random.pick([1, 2]),
      memoryMib: 256,
      restart: random.pick(['always', 'on-failure', 'never']),
      running: random.happens(0.85),
      host: random.happens(0.15) ? random.pick(this.hosts) : null,
      nics: networks.map((network, at) => ({ name: `eth${at}`, network, securityGroups: this.groups() })),
      disks: random.happens(0.4) ? [{ volume: random.pick(volumes) }] : [],
      boot: { kernel: 'kernel', initrd: 'initrd' },
    };
    return ['vm.create', name, params];
  }

  /** Mostly a name for which the command can succeed (`exists` says which those are), now and then any name. */
  private named(tenant: string, kind: string, names: readonly string[], exists: boolean): string {
    const fitting = names.filter((name) => this.existing.has(`${tenant} ${kind} ${name}`) === exists);
    return fitting.length > 0 && !this.random.happens(0.12) ? this.random.pick(fitting) : this.random.pick(names);
  }

  private request(tenant: string): Request {
    const { random } = this;
    const graceMs = random.pick([0, 500, 5_000]);
    const vm = this.named(tenant, 'vm', vms, true);
    const requests: readonly (readonly [number, () => Request])[] = [
      [24, () => this.vm(this.named(tenant, 'vm', vms, false))],
      [13, () => ['vm.delete', vm, {}]],
      [10, () => ['vm.start', vm, {}]],
      [9, () => ['vm.stop', vm, { graceMs }]],
      [8, () => ['vm.restart', vm, { graceMs }]],
      [7, () => this.volume(this.named(tenant, 'volume', volumes, false))],
      [4, () => ['volume.delete', this.named(tenant, 'volume', volumes, true), {}]],
      [10, () => this.port(this.named(tenant, 'port', ports, false))],
      [8, () => ['port.delete', this.named(tenant, 'port', ports, true), {}]],
      [2, () => ['port.unbind', this.named(tenant, 'port', ports, true), {}]],
      [2, () => ['network.delete', random.pick(networks), {}]],
      [4, () => this.network(random.pick(networks))],
      [6, () => this.again(this.vm(vm))],
      [3, () => this.again(this.network(random.pick(networks), [random.pick(['192.0.2.1', '192.0.2.2'])]))],
      [3, () => this.again(this.addressSet())],
      [1, () => ['address-set.delete', 'office', {}]],
      [3, () => this.securityGroup(random.pick(groups))],
      [4, () => this.again(this.securityGroup(random.pick([...groups, 'default'])))],
      [2, () => ['security-group.delete', random.pick(groups), {}]],
      [5, () => this.again(this.port(this.named(tenant, 'port', ports, true)))],
      [3, () => ['vpc.create', 'side', {}]],
      [1, () => ['vpc.delete', 'side', {}]],
      [1, () => ['tenant.delete', tenant, {}]],
      [3, () => ['tenant.create', tenant, {}]],
      [1, () => ['image.delete', random.pick(['kernel', 'base']), {}]],
      [2, () => random.pick(this.images())],
    ];
    let roll = random.fraction() * requests.reduce((sum, [weight]) => sum + weight, 0);
    const chosen = requests.find(([weight]) => (roll -= weight) < 0) ?? requests[0];
    return (chosen as (typeof requests)[number])[1]();
  }

  private addressSet(): Request {
    const all = ['198.51.100.0/24', '203.0.113.0/24', '192.0.2.7/32'];
    return ['address-set.create', 'office', { cidrs: all.filter(() => this.random.happens(0.6)) }];
  }

  private volume(name: string): Request {
    const image = this.random.happens(0.5) ? 'base' : null;
    return ['volume.create', name, { sizeMib: 8, image }];
  }

  private port(name: string): Request {
    const host = this.random.happens(0.5) ? this.random.pick(this.hosts) : null;
    const network = this.random.happens(0.25) ? 'side' : 'front';
    return ['port.create', name, { network, host, securityGroups: this.groups() }];
  }

  /** Mostly those of a tenant that declares none. */
  private groups(): readonly string[] | null {
    return this.random.happens(0.6) ? null : groups.filter(() => this.random.happens(0.5));
  }

  private securityGroup(name: string): Request {
    const remotes = [null, { cidr: '192.0.2.0/24' }, { group: this.random.pick(groups) }, { addressSet: 'office' }];
    const rules = remotes
      .filter(() => this.random.happens(0.5))
      .map((remote) => ({ direction: this.random.pick(['ingress', 'egress']), protocol: 'tcp', remote }));
    return ['security-group.create', name, { rules }];
  }
}

const networks = ['front', 'back', 'side'];
const groups = ['web', 'db'];
const vms = ['vm-1', 'vm-2', 'vm-3', 'vm-4'];
const volumes = ['disk-1', 'disk-2'];
const ports = Array.from({ length: 9 }, (_, at) => `port-${at + 1}`);
