/**
 * The permit of gateways in the kernel: one nft table in the host's own namespace, at the uplinks themselves. Frames to
 * and from a gateway of an external network with two gateway hosts pass only while a set has elements that have not
 * timed out. Nothing else passes then, no answer to ARP either. To renew the permit of all VPCs of an external network
 * is one element.
 * Per uplink two chains, which lead frames of a gateway that needs a permit, by its MAC, to the chain of its external
 * network; that asks the set. Called by gateway-permit.ts. Promise: what is not used any more is gone, the table with
 * the last of it.
 */
import { firewallErrors } from '../firewall/firewall-errors.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { hashName } from '../kernel-names.ts';

/** A gateway of a VPC: its frames on this uplink have this MAC. */
export interface PermitGateway {
  /** Id of the external network. */
  readonly network: string;
  readonly uplink: string;
  readonly mac: string;
}

/** As it stands: the external network is a hash there. */
export interface FoundGateway {
  readonly hash: string;
  readonly uplink: string;
  readonly mac: string;
}

export interface PermitTable {
  /** Namespace of a gateway -> where it is. */
  readonly gateways: ReadonlyMap<string, FoundGateway>;
  /** Uplinks whose chains stand. */
  readonly uplinks: ReadonlySet<string>;
  /** Hashes of the external networks that have a set. */
  readonly networks: ReadonlySet<string>;
  /** Of these those that have the permit now. */
  readonly held: ReadonlySet<string>;
}

export const networkHash = (network: string): string => hashName(network, 16);

const objects = (table: string) => ({
  map: `netdev ${table} gateways`,
  set: (hash: string) => `netdev ${table} l_${hash}`,
  chain: (hash: string) => `netdev ${table} n_${hash}`,
});

/** Null without the table. */
export async function readPermitTable({ links, names }: DataplaneSite): Promise<PermitTable | null> {
  const text = await links.host.nftRead(`list table netdev ${names.gatewayTable}`);
  if (text === null) return null;
  const elements = [...text.matchAll(/"([^"]+)" \. ([0-9a-f:]{17}) comment "([^"]*)" : goto n_([a-z2-7]+)/g)];
  const hooks = [...text.matchAll(/hook (?:in|e)gress device "([^"]+)" priority/g)].map(([, uplink = '']) => uplink);
  const sets = [...text.matchAll(/set l_([a-z2-7]+) \{([^}]*)\}/g)];
  return {
    gateways: new Map(elements.map(([, uplink = '', mac = '', name = '', hash = '']) => [name, { hash, uplink, mac }])),
    uplinks: new Set(hooks.filter((uplink, at) => hooks.indexOf(uplink) !== at)),
    networks: new Set(sets.map(([, hash = '']) => hash)),
    held: new Set(sets.filter(([, , inside = '']) => inside.includes('elements')).map(([, hash = '']) => hash)),
  };
}

const emptyTable: PermitTable = {
  gateways: new Map(),
  uplinks: new Set(),
  networks: new Set(),
  held: new Set(),
};

const tableStatements = (table: string): readonly string[] => [
  `add table netdev ${table}`,
  `add map ${objects(table).map} { type ifname . ether_addr : verdict; }`,
];

const networkStatements = (table: string, hash: string): readonly string[] => {
  const { set, chain } = objects(table);
  return [
    `add set ${set(hash)} { type ether_type; flags timeout; }`,
    `add chain ${chain(hash)}`,
    `flush chain ${chain(hash)}`,
    `add rule ${chain(hash)} ether type @l_${hash} accept`,
    `add rule ${chain(hash)} drop`,
  ];
};

/** Interface names have characters that names of chains have not. */
const uplinkChains = (uplink: string): { readonly taking: string; readonly giving: string } => {
  const hash = hashName(uplink, 16);
  return { taking: `in_${hash}`, giving: `out_${hash}` };
};

function uplinkStatements(table: string, uplink: string): readonly string[] {
  const { taking, giving } = uplinkChains(uplink);
  const chain = (name: string, hook: string, key: string): readonly string[] => [
    `add chain netdev ${table} ${name} { type filter hook ${hook} device "${uplink}" priority 0; policy accept; }`,
    `flush chain netdev ${table} ${name}`,
    `add rule netdev ${table} ${name} ${key} vmap @gateways`,
  ];
  return [...chain(taking, 'ingress', 'iifname . ether daddr'), ...chain(giving, 'egress', 'oifname . ether saddr')];
}

const removal = (table: string, chains: readonly string[]): readonly string[] =>
  chains.flatMap((name) => [`flush chain netdev ${table} ${name}`, `delete chain netdev ${table} ${name}`]);

/**
 * Changes the table from what was read into one with these gateways and external networks.
 * @param networks hashes, beside those that a gateway needs
 */
export async function writePermitTable(
  { links, names }: DataplaneSite,
  found: PermitTable | null,
  gateways: ReadonlyMap<string, FoundGateway>,
  networks: ReadonlySet<string>,
): Promise<void> {
  const table = names.gatewayTable;
  const had = found ?? emptyTable;
  const { map, set } = objects(table);
  // The gateway of an uplink that is missing has no interface either, and does not hinder the others.
  const present = new Set((await links.host.links()).map(({ ifname }) => ifname));
  const uplinks = new Set([...gateways.values()].map(({ uplink }) => uplink).filter((one) => present.has(one)));
  const hashes = new Set([...networks, ...[...gateways.values()].map(({ hash }) => hash)]);
  if (hashes.size === 0) {
    if (found !== null)
      await links.host.nft('removing the permit table', [`delete table netdev ${table}`], firewallErrors);
    return;
  }
  const same = (name: string, one: FoundGateway): boolean =>
    JSON.stringify(had.gateways.get(name)) === JSON.stringify(one);
  const gone = [...had.gateways].filter(([name, one]) => {
    const next = gateways.get(name);
    return next === undefined || !same(name, next) || one.mac !== next.mac;
  });
  const staleUplinks = [...had.uplinks].filter((one) => !uplinks.has(one)).map(uplinkChains);
  const staleNetworks = [...had.networks].filter((hash) => !hashes.has(hash));
  await links.host.nft(
    'changing the permit table',
    [
      ...(found === null ? tableStatements(table) : []),
      ...[...hashes].filter((hash) => !had.networks.has(hash)).flatMap((hash) => networkStatements(table, hash)),
      ...[...uplinks].filter((one) => !had.uplinks.has(one)).flatMap((one) => uplinkStatements(table, one)),
      ...gone.map(([, { uplink, mac }]) => `delete element ${map} { "${uplink}" . ${mac} }`),
      ...[...gateways]
        .filter(([name, one]) => !same(name, one))
        .map(([name, one]) => {
          const key = `"${one.uplink}" . ${one.mac} comment "${name}"`;
          return `add element ${map} { ${key} : goto n_${one.hash} }`;
        }),
      ...removal(
        table,
        staleUplinks.flatMap(({ taking, giving }) => [taking, giving]),
      ),
      ...removal(
        table,
        staleNetworks.map((hash) => `n_${hash}`),
      ),
      ...staleNetworks.map((hash) => `delete set ${set(hash)}`),
    ],
    firewallErrors,
  );
}

/** Gives each external network the permit for so long from now, or with less than a millisecond takes it. */
export async function writePermits(site: DataplaneSite, leftMs: ReadonlyMap<string, number>): Promise<void> {
  const { set } = objects(site.names.gatewayTable);
  await site.links.host.nft(
    'renewing the permit of gateways',
    // Only a new element has a new time: an older kernel leaves that of one that is there.
    [...leftMs].flatMap(([hash, left]) => [
      `flush set ${set(hash)}`,
      ...(left < 1 ? [] : [`add element ${set(hash)} { ip timeout ${left}ms, arp timeout ${left}ms }`]),
    ]),
    firewallErrors,
  );
}
