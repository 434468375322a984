/**
 * Makes service IPs in one VPC namespace what they should be, by difference to what was read. Called by
 * service-ips-section.ts. Promise: at no moment a new flow is led to a backend that does not serve, and whoever speaks
 * to a backend that serves no longer, or to a service IP that goes, is refused before the address goes.
 */
import type { ServiceIpElement } from '@photoncloud/machines/values/service-elements';
import { changeFirewall, inFirewallTurn, readSet, setDifference } from '../firewall/firewall-changes.ts';
import { command, joined } from '../kernel-command.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { braced } from '../security-group/group-chains.ts';
import type { SegmentPlace } from '../segment/segment-section.ts';
import { serviceChanges, strayChanges, withoutBackends } from './service-changes.ts';
import { endStaleFlows, type ServedAddresses } from './service-flows.ts';
import { dropTable, emptyTable, wantedService } from './service-rules.ts';
import { noServices, readAddresses, type ServiceTable } from './service-table.ts';

export interface ServicePlan {
  /** As it was read, or the part of it that concerns what changes; null: there is none. */
  readonly table: ServiceTable | null;
  /** Id -> what it is to be. */
  readonly services: ReadonlyMap<string, ServiceIpElement>;
  /** Addresses that are to go -> the map of their service IP; null: not known. */
  readonly gone: ReadonlyMap<string, string | null>;
  /** Whatever else is in the table is to go, too. */
  readonly isWhole: boolean;
  /** Name of a set that rules of security groups may name -> the address that it is to have. */
  readonly sets: ReadonlyMap<string, string | null>;
  /** Some flow may have a backend that serves no longer. */
  readonly endsFlows: boolean;
  /** Called once the firewall is as planned, in its turn. */
  readonly told: () => void;
}

/** @returns whether rules of security groups admit less than before */
export async function settleServices(place: SegmentPlace, link: NamespaceLink, plan: ServicePlan): Promise<boolean> {
  const { services, gone } = plan;
  const takes = await inFirewallTurn(link, async () => {
    await leadServices(place, link, plan);
    const named = await namedAddresses(link, plan.sets);
    if (named.statements.length > 0) await changeFirewall(link, 'setting addresses of service IPs', named.statements);
    plan.told();
    return named.takes;
  });
  await setRoutes(
    link,
    [...services.values()].map(({ address }) => address),
    [],
  );
  const served: ServedAddresses = new Map([
    ...[...gone.keys()].map((address) => [address, null] as const),
    ...[...services.values()].map((one) => [one.address, one] as const),
  ]);
  if (plan.endsFlows) await endStaleFlows(place, served);
  if (gone.size > 0) await forget(link, [...gone.keys()]);
  return takes;
}

/** So many service IPs change in one transaction: a transaction is one line of text, of which one has up to 5 KiB. */
const atOnce = 20;

/** Leads new flows to the backends as planned. */
async function leadServices({ segment }: SegmentPlace, link: NamespaceLink, plan: ServicePlan): Promise<void> {
  const { table, services, gone, isWhole } = plan;
  if (table === null && services.size === 0) return;
  const stands = table?.hasBase === true ? table : noServices;
  const base = table === stands ? [] : [...(table === null ? [] : dropTable), ...emptyTable];
  const wanted = [...services].map(([id, element]) => wantedService(id, element));
  const changes = [
    base,
    ...[...gone].map(([address, map]) => withoutBackends(stands, address, map)),
    ...wanted.map((one) => serviceChanges(stands, one)),
    isWhole ? strayChanges(stands, wanted) : [],
  ].filter((statements) => statements.length > 0);
  for (let from = 0; from < changes.length; from += atOnce)
    await changeFirewall(
      link,
      `leading service IPs of ${segment.vpc} to their backends`,
      changes.slice(from, from + atOnce).flat(),
    );
}

/** Of each set that stands: one that no rule names does not. */
async function namedAddresses(link: NamespaceLink, sets: ServicePlan['sets']) {
  const changes = await Promise.all(
    [...sets].map(async ([name, address]) => {
      const actual = await readSet(link, name);
      return actual === null ? [] : [setDifference(name, address === null ? [] : [address], actual)];
    }),
  );
  const all = changes.flat();
  return { statements: all.flatMap(({ statements }) => statements), takes: all.some((one) => one.takes) };
}

/** The addresses that the namespace has for service IPs alone: no device has them. */
export async function routedAddresses(link: NamespaceLink): Promise<ReadonlySet<string>> {
  const routes = await link.localRoutes();
  const ours = routes.filter(({ protocol, dev }) => protocol === 'static' && dev === 'lo');
  return new Set(ours.map(({ dst }) => dst).filter((one) => !one.startsWith('169.254.')));
}

/** `static`, as a number: see `command`. */
const staticProtocol = 4;

/** With the route the host answers ARP for the address. */
async function setRoutes(link: NamespaceLink, added: readonly string[], stale: readonly string[]): Promise<void> {
  if (added.length + stale.length === 0) return;
  const present = await routedAddresses(link);
  const mark = command`dev lo proto ${staticProtocol}`;
  await link.ip('setting routes of service IPs', [
    ...stale.filter((one) => present.has(one)).map((one) => joined(command`route delete local ${one}`, mark)),
    ...added.filter((one) => !present.has(one)).map((one) => joined(command`route add local ${one}`, mark)),
  ]);
}

/** The last address takes the table along. */
async function forget(link: NamespaceLink, addresses: readonly string[]): Promise<void> {
  await setRoutes(link, [], addresses);
  await inFirewallTurn(link, async () => {
    const left = await readAddresses(link);
    const stale = addresses.filter((address) => left?.has(address));
    if (left === null || (stale.length === 0 && left.size > 0)) return;
    const last = stale.length === left.size;
    const statements = last ? dropTable : [`delete element ip service addresses ${braced(stale)}`];
    await changeFirewall(link, 'removing service IPs', statements);
  });
}
