/**
 * The tenants of the cloud simulation: they create, start, stop and delete objects under few names and in networks with
 * few addresses, so that commands meet; two clients per tenant work at the same time and repeat old commands. Params
 * are parsed and references looked up as the control API does it; now and then the look-up is left out, as if the
 * object had been deleted after it. Used by cloud-scenario.ts.
 */
import { createRegistry } from '@photoncloud/actors/registry';
import { noAgent, noDataplane, noDeployer, noHosts, noRollouts } from '@photoncloud/actors/photon/no-dataplane';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Chance } from '../seeded-random.ts';
import { SimulatedClients, type ClientRecord } from '../simulated-clients.ts';
import type { Simulation } from '../simulation.ts';
import { imageRoot, sourceDigest, sourceUrl } from './cloud-hosts.ts';
import { movePort, moveVm, tendHost, type HostTools } from './cloud-moves.ts';

/** What the store has of an object that others refer to. */
interface Stored {
  readonly spec: unknown;
}

/** As a tenant sends it. */
export type Request = readonly [method: string, name: string, params: unknown];

const declaring = ['create', 'update', 'apply'];
function declarationOf(params: unknown): unknown {
  const { labels = {}, ...spec } = params as { readonly labels?: object };
  return { spec, labels };
}
const paramsOf = (verb: string, params: unknown): unknown =>
  declaring.includes(verb) ? declarationOf(params) : params;

const registry = createRegistry(noDataplane, noAgent, noHosts, noDeployer, noRollouts);
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
    this.later(openingMs, () => this.askExternal('apply', { hosts: this.hosts.slice(0, 2), tenants: null }));
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
      if (this.random.happens(0.02)) return this.changeExternal();
      if (this.random.happens(0.05)) return this.move(tenant);
      const { records } = this.clients;
      const repeats = this.random.happens(0.04) && records.length > 0;
      if (repeats) this.clients.repeat(this.random.pick(records.slice(-100)));
      else this.submit(tenant, this.request(tenant), client);
    });
  }

  /** The operator moves the lead, takes a gateway host away, or grants and revokes. */
  private changeExternal(): void {
    const { random } = this;
    const verb = random.happens(0.1) ? 'delete' : 'apply';
    const hosts = random.happens(0.5) ? this.hosts : this.hosts.toReversed();
    const tenants = random.happens(0.7) ? null : this.tenants.filter(() => random.happens(0.7));
    this.askExternal(verb, { hosts: hosts.slice(0, random.happens(0.8) ? 2 : 1), tenants });
  }

  private askExternal(verb: 'apply' | 'delete', change: { hosts: readonly string[]; tenants: unknown }): void {
    this.ask('system', this.externalNetwork(verb, change), 'operator', () => {});
  }

  /** @param change may have pools of its own */
  externalNetwork(
    verb: 'apply' | 'delete',
    change: { hosts: readonly string[]; tenants: unknown; pools?: readonly object[] },
  ): Request {
    const pools = [{ from: '203.0.113.10', to: '203.0.113.20' }];
    const spec = { cidr: '203.0.113.0/24', gateway: '203.0.113.1', pools, interface: 'eth1', ...change };
    return [`external-network.${verb}`, 'public', verb === 'delete' ? {} : spec];
  }

  private move(tenant: string): void {
    movePort(this.named(tenant, 'port', ports, true), {
      random: this.random,
      hosts: this.hosts,
      ask: (method, name, params, then) => this.ask(tenant, [method, name, params], 'operator', then),
      later: (delayMs, task) => this.later(delayMs, task),
      reach: (what) => this.simulation.reach(what),
    });
  }

  private cordon(): void {
    const ask: HostTools['ask'] = (host, event, then) => this.clients.ask(actorId(host), event, 'operator', then);
    tendHost({ random: this.random, hosts: this.hosts, ask, reach: (what) => this.simulation.reach(what) });
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
          const isThere = (one: (typeof found)[number], at: number): boolean =>
            one?.status === 'live' && references[at]?.grants?.((one.context as Stored).spec, tenant) !== false;
          if (found.every(isThere)) this.ask(tenant, request, client, () => {});
          else this.simulation.reach('a request was refused for a missing reference');
        },
        // The node is stopping, or the store does not answer: the request is refused and no command is sent.
        () => this.simulation.reach('the references of a request could not be looked up'),
      );
    });
  }

  ask(tenant: string, [method, name, params]: Request, client: string, then: (record: ClientRecord) => void): void {
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

  private network(name: string, dns: readonly string[] = [], metadata = name === 'back'): Request {
    // `side` has the same addresses as `front` in another VPC, and so has the `front` of every other tenant.
    const cidr = name === 'back' ? '10.0.1.0/28' : name === 'far' ? '10.0.2.0/28' : '10.0.0.0/27';
    const vpc = name === 'side' || name === 'far' ? 'side' : 'main';
    return ['network.create', name, { vpc, subnets: [{ name: 'a', cidr }], dhcp: { dns }, metadata }];
  }

  private images(): Request[] {
    const image = (name: string, file: string, format: string): Request => [
      'image.create',
      name,
      { source: { path: `${imageRoot}/${file}` }, format },
    ];
    const gathered = (name: string, source: object): Request => [
      'image.create',
      name,
      { source, format: 'raw', sha256: sourceDigest },
    ];
    return [
      image('kernel', 'vmlinuz', 'kernel'),
      image('initrd', 'initrd', 'initrd'),
      image('base', 'disk', 'raw'),
      gathered('fetched', { url: sourceUrl }),
      gathered('sent', { upload: { sizeBytes: 1 << 20 } }),
    ];
  }

  private vm(name: string): Request {
    const { random } = this;
    const networks = random.happens(0.3) ? ['front', 'back'] : ['front'];
    const params = {
      cpus: random.pick([1, 2]),
      memoryMib: 256,
      restart: random.pick(['always', 'on-failure', 'once', 'manual']),
      running: random.happens(0.85),
      host: random.happens(0.15) ? random.pick(this.hosts) : null,
      nics: networks.map((network, at) => ({
        name: `eth${at}`,
        network,
        securityGroups: this.groups(),
        addressPairs: this.pairs(network),
      })),
      disks: random.happens(0.4) ? [{ volume: random.pick(volumes) }] : [],
      boot: { kernel: 'kernel', initrd: 'initrd' },
      guestAgent: name === 'vm-1',
      labels: this.labels(),
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
      [4, () => ['vm.pause', vm, {}]],
      [4, () => ['vm.resume', vm, {}]],
      [3, () => ['vm.reset', vm, {}]],
      [9, () => moveVm(vm, { random, hosts: this.hosts })],
      [7, () => this.volume(this.named(tenant, 'volume', volumes, false))],
      [4, () => ['volume.delete', this.named(tenant, 'volume', volumes, true), {}]],
      [
        4,
        () => ['snapshot.create', this.named(tenant, 'snapshot', snapshots, false), { volume: random.pick(volumes) }],
      ],
      [2, () => ['snapshot.delete', this.named(tenant, 'snapshot', snapshots, true), {}]],
      [10, () => this.port(this.named(tenant, 'port', ports, false))],
      [8, () => ['port.delete', this.named(tenant, 'port', ports, true), {}]],
      [2, () => ['port.unbind', this.named(tenant, 'port', ports, true), {}]],
      [2, () => ['network.delete', random.pick(networks), {}]],
      [4, () => this.network(random.pick(networks))],
      [6, () => this.again(this.vm(vm))],
      [
        3,
        () =>
          this.again(
            this.network(random.pick(networks), [random.pick(['192.0.2.1', '192.0.2.2'])], random.happens(0.5)),
          ),
      ],
      [3, () => this.again(this.addressSet())],
      [1, () => ['address-set.delete', 'office', {}]],
      [5, () => this.serviceIp(random.pick(services))],
      [4, () => this.again(this.serviceIp(random.pick(services)))],
      [3, () => ['service-ip.delete', random.pick(services), {}]],
      [3, () => this.securityGroup(random.pick(groups))],
      [4, () => this.again(this.securityGroup(random.pick([...groups, 'default'])))],
      [2, () => ['security-group.delete', random.pick(groups), {}]],
      [5, () => this.again(this.port(this.named(tenant, 'port', ports, true)))],
      [3, () => this.router(this.named(tenant, 'router', routers, false))],
      [3, () => this.again(this.router(this.named(tenant, 'router', routers, true)))],
      [2, () => ['router.delete', this.named(tenant, 'router', routers, true), {}]],
      [4, () => this.externalAddress(this.named(tenant, 'external-address', externals, false))],
      [5, () => this.again(this.externalAddress(this.named(tenant, 'external-address', externals, true)))],
      [2, () => ['external-address.delete', this.named(tenant, 'external-address', externals, true), {}]],
      [3, () => ['vpc.create', 'side', {}]],
      [3, () => ['peering.create', 'join', { vpcs: random.happens(0.5) ? ['main', 'side'] : ['side', 'main'] }]],
      [1, () => ['peering.delete', 'join', {}]],
      [1, () => ['vpc.delete', 'side', {}]],
      [1, () => ['tenant.delete', tenant, {}]],
      [3, () => ['tenant.create', tenant, {}]],
      [1, () => ['image.delete', random.pick(['kernel', 'base', 'fetched', 'sent']), {}]],
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

  private serviceIp(name: string): Request {
    const { random } = this;
    const params = {
      network: name === 'aside' ? 'side' : 'front',
      address: random.happens(0.2) ? '10.0.0.9' : null,
      ports: [{ protocol: 'tcp', port: 80, targetPort: random.pick([80, 8080]) }],
      backends: random.happens(0.6)
        ? { selector: { tier: random.pick(tiers) } }
        : { ports: [...ports, 'vm-1.eth0'].filter(() => random.happens(0.4)) },
      healthCheck: random.happens(0.6) ? { protocol: 'tcp' } : null,
      affinity: random.pick(['none', 'source']),
      retain: random.happens(0.2),
    };
    return ['service-ip.create', name, params];
  }

  private router(name: string): Request {
    const { random } = this;
    const external = random.happens(0.7) ? { network: 'public', snat: random.happens(0.7) } : null;
    const vias = ['blackhole', { address: '10.0.0.9' }, { port: random.pick(ports) }];
    const routes = vias
      .filter(() => random.happens(0.4))
      .map((via, at) => ({ destination: `198.51.100.${64 * at}/26`, via }));
    return ['router.create', name, { vpc: random.happens(0.2) ? 'side' : 'main', external, routes }];
  }

  private externalAddress(name: string): Request {
    const target = this.random.happens(0.7) ? { port: this.random.pick(ports) } : null;
    return ['external-address.create', name, { network: 'public', target }];
  }

  private volume(name: string): Request {
    const image = this.random.happens(0.5) ? 'base' : null;
    const kind = this.random.happens(0.4) ? 'shared' : 'local';
    return ['volume.create', name, { class: kind, sizeMib: 8, image }];
  }

  private port(name: string): Request {
    const host = this.random.happens(0.5) ? this.random.pick(this.hosts) : null;
    const network = this.random.happens(0.25) ? this.random.pick(['side', 'far']) : 'front';
    const beside = { securityGroups: this.groups(), addressPairs: this.pairs(network) };
    return ['port.create', name, { network, host, ...beside, labels: this.labels() }];
  }

  /** Few ranges that overlap, some with a MAC of their own, so that ports want the same ones. */
  private pairs(network: string): readonly object[] {
    const { random } = this;
    if (!['front', 'side'].includes(network) || random.happens(0.6)) return [];
    const cidr = random.pick(['10.0.0.26', '10.0.0.26/31', '10.0.0.28/31', '10.0.0.24/30', '10.0.0.20']);
    return [{ cidr, mac: random.happens(0.2) ? '00:00:5e:00:01:09' : null }];
  }

  private labels(): object {
    return this.random.happens(0.7) ? { tier: this.random.pick(tiers) } : {};
  }

  /** Mostly those of a tenant that declares none. */
  private groups(): readonly string[] | null {
    return this.random.happens(0.6) ? null : groups.filter(() => this.random.happens(0.5));
  }

  private securityGroup(name: string): Request {
    const { random } = this;
    const remotes = [null, { cidr: '192.0.2.0/24' }, { group: random.pick(groups) }, { addressSet: 'office' }];
    const rules = [...remotes, { serviceIp: random.pick(services) }]
      .filter(() => random.happens(0.5))
      .map((remote) => {
        const isService = remote !== null && 'serviceIp' in remote;
        const direction = isService ? 'egress' : random.pick(['ingress', 'egress']);
        return { direction, protocol: 'tcp', remote };
      });
    return ['security-group.create', name, { rules }];
  }
}

const networks = ['front', 'back', 'side', 'far'];
const groups = ['web', 'db'];
const services = ['shop', 'mail', 'aside'];
const tiers = ['web', 'db'];
const vms = ['vm-1', 'vm-2', 'vm-3', 'vm-4'];
const volumes = ['disk-1', 'disk-2'];
const snapshots = ['snap-1', 'snap-2'];
const routers = ['r-1', 'r-2'];
const externals = ['ext-1', 'ext-2', 'ext-3'];
const ports = Array.from({ length: 9 }, (_, at) => `port-${at + 1}`);
