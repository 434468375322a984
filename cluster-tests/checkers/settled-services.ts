/**
 * Service IPs of the settled cloud: each has its address alone, its published backends are exactly its healthy members,
 * and the hosts of its VPC have just those. Called by settled-cloud.ts.
 */
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

export interface HostServices {
  readonly host: string;
  /** By VPC: key of section `service-ips` -> element. */
  readonly services: readonly { readonly vpc: string; readonly key: string; readonly element: unknown }[];
}

interface ServiceCloud {
  readonly owners: ReadonlyMap<string, ReadonlyMap<string, { readonly port: string }>>;
  readonly hosts: readonly (HostServices & { readonly segments: readonly { readonly vpc: string }[] })[];
}

/** Addresses of the ports in these states that the spec selects, in ascending order. */
function membersOf(
  { id, context }: StoredActor,
  vpc: unknown,
  live: ReadonlyMap<string, StoredActor>,
  states: readonly unknown[],
): readonly string[] {
  const { scope } = partsOf(id as ActorId);
  const { selector, ports } = fields(fields(fields(context)['spec'])['backends']);
  const isSelected = (port: StoredActor): boolean => {
    if (ports !== undefined) return (ports as readonly string[]).includes(partsOf(port.id as ActorId).name);
    const labels = fields(fields(port.context)['labels']);
    return Object.entries(fields(selector)).every(([name, value]) => labels[name] === value);
  };
  return [...live.values()]
    .filter(({ id: of, state }) => of.startsWith(`port/${scope}/`) && states.includes(state))
    .filter((port) => fields(fields(port.context)['grant'])['vpc'] === vpc && isSelected(port))
    .map((port) => String(fields(fields(port.context)['grant'])['address']))
    .toSorted(byNumber);
}

const numberOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const byNumber = (one: string, other: string): number => numberOf(one) - numberOf(other);

/** @param live actors by id */
export function wrongServices(cloud: ServiceCloud, live: ReadonlyMap<string, StoredActor>): string[] {
  const all = [...live.values()].filter(({ id }) => id.startsWith('service-ip/'));
  return [...all.flatMap((one) => wrongService(one, cloud, live)), ...strays(cloud, live)];
}

function wrongService(service: StoredActor, cloud: ServiceCloud, live: ReadonlyMap<string, StoredActor>): string[] {
  const { id, context, state } = service;
  const { grant, spec, serving } = fields(context);
  const { scope } = partsOf(id as ActorId);
  const { address, vpc } = fields(grant);
  if (grant === null || grant === undefined) return [];
  const network = `network/${scope}/${String(fields(spec)['network'])}`;
  const holder = cloud.owners.get(network)?.get(String(address))?.port ?? 'nobody';
  const held = holder === id ? [] : [`${id} has ${String(address)}, which ${network} says is held by ${holder}`];
  if (state === 'parked') return held;
  const found = (serving as readonly string[]).join();
  // A port whose tap an operator has deleted under its VM stays a member: only a health check would tell.
  const isChecked = fields(spec)['healthCheck'] !== null;
  const isSeen = (one: string): boolean => (serving as readonly string[]).includes(one);
  const degraded = isChecked ? [] : membersOf(service, vpc, live, ['degraded']).filter(isSeen);
  const wanted = [...membersOf(service, vpc, live, ['active']), ...degraded].toSorted(byNumber).join();
  const backends = found === wanted ? [] : [`${id} publishes ${found || 'nobody'}, and ${wanted || 'nobody'} serves`];
  const hosts = cloud.hosts
    .filter(({ segments }) => segments.some((one) => one.vpc === vpc))
    .flatMap(({ host, services }) => {
      const { element } = services.find((one) => one.vpc === vpc && one.key === id) ?? {};
      const has = fields(element);
      const isSame = has['address'] === address && ((has['backends'] ?? []) as readonly string[]).join() === found;
      return isSame ? [] : [`${host} has ${id} as ${JSON.stringify(element ?? null)}, not with ${found || 'nobody'}`];
    });
  return [...held, ...backends, ...hosts];
}

/** A host that has what no service IP publishes. */
const strays = ({ hosts }: ServiceCloud, live: ReadonlyMap<string, StoredActor>): string[] =>
  hosts.flatMap(({ host, services }) =>
    services
      .filter(({ key }) => !live.has(key) || live.get(key)?.state === 'parked')
      .map(({ key, vpc }) => `${host} still has ${key} in ${vpc}`),
  );
