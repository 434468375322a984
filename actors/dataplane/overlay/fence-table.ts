/**
 * A table that drops what silent hosts still send, before connections are looked up: that of a VPC, and copies in the
 * namespaces of peered VPCs. Who sent a packet over the overlay is told by its MAC, which is that of the vx0 of the
 * sender and never a guest's. A table is there while it has senders. Called by fences-section.ts and
 * peering/peer-fences.ts.
 */
import { inFirewallTurn, readElements } from '../firewall/firewall-changes.ts';
import { firewallErrors } from '../firewall/firewall-errors.ts';
import { vxlanName } from '../kernel-names.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { braced } from '../security-group/group-chains.ts';

/** The table of the VPC itself. */
export const ownFence = 'fence';

export const fenceTable = (table: string) => ({
  set: `inet ${table} senders`,
  made: [
    `add table inet ${table}`,
    `add set inet ${table} senders { type ether_addr . ipv4_addr; }`,
    `add chain inet ${table} pre { type filter hook prerouting priority -300; policy accept; }`,
    `add rule inet ${table} pre iifname "${vxlanName}" ether saddr . ip saddr @senders drop`,
  ],
});

/** As nft prints them; null: there is no such table. */
export const readSenders = (link: NamespaceLink, table: string): Promise<readonly string[] | null> =>
  readElements(link, `set ${fenceTable(table).set}`);

/** Has the table drop exactly these. */
export async function settleSenders(link: NamespaceLink, table: string, wanted: readonly string[]): Promise<void> {
  await inFirewallTurn(link, async () => {
    const { set, made } = fenceTable(table);
    const actual = await readSenders(link, table);
    const had = actual ?? [];
    const added = wanted.filter((one) => !had.includes(one));
    const gone = had.filter((one) => !wanted.includes(one));
    const changes = [
      ...(actual === null ? made : []),
      ...(gone.length === 0 ? [] : [`delete element ${set} ${braced(gone)}`]),
      ...(added.length === 0 ? [] : [`add element ${set} ${braced(added)}`]),
    ];
    const none = actual === null ? [] : [`delete table inet ${table}`];
    const statements = wanted.length === 0 ? none : changes;
    if (statements.length > 0) await link.nft('fencing a silent host', statements, firewallErrors);
  });
}
