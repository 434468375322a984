/**
 * The allowed address pairs of a wired tap beside its firewall elements: for each address a permanent neighbour, the
 * FDB entry of its MAC, and a /32 route, like those of the port's own address. What a tap has had is read from its DHCP
 * host file, which names a pair before it is made and until it is gone. Called by tap-wiring.ts and tap-removal.ts.
 * Promise: what another tap has by now is not changed.
 */
import type { AddressPair } from '@photoncloud/machines/values/wiring';
import { dismissPairs } from '../firewall/firewall-ports.ts';
import type { PortIdentity } from '../firewall/firewall-rules.ts';
import { command, type Command } from '../kernel-command.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { deleteLocalRoute } from '../overlay/overlay-device.ts';
import { runProgram } from '../program.ts';
import { tapErrors } from './tap-errors.ts';

const sameText = (one: AddressPair, other: AddressPair): boolean =>
  one.address === other.address && one.mac === other.mac;

/** Of these pairs those that are not among the others. */
export const without = (pairs: readonly AddressPair[], others: readonly AddressPair[]): readonly AddressPair[] =>
  pairs.filter((pair) => !others.some((other) => sameText(pair, other)));

export const pairNeighbours = (pairs: readonly AddressPair[], bridge: string): readonly Command[] =>
  pairs.map(({ address, mac }) => command`neigh replace ${address} lladdr ${mac} dev ${bridge} nud permanent`);

/** MACs of the pairs, except that of the port. */
const otherMacs = ({ mac, pairs }: PortIdentity): readonly string[] =>
  [...new Set(pairs.map((pair) => pair.mac))].filter((one) => one !== mac);

export const pairEntries = (port: PortIdentity): readonly Command[] =>
  otherMacs(port).map((mac) => command`fdb replace ${mac} dev ${port.tap} master static`);

interface PairFacts {
  /** Addresses whose route leads to the bridge. */
  readonly routed: ReadonlySet<string>;
  /** Address -> the MAC that the kernel sends to. */
  readonly neighbours: ReadonlyMap<string, string>;
  /** MACs that lead to the tap. */
  readonly macs: ReadonlySet<string>;
}

async function readFacts(link: NamespaceLink, tap: string, bridge: string): Promise<PairFacts> {
  const [routes, neighbours, entries] = await Promise.all([
    link.routesOf(bridge),
    link.neighboursOf(bridge),
    link.fdbOf(tap),
  ]);
  return {
    routed: new Set(routes.filter(({ gateway }) => gateway === undefined).map(({ dst }) => dst)),
    neighbours: new Map(neighbours.map(({ dst, lladdr }) => [dst, lladdr ?? ''])),
    macs: new Set(entries.map(({ mac }) => mac)),
  };
}

export interface PairReading {
  /** Those whose packets reach the tap. */
  readonly pairs: readonly AddressPair[];
  readonly drift: readonly string[];
}

/**
 * @param earlier pairs that the tap's entry names beside those that it is to have
 * @param standby true when the tap stands by: routes are not looked at
 */
export async function readPairs(
  link: NamespaceLink,
  port: PortIdentity,
  bridge: string,
  earlier: readonly AddressPair[],
  standby: boolean,
): Promise<PairReading> {
  if (port.pairs.length === 0 && earlier.length === 0) return { pairs: [], drift: [] };
  const { routed, neighbours, macs } = await readFacts(link, port.tap, bridge);
  const problems = port.pairs.map(({ address, mac }) => [
    ...(standby || routed.has(address) ? [] : [`no route to its pair ${address}`]),
    ...(neighbours.get(address) === mac ? [] : [`no neighbour entry of its pair ${address}`]),
    ...(macs.has(mac) ? [] : [`no FDB entry of its pair ${address}`]),
  ]);
  return {
    pairs: port.pairs.filter((_, index) => problems[index]?.length === 0),
    drift: [...problems.flat(), ...earlier.map(({ address }) => `still has the pair ${address}`)],
  };
}

/**
 * Takes pairs away from a tap: routes first, so that nothing is sent to it any more.
 * @param keeps addresses that another tap has by now
 * @param standby true when the tap stands by: flows to another host are not its own
 */
export async function dropPairs(
  link: NamespaceLink,
  port: PortIdentity,
  bridge: string,
  gone: readonly AddressPair[],
  keeps: ReadonlySet<string>,
  standby = false,
): Promise<void> {
  if (gone.length === 0) return;
  const { routed, neighbours, macs } = await readFacts(link, port.tap, bridge);
  // An address that only got another MAC stays.
  const stays = new Set([port.address, ...port.pairs.map(({ address }) => address)]);
  const mine = gone.filter(
    ({ address, mac }) => !keeps.has(address) && !stays.has(address) && neighbours.get(address) === mac,
  );
  const heldMacs = new Set([port.mac, ...otherMacs(port)]);
  const staleMacs = [...new Set(gone.map(({ mac }) => mac))].filter((mac) => !heldMacs.has(mac) && macs.has(mac));
  const what = `taking pairs from ${port.tap}`;
  await link.ip(
    what,
    [
      ...mine.filter(({ address }) => routed.has(address)).map(({ address }) => deleteLocalRoute(address, bridge)),
      ...mine.map(({ address }) => command`neigh delete ${address} dev ${bridge}`),
    ],
    tapErrors,
  );
  await dismissPairs(link, port, gone, new Set([...keeps, ...stays]));
  await link.bridge(
    what,
    staleMacs.map((mac) => command`fdb delete ${mac} dev ${port.tap} master`),
    tapErrors,
  );
  if (!standby) for (const { address } of mine) await deleteFlows(link, address);
}

/** Deletes conntrack entries of both directions; exit code 1 means that there were none. */
export async function deleteFlows(link: NamespaceLink, address: string): Promise<void> {
  const forget = (direction: string) =>
    runProgram({
      program: 'nsenter',
      args: [`--net=/run/netns/${link.name}`, 'conntrack', '-D', direction, address],
      what: `deleting the conntrack entries of ${address}`,
      acceptedCodes: [1],
    });
  await Promise.all([forget('-s'), forget('-d')]);
}
