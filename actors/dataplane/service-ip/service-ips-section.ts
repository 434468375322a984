/**
 * Section `service-ips`: addresses of a VPC that lead to backends. Key: the id of the service IP; element:
 * `ServiceIpElement`. Every host has every service IP: a flow is led to its backend where it enters the VPC.
 * A changed list of backends costs the elements that differ. Flows to a backend that serves no longer end; flows to the
 * others go on, whatever changes.
 */
import { serviceIpElement, type ServiceIpElement } from '@photoncloud/machines/values/service-elements';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { listNames } from '../firewall/firewall-changes.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { reviewFlows } from '../security-group/flow-review.ts';
import { isServiceSet, serviceSet } from '../security-group/group-chains.ts';
import { toldPolicy } from '../security-group/group-policy.ts';
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { addressNumber, checkIdOf, isAddress, must, parsed } from '../wiring-checks.ts';
import { serviceDrift } from './service-changes.ts';
import { routedAddresses, settleServices } from './service-making.ts';
import { backendMap, wantedService } from './service-rules.ts';
import { noServices, readServices, readTable, readWholeTable, type ServiceTable } from './service-table.ts';

type Services = ReadonlyMap<string, ServiceIpElement>;

/** An address that a port could have. */
const isUnicast = (address: string): boolean =>
  isAddress(address) && !/^(0|127|169\.254|22[4-9]|2[3-5]\d)\./.test(address);

/** @throws defeat `spec_invalid` */
export function servicesIn(elements: Elements): Services {
  const owners = new Map<string, string>();
  return new Map(
    Object.entries(elements).map(([id, element]) => {
      checkIdOf('service-ip', 'service-ips', id);
      const service = parsed(serviceIpElement, id, element);
      const { address, ports, backends } = service;
      must(isUnicast(address), `${id}.address`, address);
      must(!owners.has(address), `${id}.address`, `${address} of ${owners.get(address)}`);
      owners.set(address, id);
      const keys = ports.map(({ protocol, port }) => `${protocol}/${port}`);
      must(new Set(keys).size === keys.length, `${id}.ports`, keys);
      must(
        backends.every((one) => isUnicast(one) && one !== address),
        `${id}.backends`,
        backends,
      );
      must(new Set(backends).size === backends.length, `${id}.backends`, backends);
      const sorted = backends.toSorted((one, other) => addressNumber(one) - addressNumber(other));
      return [id, { ...service, backends: sorted }] as const;
    }),
  );
}

/** Whether a flow that the first admits would not be led there by the second. */
const takes = (before: ServiceIpElement, after: ServiceIpElement): boolean =>
  before.address !== after.address ||
  before.backends.some((one) => !after.backends.includes(one)) ||
  before.ports.some(
    ({ protocol, port, targetPort }) =>
      !after.ports.some((one) => one.protocol === protocol && one.port === port && one.targetPort === targetPort),
  );

/** The whole table when all of it is asked for; of an increment the part that concerns it. */
async function readFor(link: NamespaceLink, wanted: Services, unwanted: Services): Promise<ServiceTable | null> {
  const standing = await readServices(link);
  if (standing === null) return null;
  if (wanted.size >= standing.size) return readWholeTable(link);
  return readTable(link, [...wanted.keys(), ...unwanted.keys()].map(backendMap));
}

export const serviceIpsSection: SegmentSection = {
  name: 'service-ips',
  after: ['overlay'],
  check: (elements) => void servicesIn(elements),

  startsEmpty: (_, link) => {
    toldPolicy(link).serviceIps = new Map();
  },

  ensure: async (place, elements) => {
    const link = await linkInto(place);
    const services = servicesIn(elements);
    const policy = toldPolicy(link);
    const table = await readWholeTable(link);
    const kept = new Set([...services.values()].map(({ address }) => address));
    const known = [...(table?.addresses ?? []), ...(table?.services.keys() ?? []), ...(await routedAddresses(link))];
    const stale = new Set(known.filter((address) => !kept.has(address)));
    const named = (await listNames(link, 'set')).filter(isServiceSet);
    const addresses = new Map([...services].map(([id, { address }]) => [serviceSet(id), address] as const));
    const takesAway = await settleServices(place, link, {
      table,
      services,
      gone: new Map([...stale].map((address) => [address, null])),
      isWhole: true,
      sets: new Map(named.map((name) => [name, addresses.get(name) ?? null])),
      endsFlows: table !== null,
      told: () => {
        policy.serviceIps = new Map(services);
      },
    });
    await reviewFlows(place, takesAway);
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    const services = servicesIn(put);
    const policy = toldPolicy(link);
    const leaving = [...servicesIn(removed)].filter(([id]) => !services.has(id));
    const before = [...services.keys()].map((id) => policy.serviceIps?.get(id));
    const kept = new Set([...services.values()].map(({ address }) => address));
    const moved = before.flatMap((old) => (old === undefined || kept.has(old.address) ? [] : [old.address]));
    const takesAway = await settleServices(place, link, {
      table: await readTable(link, [...services.keys(), ...leaving.map(([id]) => id)].map(backendMap)),
      services,
      gone: new Map([
        ...moved.map((address) => [address, null] as const),
        ...leaving
          .filter(([, { address }]) => !kept.has(address))
          .map(([id, { address }]) => [address, backendMap(id)] as const),
      ]),
      isWhole: false,
      sets: new Map([
        ...[...services].map(([id, { address }]) => [serviceSet(id), address] as const),
        ...leaving.map(([id]) => [serviceSet(id), null] as const),
      ]),
      endsFlows:
        leaving.length > 0 ||
        [...services.values()].some((after, index) => {
          const old = before[index];
          return old === undefined ? policy.serviceIps === undefined : takes(old, after);
        }),
      told: () => {
        for (const [id] of leaving) policy.serviceIps?.delete(id);
        for (const [id, service] of services) policy.serviceIps?.set(id, service);
      },
    });
    await reviewFlows(place, takesAway);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const [services, gone] = [servicesIn(wanted), servicesIn(unwanted)];
    if (services.size + gone.size === 0) return { facts: {}, drift: [] };
    const [table, routed] = await Promise.all([readFor(link, services, gone), routedAddresses(link)]);
    const found = table ?? noServices;
    const drift = [
      ...(found.hasBase ? [] : ['the firewall leads to no service IP']),
      ...[...services].flatMap(([id, service]) => {
        const differs = serviceDrift(found, wantedService(id, service));
        return [
          ...(differs === null ? [] : [`${id} ${differs}`]),
          ...(routed.has(service.address) ? [] : [`${id} has no local route`]),
        ];
      }),
      ...[...gone]
        .filter(([id]) => !services.has(id))
        .filter(
          ([id, { address }]) => found.addresses.has(address) || found.maps.has(backendMap(id)) || routed.has(address),
        )
        .map(([id]) => `still something of ${id}`),
    ];
    return { facts: {}, drift };
  },

  // Table and routes go with the namespace, which lives as long as the process that checks backends in it.
  remove: ({ site, namespace }) => site.probers.forget(namespace),
};
