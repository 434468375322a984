/**
 * K13 of docs/promises.md, and K3 and K4 for the settled cloud: once no fault is active, the declared state, the
 * recorded state and the state of the hosts agree, and nothing is left over. A pure function of the stored actors, the
 * rows of networks and the hosts' listings; it returns one line per disagreement. Called by
 * simulation/cloud/cloud-scenario.ts.
 */
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';

export interface HostListing {
  readonly host: string;
  readonly incarnations: readonly {
    readonly vm: string;
    readonly incarnationUid: string;
    readonly owner: string;
    readonly runs: boolean;
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
  }[];
  readonly segments: readonly { readonly vpc: string; readonly owner: string }[];
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
  /** By network id: the rows `owner/<address>`, each naming the port that holds the address. */
  readonly owners: ReadonlyMap<string, ReadonlyMap<string, { readonly port: string; readonly mac: string }>>;
  readonly hosts: readonly HostListing[];
}

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

/**
 * States without the tag `steady` that may last, because they wait for another object: a VM for a host with room or for
 * another VM's volume, a port for an address that rests after its release (and a VM for such a port), a binding whose
 * tap was deleted under a running VM.
 */
const mayWait = new Set(['vm unplaced', 'vm addressing', 'port claiming', 'binding wiring']);
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
    ...[...live.values()].filter(({ id }) => id.startsWith('vm/')).flatMap((vm) => wrongRun(vm, cloud.hosts)),
    ...[...live.values()].filter(({ id }) => id.startsWith('port/')).flatMap((port) => wrongPort(port, cloud, live)),
    ...[...cloud.owners].flatMap(([network, owners]) => wrongOwners(network, owners, live)),
    ...[...live.values()].filter(({ id }) => id.startsWith('security-group/')).flatMap((one) => wrongGroup(one, live)),
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

function wrongRun({ id, state, context }: StoredActor, hosts: readonly HostListing[]): string[] {
  const { host, incarnationUid } = fields(context);
  const running = hosts.flatMap(({ host: at, incarnations }) =>
    incarnations.filter(({ vm, runs }) => vm === id && runs).map((incarnation) => ({ ...incarnation, at })),
  );
  if (state !== 'running') return running.map(({ at }) => `${id} is ${JSON.stringify(state)} and runs on ${at}`);
  const [only] = running;
  if (running.length !== 1 || only === undefined) return [`${id} is running and runs ${running.length} times`];
  const found = `${only.at} as ${only.incarnationUid}`;
  const wanted = `${String(fields(host)['name'])} as ${String(incarnationUid)}`;
  return found === wanted ? [] : [`${id} runs on ${found}, not on ${wanted}`];
}

function wrongPort(
  { id, state, context }: StoredActor,
  cloud: CloudListing,
  live: ReadonlyMap<string, StoredActor>,
): string[] {
  const { grant, host, holder } = fields(context);
  const taps = cloud.hosts.flatMap(({ host: at, taps: all }) =>
    all.filter(({ port }) => port === id).map((tap) => ({ ...tap, at })),
  );
  const { address, mac } = fields(grant);
  const { network } = fields(fields(grant)['network']);
  const problems: string[] = [];
  if (grant !== null && grant !== undefined) {
    const owner = cloud.owners.get(String(network))?.get(String(address));
    if (owner?.port !== id)
      problems.push(`${id} has ${String(address)}, which ${String(network)} says is ${owner?.port ?? 'free'}`);
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
  const groups = groupsOf({ id, context } as StoredActor);
  if (fits && only.groups.toSorted().join() !== groups.join())
    problems.push(`${id} has the groups ${groups.join() || 'none'}, and is wired with ${only.groups.join() || 'none'}`);
  return problems;
}

/** Ids of the security groups that the spec of a port names. */
function groupsOf({ id, context }: StoredActor): readonly string[] {
  const { scope } = partsOf(id as ActorId);
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
    const granted = fields(fields(live.get(port)?.context)['grant']);
    return granted['address'] === address && fields(granted['network'])['network'] === network
      ? []
      : [`${network} lists ${address} as held by ${port}, and the port does not have it`];
  });
}
