/**
 * Who on the underlay may send into a VPC: one nft table in the host's own namespace, where the UDP socket of every
 * VXLAN device is. A packet with the VNI of a VPC of ours that comes from no host of that VPC is dropped before the
 * kernel unpacks it (docs/threats.md#t44). VNIs that are not ours are left alone: the host may have other overlays. The
 * underlay is IPv4 alone, so over IPv6 nobody is a peer.
 * Called by overlay-section.ts. Promise: the peers of a VNI are exactly those that were set last, also when another
 * process set them; without VNIs there is no table.
 */
import { firewallErrors } from '../firewall/firewall-errors.ts';
import type { NamespaceLink } from '../namespace-link.ts';

/** `@th,96,24` is the VNI: behind the UDP header, a byte of flags and three reserved ones. */
const skeleton = (table: string): readonly string[] => [
  `add table inet ${table}`,
  `add set inet ${table} vnis { typeof @th,96,24; }`,
  `add set inet ${table} peers { typeof @th,96,24 . ip saddr; }`,
  `add chain inet ${table} received { type filter hook input priority -300; policy accept; }`,
  `add rule inet ${table} received udp dport != 4789 accept`,
  `add rule inet ${table} received @th,96,24 != @vnis accept`,
  `add rule inet ${table} received @th,96,24 . ip saddr @peers accept`,
  `add rule inet ${table} received drop`,
];

export interface Underlay {
  /** Link of the host's own namespace. */
  readonly host: NamespaceLink;
  /** Name of the table, of this cluster alone. */
  readonly table: string;
}

/** What the table says of the VPCs of this host: VNI -> its namespace, and the pairs of VNI and peer. */
interface Admitted {
  readonly vnis: ReadonlyMap<number, string>;
  readonly peers: readonly (readonly [vni: number, address: string])[];
}

async function elementsOf({ host, table }: Underlay, set: string): Promise<readonly string[] | null> {
  const text = await host.nftRead(`list set inet ${table} ${set}`);
  const inside = text === null ? null : (/elements = \{([^}]*)\}/.exec(text)?.[1] ?? '');
  return inside === null ? null : inside.split(',').flatMap((one) => (one.trim() === '' ? [] : [one.trim()]));
}

/** Null without the table. */
async function readAdmitted(underlay: Underlay): Promise<Admitted | null> {
  const [vnis, peers] = await Promise.all([elementsOf(underlay, 'vnis'), elementsOf(underlay, 'peers')]);
  if (vnis === null || peers === null) return null;
  return {
    // The namespace of a VNI is the comment of its element.
    vnis: new Map(vnis.map((one) => [Number(one.split(' ')[0]), /comment "([^"]*)"/.exec(one)?.[1] ?? ''])),
    peers: peers.map((one) => one.split(' . ')).map(([vni, address = '']) => [Number(vni), address] as const),
  };
}

/** The VNI of a namespace and who may send into it; null when nothing filters it. */
export async function readUnderlayPeers(
  underlay: Underlay,
  namespace: string,
): Promise<{ readonly vni: number; readonly peers: ReadonlySet<string> } | null> {
  const admitted = await readAdmitted(underlay);
  const vni = [...(admitted?.vnis ?? [])].find(([, of]) => of === namespace)?.[0];
  if (admitted === null || vni === undefined) return null;
  return { vni, peers: new Set(admitted.peers.filter(([of]) => of === vni).map(([, address]) => address)) };
}

/** Whether the filter stands at all: whoever flushes the host's ruleset takes it along. */
export const hasUnderlayFilter = async ({ host, table }: Underlay): Promise<boolean> =>
  (await host.nftRead(`list chain inet ${table} received`)) !== null;

const forgotten = (table: string, { vnis, peers }: Admitted, gone: (vni: number, namespace: string) => boolean) => {
  const stale = [...vnis].filter(([vni, namespace]) => gone(vni, namespace)).map(([vni]) => vni);
  return [
    ...peers
      .filter(([vni]) => stale.includes(vni))
      .map(([vni, address]) => `delete element inet ${table} peers { ${vni} . ${address} }`),
    ...stale.map((vni) => `delete element inet ${table} vnis { ${vni} }`),
  ];
};

/** Filters the VNI, which is that of this namespace alone, and admits these addresses and no others. */
export async function ensureUnderlayPeers(
  underlay: Underlay,
  namespace: string,
  vni: number,
  addresses: readonly string[],
): Promise<void> {
  const { host, table } = underlay;
  const admitted = await readAdmitted(underlay);
  const known = admitted ?? { vnis: new Map<number, string>(), peers: [] };
  const isOurs = known.vnis.get(vni) === namespace;
  const had = isOurs ? known.peers.filter(([of]) => of === vni).map(([, address]) => address) : [];
  const wanted = [...new Set(addresses)];
  const statements = [
    ...(admitted === null ? skeleton(table) : []),
    ...forgotten(table, known, (one, of) => (one === vni) !== (of === namespace)),
    ...(isOurs ? [] : [`add element inet ${table} vnis { ${vni} comment "${namespace}" }`]),
    ...had
      .filter((one) => !wanted.includes(one))
      .map((one) => `delete element inet ${table} peers { ${vni} . ${one} }`),
    ...wanted.filter((one) => !had.includes(one)).map((one) => `add element inet ${table} peers { ${vni} . ${one} }`),
  ];
  await host.nft(`setting the peers of VNI ${vni}`, statements, firewallErrors);
}

/** The namespace goes, and the table with the last of them. */
export async function removeUnderlayPeers(underlay: Underlay, namespace: string): Promise<void> {
  const { host, table } = underlay;
  const admitted = await readAdmitted(underlay);
  if (admitted === null) return;
  const isLast = [...admitted.vnis.values()].every((of) => of === namespace);
  const statements = isLast ? [`delete table inet ${table}`] : forgotten(table, admitted, (_, of) => of === namespace);
  await host.nft(`removing the peers of ${namespace}`, statements, firewallErrors);
}
