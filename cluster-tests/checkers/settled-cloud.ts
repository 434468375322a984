/**
 * K13 of docs/promises.md, and K3 and K4 for the settled cloud: once no fault is active, the declared state, the
 * recorded state and the state of the hosts agree, and nothing is left over. A pure function of the stored actors, the
 * rows of networks and the hosts' listings; it returns one line per disagreement. Called by
 * simulation/cloud/cloud-scenario.ts.
 */
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { addressesOf, wrongCounterparts, wrongRoutes, wrongStandby } from './settled-bindings.ts';
import { leftOfMoves } from './moved-vms.ts';
import { wrongServices, type HostServices } from './settled-services.ts';
import { wrongTurn } from './rollouts.ts';
import { wrongDrains } from './settled-drains.ts';
import { wrongMetadata } from './settled-metadata.ts';
import { wrongDisks, type OpenDisk } from './volume-users.ts';
import { wrongNics } from './settled-nics.ts';
import { wrongPeerings, type Locations, type SegmentListing } from './settled-peerings.ts';

export interface HostListing extends HostServices {
  readonly incarnations: readonly {
    readonly vm: string;
    readonly incarnationUid: string;
    readonly owner: string;
    readonly runs: boolean;
    /** Unknown: they are not judged. */
    readonly disks?: readonly OpenDisk[];
    /** The file systems of its guest are frozen. */
    readonly frozen?: boolean;
    /** Actor ids of the ports whose NICs its guest has. */
    readonly nics?: readonly string[];
  }[];
  readonly taps: readonly {
    readonly tap: string;
    readonly owner: string;
    /** Null while the tap is not wired. */
    readonly port: string | null;
    readonly address: string | null;
    readonly mac: string | null;
    /** Ids of the security groups that it is wired with. */
    readonly groups: readonly string[];
    /** Addresses of its allowed address pairs. */
    readonly pairs?: readonly string[];
    /** It stands by: it has everything but the routes of its addresses. */
    readonly standby?: boolean;
  }[];
  readonly segments: readonly SegmentListing[];
  /** External network -> whether the host may forward for it. */
  readonly permits: ReadonlyMap<string, boolean>;
  /** Every DHCP host entry. */
  readonly leases: readonly {
    readonly vpc: string;
    readonly address: string;
    readonly mac: string;
    readonly tap: string;
  }[];
}

export interface CloudListing {
  readonly registry: ActorRegistry;
  readonly actors: readonly StoredActor[];
  /** By id of a network, or an external network: the rows `owner/<address>`, each naming who holds the address. */
  readonly owners: ReadonlyMap<string, ReadonlyMap<string, { readonly port: string; readonly mac: string }>>;
  readonly hosts: readonly HostListing[];
  /** By VPC id: where its ports are; absent when it is not known. */
  readonly locations?: Locations;
}

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

/**
 * States without the tag `steady` that may last, because they wait for another object: a VM for a host with room or for
 * another VM's volume, a port for an address that rests after its release (and a VM for such a port, a router and an
 * external address likewise), an external address for its target, a drain for VMs that stay, a binding whose tap was
 * deleted under a running VM.
 */
const mayWait = new Set([
  'vm unplaced',
  'vm addressing',
  'port claiming',
  'binding wiring',
  'external-address waiting',
  'external-address allocating',
  'router joining',
  'drain waiting',
]);
/** States that never settle: an agent sweeps every minute. */
const periodicStates = new Set(['agent serving', 'host present']);

const waits = (kind: string, state: string, failure: unknown): boolean =>
  mayWait.has(`${kind} ${state}`) ||
  (`${kind} ${state}` === 'vm backoff' && fields(failure)['code'] === 'volume_in_use');

export function unsettledParts(cloud: CloudListing): string[] {
  const live = new Map(
    cloud.actors.filter(({ status }) => status === 'live').map((actor) => [String(actor.id), actor]),
  );
  return [
    ...[...live.values()].flatMap((actor) => unsettled(cloud.registry, actor)),
    ...cloud.hosts.flatMap((host) => orphans(host, live)),
    ...[...live.values()]
      .filter(({ id }) => id.startsWith('vm/'))
      .flatMap((vm) => [...wrongRun(vm, cloud.hosts, live), ...wrongNics(vm, cloud.hosts)]),
    ...[...live.values()].filter(({ id }) => id.startsWith('port/')).flatMap((port) => wrongPort(port, cloud, live)),
    ...[...live.values()].filter(({ id }) => id.startsWith('binding/')).flatMap((one) => strayBinding(one, live)),
    ...[...cloud.owners].flatMap(([network, owners]) =>
      network.startsWith('network/') ? wrongOwners(network, owners, live) : wrongExternal(network, owners, cloud, live),
    ),
    ...[...live.values()].filter(({ id }) => id.startsWith('security-group/')).flatMap((one) => wrongGroup(one, live)),
    ...[...live.values()].filter(({ id }) => id.startsWith('volume/')).flatMap(ungrown),
    ...wrongServices(cloud, live),
    ...wrongMetadata(live, cloud.hosts),
    ...wrongCounterparts(live),
    ...wrongDrains(live),
    ...wrongTurn(live),
    ...leftOfMoves(live),
    ...wrongRoutes(live, cloud.hosts, cloud.locations ?? new Map()),
    ...wrongPeerings(live, cloud.hosts, cloud.locations ?? new Map()),
  ];
}

function unsettled(registry: ActorRegistry, { id, state, context }: StoredActor): string[] {
  const { kind } = partsOf(id as ActorId);
  const top = typeof state === 'string' ? state : (Object.keys(fields(state))[0] ?? '');
  if (periodicStates.has(`${kind} ${top}`) || waits(kind, top, fields(context)['failure'])) return [];
  const machine = registry.kinds.get(kind)?.machine;
  const steady = machine?.resolveState({ value: state as never, context: context as never }).hasTag('steady') === true;
  return steady ? [] : [`${id} is still in ${JSON.stringify(state)}`];
}

/** The guest that uses a volume was told its size, or the volume says that it was not. */
function ungrown({ id, context }: StoredActor): string[] {
  const { resizing = null } = fields(context);
  return resizing === null ? [] : [`${id} still has its guest told ${JSON.stringify(resizing)}`];
}

function orphans(host: HostListing, live: ReadonlyMap<string, StoredActor>): string[] {
  const left = (what: string, owner: string): string[] =>
    live.has(owner) ? [] : [`${what} on ${host.host} is owned by ${owner}, which no longer exists`];
  return [
    ...host.incarnations.flatMap(({ vm, owner }) => left(`the incarnation of ${vm}`, owner)),
    ...host.taps.flatMap(({ tap, owner }) => left(`tap ${tap}`, owner)),
    ...host.segments.flatMap(({ vpc, owner }) => left(`the segment of ${vpc}`, owner)),
    // When an operator has deleted a tap, its DHCP entry may stay for as long as its port holds the address.
    ...host.leases
      .filter(
        ({ tap, address, mac }) =>
          !host.taps.some((one) => one.tap === tap && one.address === address && one.mac === mac),
      )
      .filter(
        ({ address, mac }) =>
          ![...live.values()].some(({ context }) => {
            const grant = fields(fields(context)['grant']);
            return grant['address'] === address && grant['mac'] === mac;
          }),
      )
      .map((lease) => `the DHCP host ${lease.address} of ${lease.vpc} on ${host.host} matches no tap`),
  ];
}

function wrongRun(
  vm: StoredActor,
  hosts: readonly HostListing[],
  live: ReadonlyMap<string, StoredActor>,
): readonly string[] {
  const { id, state, context } = vm;
  const { host, incarnationUid } = fields(context);
  const running = hosts.flatMap(({ host: at, incarnations }) =>
    incarnations.filter((one) => one.vm === id && one.runs).map((incarnation) => ({ ...incarnation, at })),
  );
  if (state !== 'running') return running.map(({ at }) => `${id} is ${JSON.stringify(state)} and runs on ${at}`);
  const [only] = running;
  if (running.length !== 1 || only === undefined) return [`${id} is running and runs ${running.length} times`];
  const found = `${only.at} as ${only.incarnationUid}`;
  const wanted = `${String(fields(host)['name'])} as ${String(incarnationUid)}`;
  if (found !== wanted) return [`${id} runs on ${found}, not on ${wanted}`];
  if (only.frozen === true) return [`${id} runs on ${found}, and its guest was left frozen`];
  return only.disks === undefined ? [] : wrongDisks(vm, only.disks, live);
}

function wrongPort(
  { id, state, context }: StoredActor,
  cloud: CloudListing,
  live: ReadonlyMap<string, StoredActor>,
): string[] {
  const { grant, host, holder } = fields(context);
  const taps = cloud.hosts.flatMap(({ host: at, taps: all }) =>
    all.filter(({ port, standby }) => port === id && standby !== true).map((tap) => ({ ...tap, at })),
  );
  const { address, mac } = fields(grant);
  const { network } = fields(fields(grant)['network']);
  const addresses = addressesOf({ context } as StoredActor);
  const groups = groupsOf({ id, context } as StoredActor);
  const problems: string[] = wrongStandby({ id, state, context } as StoredActor, groups, cloud.hosts);
  if (grant !== null && grant !== undefined) {
    for (const one of addresses) {
      const owner = cloud.owners.get(String(network))?.get(one);
      if (owner?.port !== id)
        problems.push(`${id} has ${one}, which ${String(network)} says is ${owner?.port ?? 'free'}`);
    }
    if (!live.has(String(network))) problems.push(`${id} has an address of ${String(network)}, which no longer exists`);
  }
  const bound = state === 'active';
  // A port that fails under a running VM, or where a client has bound it, keeps its tap: they read why, and decide.
  const isUsed = holder === null || live.get(String(holder))?.state === 'running';
  const mayBeWired = state === 'degraded' || state === 'tapped' || (state === 'failed' && isUsed);
  if (!bound && !mayBeWired && taps.length > 0)
    problems.push(`${id} is ${JSON.stringify(state)} and wired on ${taps.map(({ at }) => at).join()}`);
  if (!bound) return problems;
  const [only] = taps;
  const fits =
    taps.length === 1 &&
    only !== undefined &&
    only.at === fields(host)['name'] &&
    only.address === address &&
    only.mac === mac;
  if (!fits)
    problems.push(
      `${id} is active on ${String(fields(host)['name'])} as ${String(address)}, is wired as ${JSON.stringify(taps)}`,
    );
  if (fits && (only.pairs ?? []).join() !== addresses.slice(1).join())
    problems.push(`${id} has ${addresses.join()}, and is wired with the pairs ${only.pairs?.join() || 'none'}`);
  if (fits && only.groups.toSorted().join() !== groups.join())
    problems.push(`${id} has the groups ${groups.join() || 'none'}, and is wired with ${only.groups.join() || 'none'}`);
  return problems;
}

/** A binding whose port does not exist, or is bound on other hosts. */
function strayBinding({ id }: StoredActor, live: ReadonlyMap<string, StoredActor>): string[] {
  const { scope, name, host } = partsOf(id as ActorId);
  const port = live.get(`port/${scope}/${name}`);
  if (port === undefined) return [`${id} has no port`];
  const { host: active, standby } = fields(port.context);
  const has = [fields(active)['name'], fields(standby)['host']].includes(host);
  return has ? [] : [`${id} is not a binding that ${port.id} has`];
}

/** Ids of the security groups that the spec of a port names. */
function groupsOf({ id, context }: StoredActor): readonly string[] {
  const { scope } = partsOf(id as ActorId);
  if (fields(fields(context)['spec'])['portSecurity'] === false) return [];
  const names = (fields(fields(context)['spec'])['securityGroups'] ?? ['default']) as readonly string[];
  return names.map((name) => `security-group/${scope}/${name}`).toSorted();
}

/** Whether an object says that something it names does not exist. */
const tellsMissing = (context: Fields): boolean => {
  const conditions = (context['conditions'] ?? []) as readonly { readonly type: string; readonly status: string }[];
  return conditions.some(({ type, status }) => ['Groups', 'References'].includes(type) && status === 'False');
};

/**
 * A group counts the ports that name it and the groups whose rules do. One that says that the group is missing named it
 * before it was declared again; a port counts for a group that it had until the next proof of its wiring.
 */
function wrongGroup({ id, context }: StoredActor, live: ReadonlyMap<string, StoredActor>): string[] {
  const { scope, name } = partsOf(id as ActorId);
  const [certain, possible]: [string[], string[]] = [[], []];
  for (const one of live.values()) {
    const { kind, scope: of } = partsOf(one.id as ActorId);
    const seen = fields(one.context);
    if (of !== scope || one.id === id) continue;
    const rules = (fields(seen['spec'])['rules'] ?? []) as readonly { readonly remote: unknown }[];
    const isNamed =
      (kind === 'port' && seen['grant'] !== null && groupsOf(one).includes(id)) ||
      (kind === 'security-group' && rules.some(({ remote }) => fields(remote)['group'] === name));
    const isJoined = kind === 'port' && ((seen['joined'] ?? []) as readonly string[]).includes(id);
    if (isNamed && !tellsMissing(seen)) certain.push(one.id);
    if (isNamed || isJoined) possible.push(one.id);
  }
  const holders = Number(fields(context)['holders']);
  if (holders >= certain.length && holders <= possible.length) return [];
  return [`${id} counts ${holders} holders, and ${possible.join(', ') || 'nothing'} names it`];
}

function wrongOwners(
  network: string,
  owners: ReadonlyMap<string, { readonly port: string }>,
  live: ReadonlyMap<string, StoredActor>,
): string[] {
  return [...owners].flatMap(([address, { port }]) => {
    const holder = live.get(port);
    const granted = fields(fields(holder?.context)['grant']);
    // What a service IP says of its network is its spec, which cannot change.
    const declared = `network/${port.split('/')[1]}/${String(fields(fields(holder?.context)['spec'])['network'])}`;
    const of = port.startsWith('service-ip/') ? declared : fields(granted['network'])['network'];
    const has = granted['address'] === address || (holder !== undefined && addressesOf(holder).includes(address));
    return has && of === network ? [] : [`${network} lists ${address} as held by ${port}, which does not have it`];
  });
}

/** The external address that a router or an external address has of this external network. */
function externalOf({ id, context }: StoredActor, network: string): unknown {
  const seen = fields(context);
  if (id.startsWith('router/')) {
    const external = fields(seen['external']);
    return external['network'] === network ? external['address'] : undefined;
  }
  const named = `external-network/system/${String(fields(seen['spec'])['network'])}`;
  return id.startsWith('external-address/') && named === network ? seen['address'] : undefined;
}

/** An external address has one holder, which knows it; and only the gateway host that leads may forward. */
function wrongExternal(
  network: string,
  owners: ReadonlyMap<string, { readonly port: string }>,
  cloud: CloudListing,
  live: ReadonlyMap<string, StoredActor>,
): string[] {
  const leaked = [...owners].flatMap(([address, { port }]) => {
    const holder = live.get(port);
    return holder !== undefined && externalOf(holder, network) === address
      ? []
      : [`${network} lists ${address} as held by ${port}, which does not have it`];
  });
  const unheld = [...live.values()].flatMap((one) => {
    const address = externalOf(one, network);
    const isHeld = typeof address !== 'string' || owners.get(address)?.port === one.id;
    return isHeld
      ? []
      : [`${one.id} has ${address}, which ${network} lists for ${owners.get(address)?.port ?? 'nobody'}`];
  });
  const { active } = fields(live.get(network)?.context);
  const permitted = cloud.hosts.filter(({ permits, host }) => permits.get(network) === true && host !== active);
  return [
    ...leaked,
    ...unheld,
    ...permitted.map(({ host }) => `${host} may forward for ${network}, which ${String(active)} leads`),
  ];
}
